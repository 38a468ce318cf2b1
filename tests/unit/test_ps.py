"""What `ps` prints, to the letter. The expected lines come from Docker 28."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from minidock.cli.app import App
from minidock.cli.main import dispatch
from minidock.engine.statefile import write_json
from minidock.linux.host import boot_id, start_time
from minidock.spec.timestamp import format_time

IMAGE = "sha256:" + "d6" * 32
HOUR = 3600


class Screen:
    """Runs a command and keeps what it wrote."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("containers", "names"):
            (home / name).mkdir()

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        streams = [os.memfd_create(name) for name in ("out", "err")]
        run_root = str(self.home / "run")
        app = App(root=str(self.home), run_root=run_root, stdout=streams[0], stderr=streams[1])
        try:
            code = dispatch(
                app, list(argv), {"MINIDOCK_ROOT": app.root, "MINIDOCK_RUN_ROOT": run_root}
            )
            out, err = (os.pread(fd, 1 << 20, 0).decode("utf-8", "replace") for fd in streams)
            return code, out, err
        finally:
            for fd in streams:
                os.close(fd)

    def container(
        self,
        digits: str,
        name: str,
        command: list[str],
        age: float,
        *,
        image: str = "d6d6d6d6d6d6",
        labels: dict[str, str] | None = None,
        up: float = -1,
        ended: tuple[float, int] | None = None,
        written: str = "",
    ) -> str:
        container_id = digits.ljust(64, "0")
        directory = self.home / "containers" / container_id
        (directory / "upper").mkdir(parents=True)
        (directory / "upper" / "file").write_text(written)
        (self.home / "names" / name).symlink_to(f"../containers/{container_id}")
        document = {
            "Id": container_id,
            "Name": name,
            "Created": ago(age),
            "Image": IMAGE,
            "ImageName": image,
            "Path": command[0],
            "Args": command[1:],
            "Config": {"Labels": labels or {}},
            "HostConfig": {"NetworkMode": "none"},
        }
        write_json(str(directory / "container.json"), document, durable=False)
        if up >= 0 or ended:
            pid = os.getpid()
            ticks = start_time(pid) if up >= 0 else 1
            started = {"Pid": pid, "StartTime": ticks, "BootId": boot_id(), "StartedAt": ago(up)}
            write_json(str(directory / "started.json"), started, durable=False)
        if ended:
            exited = {"FinishedAt": ago(ended[0]), "ExitCode": ended[1]}
            write_json(str(directory / "exited.json"), exited, durable=False)
        return container_id


def ago(seconds: float) -> str:
    return format_time(time.time_ns() - int(seconds * 10**9))


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Screen(tmp_path)


@pytest.fixture
def four(screen: Screen) -> Screen:
    screen.container("aaaaaaaaaaaa", "sleeper", ["sleep", "100000"], 3 * HOUR, up=75)
    screen.container("bbbbbbbbbbbb", "ended", ["sh", "-c", "echo hi; echo err >&2"], 200,
                     ended=(190, 3), labels={"b": "2", "a": "1"}, written="hi")  # fmt: skip
    screen.container("cccccccccccc", "made", ["sh"], 100)
    screen.container("dddddddddddd", "old", ["true"], 20 * 24 * HOUR, ended=(15 * 24 * HOUR, 0))
    return screen


def test_the_table(four: Screen) -> None:
    assert four("ps", "-a") == (0, """\
CONTAINER ID   IMAGE          COMMAND                  CREATED              STATUS                     PORTS     NAMES
cccccccccccc   d6d6d6d6d6d6   "sh"                     About a minute ago   Created                              made
bbbbbbbbbbbb   d6d6d6d6d6d6   "sh -c 'echo hi; ech…"   3 minutes ago        Exited (3) 3 minutes ago             ended
aaaaaaaaaaaa   d6d6d6d6d6d6   "sleep 100000"           3 hours ago          Up About a minute                    sleeper
dddddddddddd   d6d6d6d6d6d6   "true"                   2 weeks ago          Exited (0) 2 weeks ago               old
""", "")  # fmt: skip  # noqa: E501  # as it stands on a terminal


