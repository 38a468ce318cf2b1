"""Which system calls a container may make when nobody said anything else, and why.

Namespaces and capabilities limit what a program can reach. This limits how much of the kernel it
can *talk to*: about 130 of its 480 calls are refused, those that ordinary programs never make and
in which most of the holes of the last years were. What is not listed here gets EPERM; what is newer
than this list ENOSYS, so that a program falls back on what there was before.

Not listed, and not to be forgotten:

- `io_uring_*`: a second way to make most system calls, which no filter sees.
- `keyctl`, `add_key`, `request_key`: keys belong to users, not to namespaces.
- `bpf`, `perf_event_open`, `userfaultfd`: what exploits are made with. The first two with the
  capability for them.
- `unshare`, `setns`, `mount`, and `clone` with a flag for a new namespace: in a user namespace of
  its own every process is root, and all of the kernel that trusts root is open to it. With
  CAP_SYS_ADMIN they are allowed. `clone3` has its flags in memory, where a filter cannot look; so
  it does not exist (ENOSYS), and the C library makes a `clone` of it.
- Sockets of AF_VSOCK, which reach the hypervisor past every network namespace, and of AF_ALG, the
  kernel's cryptography: one hole after another, and nothing that a program could not do by itself.
  Of the rest, those families that the kernel has still got.
- On 32-bit x86: `socketcall` to make a socket, since its family is in memory, too. (What it does
  with a socket is allowed.) An image for 32-bit x86 gets it, since its programs know no other way.
- The clock, kernel modules, swap, reboot, raw I/O ports, NUMA placement: for the capability only.
- `kexec_load`, `swapon`, `nfsservctl`, `pivot_root`, `move_pages`, `vm86` …: for nobody.

It is Docker's present list (moby/profiles, seccomp/default.json) but for what is stricter here:
socketcall, and x32 calls, which Docker lets through where the kernel has them. Names are those of
all architectures; one that is not there is skipped.

See: syscalls(2), capabilities(7), isolation/seccomp/compiler.py for how the rules are read
"""

from __future__ import annotations

from minidock.record import Record

ENOSYS = 38


class Condition(Record):
    """`operator` is EQ, LT, … of the argument `index` and `value`; for MASKED_EQ `value` is the
    mask, and what it leaves must be 0."""

    index: int
    operator: str
    value: int


class Group(Record):
    """Calls that are allowed for one reason.

    Attributes:
        reason: what they are for, for a reader.
        names: separated by white space.
        capability: one of these must be among the container's; none: everybody may.
        unless: with this capability the group does not apply.
        only: architectures (as in an image: amd64, 386, s390x …) to which it applies; none: all.
        conditions: one of these must hold.
        errno: 0 to allow the calls, else to refuse them so.
    """

    reason: str
    names: str
    capability: str = ""
    unless: str = ""
    only: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    errno: int = 0


# 12 (DECnet), 19 (Econet), 20 (ATMSVC), 23 (IrDA), 25 (Wanpipe), 34 (ISDN) and 37 (CAIF) are gone
# from the kernel; 38 is AF_ALG, 40 AF_VSOCK. The comparison has 64 bits, of which the kernel reads
# 32: a list of what is good cannot be passed by 2**32 + 40, as a list of what is bad can.
_FIRST_FAMILIES = 12  # AF_UNIX, AF_INET, … AF_ROSE: 1 to 11
_FAMILIES = (
    13, 14, 15,  # NETBEUI SECURITY KEY
    16, 17,  # NETLINK PACKET
    18, 21, 22, 24, 26, 27, 28,  # ASH RDS SNA PPPOX LLC IB MPLS
    29, 30, 31, 32, 33, 35, 36,  # CAN TIPC BLUETOOTH IUCV RXRPC PHONET IEEE802154
    39, 41, 42, 43, 44, 45,  # NFC KCM QIPCRTR SMC XDP MCTP
)  # fmt: skip

# CLONE_NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
_NEW_NAMESPACES = 0x7E020000

# PER_LINUX, PER_LINUX32, each also with UNAME26, and the question what it is
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

