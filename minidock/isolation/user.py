"""Who the process is: user, group, supplementary groups, and where their home is.

The kernel knows numbers only; names live in the container's own /etc/passwd and /etc/group. These
are files of the image, so whoever made the image wrote them: they are read as plain text with a
bound on their size, from inside the new root, and never through the C library, whose name service
would load plugins from the image into a process that still has all its rights.

What can be asked for is Docker's: `user`, `uid`, `user:group`, `uid:gid` and mixtures. A number
that is not in the files is taken as it is; a name that is not there is an error.

See: passwd(5), group(5), setresuid(2), setgroups(2), credentials(7)
"""

from __future__ import annotations

import os
import stat

from minidock.errors import WRONG_REQUEST, StartFailed
from minidock.linux.flags import Prctl
from minidock.record import Record
from minidock.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from minidock.linux.kernel import Kernel
    from minidock.step import Context

MAX_ID = 2**31 - 1
MAX_FILE_BYTES = 16 << 20


class Identity(Record):
    """Numbers for the kernel, and the home directory for $HOME."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class LookUpUser(Step):
    """Find out which numbers a user's name stands for in this container, and those of groups that
    it is to be in besides (`more`)."""

    wanted: str
    more: tuple[str, ...] = ()
    see: ClassVar[tuple[str, ...]] = ("passwd(5)", "group(5)")

    def describe(self) -> str:
        who = self.wanted or "root"
        return f"look up {who!r} in the container's own /etc/passwd and /etc/group"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        passwd = read_bounded(kernel, "/etc/passwd")
        group = read_bounded(kernel, "/etc/group")
        found = find_identity(self.wanted, passwd, group)
        more = (_find_group(name, group, "Unable") for name in self.more)
        ctx.uid, ctx.gid = found.uid, found.gid
        ctx.groups = tuple(dict.fromkeys((*found.groups, *more)))
        ctx.home = found.home


class TakeNumbers(Step):
    """The spec gives the numbers; only the home directory is looked up."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    see: ClassVar[tuple[str, ...]] = ("credentials(7)", "passwd(5)")

    def describe(self) -> str:
        return f"run as user {self.uid}, group {self.gid}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        home = find_identity(str(self.uid), read_bounded(kernel, "/etc/passwd"), b"").home
        ctx.uid, ctx.gid, ctx.groups, ctx.home = self.uid, self.gid, self.groups, home


class BecomeUser(Step):
    """Change the process's user and groups, and keep the capabilities across the change."""

    see: ClassVar[tuple[str, ...]] = ("setgroups(2)", "setresuid(2)", "capabilities(7)")

    def describe(self) -> str:
        return "become that user: supplementary groups first, then group, then user"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        # Leaving user 0 would clear all capabilities at once; the next step decides on them.
        kernel.prctl(Prctl.PR_SET_KEEPCAPS, 1)
        kernel.setgroups(ctx.groups)
        kernel.setresgid(ctx.gid, ctx.gid, ctx.gid)
        kernel.setresuid(ctx.uid, ctx.uid, ctx.uid)


def read_bounded(kernel: Kernel, path: str) -> bytes:
    """The content of a small regular file, b"" where there is none.

    A fifo would block for ever, /dev/zero never end: anything but a regular file of at most 16 MiB
    is refused with `StartFailed`.
    """
    try:
        fd = kernel.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        about = kernel.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise StartFailed(f"{path} in the container is not a regular file")
        if about.st_size > MAX_FILE_BYTES:
            raise StartFailed(f"{path} in the container is larger than {MAX_FILE_BYTES} bytes")
        chunks: list[bytes] = []
        while sum(map(len, chunks)) <= MAX_FILE_BYTES:
            chunk = kernel.read(fd, 1 << 16)
            if not chunk:
                break
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        kernel.close(fd)


def find_identity(wanted: str, passwd: bytes, group: bytes) -> Identity:
    """Resolve `user[:group]` as Docker does. Raises `StartFailed` in Docker's words."""
    user, group_name, *_ = (*wanted.split(":"), "")  # as Docker, which reads no further
    user = user or "0"  # nobody said, so root, even in an image without /etc/passwd
    entry = _find_user(user, passwd)
    if entry is None:
        uid = _number(user)
        if uid is None:
            raise _refused(f"unable to find user {user}: no matching entries in passwd file")
        entry = Identity(uid, 0, (), "/")
        name = None
    else:
        name = _name_of(entry.uid, user, passwd)
    if group_name:
        gid = _find_group(group_name, group)
        return entry.but(gid=gid, groups=(gid,))
    memberships = _groups_of(name, group) if name else ()
    return entry.but(groups=tuple(dict.fromkeys((entry.gid, *memberships))))


def _refused(message: str) -> StartFailed:
    return StartFailed(message, exit_code=WRONG_REQUEST)


def _lines(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8", "surrogateescape")
    return [line.strip().split(":") for line in text.split("\n") if line and line[0] != "#"]


def _number(text: str) -> int | None:
    """A user or group id, `None` where `text` is a name. Out of range is an error, never root."""
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    if text.startswith("-") or len(text) > 20 or int(text) > MAX_ID:
        raise _refused(f"uids and gids must be in range 0-{MAX_ID}")
    return int(text)


def _find_user(user: str, passwd: bytes) -> Identity | None:
    number = _number(user)
    for fields in _lines(passwd):
        if len(fields) < 4:
            continue
        uid, gid = _entry_number(fields[2]), _entry_number(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == user or uid == number:
            home = fields[5] if len(fields) > 5 and fields[5] else "/"
            return Identity(uid, gid, (), home)
    return None


def _entry_number(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID:
        return int(text)
    return None


def _name_of(uid: int, user: str, passwd: bytes) -> str | None:
    for fields in _lines(passwd):
        if len(fields) > 3 and (fields[0] == user or _entry_number(fields[2]) == uid):
            return fields[0]
    return None


def _find_group(wanted: str, group: bytes, unable: str = "unable") -> int:
    number = _number(wanted)
    for fields in _lines(group):
        gid = _entry_number(fields[2]) if len(fields) > 2 else None
        if gid is not None and (fields[0] == wanted or gid == number):
            return gid
    if number is None:
        raise _refused(f"{unable} to find group {wanted}: no matching entries in group file")
    return number


def _groups_of(name: str, group: bytes) -> tuple[int, ...]:
    found = []
    for fields in _lines(group):
        gid = _entry_number(fields[2]) if len(fields) > 3 else None
        if gid is not None and name in fields[3].split(","):
            found.append(gid)
    return tuple(found)
