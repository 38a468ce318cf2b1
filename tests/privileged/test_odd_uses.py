"""What people do to a command line without meaning harm: found by hand, kept as tests."""

from __future__ import annotations


def test_detached_with_a_terminal_needs_none_itself(minidock) -> None:
    """`run -dit` is typed into cron jobs and CI scripts, which have no terminal."""
    container = minidock.ok("run", "-dit", "busybox", "sh").strip()
    assert minidock.ok("exec", container, "sh", "-c", "readlink /proc/1/fd/0") == "/dev/pts/0\n"
