"""What the words in a mount's `options` mean.

Somebody who mounts writes words, as in fstab(5): `ro,nosuid,size=64m`. The kernel wants numbers,
and not all in one place:

- *Flags* of mount(2). Most of them belong to the mount, that is, to this one way in; some (`sync`,
  `lazytime`) to the filesystem itself, whoever sees it.
- *Attributes* of mount_setattr(2): the same for a mount that exists already, such as a copy of the
  host's that is about to be shown in the container. Here the clearing words count as well: `rw`
  takes `ro` away. What no word speaks of stays as it was at the source, so that a `nosuid` of the
  host's holds in the container, too.
- *Recursive attributes*, `rro` `rnosuid` …, go to a mount and to all that are mounted below it. A
  plain `ro` leaves those below as they are, which has surprised many.
- *Propagation*: `rshared`, `private` …, see mount_namespaces(7).
- `tmpcopyup` fills a new tmpfs with what it covers; `idmap` and `ridmap` shift owners.
- *Data*: every other word is the filesystem's own.

Of two words that contradict each other the later one counts.

See: mount(8), mount(2), mount_setattr(2),
https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-mount-options
"""

from __future__ import annotations

from minidock.linux.flags import MOUNT_ATTR__ATIME, MountAttr, MountFlag
from minidock.record import Record

NO_FLAGS = MountFlag(0)
NO_ATTRIBUTES = MountAttr(0)

