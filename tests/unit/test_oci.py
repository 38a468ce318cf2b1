"""The OCI runtime's command line, its state, and a plan on its way to another process."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from minidock.cli.oci import COMMANDS, OCI, main
from minidock.cli.oci_help import help_page
from minidock.cli.oci_start import signal_number
from minidock.cli.parse import parse
from minidock.cli.registry import load
from minidock.errors import Conflict, InvalidInput, MinidockError, NotFound
from minidock.isolation.mounts import Mount
from minidock.linux.flags import MountFlag
from minidock.runtime import wire
from minidock.runtime.features import example, features
from minidock.runtime.plan import plan_container
from minidock.runtime.state import ContainerState, StateDirectory, check_id, containers
from minidock.spec.runtime import parse_spec

RUNC_OPTIONS = {  # `runc COMMAND --help`, 1.1.5 and 1.2, without criu's and Intel's
    "": "debug log log-format root systemd-cgroup rootless version",
    "create": "bundle console-socket pid-file no-pivot no-new-keyring preserve-fds",
    "run": "bundle console-socket detach keep pid-file no-subreaper no-pivot no-new-keyring"
    " preserve-fds",
    "exec": "console-socket cwd env tty user additional-gids process detach pid-file process-label"
    " apparmor no-new-privs cap preserve-fds cgroup ignore-paused",
    "kill": "all",
    "delete": "force",
    "list": "format quiet",
    "ps": "format",
    "update": "resources blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period"
    " cpu-rt-runtime cpuset-cpus cpuset-mems memory memory-reservation memory-swap pids-limit"
    " cpu-idle",
    "events": "interval stats",
    "spec": "bundle rootless",
    "start": "",
    "state": "",
    "pause": "",
    "resume": "",
    "features": "",
}


@pytest.mark.parametrize("name", RUNC_OPTIONS)
def test_every_option_of_runcs_is_known(name: str) -> None:
    row = load(COMMANDS[name]) if name else OCI
    assert set(RUNC_OPTIONS[name].split()) <= {flag.long for flag in row.flags}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_with_an_example(name: str) -> None:
    page = help_page(name)
    assert page.startswith(f"Usage:  minidock oci {name}")
    assert "\nExamples:\n  " in page
    assert load(COMMANDS[name]).help in page


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_can_be_typed(name: str) -> None:
    row = load(COMMANDS[name])
    for line in row.examples:
        typed = line.partition("minidock oci ")[2].partition(" && ")[0]
        if not typed.startswith(name):  # after a pipe or a mkdir
            typed = line.rpartition("minidock oci ")[2]
        words = shlex.split(typed)
        assert words[0] == name, line
        args = parse(row, name, words[1:])
        assert row.least <= len(args.positionals) <= (row.most or 99), line


def test_the_page_of_all_names_each() -> None:
    page = help_page()
    assert all(f"\n  {name} " in page for name in COMMANDS)


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["kill", "--help"], ["help", "kill"], []):
        assert main(words) == 0
        assert capfd.readouterr().out.startswith("Usage:  minidock oci")
    assert main(["--version"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("minidock version ")
    assert lines[1] == "spec: 1.2.0"


@pytest.mark.parametrize(
    ("words", "code"), [(["nonsense"], 3), (["run", "--nonsense"], 1), (["state"], 1)]
)
def test_wrong_usage(words: list[str], code: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == code
    assert capfd.readouterr().err


def test_errors_go_to_the_log_as_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    words = ["--root", str(tmp_path), "--log", str(log), "--log-format", "json", "state", "x"]
    assert main(words) == 1
    entry = json.loads(log.read_text())
    assert set(entry) == {"level", "msg", "time"}
    assert (entry["level"], entry["msg"]) == ("error", "container does not exist")
    assert capfd.readouterr().err == "container does not exist\n"
    main([*words[:4], "state", "x"])
    assert 'level=error msg="container does not exist"' in log.read_text().splitlines()[1]


@pytest.mark.parametrize(
    ("word", "number"), [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("0", 0)]
)
def test_signals(word: str, number: int) -> None:
    assert signal_number(word) == number


@pytest.mark.parametrize("word", ["", "NONSENSE", "65", "-1", "_DFL", "SIG_DFL", "IG", "１"])
def test_what_is_no_signal(word: str) -> None:
    with pytest.raises(InvalidInput):
        signal_number(word)


# ── state ──


@pytest.mark.parametrize("name", ["a", "A-b_c.d+e", "0", "x" * 1024, "..."])
def test_ids(name: str) -> None:
    check_id(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a b", "a\n", "ä", "x" * 1025, "a\0"])
def test_what_is_no_id(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_id(name)


STATE = ContainerState(
    id="c1", bundle="/b", rootfs="/b/r", created="2026-11-23T00:00:00Z", annotations=(("a", "b"),)
)


def test_a_state_is_read_back(tmp_path: Path) -> None:
    home = StateDirectory(str(tmp_path / "root"), "c1")
    with pytest.raises(NotFound):
        home.load()
    home.make()
    with pytest.raises(Conflict):
        home.make()
    home.save(STATE)
    assert home.load() == STATE
    assert not STATE.alive()
    assert [found.id for found in containers(str(tmp_path / "root"))] == ["c1"]
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    home.remove()
    assert list(containers(str(tmp_path / "root"))) == []


def test_a_process_is_believed_with_its_start_time_and_boot_only(tmp_path: Path) -> None:
    from minidock.linux.host import boot_id, start_time

    pid = os.getpid()
    ours = STATE.but(pid=pid, start_time=start_time(pid), boot_id=boot_id())
    assert ours.alive()
    assert not ours.but(start_time=ours.start_time + 1).alive()
    assert not ours.but(boot_id="another").alive()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": "c1"}', "null"])
def test_a_state_that_is_not_ours(tmp_path: Path, content: str) -> None:
    home = StateDirectory(str(tmp_path), "c1")
    home.make()
    Path(home.path, "state.json").write_text(content)
    with pytest.raises(InvalidInput, match="not of minidock's making"):
        home.load()


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    home = StateDirectory(str(tmp_path), "c1")
    with pytest.raises(NotFound):
        home.lock()
    home.make()
    assert not home.busy()
    with home.lock():
        assert home.busy()
        with pytest.raises(Conflict):
            home.lock(timeout=0.02)
    assert not home.busy()


# ── what is sent ──


def test_a_plan_arrives_as_it_was_sent() -> None:
    from minidock.linux.host import read_facts

    spec = parse_spec(example(user_namespace=False), "/bundle").but(cgroups_path="/x")
    try:
        facts = read_facts().but(rights=2**41 - 1, capabilities=2**41 - 1)
        plan = plan_container("c1", spec, facts, (0, 1, 2))
    except MinidockError as error:
        pytest.skip(f"this host cannot plan a container: {error}")
    sent = (plan.enter, plan.isolate, plan.confine)
    assert wire.decode(wire.encode(sent)) == sent


def test_flags_keep_their_names() -> None:
    mount = Mount("proc", "/proc", "proc", MountFlag.MS_NOSUID | MountFlag.MS_NODEV)
    back = wire.decode(wire.encode(mount))
    assert back == mount
    assert repr(back.flags) == repr(mount.flags)


def test_names_that_are_not_text_survive() -> None:
    assert wire.decode(wire.encode(("\udcff", b"\xff", None, True, 2**70))) == (
        "\udcff", b"\xff", None, True, 2**70,
    )  # fmt: skip


def test_what_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(TypeError):
        wire.encode(([1],))


# ── documents ──


@pytest.mark.parametrize("user_namespace", [False, True])
def test_the_example_is_a_config_that_we_can_read(user_namespace: bool) -> None:
    spec = parse_spec(example(user_namespace=user_namespace), "/bundle")
    assert spec.root_path == "/bundle/rootfs"
    assert spec.has_namespace("user") == user_namespace


def test_features_are_json_and_name_the_specification() -> None:
    document = json.loads(json.dumps(features("1")))
    assert document["ociVersionMax"] == "1.2.0"
    assert "rro" in document["mountOptions"]
    assert "CAP_CHOWN" in document["linux"]["capabilities"]
    assert "time" in document["linux"]["namespaces"]
