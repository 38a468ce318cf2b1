"""`--explain` tells the truth: what strace(1) saw of a start, and what the start told of itself,
are the same calls with the same arguments and results, in the same order, process by process.

Everything that strace saw counts, but for what is listed here with a reason. The lists are short on
purpose: a call that is on none of them and was not told fails the test, and so does one that was
told and not made.
"""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minidock.linux.host import FILTER_CACHE

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")

# Calls that change nothing, by name.
ONLY_ASK = {
    "read", "pread64", "newfstatat", "fstat", "lseek", "getdents64", "readlink", "readlinkat",
    "getcwd", "geteuid", "getpid", "getppid", "gettid", "uname", "access", "getrandom",
    "pidfd_open",
    "clock_nanosleep", "fstatfs", "getsockname", "getsockopt",
}  # fmt: skip
MEMORY = {"brk", "mmap", "munmap", "mremap", "mprotect", "madvise"}  # the interpreter's own
PROCESS_START = {"set_robust_list"}  # what fork(3) of the C library does in every child
END = {"exit_group", "exit"}  # the process is gone, and says nothing more
SYNC = {"sendmsg", "recvmsg", "socketpair"}  # the conversation that runtime/sync.py draws
UNTOLD = ONLY_ASK | MEMORY | PROCESS_START | END | SYNC


class Call(NamedTuple):
    name: str
    arguments: str
    result: str


# ── what strace saw ──

_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (.*)$")
_OTHER_NAMESPACE = re.compile(r" /\* \d+ in strace's PID NS \*/")