FLAGS: dict[str, int] = {
    "defaults": 0,
    "ro": MountFlag.MS_RDONLY,
    "nosuid": MountFlag.MS_NOSUID,
    "nodev": MountFlag.MS_NODEV,
    "noexec": MountFlag.MS_NOEXEC,
    "sync": MountFlag.MS_SYNCHRONOUS,
    "dirsync": MountFlag.MS_DIRSYNC,
    "remount": MountFlag.MS_REMOUNT,
    "mand": MountFlag.MS_MANDLOCK,
    "noatime": MountFlag.MS_NOATIME,
    "nodiratime": MountFlag.MS_NODIRATIME,
    "relatime": MountFlag.MS_RELATIME,
    "strictatime": MountFlag.MS_STRICTATIME,
    "lazytime": MountFlag.MS_LAZYTIME,
    "iversion": MountFlag.MS_I_VERSION,
    "silent": MountFlag.MS_SILENT,
    "nosymfollow": MountFlag.MS_NOSYMFOLLOW,
    "bind": MountFlag.MS_BIND,
    "rbind": MountFlag.MS_BIND | MountFlag.MS_REC,
}
CLEARING: dict[str, int] = {
    "rw": MountFlag.MS_RDONLY,
    "suid": MountFlag.MS_NOSUID,
    "dev": MountFlag.MS_NODEV,
    "exec": MountFlag.MS_NOEXEC,
    "async": MountFlag.MS_SYNCHRONOUS,
    "nomand": MountFlag.MS_MANDLOCK,
    "atime": MountFlag.MS_NOATIME,
    "diratime": MountFlag.MS_NODIRATIME,
    "norelatime": MountFlag.MS_RELATIME,
    "nostrictatime": MountFlag.MS_STRICTATIME,
    "nolazytime": MountFlag.MS_LAZYTIME,
    "noiversion": MountFlag.MS_I_VERSION,
    "loud": MountFlag.MS_SILENT,
    "symfollow": MountFlag.MS_NOSYMFOLLOW,
}
PROPAGATION: dict[str, int] = {
    "private": MountFlag.MS_PRIVATE,
    "rprivate": MountFlag.MS_PRIVATE | MountFlag.MS_REC,
    "shared": MountFlag.MS_SHARED,
    "rshared": MountFlag.MS_SHARED | MountFlag.MS_REC,
    "slave": MountFlag.MS_SLAVE,
    "rslave": MountFlag.MS_SLAVE | MountFlag.MS_REC,
    "unbindable": MountFlag.MS_UNBINDABLE,
    "runbindable": MountFlag.MS_UNBINDABLE | MountFlag.MS_REC,
}
# Word: (what it sets, what it clears). The three ways to keep access times are one field of the
# kernel's, in which relatime is 0: to set one of them the field is cleared.
RECURSIVE: dict[str, tuple[int, int]] = {
    "rro": (MountAttr.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, MountAttr.MOUNT_ATTR_RDONLY),
    "rnosuid": (MountAttr.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, MountAttr.MOUNT_ATTR_NOSUID),
    "rnodev": (MountAttr.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, MountAttr.MOUNT_ATTR_NODEV),
    "rnoexec": (MountAttr.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, MountAttr.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (MountAttr.MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, MountAttr.MOUNT_ATTR_NODIRATIME),
    "rrelatime": (0, MOUNT_ATTR__ATIME),
    "rnorelatime": (0, 0),
    "rnoatime": (MountAttr.MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "ratime": (0, MOUNT_ATTR__ATIME),
    "rstrictatime": (MountAttr.MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "rnostrictatime": (0, MOUNT_ATTR__ATIME),
    "rnosymfollow": (MountAttr.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, MountAttr.MOUNT_ATTR_NOSYMFOLLOW),
}
OTHERS = ("tmpcopyup", "idmap", "ridmap")
# The flags that a mount has and its filesystem has not, as mount_setattr(2) names them.
_ATTRIBUTES: tuple[tuple[int, int], ...] = (
    (MountFlag.MS_RDONLY, MountAttr.MOUNT_ATTR_RDONLY),
    (MountFlag.MS_NOSUID, MountAttr.MOUNT_ATTR_NOSUID),
    (MountFlag.MS_NODEV, MountAttr.MOUNT_ATTR_NODEV),
    (MountFlag.MS_NOEXEC, MountAttr.MOUNT_ATTR_NOEXEC),
    (MountFlag.MS_NODIRATIME, MountAttr.MOUNT_ATTR_NODIRATIME),
    (MountFlag.MS_NOATIME, MountAttr.MOUNT_ATTR_NOATIME),
    (MountFlag.MS_STRICTATIME, MountAttr.MOUNT_ATTR_STRICTATIME),
    (MountFlag.MS_NOSYMFOLLOW, MountAttr.MOUNT_ATTR_NOSYMFOLLOW),
)
_ACCESS_TIME = MountFlag.MS_NOATIME | MountFlag.MS_STRICTATIME | MountFlag.MS_RELATIME


class Change(Record):
    """What mount_setattr(2) does to a mount: attributes to set and to clear."""

    attr_set: MountAttr = NO_ATTRIBUTES
    attr_clr: int = 0

    def __bool__(self) -> bool:
        return bool(self.attr_set or self.attr_clr)


NO_CHANGE = Change()


class MountOptions(Record):
    """The words of one mount, sorted by who will be told."""

    flags: MountFlag = NO_FLAGS
    cleared: MountFlag = NO_FLAGS
    propagation: tuple[MountFlag, ...] = ()
    recursively: Change = NO_CHANGE
    copy_up: bool = False
    idmap: str = ""  # "idmap", "ridmap" or ""
    data: tuple[str, ...] = ()

    @property
    def change(self) -> Change:
        """Flags and clearing words as a change of a mount that exists."""
        set_, clear = 0, 0
        for flag, attribute in _ATTRIBUTES:
            if self.flags & flag:
                set_ |= attribute
            elif self.cleared & flag:
                clear |= attribute
        if self.flags & _ACCESS_TIME or self.cleared & (_ACCESS_TIME & ~MountFlag.MS_RELATIME):
            clear |= MOUNT_ATTR__ATIME
        return Change(MountAttr(set_), clear)


def parse_options(options: tuple[str, ...]) -> MountOptions:
    """Sort the words of one mount's `options`."""
    flags, cleared, rec_set, rec_clear = 0, 0, 0, 0
    propagation, data, others = [], [], []
    for word in options:
        if word in FLAGS:
            if FLAGS[word] & _ACCESS_TIME:
                flags &= ~_ACCESS_TIME
            flags |= FLAGS[word]
            cleared &= ~FLAGS[word]
        elif word in CLEARING:
            flags &= ~CLEARING[word]
            cleared |= CLEARING[word]
        elif word in RECURSIVE:
            set_, clear = RECURSIVE[word]
            rec_set = rec_set & ~clear | set_
            rec_clear = rec_clear & ~set_ | clear
        elif word in PROPAGATION:
            propagation.append(MountFlag(PROPAGATION[word]))
        elif word in OTHERS:
            others.append(word)
        elif word:
            data.append(word)
    return MountOptions(
        flags=MountFlag(flags),
        cleared=MountFlag(cleared),
        propagation=tuple(propagation),
        recursively=Change(MountAttr(rec_set), rec_clear),
        copy_up="tmpcopyup" in others,
        idmap=next((word for word in reversed(others) if word.endswith("idmap")), ""),
        data=tuple(data),
    )


def known_options() -> list[str]:
    """Every word with a meaning of its own, sorted; what is not among them is the filesystem's."""
    return sorted({*FLAGS, *CLEARING, *PROPAGATION, *RECURSIVE, *OTHERS})
