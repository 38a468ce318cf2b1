"""minidock beside runc on the same bundle: the same exit codes, states and kinds of words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Oci


@pytest.fixture
def both(oci: Oci, tmp_path: Path) -> Iterator[tuple[Oci, Oci]]:
    """minidock, and runc with a state root of its own."""
    runc = shutil.which("runc")
    if not runc:
        pytest.skip("needs runc")
    home = tmp_path / "runc"
    home.mkdir()
    other = type(oci)(home, oci.rootfs, [runc])
    yield oci, other
    for name in other.states():
        other("delete", "--force", name)


def change(name: str) -> Any:
    """A bundle that differs in one field."""

    def edit(config: dict[str, Any]) -> None:
        process = config["process"]
        # runc shares no cgroup with another container: each has one of its runtime's choice.
        del config["linux"]["cgroupsPath"]
        match name:
            case "exit 3":
                process["args"] = ["sh", "-c", "exit 3"]
            case "signal":
                process["args"] = ["sh", "-c", "kill -KILL $$; sleep 9"]
                config["linux"]["namespaces"].remove({"type": "pid"})
            case "no program":
                process["args"] = ["no-such-program"]
            case "no file":
                process["args"] = ["/no/such/file"]
            case "not executable":
                process["args"] = ["/etc/passwd"]
            case "directory":
                process["args"] = ["/etc"]
            case "no cwd":
                process["cwd"] = "/proc/no/such"
            case "no rootfs":
                config["root"]["path"] = "/no/such/rootfs"
            case "relative cwd":
                process["cwd"] = "tmp"
            case "no args":
                process["args"] = []
            case "mount source":
                config["mounts"].append(
                    {
                        "destination": "/mnt",
                        "source": "/no/such",
                        "type": "bind",
                        "options": ["bind"],
                    }
                )
            case "sysctl of the host":
                config["linux"]["sysctl"] = {"kernel.panic": "5"}
            case "hostname without uts":
                config["linux"]["namespaces"].remove({"type": "uts"})

    return edit


CASES = (
    "exit 3", "signal", "no program", "no file", "not executable", "directory", "no cwd",
    "no rootfs", "relative cwd", "no args", "mount source", "sysctl of the host",
    "hostname without uts",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_run_ends_with_the_same_code(both: tuple[Oci, Oci], case: str) -> None:
    ours, theirs = (runtime.run(change=change(case)) for runtime in both)
    assert ours.returncode == theirs.returncode, (ours.stderr, theirs.stderr)
    assert ours.stdout == theirs.stdout
    assert bool(ours.stderr) == bool(theirs.stderr)


@pytest.mark.parametrize("case", ["no program", "no file", "not executable"])
def test_engines_find_the_words_they_look_for(both: tuple[Oci, Oci], case: str) -> None:
    """What comes after the runtime's name: from `unable to start` on."""
    said = [
        runtime.run(change=change(case)).stderr.partition("unable to start container process: ")[2]
        for runtime in both
    ]
    assert said[0] == said[1] != ""


def test_states_are_the_same(both: tuple[Oci, Oci]) -> None:
    """Through a whole life: what `state` says, but for what must differ."""
    lives = []
    for runtime in both:
        bundle = runtime.bundle("sleep", "100", change=change(""))
        seen = []

        def look(runtime: Oci = runtime, seen: list[Any] = seen, bundle: str = bundle) -> None:
            state = json.loads(runtime.ok("state", "c1"))
            assert state.pop("bundle") == bundle
            assert bool(state.pop("created"))
            state["pid"] = bool(state["pid"])
            state.pop("ociVersion")
            seen.append(state)

        runtime.ok("create", "-b", bundle, "c1")
        look()
        runtime.ok("start", "c1")
        look()
        runtime.ok("pause", "c1")
        look()
        runtime.ok("resume", "c1")
        look()
        runtime.ok("kill", "c1", "KILL")
        _await_end(runtime)
        look()
        runtime.ok("delete", "c1")
        lives.append(seen)
    assert [state["status"] for state in lives[0]] == [
        "created", "running", "paused", "running", "stopped",
    ]  # fmt: skip
    assert lives[0] == lives[1]


def _await_end(runtime: Oci) -> None:
    limit = time.monotonic() + 5
    while json.loads(runtime.ok("state", "c1"))["status"] != "stopped":
        assert time.monotonic() < limit
        time.sleep(0.02)


