"""The kernel's flag words, under their own names, so that a printed call reads as in its man page.

Values are those of the kernel's UAPI headers; they are the same on every architecture that Linux
runs on, except where a comment says otherwise.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import IntEnum, IntFlag
else:
    from minidock.linux.lean_enum import IntEnum, IntFlag


class CloneFlag(IntFlag):
    """Which namespaces to make or join. unshare(2), setns(2), namespaces(7)"""

    CLONE_NEWTIME = 0x00000080
    CLONE_NEWNS = 0x00020000
    CLONE_NEWCGROUP = 0x02000000
    CLONE_NEWUTS = 0x04000000
    CLONE_NEWIPC = 0x08000000
    CLONE_NEWUSER = 0x10000000
    CLONE_NEWPID = 0x20000000
    CLONE_NEWNET = 0x40000000


class MountFlag(IntFlag):
    """mount(2)"""

    MS_RDONLY = 1
    MS_NOSUID = 2
    MS_NODEV = 4
    MS_NOEXEC = 8
    MS_SYNCHRONOUS = 16
    MS_REMOUNT = 32
    MS_MANDLOCK = 64
    MS_DIRSYNC = 128
    MS_NOSYMFOLLOW = 256
    MS_NOATIME = 1024
    MS_NODIRATIME = 2048
    MS_BIND = 4096
    MS_MOVE = 8192
    MS_REC = 16384
    MS_SILENT = 32768
    MS_UNBINDABLE = 1 << 17
    MS_PRIVATE = 1 << 18
    MS_SLAVE = 1 << 19
    MS_SHARED = 1 << 20
    MS_RELATIME = 1 << 21
    MS_I_VERSION = 1 << 23
    MS_STRICTATIME = 1 << 24
    MS_LAZYTIME = 1 << 25


class UmountFlag(IntFlag):
    """umount2(2)"""

    MNT_FORCE = 1
    MNT_DETACH = 2
    MNT_EXPIRE = 4
    UMOUNT_NOFOLLOW = 8


class ResolveFlag(IntFlag):
    """How openat2(2) may walk a path."""

    RESOLVE_NO_XDEV = 0x01
    RESOLVE_NO_MAGICLINKS = 0x02
    RESOLVE_NO_SYMLINKS = 0x04
    RESOLVE_BENEATH = 0x08
    RESOLVE_IN_ROOT = 0x10


class OpenFlag(IntFlag):
    """open(2). O_RDONLY is 0 and so has no name of its own here."""

    O_WRONLY = 0o1
    O_RDWR = 0o2
    O_CREAT = 0o100
    O_EXCL = 0o200
    O_NOCTTY = 0o400
    O_TRUNC = 0o1000
    O_APPEND = 0o2000
    O_NONBLOCK = 0o4000
    O_NOFOLLOW = os.O_NOFOLLOW  # x86 and arm64 differ
    O_CLOEXEC = 0o2000000
    O_PATH = 0o10000000
    O_DIRECTORY = os.O_DIRECTORY


class AtFlag(IntFlag):
    """The AT_ family, and what open_tree(2) adds to it."""

    OPEN_TREE_CLONE = 1
    OPEN_TREE_CLOEXEC = 0o2000000
    AT_SYMLINK_NOFOLLOW = 0x100
    AT_EMPTY_PATH = 0x1000
    AT_RECURSIVE = 0x8000


class MoveMountFlag(IntFlag):
    """move_mount(2)"""

    MOVE_MOUNT_F_SYMLINKS = 0x01
    MOVE_MOUNT_F_AUTOMOUNTS = 0x02
    MOVE_MOUNT_F_EMPTY_PATH = 0x04
    MOVE_MOUNT_T_SYMLINKS = 0x10
    MOVE_MOUNT_T_AUTOMOUNTS = 0x20
    MOVE_MOUNT_T_EMPTY_PATH = 0x40


class MountAttr(IntFlag):
    """mount_setattr(2)"""

    MOUNT_ATTR_RDONLY = 0x01
    MOUNT_ATTR_NOSUID = 0x02
    MOUNT_ATTR_NODEV = 0x04
    MOUNT_ATTR_NOEXEC = 0x08
    MOUNT_ATTR_NOATIME = 0x10
    MOUNT_ATTR_STRICTATIME = 0x20
    MOUNT_ATTR_NODIRATIME = 0x80
    MOUNT_ATTR_IDMAP = 0x00100000
    MOUNT_ATTR_NOSYMFOLLOW = 0x00200000


MOUNT_ATTR__ATIME = 0x70
"""Part of a mount's attributes, a number: NOATIME, STRICTATIME, or RELATIME, which is 0."""


