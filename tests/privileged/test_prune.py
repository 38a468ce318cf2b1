"""prune and system df: what goes, what stays, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def used(minidock) -> Iterator[str]:
    """A running container of `busybox`; a stopped one, an image from it with and without a name."""
    minidock.ok("image", "prune", "-f")  # of other tests
    running = minidock.ok("run", "-d", "--name", "runs", "busybox", "sleep", "100").strip()
    script = "head -c 3000000 /dev/zero > /three"
    minidock.ok("run", "--name", "stopped", "-l", "keep=yes", "busybox", "sh", "-c", script)
    minidock.ok("commit", "stopped", "mine")
    minidock.ok("commit", "-c", "ENV OTHER=1", "stopped", "mine")
    yield running
    minidock.remove_all()
    minidock("rmi", "-f", "mine")
    minidock.ok("image", "prune", "-f")


def _names(minidock) -> set[str]:
    return set(minidock.ok("ps", "-a", "--format", "{{.Names}}").split())


def test_containers(minidock, used: str) -> None:
    stopped = minidock.ok("inspect", "-f", "{{.Id}}", "stopped").strip()
    kept = minidock.ok("container", "prune", "-f", "--filter", "label!=keep")
    assert kept == "Total reclaimed space: 0B\n"
    kept = minidock.ok("container", "prune", "-f", "--filter", "until=1h")
    assert kept == "Total reclaimed space: 0B\n"
    assert _names(minidock) == {"runs", "stopped"}
    done = minidock.ok("container", "prune", "--filter", "label=keep=yes", stdin=b"y\n")
    assert done == (
        "WARNING! This will remove all stopped containers.\n"
        "Are you sure you want to continue? [y/N] "
        f"Deleted Containers:\n{stopped}\n\nTotal reclaimed space: 3MB\n"
    )
    assert _names(minidock) == {"runs"}


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"", b"yes\n"])
def test_only_y_is_yes(minidock, used: str, answer: bytes) -> None:
    assert minidock("container", "prune", stdin=answer).returncode == 1
    assert _names(minidock) == {"runs", "stopped"}


def test_images(minidock, used: str) -> None:
    dangling = minidock.ok("images", "-q", "--no-trunc", "-f", "dangling=true").split()
    assert len(dangling) == 1
    done = minidock.ok("image", "prune", "-f")
    assert done == f"Deleted Images:\ndeleted: {dangling[0]}\n\nTotal reclaimed space: 0B\n"
    assert "mine" in minidock.ok("images")
    done = minidock.ok("image", "prune", "-a", "-f")
    assert "untagged: mine:latest\n" in done
    assert done.endswith("\nTotal reclaimed space: 3MB\n")
    left = minidock.ok("images", "--format", "{{.Repository}}").split()
    assert left == ["busybox"], "a container runs on it"


def test_what_a_stopped_container_needs_stays(minidock, used: str) -> None:
    minidock.ok("rm", "-f", "runs")
    minidock.ok("image", "prune", "-a", "-f")
    assert minidock.ok("start", "-a", "stopped") == ""


def test_disk_usage(minidock, used: str) -> None:
    form = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}"
    lines = minidock.ok("system", "df", "--format", form).splitlines()
    assert lines[0].startswith("Images 3 1 ")
    assert lines[1] == "Containers 2 1 3MB"
    table = minidock.ok("system", "df").splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert table[2].endswith("3MB (100%)")
    whole = minidock.ok("system", "df", "-v")
    assert "SHARED SIZE   UNIQUE SIZE   CONTAINERS" in whole
    assert "stopped" in whole


def test_everything_at_once(minidock, used: str) -> None:
    done = minidock.ok("system", "prune", "-a", "-f")
    assert done.startswith("Deleted Containers:\n")
    assert "\nDeleted Images:\nuntagged: mine:latest\n" in done
    assert _names(minidock) == {"runs"}
    assert minidock.ok("exec", "runs", "echo", "alive") == "alive\n"


def test_a_wrong_filter(minidock) -> None:
    done = minidock("image", "prune", "-f", "--filter", "colour=red")
    assert done.returncode == 1
    assert done.stderr == "Error response from daemon: invalid filter 'colour'\n"
