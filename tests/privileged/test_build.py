"""build: from a Dockerfile to an image that runs, and nothing left beside it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Builder:
    """A context, and builds of it."""

    def __init__(self, minidock: Any, home: Path) -> None:
        self.minidock = minidock
        self.home = home
        home.mkdir()

    def file(self, name: str, content: str = "", mode: int = 0o644) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def __call__(
        self, dockerfile: str, *flags: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        (self.home.parent / "Dockerfile").write_text(dockerfile)
        file = ("-f", str(self.home.parent / "Dockerfile")) if "-f" not in flags else ()
        return self.minidock("build", *file, *flags, str(self.home), stdin=stdin)

    def ok(self, dockerfile: str, *flags: str) -> str:
        """What it said. The image is `built`."""
        done = self(dockerfile, "-t", "built", *flags)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def id(self, dockerfile: str, *flags: str) -> str:
        done = self(dockerfile, "-q", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *words: str) -> str:
        return self.minidock.ok("run", "--rm", "built", *words)

    def config(self) -> Any:
        return json.loads(self.minidock.ok("image", "inspect", "built"))[0]

    def left(self) -> list[str]:
        """What a build may not leave."""
        root, run_root = self.minidock.root, self.minidock.run_root
        new = [str(path) for path in (root / "layers/new").glob("*")]
        return new + [str(path) for path in run_root.glob("build-*")]


@pytest.fixture
def builder(minidock: Any, tmp_path: Path) -> Iterator[Builder]:
    built = Builder(minidock, tmp_path / "context")
    yield built
    assert built.left() == []


# ── what it makes ──


def test_a_small_image(builder: Builder) -> None:
    builder.file("src/hello", "hello\n")
    said = builder.ok(
        "FROM busybox\nENV WHO=world\nWORKDIR /app\nCOPY src .\n"
        'RUN echo "$WHO" >> hello && pwd\nUSER www-data\nCMD ["cat", "hello"]\n'
    )
    assert "#4 [4/4] RUN" in said and " /app\n" in said and "naming to built:latest" in said
    assert builder.run() == "hello\nworld\n"
    config = builder.config()["Config"]
    assert config["WorkingDir"] == "/app" and config["User"] == "www-data"
    assert "WHO=world" in config["Env"]
    history = builder.minidock.ok("history", "--format", "{{.CreatedBy}}", "--no-trunc", "built")
    assert 'RUN /bin/sh -c echo "$WHO" >> hello && pwd' in history


def test_only_needed_stages_are_built_and_at_the_same_time(builder: Builder) -> None:
    meet = (  # which they only can if both run
        "RUN --mount=type=cache,target=/m,id=meet touch /m/{0}; for i in $(seq 200);"
        " do test -e /m/{1} && echo {0} > /{0} && exit; sleep 0.1; done; false\n"
    )
    dockerfile = (
        f"FROM busybox AS a\n{meet.format('a', 'b')}FROM busybox AS b\n{meet.format('b', 'a')}"
        "FROM busybox AS never\nRUN false\n"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=1 /b /\n"
    )
    builder.minidock.ok("builder", "prune", "-af")
    said = builder.ok(dockerfile, "-o", str(builder.home / "out"))
    assert "RUN false" not in said
    assert {p.name: p.read_text() for p in (builder.home / "out").iterdir()} == {
        "a": "a\n",
        "b": "b\n",
    }
    assert builder(dockerfile, "--target", "never").returncode == 1


def test_copy_in_all_its_forms(builder: Builder) -> None:
    builder.file("a.txt", "a", 0o755)
    builder.file("b.txt", "b")
    builder.file("dir/c.md", "c")
    builder.file("dir/sub/d.txt", "d")
    (builder.home / "dir/link").symlink_to("c.md")
    builder.ok(
        "FROM busybox\n"
        "COPY a.txt /new-name\n"
        "COPY a.txt b.txt /both/\n"
        "COPY *.txt /all/\n"
        "COPY dir /dir\n"
        "COPY --chown=www-data:staff --chmod=u=rw,go= a.txt /owned\n"
        "COPY --chown=12:34 dir /numbers/\n"
        "COPY --exclude=*.md --exclude=sub dir /excluded/\n"
        "COPY --parents ./dir/./sub/d.txt /parents/\n"
        "COPY --link b.txt /linked/\n"
        "COPY <<EOF <<'RAW' /docs/\n$HOME-less\nEOF\n$HOME\nRAW\n"
        "COPY a.txt /tmp\n"
    )
    found = builder.run(
        "sh", "-c",
        "cat /new-name /both/b.txt /all/a.txt /dir/link /parents/sub/d.txt /linked/b.txt;"
        " echo; ls /excluded; cat /docs/EOF /docs/RAW; stat -c '%a %u:%g'"
        " /new-name /tmp /tmp/a.txt /owned /numbers/c.md /numbers/link /numbers",
    ).splitlines()  # fmt: skip
    assert found[0] == "abacdb"
    assert found[1:4] == ["link", "-less", "$HOME"]
    assert found[4:] == [
        "755 0:0", "1777 0:0", "755 0:0", "600 33:50", "644 12:34", "777 12:34", "755 12:34",
    ]  # fmt: skip


def test_copy_into_the_image_stays_inside(builder: Builder) -> None:
    """Its links are the image's own: /out leads to the image's /etc, never to the host's."""
    builder.file("marker", "by a build")
    builder.ok(
        "FROM busybox\n"
        "RUN ln -s /etc /out; ln -s ../../../../etc /rel; mkdir /real; ln -s real /d\n"
        "COPY marker /out/marker-1\nCOPY marker /rel/marker-2\nCOPY marker /d/\n"
    )
    assert builder.run("ls", "/etc/marker-1", "/etc/marker-2", "/real/marker")
    assert not Path("/etc/marker-1").exists() and not Path("/etc/marker-2").exists()
    assert builder.run("readlink", "/d") == "real\n"


