"""Wrong command lines, typed to Docker's own client and to minidock: the same words and codes.

The client finds these errors before it looks for a daemon, so none is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCKER = shutil.which("docker")
VERSION = (
    subprocess.run([DOCKER, "--version"], capture_output=True, text=True).stdout if DOCKER else ""
)
pytestmark = pytest.mark.skipif(
    not VERSION.startswith("Docker version 28."), reason="no docker client of version 28"
)

LINES = """
run
run --foo
run --foo=bar
run -z
run -itz x
run --name
run --name=x --name
run -e
run -h
run --rm=x i
run --rm=
run --rm=false
run -=x
run --=x
run ---x
run -it=x i
run --help --foo
create
create --foo
exec
exec c
exec -it c
exec -e A=1
ps -n
ps -n x
ps -nx
ps --last=x
ps -n 0x x
ps -n 08 x
ps -n 1.5
ps -n 9223372036854775808
ps -n=5 x
ps --last -1 x
ps x
ps -
ps -- x
ps -aq5
ps -D
ps -hx
ps --all=maybe
ps -f x
ps --é
images --format
images -f x
inspect
inspect -f
import
commit
commit a b c
tag a
tag a b c
rename a
rm
rmi
start
stop -t x y
stop -t
kill
restart
wait
logs
logs a b
logs c -z
attach
diff
diff a b
history
history a b
container ls x
container inspect
container run
container rm --bad
container foo
container -z ls
image rm
image inspect
image import
image foo
image --foo
image -- ls x
foo
--foo
-z
-
--debug=x ps
--version=x
help foo
help image foo
""".strip().splitlines()


def say(program: list[str], line: str, tmp_path: Path) -> tuple[int, str, str]:
    environ = {**os.environ, "MINIDOCK_ROOT": str(tmp_path), "DOCKER_HOST": "unix:///nonexistent"}
    done = subprocess.run(
        [*program, *line.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environ,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("line", LINES)
def test_the_same_words(line: str, tmp_path: Path) -> None:
    assert DOCKER
    code, out, err = say([DOCKER], line, tmp_path)
    theirs = (code, out.replace("docker", "minidock"), err.replace("docker", "minidock"))
    assert say([sys.executable, "-m", "minidock"], line, tmp_path) == theirs


@pytest.mark.parametrize(
    "command",
    [
        "run", "create", "exec", "ps", "images", "start", "stop", "kill", "restart", "wait", "rm",
        "rename", "logs", "attach", "diff", "inspect", "commit", "import", "history", "tag", "rmi",
        "container ls", "container inspect", "image inspect",
    ],
)  # fmt: skip
def test_the_same_help(command: str, tmp_path: Path) -> None:
    """Usage, description and aliases are Docker's; each flag has Docker's short and long name."""
    assert DOCKER
    code, out, err = say([DOCKER], f"{command} --help", tmp_path)
    ours = say([sys.executable, "-m", "minidock"], f"{command} --help", tmp_path)
    assert (ours[0], ours[2]) == (code, err) == (0, "")
    theirs = out.replace("docker", "minidock")
    assert heads(ours[1])[:1] == heads(theirs)[:1]
    assert aliases(ours[1]) == aliases(theirs)
    assert flags(ours[1]) - flags(theirs) <= {"--explain", "--step"}


def heads(page: str) -> list[str]:
    return page.split("\n\n")


def aliases(page: str) -> list[str]:
    return [part.strip() for part in heads(page) if part.startswith("Aliases:")]


def flags(page: str) -> set[str]:
    """`-a, --all`, `--format string` …: what stands before two spaces on a line of its own."""
    starts = [line.strip() for line in page.splitlines() if line.startswith(("  -", "      --"))]
    return {" ".join(start.split("  ")[0].split()) for start in starts}