def test_nothing_to_show(screen: Screen) -> None:
    header = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    assert screen("ps") == (0, header, "")
    assert screen("ps", "-q") == (0, "", "")


def test_running_newest_and_ids(four: Screen) -> None:
    assert four("ps", "-q") == (0, "aaaaaaaaaaaa\n", "")
    assert four("ps", "-aq")[1].split() == [letter * 12 for letter in "cbad"]
    assert four("ps", "-lq")[1] == "cccccccccccc\n"
    assert four("ps", "-q", "-n", "2")[1].split() == ["cccccccccccc", "bbbbbbbbbbbb"]
    assert four("ps", "-l", "-n", "2", "-q")[1].split() == ["cccccccccccc", "bbbbbbbbbbbb"]
    assert four("ps", "-q", "--no-trunc")[1] == "aaaaaaaaaaaa".ljust(64, "0") + "\n"
    warning = "WARNING: Ignoring custom format, because both --format and --quiet are set.\n"
    assert four("ps", "-q", "--format", "{{.Names}}") == (0, "aaaaaaaaaaaa\n", warning)


def test_every_name_of_the_command(four: Screen) -> None:
    same = [four(*words.split(), "-aq") for words in
            ("ps", "container ls", "container list", "container ps")]  # fmt: skip
    assert same.count(same[0]) == 4


def test_sizes_and_what_is_not_cut(four: Screen) -> None:
    header, line = four("ps", "-s", "-f", "name=ended", "--no-trunc", "-a")[1].splitlines()
    assert header.endswith("NAMES     SIZE")
    assert line.startswith("bbbbbbbbbbbb".ljust(64, "0") + "   " + IMAGE)
    assert "\"sh -c 'echo hi; echo err >&2'\"" in line
    assert line.endswith("ended     2B (virtual 2B)")  # the image is gone, so only what is its own


def test_names_of_images(screen: Screen) -> None:
    """Nothing resolves here, so each is shown by its id; `Image` itself is asked below."""
    screen.container("aaaaaaaaaaaa", "one", ["true"], 1, image="busybox")
    assert screen("ps", "-a")[1].splitlines()[1].split()[1] == "d6d6d6d6d6d6"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("busybox", "busybox"),
        ("busybox:latest", "busybox:latest"),
        ("docker.io/library/busybox", "busybox"),
        ("docker.io/library/busybox:latest", "busybox:latest"),
        ("foo/bar:1", "foo/bar:1"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("localhost:5000/x:2", "localhost:5000/x:2"),
        (f"foo/bar@{IMAGE}", "foo/bar"),
        (f"foo/bar:1@{IMAGE}", "foo/bar:1"),
        (IMAGE, "d6d6d6d6d6d6"),
    ],
)
def test_a_name_as_typed_is_shown_in_its_familiar_form(typed: str, shown: str) -> None:
    from minidock.cli.container_lists import Line
    from minidock.engine.containers import Container, State
    from minidock.engine.listing import Listed

    row = Listed(Container("a" * 64, "x", "", "", {}), State("created"), typed)
    assert Line(row, None, cut=True).Image() == shown  # type: ignore[arg-type]
    assert Line(row, None, cut=False).Image() == typed  # type: ignore[arg-type]


def test_a_strangers_words_do_nothing_to_the_terminal(screen: Screen) -> None:
    words = ["sh", "-c", 'a \x1b[31m"\n\x9b é日本']
    screen.container("aaaaaaaaaaaa", "esc", words, 1, up=0, image="x\x1b[2J")
    _, out, _ = screen("ps", "--no-trunc")
    assert "\x1b" not in out and "\x9b" not in out
    assert out.count("\n") == 2
    assert r'''"sh -c 'a \x1b[31m\"\n\u009b é日本'"''' in out


def test_wrong_filters(screen: Screen) -> None:
    assert screen("ps", "-f", "x=1") == (
        1, "", "Error response from daemon: invalid filter 'x'\n",
    )  # fmt: skip
    assert screen("ps", "-f", "")[0] == 0


def test_a_filter_is_read_leniently(four: Screen) -> None:
    assert four("ps", "-q", "-f", " Status = exited ", "-f", "")[1].split() == ["b" * 12, "d" * 12]
