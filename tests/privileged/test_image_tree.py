"""images --tree: an image stands where its layers end."""

from __future__ import annotations


def test_shared_layers_are_drawn_once(minidock) -> None:
    minidock.ok("image", "prune", "-f")
    minidock.ok("run", "--name", "one", "busybox", "sh", "-c", "head -c 2000000 /dev/zero > /a")
    minidock.ok("commit", "one", "first")
    minidock.ok("commit", "-c", "ENV A=b", "one", "second")
    minidock.ok("run", "--name", "two", "first", "sh", "-c", "echo > /b")
    minidock.ok("commit", "two", "third")
    try:
        lines = minidock.ok("images", "--tree").splitlines()
        at = next(i for i, line in enumerate(lines) if line.endswith("  busybox:latest"))
        assert lines[at + 1].startswith("└── 2MB  ")
        assert lines[at + 1].endswith("  first:latest  second:latest")
        assert lines[at + 2].startswith("    └── 1B  ")
        assert lines[at + 2].endswith("  third:latest")
        assert minidock.ok("images", "--tree", "third").splitlines()[-1].endswith("third:latest")
    finally:
        minidock.remove_all()
        minidock("rmi", "first", "second", "third")


def test_other_forms_do_not_go_with_it(minidock) -> None:
    done = minidock("images", "--tree", "-q")
    assert (done.returncode, done.stderr) == (1, "--tree and --quiet cannot be used together\n")
