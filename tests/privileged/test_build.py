"""build: from a Dockerfile to an image that runs."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

from privileged.building import Builder


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
    assert builder("FROM busybox\nRUN false\n", "--iidfile", str(iid)).returncode == 1
    assert not iid.exists()
    assert {"built:latest", "second:name"} <= set(image["RepoTags"])


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


def test_what_means_deletion_in_a_layer_is_not_copied(builder: Builder) -> None:
    builder.file(".wh.bin")
    done = builder("FROM busybox\nCOPY . /\n")
    assert done.returncode == 1
    assert "cannot copy /.wh.bin: in a layer that means a deletion" in done.stderr
    (builder.home / ".wh.bin").unlink()
    os.mknod(builder.home / "bin", 0o20600, 0)
    done = builder("FROM busybox\nCOPY . /x/\n")
    assert done.returncode == 1 and "means a deletion" in done.stderr


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
