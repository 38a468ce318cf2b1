"""build: RUN, its mounts, and what is left when one fails or a build is killed: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from privileged.building import Builder


def test_run_is_confined_as_run_is(builder: Builder) -> None:
    """What the kernel says of both."""
    probe = (
        "grep -E '^(Cap|Seccomp|NoNewPrivs|Groups)' /proc/self/status;"
        " mount | grep -v ' / \\| /etc/' | sort; ls /dev; id; cat /proc/self/cgroup | wc -l"
    )
    builder.file("probe", probe)
    builder.ok("FROM busybox\nCOPY probe /probe\nRUN sh /probe > /in-build 2>&1\n")
    network = builder.minidock("run", "--rm", "built", "sh", "/probe").stdout
    assert builder.run("cat", "/in-build") == network


def test_mounts_of_run(builder: Builder) -> None:
    builder.file("tool", "#!/bin/sh\necho from the context\n", 0o755)
    secret = builder.home.parent / "secret"
    secret.write_text("hush")
    dockerfile = (
        "FROM busybox AS other\nRUN mkdir -p /o/d; echo other > /o/d/f\nRUN echo more > /o/g\n"
        "FROM busybox\n"
        "RUN --mount=type=bind,target=/ctx /ctx/tool > /1; ! touch /ctx/x\n"
        "RUN --mount=type=bind,from=other,source=/o,target=/o,rw cat /o/d/f /o/g > /2; touch /o/x\n"
        "RUN --mount=type=bind,from=other,source=/o/g,target=/one/file cat /one/file > /3\n"
        "RUN --mount=type=tmpfs,target=/fast touch /fast/x; grep -c /fast /proc/mounts > /4\n"
        "RUN --mount=type=secret,id=s,mode=0440 cat /run/secrets/s | wc -c > /5;"
        " stat -c %a /run/secrets/s >> /5\n"
        "RUN --mount=type=secret,id=s,env=S test $S = hush; ! test -e /run/secrets\n"
        "RUN --mount=type=cache,target=/cache,id=c echo x >> /cache/n; wc -l < /cache/n > /6\n"
    )
    flags = ("--secret", f"id=s,src={secret}")
    builder.minidock.ok("builder", "prune", "-af")
    builder.ok(dockerfile, *flags)
    assert builder.run("cat", "/1", "/2", "/3", "/4", "/5", "/6") == (
        "from the context\nother\nmore\nmore\n1\n4\n440\n1\n"
    )
    # Nothing of them is in the image, not even the places they were mounted on.
    assert builder.run("ls", "-a", "/").split() == sorted(
        [".", "..", ".dockerenv", "1", "2", "3", "4", "5", "6", *"bin dev etc proc root sys tmp usr"
         " var".split()]
    )  # fmt: skip
    builder.ok(
        dockerfile + "RUN --mount=type=cache,target=/cache,id=c wc -l < /cache/n > /7\n", *flags
    )
    assert builder.run("cat", "/7") == "1\n"
    done = builder("FROM busybox\nRUN --mount=type=secret,id=none,required true\n")
    assert done.returncode == 1 and "secret none: not found" in done.stderr


def test_a_secret_is_in_no_file_of_ours(builder: Builder) -> None:
    secret = builder.home.parent / "secret"
    secret.write_text("very-secret-words")
    builder.ok(
        "FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s > /dev/null\n",
        "--secret", f"id=s,src={secret}",
    )  # fmt: skip
    found = subprocess.run(
        ["grep", "-rl", "very-secret-words", str(builder.minidock.root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""


def test_a_failing_run(builder: Builder) -> None:
    done = builder("FROM busybox\nRUN echo one; echo two >&2; exit 3\n", "-q")
    assert (done.returncode, done.stdout) == (1, "")
    assert "------\n > [2/2] RUN echo one; echo two >&2; exit 3:\n" in done.stderr
    assert "one\n" in done.stderr and "two\n" in done.stderr
    assert ">>> RUN echo one" in done.stderr
    last = 'process "/bin/sh -c echo one; echo two >&2; exit 3" did not complete successfully'
    assert done.stderr.endswith(f"ERROR: failed to solve: {last}: exit code: 3\n")
    assert builder.minidock.ok("ps", "-aq") == ""
    assert builder.minidock("system", "check").stdout.endswith("0 problems found\n")


def test_a_failed_container_can_be_kept_and_entered(builder: Builder) -> None:
    builder.file("f", "in the context")
    done = builder(
        "FROM busybox\nCOPY f /f\nRUN --mount=type=bind,target=/m echo half > /half; exit 3\n",
        "--keep-failed",
    )
    kept = done.stderr.partition("minidock start -ai ")[2].split()[0]
    assert builder.minidock.ok("ps", "-aq").strip() == kept
    builder.minidock.ok("commit", kept, "half")
    assert (
        builder.minidock.ok("run", "--rm", "half", "cat", "/f", "/half") == "in the contexthalf\n"
    )
    shell = builder.minidock.popen("start", kept)
    assert shell.wait(10) == 0
    assert builder.minidock.ok("exec", kept, "cat", "/half") == "half\n"
    builder.minidock.ok("rm", "-f", kept)


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_interrupted(builder: Builder, number: signal.Signals) -> None:
    """No image, no container, no process, no mount; and the next build finds all in order."""
    minidock = builder.minidock
    builder.file("secret", "hush")
    (builder.home / "Dockerfile").write_text(
        "FROM busybox AS a\nRUN --mount=type=secret,id=s echo half > /half; sleep 60\n"
        "FROM busybox AS b\nRUN sleep 61\nFROM scratch\nCOPY --from=a / /a\nCOPY --from=b / /b\n"
    )
    words = ("-t", "never", "--secret", f"id=s,src={builder.home}/secret", str(builder.home))
    build = minidock.popen("build", *words, stderr=subprocess.DEVNULL)
    wait_for(lambda: minidock.ok("ps", "-q").count("\n") == 2)
    time.sleep(0.2)
    build.send_signal(number)
    assert build.wait(10) != 0
    wait_for(lambda: minidock.ok("ps", "-aq") == "")
    assert minidock("image", "inspect", "never").returncode == 1
    builder.ok("FROM busybox\nRUN true\n")
    assert minidock("system", "check").stdout.endswith("0 problems found\n")


def test_the_image_below_cannot_be_removed_meanwhile(builder: Builder) -> None:
    builder.ok("FROM busybox\nLABEL base=1\n", "-t", "the-base")
    builder.minidock.ok("rmi", "built")
    build = builder.minidock.popen(
        "build", "--no-cache", "-", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert build.stdin
    build.stdin.write(b"FROM the-base\nRUN sleep 1\n")
    build.stdin.close()
    wait_for(lambda: builder.minidock.ok("ps", "-q"))
    done = builder.minidock("rmi", "the-base")
    assert build.wait(10) == 0
    assert done.returncode == 1 and "is using its referenced image" in done.stderr


def test_killed_at_any_moment(builder: Builder) -> None:
    """Between any two steps, in the middle of a RUN, of a COPY, of writing things down."""
    for number in range(300):
        builder.file(f"files/{number}", f"{number}\n" * 50)
    (builder.home / "Dockerfile").write_text(
        "FROM busybox\nRUN echo 1 > /1\nCOPY files /files\n"
        "RUN rm -r /files/1*; mkdir /d\nWORKDIR /w\n"
    )
    minidock = builder.minidock
    for delay in range(12):
        build = minidock.popen("build", "-q", "--no-cache", "-t", "killed", str(builder.home))
        time.sleep(0.08 + delay * 0.05)
        build.kill()
        build.wait()
    wait_for(lambda: minidock.ok("ps", "-aq") == "")
    builder.ok("FROM busybox\nCOPY files /files\nRUN ls /files | wc -l > /count\n")
    assert builder.run("cat", "/count") == "300\n"
    if minidock("image", "inspect", "killed").returncode == 0:  # then it is whole
        assert minidock.ok("run", "--rm", "killed", "ls", "/").split().count("files") == 1
        minidock.ok("rmi", "killed")
    minidock.ok("rmi", "built")  # sweeps what nothing leads to
    assert minidock("system", "check").stdout.endswith("0 problems found\n")


def test_killed_between_making_a_container_and_starting_it(builder: Builder) -> None:
    """It will never be started, so it goes; one of `create --rm` may be, by anybody."""
    minidock = builder.minidock
    code = (
        "import os, sys\n"
        "from minidock.engine.containers import Containers\n"
        "from minidock.engine.paths import Paths\n"
        "from minidock.engine.run import RunOptions, create\n"
        "from minidock.image.store import ImageStore\n"
        "paths = Paths(*sys.argv[1:3])\n"
        "options = RunOptions('busybox', ('true',), auto_remove=True)\n"
        "options = options.but(ephemeral=sys.argv[3] == 'y')\n"
        "print(create(paths, Containers(paths), ImageStore(paths.root), options, print).id)\n"
    )
    made = {}
    for ephemeral in "yn":
        argv = [sys.executable, "-c", code, minidock.root, minidock.run_root, ephemeral]
        made[ephemeral] = subprocess.check_output(list(map(str, argv)), text=True).strip()
    minidock.ok("run", "--rm", "busybox", "true")
    assert minidock.ok("ps", "-aq", "--no-trunc").split() == [made["n"]]