WRONG = (
    ("state", "nothing"),
    ("start", "nothing"),
    ("kill", "nothing"),
    ("delete", "nothing"),
    ("delete", "--force", "nothing"),
    ("exec", "nothing", "ls"),
    ("pause", "nothing"),
    ("ps", "nothing"),
    ("no-such-command",),
    ("run", "--no-such-flag", "x"),
    ("run",),
    ("state",),
    ("create", "-b", "/no/such/bundle", "x"),
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_what_is_wrong_is_wrong_in_the_same_way(
    both: tuple[Oci, Oci], words: tuple[str, ...]
) -> None:
    ours, theirs = (runtime(*words) for runtime in both)
    assert ours.returncode == theirs.returncode, (ours.stderr, theirs.stderr)


def test_errors_of_a_running_container(both: tuple[Oci, Oci]) -> None:
    said = []
    for runtime in both:
        runtime.ok("run", "-d", "-b", runtime.bundle("sleep", "100", change=change("")), "c1")
        lines = [
            runtime("start", "c1"),
            runtime("delete", "c1"),
            runtime("exec", "c1", "no-such-program"),
            runtime("exec", "c1", "sh", "-c", "exit 9"),
            runtime("exec", "-u", "33:50", "--cwd", "/tmp", "-e", "A=1", "c1", "sh", "-c",
                    "id -u; id -g; pwd; echo $A"),
            runtime("kill", "c1", "NONSENSE"),
            runtime("resume", "c1"),
        ]  # fmt: skip
        said.append([(done.returncode, done.stdout) for done in lines])
    assert said[0] == said[1]


def test_list_has_the_same_columns(both: tuple[Oci, Oci]) -> None:
    titles, quiet, documents = [], [], []
    for runtime in both:
        runtime.ok("create", "-b", runtime.bundle("sleep", "100", change=change("")), "c1")
        titles.append(runtime.ok("list").splitlines()[0].split())
        quiet.append(runtime.ok("list", "-q"))
        documents.append(sorted(json.loads(runtime.ok("list", "-f", "json"))[0]))
    assert titles[0] == titles[1]
    assert quiet[0] == quiet[1] == "c1\n"
    assert documents[0] == documents[1]


def test_features_name_the_same_things(both: tuple[Oci, Oci]) -> None:
    """All that runc's has there, ours has too."""
    ours, theirs = (json.loads(runtime.ok("features")) for runtime in both)
    assert set(theirs) <= set(ours)
    assert set(theirs["linux"]) <= set(ours["linux"])
    assert set(theirs["hooks"]) <= set(ours["hooks"])
    assert set(theirs["linux"]["namespaces"]) <= set(ours["linux"]["namespaces"])
    missing = set(theirs["mountOptions"]) - set(ours["mountOptions"])
    assert missing <= {"acl", "noacl"}, "which mount(2) has no flag for"


def test_a_bundle_of_ours_runs_under_theirs(both: tuple[Oci, Oci], tmp_path: Path) -> None:
    """`spec` of one, `run` of the other."""
    for writer, runner in (both, both[::-1]):
        bundle = tmp_path / f"made{runner.words[0].count('/')}-{id(writer)}"
        bundle.mkdir()
        writer.ok("spec", "-b", str(bundle))
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["echo", "runs"])
        config["root"]["path"] = str(writer.rootfs)
        config["linux"]["namespaces"] = [
            n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"
        ]
        (bundle / "config.json").write_text(json.dumps(config))
        assert runner.ok("run", "-b", str(bundle), f"c{os.getpid()}") == "runs\n"


def test_a_terminal_goes_to_the_console_socket(both: tuple[Oci, Oci], tmp_path: Path) -> None:
    """As conmon and containerd's shim receive it."""
    import array
    import socket

    heard = []
    for number, runtime in enumerate(both):

        def terminal(config: dict[str, Any]) -> None:
            change("")(config)
            config["process"]["terminal"] = True
            config["process"]["consoleSize"] = {"height": 30, "width": 100}

        path = f"/tmp/console-{os.getpid()}-{number}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            bundle = runtime.bundle("sh", "-c", "tty; stty size", change=terminal)
            runtime.ok("create", "-b", bundle, "--console-socket", path, "c1")
            connection, _ = listener.accept()
            with connection:
                text, rights, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
            os.unlink(path)
        master = array.array("i", rights[0][2])[0]
        runtime.ok("start", "c1")
        said = b""
        try:
            while chunk := os.read(master, 4096):
                said += chunk
        except OSError:
            pass  # nobody has it open any more
        os.close(master)
        heard.append((text, said.split()))
    assert heard[0] == heard[1] == (b"/dev/ptmx", [b"/dev/pts/0", b"30", b"100"])


def test_ps_lists_the_same(both: tuple[Oci, Oci]) -> None:
    for runtime in both:
        runtime.ok("run", "-d", "-b", runtime.bundle("sleep", "100", change=change("")), "c1")
        pid = json.loads(runtime.ok("state", "c1"))["pid"]
        assert json.loads(runtime.ok("ps", "-f", "json", "c1")) == [pid]
        lines = runtime.ok("ps", "c1", "-o", "pid,args").splitlines()
        assert lines[0].split() == ["PID", "COMMAND"]
        assert lines[1].split() == [str(pid), "sleep", "100"]


def test_a_state_of_another_runtime_is_not_taken_for_ours(both: tuple[Oci, Oci]) -> None:
    ours, theirs = both
    theirs.ok("create", "-b", theirs.bundle("sleep", "100", change=change("")), "c1")
    done = subprocess.run(
        [*ours.words, "--root", str(theirs.root), "state", "c1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "not of minidock's making" in done.stderr) == (1, True)
