"""build: what is found in the cache, why not, and the same digest twice."""

from __future__ import annotations

import os
import time

from privileged.building import Builder


def test_nothing_is_done_twice(builder: Builder) -> None:
    builder.file("a", "1")
    dockerfile = "FROM busybox\nARG V\nRUN date +%s%N > /when\nCOPY a /a\nRUN echo $V\nCMD true\n"
    first = builder.id(dockerfile)
    os.utime(builder.home / "a", (1, 1))
    assert builder.id(dockerfile) == first
    assert builder.id(dockerfile, "--no-cache") != first
    builder.file("a", "2")
    said = builder.ok(dockerfile, "--explain-cache")
    assert said.count("CACHED") == 2
    assert "because a has another content" in said
    said = builder.ok(dockerfile, "--explain-cache", "--build-arg", "V=2")
    assert "because ARG V is new: 2" in said
    said = builder.ok(dockerfile.replace("echo $V", "echo 3"), "--explain-cache")
    assert "because the instruction was: RUN /bin/sh -c echo $V" in said
    builder.ok(dockerfile)
    builder.file("a", "2", 0o700)
    said = builder.ok(dockerfile, "--explain-cache")
    assert "because a has another kind or mode" in said
    assert "because what it is built on is new" in said


def test_a_stage_made_anew_with_the_same_content_is_a_hit(builder: Builder) -> None:
    builder.file("comment", "1")
    dockerfile = (
        "FROM busybox AS make\nCOPY comment /c\nRUN echo result > /out\n"
        "FROM busybox\nCOPY --from=make /out /out\nRUN date > /when\n"
    )
    builder.ok(dockerfile)
    builder.file("comment", "2")
    said = builder.ok(dockerfile)
    assert "[stage-1 2/3] COPY --from=make" in said
    assert said.count("CACHED") == 4  # the two bases, and all of the last stage


def test_linked_layers_do_not_depend_on_what_is_below(builder: Builder) -> None:
    builder.file("f", "x")
    builder.ok("FROM busybox\nRUN echo 1 > /n\nCOPY --link f /sub/f\n")
    said = builder.ok("FROM busybox\nRUN echo 2 > /n\nCOPY --link f /sub/f\n")
    assert said.count("CACHED") == 2
    assert builder.run("cat", "/n", "/sub/f") == "2\nx"


def test_the_cache_survives_rmi_and_ends_with_prune(builder: Builder) -> None:
    dockerfile = (
        "FROM busybox AS a\nRUN echo kept-a-while > /x\nFROM busybox\nCOPY --from=a /x /x\n"
    )
    builder.ok(dockerfile)
    builder.minidock.ok("rmi", "built")
    assert builder.ok(dockerfile).count("CACHED") == 4
    assert builder.minidock("system", "check").stdout.endswith("0 problems found\n")
    builder.minidock.ok("builder", "prune", "-af")
    assert builder.run("cat", "/x") == "kept-a-while\n"  # the image has its own
    assert builder.ok(dockerfile).count("CACHED") == 2
    assert builder.minidock("system", "check").stdout.endswith("0 problems found\n")


def test_an_image_brings_its_cache_along(builder: Builder) -> None:
    dockerfile = "FROM busybox\nRUN date +%s%N > /when\nCMD true\n"
    flags = ("--build-arg", "BUILDKIT_INLINE_CACHE=1")
    builder.ok(dockerfile, *flags)
    when = builder.run("cat", "/when")
    builder.minidock.ok("builder", "prune", "-af")
    builder.ok(dockerfile, "--cache-from", "built", *flags)
    assert builder.run("cat", "/when") == when


def test_the_same_digest_twice(builder: Builder) -> None:
    builder.file("src/a", "1")
    dockerfile = (
        "FROM busybox\nCOPY src /src\nRUN echo b > /b; mkdir /d; ln -s x /d/l\n"
        "WORKDIR /new\nADD --chmod=600 src/a /c\nCOPY <<E /e\nhi\nE\n"
    )
    epoch = ("--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--no-cache")
    first = builder.id(dockerfile, *epoch)
    time.sleep(1.1)
    os.utime(builder.home / "src/a")
    assert builder.id(dockerfile, *epoch) == first
    builder.ok(dockerfile, *epoch)
    assert builder.config()["Created"] == "2023-11-14T22:13:20Z"


def test_the_same_step_in_two_stages_is_done_once(builder: Builder) -> None:
    said = builder.ok(
        "FROM busybox AS a\nRUN sleep 0.3; date +%s%N > /when\n"
        "FROM busybox AS b\nRUN sleep 0.3; date +%s%N > /when\n"
        "FROM busybox\nCOPY --from=a /when /a\nCOPY --from=b /when /b\n",
        "--no-cache",
    )
    assert said.count("CACHED") == 4
    assert len(set(builder.run("cat", "/a", "/b").split())) == 1


def test_another_base_image_is_told(builder: Builder) -> None:
    builder.ok("FROM busybox\nRUN true\n")
    builder.ok("FROM busybox\nLABEL other=1\n", "-t", "second-base")
    dockerfile = "ARG B=busybox\nFROM $B\nENV x=1\nRUN echo for-any-base\n"
    builder.ok(dockerfile)
    said = builder.ok(dockerfile, "--explain-cache", "--build-arg", "B=second-base")
    assert "because the base image was " in said


def test_a_build_that_failed_is_compared_with_too(builder: Builder) -> None:
    builder.file("a", "1")
    dockerfile = "FROM busybox\nCOPY a /compared\nRUN test $(cat /compared) = 2\n"
    assert builder(dockerfile).returncode == 1
    builder.file("a", "2")
    said = builder.ok(dockerfile, "--explain-cache")
    assert "because a has another content" in said
    assert "because it was not built before" in said  # it failed, so nothing is known of it


def test_what_is_old_goes_once_a_day(builder: Builder) -> None:
    root = builder.minidock.root
    dockerfile = "FROM busybox AS a\nRUN echo long-ago > /x\nFROM scratch\nCOPY --from=a /x /\n"

    def cached() -> int:
        return builder.ok(dockerfile).count("CACHED")

    builder.ok(dockerfile)
    assert cached() == 3
    old = time.time() - 61 * 86400
    for day in ("not today", "today"):
        for path in [*(root / "images/kept").iterdir(), *(root / "build/cache").iterdir()]:
            os.utime(path, (old, old))
        if day == "today":
            os.utime(root / "build/pruned", (old, old))
        builder.ok("FROM busybox\nRUN true\n", "-t", "other")
        # The RUN's layer is in no image; that of the COPY is.
        assert cached() == (3 if day == "not today" else 2)
    assert builder.minidock("system", "check").stdout.endswith("0 problems found\n")