def test_copy_out_of_the_context_stays_inside(builder: Builder) -> None:
    (builder.home / "passwd").symlink_to("/etc/passwd")
    (builder.home / "up").symlink_to("../../../../../../../../etc")
    for source in ("passwd", "up/passwd", "../../../../../etc/passwd"):
        done = builder(f"FROM busybox\nCOPY {source} /stolen\n")
        assert done.returncode == 1
        assert "not found" in done.stderr
    builder.ok("FROM busybox\nCOPY . /as-links/\n")
    assert builder.run("readlink", "/as-links/passwd") == "/etc/passwd\n"


def test_what_cannot_be_copied_is_refused_before(builder: Builder) -> None:
    builder.file("x/bin/sh/deep", "")
    builder.file("f", "")
    for copy, problem in (
        ("x/ /", "cannot copy to non-directory: /bin/sh"),
        ("f /bin/sh/", "cannot copy to non-directory: /bin/busybox"),
        ("f x /etc/passwd", "cannot copy to non-directory: /etc/passwd"),
        ("--chown=nobody f /f", "unable to find user nobody"),
        ("--chmod=9 f /f", "invalid chmod parameter"),
    ):
        done = builder(f"FROM busybox\nCOPY {copy}\n")
        assert done.returncode == 1
        assert problem in done.stderr
        assert ">>> COPY" in done.stderr