EVERYBODY = (
    Group(
        "open files, read and write them",
        """close close_range copy_file_range creat dup dup2 dup3 fadvise64 fadvise64_64
        arm_fadvise64_64 fallocate fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 ioctl
        _llseek lseek memfd_create open openat openat2 pread64 preadv preadv2 pwrite64 pwritev
        pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range
        sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64 vmsplice write writev
        pipe pipe2 cachestat""",
    ),
    Group(
        "names and directories",
        """access chdir faccessat faccessat2 fchdir getcwd getdents getdents64 link linkat mkdir
        mkdirat mknod mknodat readlink readlinkat rename renameat renameat2 rmdir symlink symlinkat
        umask unlink unlinkat name_to_handle_at""",
    ),
    Group(
        "what is known of a file: owner, mode, times, extended attributes",
        """chmod chown chown32 fchmod fchmodat fchmodat2 fchown fchown32 fchownat fgetxattr
        flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat
        getxattr getxattrat lchown lchown32 lgetxattr listxattr listxattrat llistxattr lremovexattr
        lsetxattr lstat lstat64 newfstatat removexattr removexattrat setxattr setxattrat stat stat64
        statfs statfs64 statx utime utimensat utimensat_time64 utimes""",
    ),
    Group(
        "be told when something happens",
        """epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
        epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
        inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
        signalfd4""",
    ),
    Group(
        "memory",
        """brk madvise map_shadow_stack memfd_secret mincore mlock mlock2 mlockall mmap mmap2
        mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        process_mrelease remap_file_pages""",
    ),
    Group(
        "processes and threads, as long as they share this container's namespaces",
        """execve execveat exit exit_group fork get_robust_list get_thread_area getpgid getpgrp
        getpid getppid getsid gettid membarrier pidfd_open rseq set_robust_list set_thread_area
        set_tid_address setpgid setsid vfork wait4 waitid waitpid""",
    ),
    Group(
        "… and the same with `clone`, whose flags are its first argument (the second on s390)",
        "clone",
        unless="CAP_SYS_ADMIN",
        only=("amd64", "386", "arm64", "arm", "riscv64", "ppc64le"),
        conditions=(Condition(0, "MASKED_EQ", _NEW_NAMESPACES),),
    ),
    Group(
        "… on s390",
        "clone",
        unless="CAP_SYS_ADMIN",
        only=("s390x",),
        conditions=(Condition(1, "MASKED_EQ", _NEW_NAMESPACES),),
    ),
    Group("use clone", "clone3", unless="CAP_SYS_ADMIN", errno=ENOSYS),
    Group(
        "locks between threads",
        "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake",
    ),
    Group(
        "signals",
        """kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask
        rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
        rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill""",
    ),
    Group(
        "look at the clock, and wait (setting it wants CAP_SYS_TIME: the kernel sees to that)",
        """adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
        clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday
        nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime
        timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
        timerfd_gettime64 timerfd_settime timerfd_settime64 times""",
    ),
    Group(
        "sockets of the kinds that are a network's",
        "socket",
        conditions=(
            Condition(0, "LT", _FIRST_FAMILIES),
            *(Condition(0, "EQ", family) for family in _FAMILIES),
        ),
    ),
    Group(
        "what is done with a socket",
        """accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom
        recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown
        socketpair""",
    ),
    Group("sockets in programs that have no other call for them", "socketcall", only=("386",)),
    Group(
        "messages, semaphores and shared memory, in an IPC namespace of the container's own",
        """ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
        mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
        semtimedop_time64 shmat shmctl shmdt shmget""",
    ),
    Group(
        "users and groups",
        """capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
        getresgid getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid
        setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32
        setresuid setresuid32 setreuid setreuid32 setuid setuid32""",
    ),
    Group(
        "limits and scheduling",
        """getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_getaffinity
        sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
        sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
        sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit
        ugetrlimit""",
    ),
    Group(
        "asynchronous I/O, the old kind",
        """io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
        io_submit""",
    ),
    Group(
        "shut itself in still further",
        """landlock_add_rule landlock_create_ruleset landlock_restrict_self prctl seccomp""",
    ),
    Group(
        "look into processes of its own user (on kernels before 4.8 that led past this filter)",
        "process_vm_readv process_vm_writev ptrace uretprobe",
    ),
    Group(
        "ask about the system, and for random numbers",
        "getrandom listmount statmount sysinfo uname",
    ),
    Group(
        "be another kind of Linux, but not one whose addresses are not random",
        "personality",
        conditions=tuple(Condition(0, "EQ", value) for value in _PERSONALITIES),
    ),
    Group(
        "what single architectures need for threads, signals and caches",
        """arch_prctl modify_ldt breakpoint cacheflush set_tls riscv_flush_icache riscv_hwprobe
        s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr swapcontext""",
    ),
)

WITH_CAPABILITY = (
    Group(
        "mount, make namespaces and join them, and all that is root's alone",
        """bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount
        umount2 unshare""",
        capability="CAP_SYS_ADMIN",
    ),
    Group("open a file by its number, past all directories", "open_by_handle_at",
          capability="CAP_DAC_READ_SEARCH"),
    Group("change the root directory", "chroot", capability="CAP_SYS_CHROOT"),
    Group("reboot", "reboot", capability="CAP_SYS_BOOT"),
    Group("the clock", "settimeofday stime clock_settime clock_settime64",
          capability="CAP_SYS_TIME"),
    Group("kernel modules", "delete_module init_module finit_module", capability="CAP_SYS_MODULE"),
    Group("the log of processes", "acct", capability="CAP_SYS_PACCT"),
    Group(
        "look into processes of others",
        "kcmp pidfd_getfd process_madvise",
        capability="CAP_SYS_PTRACE",
    ),
    Group("I/O ports", "iopl ioperm", capability="CAP_SYS_RAWIO"),
    Group("hang up a terminal", "vhangup", capability="CAP_SYS_TTY_CONFIG"),
    Group(
        "choose on which memory node something lies",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        capability="CAP_SYS_NICE",
    ),
    Group("the kernel's messages", "syslog", capability="CAP_SYSLOG"),
    Group("programs in the kernel", "bpf", capability="CAP_BPF"),
    Group("performance counters", "perf_event_open", capability="CAP_PERFMON"),
)  # fmt: skip

ARCHITECTURES = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "386": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "arm": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
}
"""The image's architecture → those whose calls are let through by these rules. No x32."""
