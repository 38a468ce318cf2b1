"""Sixteen at once on one store: who sweeps takes nothing that another is about to need."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

AT_ONCE = 16
EACH = 4
IMAGES = 3
# What may be said to somebody whose image another one just took away.
_LEGITIMATE = ("No such image", "does not exist locally", "conflict: ", "is being used by")


@pytest.mark.slow
def test_sixteen_at_once(minidock, start_registry, tmp_path: Path) -> None:
    for row in minidock.ok("images", "-a", "--format", "{{.Repository}} {{.ID}}").splitlines():
        if not row.startswith("busybox "):  # of other tests, in which there may be no `true`
            minidock("rmi", "-f", row.split()[1])
    registry = start_registry(tmp_path)
    names = [f"{registry.address}/race/{number}" for number in range(IMAGES)]
    for number, name in enumerate(names):
        minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", f"echo {number} > /mine")
        minidock.ok("commit", "maker", name)
        minidock.ok("push", name)
        minidock.ok("rm", "maker")
    archive = str(tmp_path / "saved.tar")
    minidock.ok("save", "-o", archive, *names)
    wrong: list[object] = []

    def does(*words: str) -> str | None:
        done = minidock(*words, timeout=300)
        if done.returncode and not any(text in done.stderr for text in _LEGITIMATE):
            wrong.append((words, done.returncode, done.stderr))
        return None if done.returncode else str(done.stdout)

    def work(number: int) -> None:
        choose = random.Random(number)
        for step in range(EACH):
            which = choose.randrange(IMAGES)
            name = names[which]
            match choose.choice(("pull", "run", "commit", "rmi", "prune", "load", "push")):
                case "pull":
                    does("pull", "-q", name)
                case "run":
                    if does("run", "--rm", name, "cat", "/mine") not in (f"{which}\n", None):
                        wrong.append("another image's file")
                case "commit":
                    container = f"racer-{number}-{step}"
                    if does("run", "--name", container, name, "touch", "/new") is not None:
                        does("commit", container, f"made:{number}")
                        does("rm", container)
                case "rmi":
                    does("rmi", choose.choice((name, f"made:{choose.randrange(AT_ONCE)}")))
                case "prune":
                    does("image", "prune", "-f")
                case "load":
                    does("load", "-q", "-i", archive)
                case "push":
                    does("push", "-q", name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    minidock.ok("image", "prune", "-f")  # alone now: what others kept it from
    check = minidock("system", "check")
    assert check.returncode == 0, check.stdout
    for image in set(minidock.ok("images", "-aq").split()):
        minidock.ok("run", "--rm", image, "true")
    rest = minidock.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    minidock.ok("rmi", *(name for name in rest if not name.startswith("busybox:")))
    assert minidock("system", "check").returncode == 0
