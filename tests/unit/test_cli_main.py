"""From argv to an exit code: dispatch, and the words for what went wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.cli import registry
from minidock.cli.app import App
from minidock.cli.command import ClientError, Command, Flag, UsageError
from minidock.cli.main import dispatch, main
from minidock.cli.parse import Parsed
from minidock.errors import Conflict, MinidockError, NotFound, StartFailed

Raise = Callable[[BaseException], None]


class Shell:
    """Runs command lines against a family of commands that do as the test says."""

    def __init__(self, tmp_path: Path) -> None:
        self.out, self.err = tmp_path / "out", tmp_path / "err"
        self.error: BaseException | None = None
        self.seen: Parsed | None = None
        self.app: App | None = None
        self.environ: dict[str, str] = {}

    def command(self, args: Parsed, app: App) -> int:
        self.seen = args
        if self.error is not None:
            raise self.error
        app.out("done\n")
        return 0

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.app = App(root="", run_root="", stdout=out.fileno(), stderr=err.fileno())
            try:
                code = dispatch(self.app, list(argv), self.environ)
            except UsageError as error:
                self.app.err(error.text)
                code = error.exit_code
        return code, self.out.read_text(), self.err.read_text()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path)
    family = types.ModuleType("a_family")
    row = Command(
        help="Do it",
        run="a_family:do",
        args="THING",
        least=1,
        flags=(Flag("all", "a", "bool", help="Do all"),),
        needs_root=False,
        examples=("minidock plain x",),
    )
    names = {
        "do": shell.command,
        "PLAIN": row,
        "RUN": row.but(wraps="all"),
        "CREATE": row.but(wraps="client"),
        "ROOTED": row.but(needs_root=True),
    }
    family.__dict__.update(names)
    monkeypatch.setitem(sys.modules, "a_family", family)
    rows = {
        "container plain, container simple, plain": "PLAIN",
        "container run, run": "RUN",
        "container create, create": "CREATE",
        "rooted": "ROOTED",
    }
    tree = tuple((names, f"a_family:{attribute}") for names, attribute in rows.items())
    monkeypatch.setattr(registry, "TREE", tree)
    monkeypatch.setattr(
        registry, "NAMES", {name: row for row in tree for name in row[0].split(", ")}
    )
    import minidock.cli.click_app as click_app

    monkeypatch.setattr(click_app, "TREE", tree)
    monkeypatch.setattr(click_app, "NAMES", registry.NAMES)
    return shell


@pytest.mark.parametrize("name", ["plain", "container plain", "container simple"])
def test_a_command_is_found_by_each_of_its_names(shell: Shell, name: str) -> None:
    assert shell(*name.split(), "-a", "x") == (0, "done\n", "")
    assert shell.seen is not None
    assert shell.seen.path == name
    assert shell.seen.on("all")
    assert shell.seen.positionals == ["x"]


@pytest.mark.parametrize("words", [["foo"], ["simple"], ["container plain"], [""], ["-"]])
def test_an_unknown_command(shell: Shell, words: list[str]) -> None:
    assert shell(*words) == (
        1,
        "",
        f"minidock: unknown command: minidock {words[0]}\n\n"
        "Run 'minidock --help' for more information\n",
    )


def test_an_unknown_command_of_a_group(shell: Shell) -> None:
    assert shell("container", "foo") == (
        1,
        "",
        "minidock: unknown command: minidock container foo\n\nUsage:  minidock container\n\n"
        "Run 'minidock container --help' for more information\n",
    )
    assert shell("container", "foo", "--help")[1].startswith("Usage:  minidock container COMMAND")
    code, _, err = shell("container", "--foo", "plain")
    assert (code, err.splitlines()[0]) == (125, "unknown flag: --foo")


def test_no_command_prints_help_on_stderr_and_asking_for_it_on_stdout(shell: Shell) -> None:
    code, out, page = shell()
    assert (code, out) == (0, "")
    assert page.startswith("Usage:  minidock [OPTIONS] COMMAND\n")
    for argv in (["--help"], ["-h"], ["help"], ["foo", "--help"], ["--help", "foo"]):
        code, out, _ = shell(*argv)
        assert (code, out) == (0, page), argv


def test_help_of_a_command_in_every_spelling(shell: Shell) -> None:
    code, page, err = shell("plain", "--help")
    assert (code, err) == (0, "")
    assert page.startswith("Usage:  minidock plain [OPTIONS] THING\n\nDo it\n\nAliases:\n")
    for argv in (["help", "plain"], ["plain", "x", "y", "--help"], ["--help", "plain"]):
        assert shell(*argv) == (0, page, "")
    assert shell("help", "nonsense") == (1, "", "unknown help topic: nonsense\n")
    assert shell("help", "container", "nonsense") == (1, "", "unknown help topic: nonsense\n")
    assert shell("plain", "--foo", "--help")[0] == 125


def test_an_error_of_the_engine(shell: Shell) -> None:
    shell.error = NotFound("No such container: x")
    said = "Error response from daemon: No such container: x"
    assert shell("plain", "x") == (1, "", said + "\n")
    assert shell("create", "x") == (1, "", said + "\n")
    run = f"minidock: {said}\n\nRun 'minidock run --help' for more information\n"
    assert shell("run", "x") == (125, "", run)
    assert shell("container", "run", "x")[2] == run.replace("run --help", "container run --help")


def test_an_error_of_the_client(shell: Shell) -> None:
    shell.error = ClientError("invalid reference format")
    assert shell("plain", "x") == (1, "", "invalid reference format\n")
    for name in ("run", "create"):
        pointer = f"Run 'minidock {name} --help' for more information\n"
        assert shell(name, "x") == (125, "", f"minidock: invalid reference format\n\n{pointer}")


def test_a_hint_follows_the_error(shell: Shell) -> None:
    shell.error = Conflict("it is running", hint="stop it first")
    assert shell("plain", "x")[2] == "Error response from daemon: it is running\nstop it first\n"


@pytest.mark.parametrize(("theirs", "ours"), [(126, 126), (127, 127), (128, 125)])
def test_run_fails_with_the_code_of_what_could_not_be_started(
    shell: Shell, theirs: int, ours: int
) -> None:
    shell.error = StartFailed("no", exit_code=theirs)
    assert shell("run", "x")[0] == ours
    assert shell("plain", "x")[0] == 1


def test_an_os_error_is_one_line_with_the_notes_of_the_executor(shell: Shell) -> None:
    shell.error = FileNotFoundError(errno.ENOENT, "No such file or directory", "/nofile")
    shell.error.add_note("while mounting /proc, see mount(2)")
    text = "/nofile: No such file or directory; while mounting /proc, see mount(2)"
    assert shell("plain", "x") == (1, "", f"minidock: {text}\n")
    assert shell("run", "x")[2].startswith(f"minidock: {text}\n\nRun ")


def test_who_is_not_root_is_told_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert shell("rooted", "x") == (
        1,
        "",
        "minidock: rooted needs root: try sudo minidock rooted\n",
    )
    assert shell("plain", "x")[0] == 0
    shell.error = PermissionError(errno.EACCES, "Permission denied", "/var/lib/minidock")
    assert "try sudo" in shell("plain", "x")[2]


def test_debug_shows_where_an_error_came_from(shell: Shell) -> None:
    shell.error = NotFound("No such container: x")
    _, _, err = shell("--debug", "plain", "x")
    assert err.startswith("Error response from daemon: No such container: x\nTraceback")


def test_errors_do_nothing_to_the_terminal(shell: Shell) -> None:
    shell.error = NotFound("No such container: \x1b[2J\udcff")
    assert "No such container: \\x1b[2J\\xff\n" in shell("plain", "x")[2]


def test_where_the_state_lies(shell: Shell) -> None:
    shell("plain", "x")
    assert shell.app is not None
    assert (shell.app.root, shell.app.run_root) == ("/var/lib/minidock", "/run/minidock")
    shell.environ = {"MINIDOCK_ROOT": "/a", "MINIDOCK_RUN_ROOT": "/b"}
    shell("plain", "x")
    assert (shell.app.root, shell.app.run_root) == ("/a", "/b")
    shell("--root", "c", "--run-root=/d/", "plain", "x")
    assert (shell.app.root, shell.app.run_root) == (os.path.abspath("c"), "/d")
    assert shell("--root=", "plain", "x")[0] == 125


@pytest.mark.parametrize("flag", ["-H", "--host", "--tls", "-l", "--log-level=debug", "-c"])
def test_global_options_that_would_do_nothing_are_refused(shell: Shell, flag: str) -> None:
    code, _, err = shell(flag, "x", "plain", "x")
    assert code == 125
    assert err.startswith("minidock: flag --")
    assert err.count("\n") == 1


def test_one_bad_name_does_not_stop_the_others(tmp_path: Path) -> None:
    def remove(name: str) -> str:
        if name.startswith("no"):
            raise NotFound(f"No such container: {name}")
        return name

    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        app = App(root="", run_root="", stdout=out.fileno(), stderr=err.fileno())
        assert app.each(["a", "no", "b"], remove) == 1
        assert app.each(["a"], remove) == 0
    assert (tmp_path / "out").read_text() == "a\nb\na\n"
    assert (tmp_path / "err").read_text() == "Error response from daemon: No such container: no\n"


def test_every_error_type_has_words(shell: Shell) -> None:
    for kind in (MinidockError, *MinidockError.__subclasses__()):
        shell.error = kind("boom")
        assert "boom" in shell("plain", "x")[2]


# The process itself


def minidock(*argv: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "minidock", *argv]
    return subprocess.run(line, capture_output=True, **options)  # type: ignore[call-overload,no-any-return]


def test_the_process_exits_with_the_code() -> None:
    done = minidock("--version")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"minidock version ")
    assert minidock("--nonsense").returncode == 125
    assert minidock("nonsense").returncode == 1


def test_a_reader_that_went_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "minidock", "--help"]
    done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        line = [sys.executable, "-m", "minidock", "--version"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (
        1,
        b"minidock: write /dev/stdout: No space left on device\n",
    )


def test_a_python_without_our_dependencies_is_told_what_it_lacks() -> None:
    """The system's own, say, from a checkout. Only --help and completion need click."""
    line = [sys.executable, "-I", "-S", "-c"]
    root = Path(registry.__file__).parents[2]
    program = "import sys; sys.path.append(sys.argv.pop(1)); from minidock.cli.main import *; "
    line += [program + "sys.exit(main())", str(root), "ps", "--help"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (
        done.stderr == "minidock: the Python package click is not here: `make install` brings it\n"
    )
    assert done.returncode == 1


def test_closed_standard_descriptors_are_never_reused() -> None:
    shell = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', sys.executable, "-m", "minidock"]
    assert subprocess.run([*shell, "--version"]).returncode == 0
    assert subprocess.run([*shell, "nonsense"]).returncode == 1


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("minidock.cli.main.dispatch", interrupted)
    assert main([]) == 130


def test_dispatch_imports_nothing_heavy() -> None:
    """`--version` goes through main, parse, registry: all that every command pays."""
    probe = (
        "import sys; before = set(sys.modules); from minidock.cli.main import main; "
        "main(['--version']); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert [name for name in loaded if not name.startswith("minidock")] == ["__future__"]