def test_add_unpacks_archives_only(builder: Builder) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, uid in (("inside/file", 7), ("../../outside", 0), ("/absolute", 0)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = 2, uid
            tar.addfile(entry, io.BytesIO(b"x\n"))
    builder.file("text.tar.gz", "no archive at all")
    (builder.home / "ok.tar").write_bytes(buffer.getvalue())
    done = builder("FROM busybox\nADD ok.tar /un/\n")
    assert done.returncode == 1 and "invalid tar archive" in done.stderr
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        entry = tarfile.TarInfo("inside/file")
        entry.size, entry.uid = 2, 7
        tar.addfile(entry, io.BytesIO(b"x\n"))
    (builder.home / "ok.tar").write_bytes(buffer.getvalue())
    builder.ok("FROM busybox\nADD ok.tar text.tar.gz /un/\nADD --unpack=false ok.tar /packed/\n")
    assert builder.run("stat", "-c", "%u", "/un/inside/file") == "7\n"
    assert builder.run("ls", "/un", "/packed").split() == [
        "/packed:", "ok.tar", "/un:", "inside", "text.tar.gz",
    ]  # fmt: skip


def test_dockerignore(builder: Builder) -> None:
    for name in ("a.log", "keep.log", "b.txt", "node_modules/x/y", "d/e.log"):
        builder.file(name)
    builder.file(".dockerignore", "**/*.log\n!keep.log\nnode_modules\n.dockerignore\n")
    builder.ok("FROM busybox\nCOPY . /c\nRUN --mount=type=bind,target=/m cp -r /m /n\n")
    for place in ("/c", "/n"):
        assert builder.run("find", place, "-type", "f").split() == [
            f"{place}/b.txt", f"{place}/keep.log",
        ] or set(builder.run("find", place, "-type", "f").split()) == {
            f"{place}/b.txt", f"{place}/keep.log",
        }  # fmt: skip


# ── the cache ──


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


# ── RUN ──


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


def test_arguments(builder: Builder) -> None:
    dockerfile = (
        "ARG TAG=latest\nFROM busybox:$TAG\nARG A=1\nARG B\nARG TARGETARCH\n"
        "ENV C=${A}x\nRUN echo $A $B $C $TARGETARCH $HTTP_PROXY > /seen\n"
    )
    builder.ok(dockerfile, "--build-arg", "B=2", "--build-arg", "HTTP_PROXY=p")
    assert builder.run("cat", "/seen").split()[:3] == ["1", "2", "1x"]
    assert builder.run("cat", "/seen").split()[-1] == "p"
    assert "HTTP_PROXY=p" not in builder.minidock.ok("history", "--no-trunc", "built")


def test_onbuild(builder: Builder) -> None:
    builder.file("a", "for onbuild")
    builder.ok("FROM busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b\n")
    builder.minidock.ok("tag", "built", "base-with-triggers")
    said = builder.ok("FROM base-with-triggers\nRUN test -e /b\n")
    assert "[4/4] RUN test -e /b" in said
    assert not builder.config()["Config"].get("OnBuild")


def test_squash(builder: Builder) -> None:
    builder.ok(
        "FROM busybox\nRUN echo big > /big; mkdir /d; echo 1 > /d/1; rm /bin/vi\n"
        "RUN rm /big; rm -r /d; mkdir /d; echo 2 > /d/2; rm -r /var; ln /d/2 /hard\n",
        "--squash",
    )
    assert len(builder.config()["RootFS"]["Layers"]) == 2
    script = "ls /d; ls -d /big /var /bin/vi; stat -c %h /hard"
    done = builder.minidock("run", "--rm", "built", "sh", "-c", script)
    assert done.stdout.split() == ["2", "2"]
    assert done.stderr.count("No such file") == 3


def test_outputs(builder: Builder) -> None:
    dockerfile = "FROM scratch\nCOPY <<E /a/b\nhi\nE\n"
    out = builder.home / "out"
    out.mkdir()
    (out / "a").symlink_to("/tmp")  # somebody else's: it must not be followed
    builder.ok(dockerfile, "-o", f"type=local,dest={out}")
    assert (out / "a/b").read_text() == "hi\n" and not (out / "a").is_symlink()
    tar = builder.home / "out.tar"
    builder.ok(dockerfile, "-o", f"type=tar,dest={tar}")
    with tarfile.open(tar) as archive:
        assert archive.getnames() == ["a", "a/b"]


def listing(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a directory: mode, owner, time, link target, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        s = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        about = (oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, target, content)
        found[str(path.relative_to(top))] = about
    return found


def test_what_is_stacked_is_what_is_in_the_blobs(builder: Builder, tmp_path: Path) -> None:
    """A layer is made as a directory and as a tarball: the same files in both, and squashed too."""
    builder.file("t/a", "1", 0o4755)
    builder.file("t/d/e", "2", 0o600)
    (builder.home / "t/l").symlink_to("/etc")
    os.mkfifo(builder.home / "t/p", 0o644)
    dockerfile = (
        "FROM busybox\nCOPY t /t\n"
        "RUN rm -r /etc /t/a; mkdir -p /etc/x /d/f; echo y > /etc/passwd; ln /etc/passwd /hard\n"
        "RUN rm -r /d; mkdir /d; echo 1 > /d/1; mv /usr /user; ln -s /nowhere /q; mkfifo /p\n"
        "WORKDIR /user/w\nCOPY --link t /linked/\nCOPY --chown=5:6 t /etc/\n"
    )
    minidock, trees = builder.minidock, {}
    builder.ok(dockerfile)
    archive = tmp_path / "saved.tar"
    minidock.ok("save", "-o", str(archive), "built")
    builder.ok(dockerfile, "-o", str(tmp_path / "stacked"))
    minidock.ok("rmi", "-f", "built")
    minidock.ok("builder", "prune", "-af")
    minidock.ok("load", "-i", str(archive))
    builder.ok("FROM built\n", "-o", str(tmp_path / "unpacked"))
    minidock.ok("rmi", "-f", "built")
    for name in ("stacked", "unpacked"):
        trees[name] = listing(tmp_path / name)
    assert trees["stacked"] == trees["unpacked"]
    assert "etc/x" in trees["stacked"] and "t/a" not in trees["stacked"]
    epoch = ("--build-arg", "SOURCE_DATE_EPOCH=1700000000")
    builder.ok(dockerfile, *epoch, "-o", str(tmp_path / "plain"))
    builder.ok(dockerfile, *epoch, "--squash")
    assert len(builder.config()["RootFS"]["Layers"]) == 2
    builder.ok("FROM built\n", "-o", str(tmp_path / "squashed"))
    assert listing(tmp_path / "plain") == listing(tmp_path / "squashed")


def test_labels_and_iidfile_and_several_tags(builder: Builder) -> None:
    iid = builder.home.parent / "iid"
    builder.ok(
        "FROM busybox\nLABEL a=1 b=2\n", "--label", "b=3", "--label", "c",
        "--iidfile", str(iid), "-t", "second:name",
    )  # fmt: skip
    image = builder.config()
    assert image["Config"]["Labels"] == {"a": "1", "b": "3", "c": ""}
    assert image["Id"] == iid.read_text()
    assert {"built:latest", "second:name"} <= set(image["RepoTags"])


# ── contexts ──


def test_a_tar_on_standard_input(builder: Builder, tmp_path: Path) -> None:
    builder.file("Dockerfile", "FROM busybox\nCOPY f /f\nCOPY up /up\n")
    builder.file("f", "from a tar")
    (builder.home / "up").symlink_to("../../../etc/passwd")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(builder.home, ".")
    done = builder.minidock("build", "-t", "built", "-", stdin=buffer.getvalue())
    assert done.returncode == 1 and '"/up": not found' in done.stderr
    builder.file("Dockerfile", "FROM busybox\nCOPY f /f\n")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(builder.home, ".")
    assert builder.minidock("build", "-t", "built", "-", stdin=buffer.getvalue()).returncode == 0
    assert builder.run("cat", "/f") == "from a tar"


def test_a_hostile_tar(builder: Builder) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("d")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
        entry = tarfile.TarInfo("d/minidock-was-here")
        tar.addfile(entry, io.BytesIO(b""))
        dockerfile = tarfile.TarInfo("Dockerfile")
        dockerfile.type, dockerfile.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(dockerfile)
    done = builder.minidock("build", "-", stdin=buffer.getvalue())
    assert done.returncode == 1
    assert not Path("/etc/minidock-was-here").exists()
    assert "root:" not in done.stderr


def test_a_dockerfile_alone(builder: Builder) -> None:
    done = builder.minidock("build", "-t", "built", "-", stdin=b"FROM busybox\nRUN echo 1 > /1\n")
    assert done.returncode == 0
    assert builder("", "-f", "-", stdin=b"FROM busybox\nCOPY . /x\n").returncode == 0


def test_what_is_no_context(builder: Builder) -> None:
    for where, problem in (
        ("https://github.com/docker/docker.git", "there is no git here"),
        ("/no/such/place", 'unable to prepare context: path "/no/such/place" not found'),
        (str(builder.home), "failed to read dockerfile: open Dockerfile: no such file"),
    ):
        done = builder.minidock("build", where)
        assert done.returncode == 1
        assert done.stderr.startswith("ERROR: ") and problem in done.stderr


# ── when it fails ──


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


def test_the_same_step_in_two_stages_is_done_once(builder: Builder) -> None:
    said = builder.ok(
        "FROM busybox AS a\nRUN sleep 0.3; date +%s%N > /when\n"
        "FROM busybox AS b\nRUN sleep 0.3; date +%s%N > /when\n"
        "FROM busybox\nCOPY --from=a /when /a\nCOPY --from=b /when /b\n",
        "--no-cache",
    )
    assert said.count("CACHED") == 4
    assert len(set(builder.run("cat", "/a", "/b").split())) == 1


def test_what_means_deletion_in_a_layer_is_not_copied(builder: Builder) -> None:
    builder.file(".wh.bin")
    done = builder("FROM busybox\nCOPY . /\n")
    assert done.returncode == 1
    assert "cannot copy /.wh.bin: in a layer that means a deletion" in done.stderr
    (builder.home / ".wh.bin").unlink()
    os.mknod(builder.home / "bin", 0o20600, 0)
    done = builder("FROM busybox\nCOPY . /x/\n")
    assert done.returncode == 1 and "means a deletion" in done.stderr


def test_another_base_image_is_told(builder: Builder) -> None:
    builder.ok("FROM busybox\nRUN true\n")
    builder.ok("FROM busybox\nLABEL other=1\n", "-t", "second-base")
    dockerfile = "ARG B=busybox\nFROM $B\nENV x=1\nRUN echo for-any-base\n"
    builder.ok(dockerfile)
    said = builder.ok(dockerfile, "--explain-cache", "--build-arg", "B=second-base")
    assert "because the base image was " in said


def test_flags_that_make_no_sense(builder: Builder) -> None:
    for flags, problem, code in (
        (("-t", "Upper"), "repository name (library/Upper) must be lowercase", 125),
        (("--progress", "loud"), "invalid progress type: loud", 1),
        (("--platform", "linux/amd64,linux/arm64"), "one platform at a time", 1),
        (("--secret", "id=x,src=/no/such/file"), "no such file", 1),
        (("--ssh", "default=/etc/passwd"), "no agent's socket", 1),
        (("-o", "type=oci,dest=x"), "unsupported type oci", 1),
        (("--build-arg", "SOURCE_DATE_EPOCH=yesterday"), "must be seconds since 1970", 1),
        (("--target", "nowhere"), "could not be found", 1),
        (("--push",), "minidock push does that", 125),
    ):
        done = builder("FROM busybox AS first\nRUN true\n", *flags)
        assert (done.returncode, done.stdout) == (code, "")
        assert problem in done.stderr


def test_add_of_a_url(builder: Builder) -> None:
    import hashlib
    import http.server
    import threading

    seen: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(builder.home))

        def log_message(self, format: str, *args: Any) -> None:
            seen.append(str(args[1]))

    builder.file("thing", "from afar")
    digest = hashlib.sha256(b"from afar").hexdigest()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        dockerfile = f"FROM busybox\nADD {url}/thing /in/\n"
        builder.ok(dockerfile)
        assert builder.run("stat", "-c", "%a", "/in/thing") == "600\n"
        assert "CACHED\n" in builder.ok(dockerfile).partition("ADD")[2]
        assert seen == ["200", "304"]
        builder.ok(f"FROM busybox\nADD --checksum=sha256:{digest} {url}/thing /in/\n")
        assert len(seen) == 2  # it is here already
        done = builder(f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {url}/thing /\n")
        assert "digest mismatch" in done.stderr
        done = builder(f"FROM busybox\nADD {url}/nothing /\n")
        assert f"failed to load {url}/nothing: 404" in done.stderr
        server.shutdown()
    done = builder(f"FROM busybox\nADD {url}/thing /\n")
    assert "Connection refused" in done.stderr
    done = builder(f"FROM busybox\nADD --checksum=sha256:{digest} thing /\n")
    assert "checksum can't be specified for non-HTTP(S) sources" in done.stderr


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