class FsopenFlag(IntFlag):
    """fsopen(2)"""

    FSOPEN_CLOEXEC = 1


class FsconfigCommand(IntEnum):
    """fsconfig(2): the commands that a container's start uses."""

    FSCONFIG_SET_FLAG = 0
    FSCONFIG_SET_STRING = 1
    FSCONFIG_CMD_CREATE = 6


class FsmountFlag(IntFlag):
    """fsmount(2)"""

    FSMOUNT_CLOEXEC = 1


class CloseRangeFlag(IntFlag):
    """close_range(2)"""

    CLOSE_RANGE_UNSHARE = 2
    CLOSE_RANGE_CLOEXEC = 4


class Prctl(IntEnum):
    """The operations of prctl(2) that a container's start uses."""

    PR_SET_PDEATHSIG = 1
    PR_SET_DUMPABLE = 4
    PR_SET_KEEPCAPS = 8
    PR_SET_NAME = 15
    PR_CAPBSET_READ = 23
    PR_CAPBSET_DROP = 24
    PR_SET_SECUREBITS = 28
    PR_SET_CHILD_SUBREAPER = 36
    PR_SET_NO_NEW_PRIVS = 38
    PR_CAP_AMBIENT = 47


class Ambient(IntEnum):
    """What PR_CAP_AMBIENT does. prctl(2)"""

    PR_CAP_AMBIENT_RAISE = 2
    PR_CAP_AMBIENT_CLEAR_ALL = 4


class Rlimit(IntEnum):
    """The resources of setrlimit(2). The order is x86's and arm64's."""

    RLIMIT_CPU = 0
    RLIMIT_FSIZE = 1
    RLIMIT_DATA = 2
    RLIMIT_STACK = 3
    RLIMIT_CORE = 4
    RLIMIT_RSS = 5
    RLIMIT_NPROC = 6
    RLIMIT_NOFILE = 7
    RLIMIT_MEMLOCK = 8
    RLIMIT_AS = 9
    RLIMIT_LOCKS = 10
    RLIMIT_SIGPENDING = 11
    RLIMIT_MSGQUEUE = 12
    RLIMIT_NICE = 13
    RLIMIT_RTPRIO = 14
    RLIMIT_RTTIME = 15


class SchedPolicy(IntEnum):
    """sched(7)"""

    SCHED_OTHER = 0
    SCHED_FIFO = 1
    SCHED_RR = 2
    SCHED_BATCH = 3
    SCHED_IDLE = 5
    SCHED_DEADLINE = 6


class SchedFlag(IntFlag):
    """sched_setattr(2)"""

    SCHED_FLAG_RESET_ON_FORK = 0x01
    SCHED_FLAG_RECLAIM = 0x02
    SCHED_FLAG_DL_OVERRUN = 0x04
    SCHED_FLAG_KEEP_POLICY = 0x08
    SCHED_FLAG_KEEP_PARAMS = 0x10
    SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
    SCHED_FLAG_UTIL_CLAMP_MAX = 0x40


class IoprioClass(IntEnum):
    """ioprio_set(2)"""

    IOPRIO_CLASS_RT = 1
    IOPRIO_CLASS_BE = 2
    IOPRIO_CLASS_IDLE = 3


class Personality(IntEnum):
    """personality(2)"""

    PER_LINUX = 0
    PER_LINUX32 = 8