def strace_calls(text: str) -> dict[int, list[Call]]:
    """Calls by process, each where it began."""
    found: dict[int, list[Call]] = {}
    begun: dict[int, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        assert match, line
        pid, rest = int(match[1]), match[2]
        if rest.startswith(("+++", "---")) or rest.endswith("<detached ...>"):
            continue
        if rest.endswith(" <unfinished ...>"):
            begun[pid] = rest.removesuffix(" <unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)$", rest)
        if resumed:
            rest = begun.pop(pid) + resumed[1]
        call = _CALL.match(rest)
        assert call, rest
        found.setdefault(pid, []).append(Call(*call.groups()))
    for pid, rest in begun.items():  # the process ended in it
        name, _, arguments = rest.partition("(")
        found.setdefault(pid, []).append(Call(name, arguments, "?"))
    return found


def processes(calls: dict[int, list[Call]]) -> dict[str, int]:
    """Which is main, intermediate, init, and, with `--init`, the child of init."""

    def enters(call: Call) -> bool:
        return call.name == "setns" or (call.name == "unshare" and "NEWPID" in call.arguments)

    (intermediate,) = (pid for pid, made in calls.items() if any(map(enters, made)))
    parent = {
        _pid(call.result): pid
        for pid, made in calls.items()
        for call in made
        # (not a child that only waits while its user namespace is taken)
        if call.name in ("clone", "clone3") and "CLONE_NEWUSER" not in call.arguments
    }
    (init,) = (child for child, pid in parent.items() if pid == intermediate)
    found = {"main": parent[intermediate], "intermediate": intermediate, "init": init}
    for child, pid in parent.items():
        if pid == init and child != init:
            found["child of init"] = child
            break
    return found


def _pid(result: str) -> int:
    other = re.search(r"/\* (\d+) in strace's PID NS \*/", result)
    return int(other[1] if other else result.split()[0])


def changes(made: list[Call], process: str, home: Path, sync: set[str]) -> list[Call]:
    """The calls that change something, up to the one that makes it another program.

    `sync` are the descriptors of the processes' conversation; main opens them.
    """
    if process == "main":
        # Before its order has come it is an interpreter getting ready, for no container yet.
        names = [call.name for call in made]
        made = made[names.index("recvmsg") :]
    kept = []
    records, asked = set[str](), set[str]()
    sync = set(sync)
    planned = False  # main says what it is about to make
    for call in made:
        first = call.arguments.partition(",")[0]
        planned = planned or call.name == "sendmsg"
        if call.name == "socketpair":
            sync |= set(channel(call))
        elif call.name == "recvmsg":
            sync |= set(re.findall(r"cmsg_data=\[(\d+)\]", call.arguments))  # passed on by main
        elif call.name == "close_range" and call.arguments.endswith(", 0"):
            return [*kept, call]  # `--init`: what PID 1 does from here on is no start any more
        elif call.name == "execve" and call.result == "0":
            return [*kept, call]
        elif process == "main" and is_record(call, home):
            records.add(call.result)
        elif process == "main" and call.name == "socket" and not planned:
            asked.add(call.result)  # the network's ground: questions, if it is there
        elif call.name == "ioctl" and "SIOCGIF" in call.arguments and first in asked:
            pass
        elif call.name == "sendto" and first in asked:
            assert asks_only(call), f"the ground was changed: {call}"
        elif call.name in ("write", "fsync", "flock") and first in records:
            pass
        elif call.name == "write" and re.match(r'\d+, "\[\\"', call.arguments):
            pass  # the narration itself
        elif call.name == "ioctl" and "TCGETS" in call.arguments:
            pass  # Python asks whether what it opens is a terminal
        elif call.name == "clone3" and call.arguments == "NULL, 0":
            pass  # whether there is such a call
        elif call.name == "fcntl" and "F_SETLKW" in call.arguments:
            pass  # its lines in order, see runtime/narrate.py
        elif call.name == "openat" and process == "main" and reads_host(call):
            asked.add(call.result)  # facts of the host, modules of ours
        elif call.name == "close" and first in sync | records | asked:
            for numbers in (sync, records, asked):
                numbers.discard(first)  # the number may come again, for something else
        elif call.name not in UNTOLD:
            kept.append(call)
    return kept


def asks_only(call: Call) -> bool:
    """NFT_MSG_GETSETELEM, NFT_MSG_GETCHAIN"""
    kinds = set(re.findall(r"nlmsg_type=([^,]*)", call.arguments))
    return all(kind.split()[0] in ("0xa04", "0xa0d") for kind in kinds)


def channel(socketpair: Call) -> list[str]:
    """Main's end, and that of the others."""
    return re.findall(r"\d+", socketpair.arguments.partition("[")[2])


def is_record(call: Call, home: Path) -> bool:
    """The engine's records, such as started.json and leases of addresses, and what is kept of
    compiled modules and compiled filters, are no part of any container."""
    if call.name not in ("openat", "rename", "unlink", "mkdir", "symlink", "chmod"):
        return False
    kept = (f'"{home.parent}/', "/__pycache__", FILTER_CACHE)
    return any(place in call.arguments for place in kept)


def reads_host(call: Call) -> bool:
    return "O_RDONLY" in call.arguments and "O_CREAT" not in call.arguments


# ── what was told ──


def told_calls(text: str) -> dict[str, list[Call]]:
    """The calls in an explanation, by process."""
    from minidock.study.explain import HEADINGS

    names = {heading: process for process, heading in HEADINGS.items()}
    found: dict[str, list[str]] = {}
    process = ""
    for line in text.splitlines():
        line = re.sub(r" {2,}[\d.]+ [µm]s$", "", line)
        if line in names:
            process = names[line]
            found.setdefault(process, [])
        elif re.match(r" {10}\S", line):
            before = found[process].pop()
            joint = "" if before.endswith("|") else " "
            found[process].append((before + joint + line.strip()).replace('" "', ""))
        elif re.match(r" {6}[^ (]", line):
            found[process].append(line.strip())
    return {process: [_told(line) for line in lines] for process, lines in found.items()}


def _told(line: str) -> Call:
    match = re.match(r"(\w+)\((.*)\) = (.*)$", line) or re.match(r"(\w+)\((.*)\)()$", line)
    assert match, line
    return Call(match[1], match[2], match[3])


# ── the comparison ──


def normal(call: Call) -> str:
    """Without addresses and what else strace shows and nobody can act on."""
    name, arguments, result = call
    arguments = _OTHER_NAMESPACE.sub("", arguments)
    result = _OTHER_NAMESPACE.sub("", result)
    arguments = re.sub(r"0x7[0-9a-f]{11}", "…", arguments)
    if name == "seccomp":  # with -v, all of its hundreds of instructions
        arguments = re.sub(r"filter=\[.*\]", "filter=…", arguments)
    if name == "rt_sigaction":  # the former action
        arguments = re.sub(r"\}, (\{.*\}|NULL), 8$", "}, {…}, 8", arguments)
    if name == "rt_sigprocmask":
        arguments = re.sub(r"\], (\[.*\]|NULL), 8$", "], […], 8", arguments)
    # strace 6.1 has only a number for the flags of this open
    arguments = arguments.replace("TIOCGPTPEER, 0x80102", "TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC")
    if "nlmsg_len" in arguments:
        arguments = netlink(arguments)
    if name in ("execve", "close_range"):  # told before they are made
        result = ""
    return f"{name}({arguments}) = {result}"


_KINDS = {
    "RTM_NEWLINK": "0x10", "RTM_GETLINK": "0x12", "RTM_NEWADDR": "0x14", "RTM_NEWROUTE": "0x18",
    "NFNL_MSG_BATCH_BEGIN": "0x10", "NFNL_MSG_BATCH_END": "0x11",
    "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWTABLE": "0xa00",
    "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWCHAIN": "0xa03",
    "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWRULE": "0xa06",
    "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWSETELEM": "0xa0c",
    "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_DELSETELEM": "0xa0e",
    "NFNL_SUBSYS_CTNETLINK<<8|IPCTNL_MSG_CT_GET": "0x101",
}  # fmt: skip


def netlink(arguments: str) -> str:
    """Of each message the length, the number of its kind, and whether it is to be answered. (That
    the rest is what it should be is read back in test_network_messages.py.)"""
    found = re.findall(r"nlmsg_len=(\d+), nlmsg_type=([^,]*), nlmsg_flags=([^,]*)", arguments)
    shown = [f"{n} {_KINDS.get(k, k).split()[0]} {'NLM_F_ACK' in flags}" for n, k, flags in found]
    return f"{arguments.partition(',')[0]}, {shown}, {arguments.rpartition(']')[2]}"


STRACE = ["strace", "-f", "-v", "-s", "65536", "-a", "1", "--decode-pids=pidns", "-o"]


def run_traced(minidock: Any, record: Path, command: tuple[str, ...]) -> str:
    """Run a command under strace; what it told."""
    argv = minidock.argv
    minidock.argv = [*STRACE, str(record), *argv]
    try:
        done = minidock(*command, timeout=120)
    finally:
        minidock.argv = argv
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


def exec_traced(minidock: Any, record: Path, monitor: int, command: tuple[str, ...]) -> str:
    """Run an `exec` while strace watches the container's monitor, which forks to serve it."""
    strace = subprocess.Popen([*STRACE, str(record), "-p", str(monitor)], stderr=subprocess.PIPE)
    assert strace.stderr is not None
    assert b"attached" in strace.stderr.readline()
    try:
        done = minidock(*command, timeout=120)
        time.sleep(0.3)  # the fork of the monitor ends after the command
    finally:
        strace.terminate()
        strace.wait(20)
        strace.stderr.close()
    assert done.returncode == 0, done.stderr
    return str(done.stderr)


def compare(minidock: Any, tmp_path: Path, *command: str, monitor: int = 0) -> dict[str, list[str]]:
    """Let strace and the explanation tell of the same start. Returns what both say."""
    record = tmp_path / "strace"
    if monitor:
        text = exec_traced(minidock, record, monitor, command)
    else:
        text = run_traced(minidock, record, command)
    calls = strace_calls(record.read_text())
    who = processes(calls)
    told = told_calls(text)
    assert not told.pop("command") + told.pop("monitor")  # they tell in sentences, see below
    assert set(told) == set(who)
    if not monitor:
        check_sentences(text, calls, who["main"])
    ours, theirs = channel([c for c in calls[who["main"]] if c.name == "socketpair"][-1])
    inherited = {"main": set[str](), "intermediate": {ours, theirs}}
    agreed = {}
    for process, pid in who.items():
        opened = inherited.get(process, {theirs})
        seen = [normal(call) for call in changes(calls[pid], process, minidock.root, opened)]
        said = [normal(call) for call in told[process] if call.name not in UNTOLD]
        assert said == seen, f"{process} told (left) is not what strace saw (right)"
        agreed[process] = said
    return agreed


WAYS = [
    [],
    ["-t"],
    ["-i"],
    ["-u", "www-data"],
    ["-u", "1234:5678"],
    ["-w", "/new/directory"],
    ["--read-only"],
    ["--init"],
    ["--init", "-t"],
    ["--network", "host"],
    ["--network", "none"],
    ["-p", "127.0.0.1:28080:80", "-p", "28081-28083:81-83/udp"],
    ["--tmpfs", "/tmp:size=1m"],
    ["--tmpfs", "/new:ro,shared"],
    ["-v", "data:/new/place", "-v", "/usr:/y:ro", "--mount", "type=tmpfs,dst=/z"],
    ["-v", "data:/x:ro", "--userns", "auto"],
    ["--mount", "type=image,src=busybox,dst=/im,image-subpath=bin"],
    ["--userns", "auto"],
    ["--userns", "auto", "-u", "33"],
    ["--ulimit", "nofile=100:200", "--oom-score-adj", "5"],
    ["--sysctl", "kernel.shmmni=17", "--security-opt", "no-new-privileges"],
    ["-m", "20m", "--cpus", "0.5", "--pids-limit", "9", "--group-add", "5"],
    ["--tmpfs", "/x:size=1m", "--read-only", "--device", "/dev/zero:/dev/y:r"],
    ["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"],
    ["--uts", "host", "--ipc", "host", "--cgroupns", "host", "--cap-drop", "all"],
]


@pytest.mark.parametrize("flags", WAYS, ids=" ".join)
def test_run(minidock: Any, tmp_path: Path, flags: list[str]) -> None:
    minidock.ok("run", "--rm", "busybox", "true")  # now the network's bridge is there
    agreed = compare(minidock, tmp_path, "run", "--explain", "--rm", *flags, "busybox", "true")
    last = "child of init" if "--init" in flags else "init"
    assert agreed[last][-1].startswith('execve("/bin/true", ["true"], ')
    assert any(call.startswith("pivot_root(") for call in agreed["init"])
    assert any(call.startswith("unshare(CLONE_NEWNS") for call in agreed["intermediate"])


def test_on_networks_of_the_users(minidock: Any, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        minidock.ok("network", "create", name)
    command = ["run", "--rm", "--network", "red", "--network", "blue", "busybox", "true"]
    minidock.ok(*command)
    agreed = compare(minidock, tmp_path, "run", "--explain", *command[1:])
    assert any('inet_addr("127.0.0.11")' in call for call in agreed["init"])
    foretold = same_for_all(minidock.ok("explain", *command))
    assert same_for_all(minidock("run", "--explain", *command[1:]).stderr) == foretold


@pytest.mark.parametrize("made", [[], ["--userns", "auto"]], ids=" ".join)
@pytest.mark.parametrize("flags", [[], ["-t"], ["-u", "33"], ["-w", "/var"]], ids=" ".join)
def test_exec(minidock: Any, tmp_path: Path, flags: list[str], made: list[str]) -> None:
    name = minidock.ok("run", "-d", *made, "busybox", "sleep", "60").strip()
    started = json.loads((minidock.directory(name) / "started.json").read_text())
    agreed = compare(
        minidock,
        tmp_path,
        "exec",
        "--explain",
        *flags,
        name,
        "true",
        monitor=started["MonitorPid"],
    )
    assert any(call.startswith("setns(") for call in agreed["intermediate"])
    assert agreed["init"][-1].startswith('execve("/bin/true", ["true"], ')


def check_sentences(text: str, calls: dict[int, list[Call]], main: int) -> None:
    """What command and monitor say of themselves without listing calls is done, too."""
    made = {
        pid: [(call.name, call.arguments, call.result) for call in found]
        for pid, found in calls.items()
    }

    def done(pid: int, name: str, pattern: str) -> bool:
        return any(n == name and re.search(pattern, a) and r[0] != "-" for n, a, r in made[pid])

    monitor = next(pid for pid in made if done(pid, "clone", "") and any(
        n == "clone" and r == str(main) for n, _, r in made[pid]))  # fmt: skip
    command = min(made)
    assert "the interpreter on a read-only mount that no container can change" in text
    assert done(command, "open_tree", "python.*OPEN_TREE_CLONE")
    assert done(command, "mount_setattr", "MOUNT_ATTR_RDONLY")
    assert done(monitor, "execveat", "engine.*AT_EMPTY_PATH")
    removes = "then remove the cgroup" in text
    assert done(monitor, "rmdir", "/sys/fs/cgroup/") is removes


# ── told beforehand and while it happens ──


def same_for_all(text: str) -> list[str]:
    """An explanation without what differs from one container to the next: ids, process numbers,
    times, results; and without the sizes of files that only a real start writes."""
    lines: list[str] = []
    for line in text.splitlines():
        line = re.sub(r" {2,}[\d.]+ [µm]s$", "", line)
        if re.match(r" {10}\S", line):
            lines[-1] += ("" if lines[-1].endswith("|") else " ") + line.strip()
        else:
            lines.append(line)
    found = []
    for line in lines:
        line = re.sub(r"[0-9a-f]{64}", "ID", line.replace('" "', ""))
        line = re.sub(r"\b[0-9a-f]{12}(?=['\"…])", "SHORT", line)
        line = re.sub(r"read\((\d+), .*, 8192\)", r"read(\1, …, 8192)", line)  # of its own status
        line = re.sub(r"\) = .*", ")", line)
        line = re.sub(r"(wait4|kill)\(.*", r"\1", line)
        line = re.sub(r'"/proc/(\d+|\?)/', '"/proc/?/', line)
        line = re.sub(r"TIOCSPGRP, .*", "TIOCSPGRP", line)
        line = re.sub(r"st_size=(\d+|\?)", "st_size", line)
        line = re.sub(r" in the kernel$|, [\d.]+ [µm]s", "", line)
        # A list from the kernel comes in as many pieces as it needs.
        if "conversations over UDP" in text:
            line = re.sub(r", \d+ calls", "", line)
        if line.strip() and not (", 8192)" in line and line == (found or [""])[-1]):
            found.append(line)
    return found


@pytest.mark.parametrize("flags", WAYS, ids=" ".join)
def test_explain_says_beforehand_what_run_will_do(minidock: Any, flags: list[str]) -> None:
    command = ["run", "--rm", *flags, "busybox", "true"]
    minidock.ok(*command)  # now the image is unpacked
    foretold = same_for_all(minidock.ok("explain", *command))
    done = minidock("run", "--explain", *command[1:])
    assert done.returncode == 0
    assert same_for_all(done.stderr) == foretold


def test_a_failed_start_is_told_to_its_end(minidock: Any) -> None:
    done = minidock("run", "--explain", "--rm", "busybox", "nosuch")
    assert done.returncode == 127
    assert "kill init: the start has failed" in done.stderr
    made = re.findall(r'mkdir\("(/sys/fs/cgroup\S+)', done.stderr)
    removed = re.findall(r'rmdir\("(/sys/fs/cgroup\S+)', done.stderr)
    assert list(dict.fromkeys(removed)) == made[::-1]
    foretold = minidock("explain", "run", "--rm", "busybox", "nosuch")
    assert foretold.returncode == 1
    assert 'here the start would fail: exec: "nosuch": executable file not found in $PATH' in (
        foretold.stderr
    )


def test_without_explain_nothing_is_told(minidock: Any) -> None:
    done = minidock("run", "--rm", "busybox", "true")
    assert (done.stdout, done.stderr) == ("", "")
