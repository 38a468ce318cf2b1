"""How an explanation reads: calls as strace writes them, laid out for a person."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from minidock.cli.app import App
from minidock.cli.explain import EXPLAIN, explain
from minidock.cli.parse import parse
from minidock.linux.flags import (
    AtFlag,
    BpfCmd,
    BpfProgType,
    Capability,
    CloneFlag,
    Ioctl,
    Keyctl,
    MountAttr,
    MountFlag,
    Prctl,
)
from minidock.linux.host import read_facts
from minidock.linux.kernel import Kernel, LinuxKernel
from minidock.linux.notation import METHODS, UNKNOWN, Call, quote, show_call, show_error
from minidock.linux.recording import RecordingKernel, TracingKernel
from minidock.runtime.narrate import Narrator
from minidock.step import Context, Step, execute
from minidock.study.explain import Narration, break_call, short_ids
from minidock.study.layers import ImageView

# ── notation ──

NULL = os.stat("/dev/null")


@pytest.mark.parametrize(
    ("name", "args", "result", "shown"),
    [
        ("mount", (None, "/", None, MountFlag.MS_REC | MountFlag.MS_SLAVE, None), None,
         'mount(NULL, "/", NULL, MS_REC|MS_SLAVE, NULL) = 0'),
        ("open", ("/a\tb", os.O_RDWR | os.O_NOCTTY), 3,
         'openat(AT_FDCWD, "/a\\tb", O_RDWR|O_NOCTTY|O_CLOEXEC) = 3'),
        ("openat", (5, "x", os.O_CREAT | os.O_WRONLY, 0o644), 6,
         'openat(5, "x", O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = 6'),
        ("openat2", (8, "proc", os.O_PATH, 0, 0x12), 9,
         'openat2(8, "proc", {flags=O_RDONLY|O_PATH,'
         " resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24) = 9"),
        ("unshare", (CloneFlag.CLONE_NEWNS | CloneFlag.CLONE_NEWPID,), None,
         "unshare(CLONE_NEWNS|CLONE_NEWPID) = 0"),
        ("fork", (), 77,
         "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD,"
         " child_tidptr=…) = 77"),
        ("wait4", (7,), 3 << 8, "wait4(7, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7"),
        ("wait4", (7,), 9, "wait4(7, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}], 0, NULL) = 7"),
        ("umask", (0o22,), 0, "umask(022) = 000"),
        ("umask", (0,), 0o22, "umask(000) = 022"),
        ("stat", ("/dev/null",), NULL,
         'newfstatat(AT_FDCWD, "/dev/null", {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...},'
         " 0) = 0"),
        ("read", (3, 100), b"x" * 40, f'read(3, "{"x" * 32}"..., 100) = 40'),
        ("write", (3, b"x" * 40), 40, f'write(3, "{"x" * 40}", 40) = 40'),
        ("mknodat", (3, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)), None,
         'mknodat(3, "null", S_IFCHR|0666, makedev(0x1, 0x3)) = 0'),
        ("dup2", (4, 1), None, "dup2(4, 1) = 1"),
        ("prctl", (Prctl.PR_CAPBSET_DROP, Capability.CAP_BPF), 0,
         "prctl(PR_CAPBSET_DROP, CAP_BPF) = 0"),
        ("prctl", (Prctl.PR_SET_PDEATHSIG, 9), 0, "prctl(PR_SET_PDEATHSIG, SIGKILL) = 0"),
        ("capset", (1, 1 | 1 << 21, 0), None,
         "capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_CHOWN,"
         " permitted=1<<CAP_CHOWN|1<<CAP_SYS_ADMIN, inheritable=0}) = 0"),
        ("setgroups", ((0, 10),), None, "setgroups(2, [0, 10]) = 0"),
        ("setresuid", (UNKNOWN, UNKNOWN, 0), None, "setresuid(?, ?, 0) = 0"),
        ("keyctl", (Keyctl.KEYCTL_JOIN_SESSION_KEYRING, "abc"), 5,
         'keyctl(KEYCTL_JOIN_SESSION_KEYRING, "abc") = 5'),
        ("ioctl", (3, Ioctl.TIOCSPTLCK, bytes(4)), bytes(4), "ioctl(3, TIOCSPTLCK, [0]) = 0"),
        ("ioctl", (3, Ioctl.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY), 4,
         "ioctl(3, TIOCGPTPEER, O_RDWR|O_NOCTTY) = 4"),
        ("mount_setattr", (3, "", AtFlag.AT_EMPTY_PATH, MountAttr.MOUNT_ATTR_RDONLY), None,
         'mount_setattr(3, "", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=0,'
         " propagation=0 /* MS_??? */, userns_fd=0}, 32) = 0"),
        ("bpf", (BpfCmd.BPF_PROG_LOAD,
                 {"prog_type": BpfProgType.BPF_PROG_TYPE_CGROUP_DEVICE, "insns": b"12345678"}), 3,
         "bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=/* 8 bytes */}, 24)"
         " = 3"),
        ("execve", ("/bin/ls", ["ls"], ["A=b"]), None, 'execve("/bin/ls", ["ls"], ["A=b"]) = 0'),
        ("rt_sigaction", (13,), None,
         "rt_sigaction(SIGPIPE, {sa_handler=SIG_DFL, sa_mask=[],"
         " sa_flags=SA_RESTORER|SA_ONSTACK, sa_restorer=…}, {…}, 8) = 0"),
        ("rt_sigprocmask", (0, (15, 29)), None, "rt_sigprocmask(SIG_BLOCK, [TERM IO], […], 8) = 0"),
    ],
)  # fmt: skip
def test_a_call_reads_as_in_strace(
    name: str, args: tuple[Any, ...], result: Any, shown: str
) -> None:
    assert str(show_call(name, args, result)) == shown


def test_every_method_of_the_kernel_has_a_notation() -> None:
    methods = {name for name in vars(Kernel) if not name.startswith("_")}
    assert methods - {"signal_is_changed"} <= METHODS
    assert {name for name in methods if not hasattr(LinuxKernel, name)} == set()


def test_strings_are_c() -> None:
    assert quote(b'a"b\\c\n\x01\x012\xff') == r'"a\"b\\c\n\1\0012\377"'
    assert quote("\udcff") == r'"\377"'
    assert quote("") == '""'
    assert quote(None) == "NULL"


def test_errors_have_their_name() -> None:
    assert show_error(FileNotFoundError(2, "whatever")) == "-1 ENOENT (No such file or directory)"


# ── the two kernels ──


def test_tracing_does_and_tells(tmp_path: Path) -> None:
    told: list[Call] = []
    kernel = TracingKernel(LinuxKernel(), told.append)
    kernel.mkdir(str(tmp_path / "d"), 0o700)
    with pytest.raises(FileExistsError):
        kernel.mkdir(str(tmp_path / "d"), 0o700)
    with pytest.raises(FileNotFoundError):
        kernel.execve("/nonexistent", ["a"], [])
    assert (tmp_path / "d").is_dir()
    assert [(call.name, call.result) for call in told] == [
        ("mkdir", "0"),
        ("mkdir", "-1 EEXIST (File exists)"),
        ("execve", ""),
        ("<... execve resumed>", "-1 ENOENT (No such file or directory)"),
    ]
    assert 0 < told[0].nanoseconds < 1_000_000_000


def test_recording_touches_nothing(tmp_path: Path) -> None:
    kernel = RecordingKernel((0, 1, 2, 4))
    kernel.mkdir(str(tmp_path / "d"), 0o700)
    assert [kernel.open("/a", os.O_RDONLY), kernel.open("/b", os.O_RDONLY)] == [3, 5]
    kernel.close(3)
    assert kernel.socket(2, 2) == 3
    assert list(tmp_path.iterdir()) == []
    assert str(kernel.calls[0]) == f'mkdir("{tmp_path}/d", 0700)'  # no result is claimed
    assert str(kernel.calls[1]) == 'openat(AT_FDCWD, "/a", O_RDONLY|O_CLOEXEC) = 3'
    with pytest.raises(AttributeError):
        kernel.reboot()


# ── the narrators ──


class Umask(Step):
    mask: int

    def describe(self) -> str:
        return f"set it to {self.mask:o}"

    def apply(self, kernel: Kernel, ctx: Context) -> None:
        kernel.umask(kernel.umask(self.mask))  # and back
        if self.mask == 0o77:
            raise OSError(1, "no")

    def undo(self, kernel: Kernel, ctx: Context) -> None:
        kernel.getcwd()


def test_parent_and_child_tell_in_order() -> None:
    reader, writer = os.pipe()
    for _ in range(20):  # that it is always so
        narrator = Narrator(writer)
        kernel = narrator.kernel("main")
        narrator.remark("main", ("fork", "fork(2)"))
        pid = kernel.fork()
        if pid == 0:
            kernel.getcwd()
            os._exit(0)
        kernel.wait4(pid)
        text: list[str] = []
        Narration(text.append).feed(os.read(reader, 65536))
        said = "".join(text)
        order = ["clone(", "child of main", "getcwd(", "main, on the host", "wait for", "wait4("]
        assert re.search(".*".join(map(re.escape, order)), said, re.DOTALL), said


def test_what_is_taken_back_is_told() -> None:
    reader, writer = os.pipe()
    narrator = Narrator(writer)
    with pytest.raises(PermissionError):
        execute(
            [Umask(0o22), Umask(0o77)],
            narrator.kernel("main"),
            Context(),
            narrator.announce("main"),
        )
    text: list[str] = []
    Narration(text.append).feed(os.read(reader, 65536))
    sentences = [line.strip() for line in "".join(text).splitlines() if line[:3].strip()]
    assert sentences == [
        "main, on the host",
        "set it to 22",
        "set it to 77",
        "take back, since the start has failed: set it to 22",
    ]


# ── the page ──


def page(*events: list[Any], **options: Any) -> str:
    text: list[str] = []
    narration = Narration(text.append, **options)
    for event in events:
        narration.show(event)
    return "".join(text)


STEP = ["main", "step", "make a directory", ["mkdir(2)"]]
CALL = ["main", "call", "mkdir", ['"/a"', "0755"], "0", 12345]


def test_the_layout() -> None:
    shown = page(STEP, CALL, ["init", "step", "begin", []], columns=60)
    assert shown == (
        "main, on the host\n"
        "\n"
        "  make a directory                                  mkdir(2)\n"
        '      mkdir("/a", 0755) = 0                            12 µs\n'
        "\n"
        "init, in the container\n"
        "\n"
        "  begin\n"
    )


def test_a_step_without_a_call_says_so() -> None:
    shown = page(STEP, ["main", "step", "next", []])
    assert "make a directory" in shown
    assert "\n      (nothing to be done)\n  next\n" in shown


def test_colour_only_when_asked_for() -> None:
    assert "\x1b" not in page(STEP, CALL)
    coloured = page(STEP, CALL, colour=True)
    assert re.sub(r"\x1b\[[\d;]+m", "", coloured) == page(STEP, CALL)
    assert "\x1b[1mmake a directory\x1b[0m" in coloured


def test_names_of_strangers_cannot_steer_the_terminal() -> None:
    shown = page(["main", "step", "go to /\x1b[2J\n\r", []])
    assert "go to /\\x1b[2J\\x0a\\x0d\n" in shown


def test_events_arrive_in_pieces() -> None:
    whole: list[str] = []
    pieces: list[str] = []
    data = b'["main","step","s\\u00e9nt",["a(2)"]]\n["main","call","x",["1"],"0",1000]\n'
    Narration(whole.append).feed(data)
    narration = Narration(pieces.append)
    for number in range(len(data)):
        narration.feed(data[number : number + 1])
    assert "".join(pieces) == "".join(whole)
    assert "sént" in "".join(whole)


def test_long_calls_are_broken_and_can_be_joined_again() -> None:
    flags = "|".join(f"CLONE_NEW{letter * 8}" for letter in "ABCDEFGH")
    options = ",".join(f"lowerdir{number}=/some/where" for number in range(12))
    call = f'mount("overlay", "/a", {flags}, "{options}") = -1 ENOENT (No such file or directory)'
    lines = list(break_call(call, 60))
    assert len(lines) > 5
    assert len(lines[0]) <= 60
    assert all(len(line) <= 56 for line in lines[1:-1])
    joined = lines[0]
    for line in lines[1:]:
        joined += ("" if joined.endswith("|") else " ") + line
    assert joined.replace('" "', "") == call


def test_ids_are_short_in_sentences() -> None:
    assert short_ids(f"in /c/{'0a' * 32}/x") == "in /c/0a0a0a0a0a0a…/x"
    assert short_ids("in /c/" + "0a" * 31) == "in /c/" + "0a" * 31


# ── the image, seen through its layers ──


def test_layers_are_seen_as_overlayfs_would_show_them(tmp_path: Path) -> None:
    top, low = tmp_path / "top", tmp_path / "low"
    for layer in (top, low):
        (layer / "etc").mkdir(parents=True)
    (low / "etc/passwd").write_text("low")
    (top / "etc/passwd").write_text("top")
    (low / "etc/group").write_text("group")
    (low / "usr/bin").mkdir(parents=True)
    (low / "usr/bin/sh").write_text("#!")
    (top / "bin").symlink_to("usr/bin")
    (top / "etc/up").symlink_to("../../../../etc/group")
    (top / "etc/abs").symlink_to("/etc/group")
    (top / "loop").symlink_to("loop")
    (low / "gone").mkdir()
    (low / "gone/x").write_text("x")
    (top / "gone").write_text("a file in its place")
    view = ImageView([str(top), str(low)])
    assert view.read("/etc/passwd") == b"top"
    assert view.read("/etc/group") == b"group"
    assert view.read("/bin/sh") == b"#!"
    assert view.read("/etc/up") == b"group"
    assert view.read("/etc/abs") == b"group"
    for path in ("/gone/x", "/nowhere", "/etc/passwd/x"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            view.stat(path)
    with pytest.raises(OSError, match="symbolic links"):
        view.stat("/loop")
    assert stat.S_ISDIR(view.stat("/").st_mode)


# ── the command ──


def explained(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    args = parse(EXPLAIN, "explain", list(words))
    app = App(root="/nonexistent/minidock", run_root="/nonexistent/run")
    assert explain(args, app) == 0
    out, err = capfd.readouterr()
    return out, err


def test_explain_needs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = explained(capfd, "run", "--rm", "-w", "/srv", "busybox", "true")
    assert err.count("\n") == 1
    assert "a placeholder stands in for the image" in err
    assert out.index("unshare(CLONE_NEWNS") < out.index("pivot_root(") < out.index("execve(")
    assert 'chdir("/srv")' in out
    assert not Path("/nonexistent").exists()


def test_options_change_the_explanation(capfd: pytest.CaptureFixture[str]) -> None:
    plain, _ = explained(capfd, "run", "busybox", "true")
    readonly = 'mount_setattr(AT_FDCWD, "/", 0, {attr_set=MOUNT_ATTR_RDONLY'
    assert readonly not in plain
    out, _ = explained(
        capfd, "container", "run", "-t", "--read-only", "--network=host", "busybox", "true"
    )
    assert readonly in out
    assert "TIOCSCTTY" in out
    assert "CLONE_NEWNET" not in out


def test_who_a_user_is_stays_open_without_the_image(capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = explained(capfd, "run", "-u", "somebody", "busybox", "true")
    assert "setresuid(?, ?, ?)" in out
    out, _ = explained(capfd, "run", "-u", "12:34", "busybox", "true")
    assert "setresuid(12, 12, 12)" in out


def test_explain_needs_no_rights(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = read_facts().but(rights=0)
    monkeypatch.setattr("minidock.study.imagine.read_facts", lambda: facts)
    out, err = explained(capfd, "run", "busybox", "true")
    assert "pivot_root" in out and "needs root" not in err


def test_only_run_can_be_explained() -> None:
    args = parse(EXPLAIN, "explain", ["ps"])
    with pytest.raises(Exception, match="only `run` can be explained"):
        explain(args, App(root="/nonexistent", run_root="/nonexistent"))