class FilesystemType(IntEnum):
    """What statfs(2) says of a filesystem's type."""

    PROC_SUPER_MAGIC = 0x9FA0
    SYSFS_MAGIC = 0x62656572
    TMPFS_MAGIC = 0x01021994
    DEVPTS_SUPER_MAGIC = 0x1CD1
    OVERLAYFS_SUPER_MAGIC = 0x794C7630
    CGROUP_SUPER_MAGIC = 0x27E0EB
    CGROUP2_SUPER_MAGIC = 0x63677270


class Keyctl(IntEnum):
    """The operations of keyctl(2) that a container's start uses."""

    KEYCTL_JOIN_SESSION_KEYRING = 1


class BpfCmd(IntEnum):
    """The commands of bpf(2) that a container's start uses."""

    BPF_PROG_LOAD = 5
    BPF_PROG_ATTACH = 8


class BpfProgType(IntEnum):
    """What a BPF program is for."""

    BPF_PROG_TYPE_CGROUP_DEVICE = 15


class BpfAttachType(IntEnum):
    """At which point of its target a BPF program runs."""

    BPF_CGROUP_DEVICE = 6


class BpfAttachFlag(IntFlag):
    """bpf(2), BPF_PROG_ATTACH"""

    BPF_F_ALLOW_MULTI = 2


class SeccompOperation(IntEnum):
    """The operations of seccomp(2) that a container's start uses."""

    SECCOMP_SET_MODE_FILTER = 1


class SeccompFilterFlag(IntFlag):
    """seccomp(2), SECCOMP_SET_MODE_FILTER"""

    SECCOMP_FILTER_FLAG_TSYNC = 1
    SECCOMP_FILTER_FLAG_LOG = 2
    SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
    SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32


class SeccompAction(IntEnum):
    """What a filter returns; the lower 16 bits are left for a number. seccomp(2)"""

    SECCOMP_RET_KILL_PROCESS = 0x80000000
    SECCOMP_RET_KILL_THREAD = 0x00000000
    SECCOMP_RET_TRAP = 0x00030000
    SECCOMP_RET_ERRNO = 0x00050000
    SECCOMP_RET_USER_NOTIF = 0x7FC00000
    SECCOMP_RET_TRACE = 0x7FF00000
    SECCOMP_RET_LOG = 0x7FFC0000
    SECCOMP_RET_ALLOW = 0x7FFF0000


class Ioctl(IntEnum):
    """The requests of ioctl(2) that a container's start uses. ioctl_tty(2), netdevice(7)"""

    TIOCSCTTY = 0x540E
    TIOCSPGRP = 0x5410
    TIOCSWINSZ = 0x5414
    TIOCSPTLCK = 0x40045431
    TIOCGPTN = 0x80045430
    TIOCGPTPEER = 0x5441
    SIOCGIFFLAGS = 0x8913
    SIOCSIFFLAGS = 0x8914
    NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)


class Capability(IntEnum):
    """capabilities(7), by number."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_FSETID = 4
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_LINUX_IMMUTABLE = 9
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_BROADCAST = 11
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_IPC_OWNER = 15
    CAP_SYS_MODULE = 16
    CAP_SYS_RAWIO = 17
    CAP_SYS_CHROOT = 18
    CAP_SYS_PTRACE = 19
    CAP_SYS_PACCT = 20
    CAP_SYS_ADMIN = 21
    CAP_SYS_BOOT = 22
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYS_TIME = 25
    CAP_SYS_TTY_CONFIG = 26
    CAP_MKNOD = 27
    CAP_LEASE = 28
    CAP_AUDIT_WRITE = 29
    CAP_AUDIT_CONTROL = 30
    CAP_SETFCAP = 31
    CAP_MAC_OVERRIDE = 32
    CAP_MAC_ADMIN = 33
    CAP_SYSLOG = 34
    CAP_WAKE_ALARM = 35
    CAP_BLOCK_SUSPEND = 36
    CAP_AUDIT_READ = 37
    CAP_PERFMON = 38
    CAP_BPF = 39
    CAP_CHECKPOINT_RESTORE = 40


AT_FDCWD = -100
