"""What people do to a command line without meaning harm: found by hand, kept as tests."""

from __future__ import annotations

import subprocess


def test_detached_with_a_terminal_needs_none_itself(minidock) -> None:
    """`run -dit` is typed into cron jobs and CI scripts, which have no terminal."""
    container = minidock.ok("run", "-dit", "busybox", "sh").strip()
    assert minidock.ok("exec", container, "sh", "-c", "readlink /proc/1/fd/0") == "/dev/pts/0\n"


def test_a_line_of_an_env_file_ends_at_its_newline_only(minidock, tmp_path) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfA=1\r\nB=x\ry\x0cz\xc2\x85\n  # a remark\n\n  C=\n=D\n"[:-3])
    out = minidock.ok("run", "--rm", "--env-file", str(file), "busybox", "env")
    assert {"A=1", "C="} <= set(out.split("\n"))
    assert "B=x\ry\x0cz\x85\n" in out


def test_env_files_that_are_none(minidock, tmp_path) -> None:
    """In the words of Docker 28's client."""
    file = tmp_path / "env"
    file.write_bytes(b"A=1\nI=\xff\r\n")
    cases = {
        str(file): f"invalid env file ({file}): invalid utf8 bytes at line 2: [73 61 255]",
        str(tmp_path): f"invalid env file ({tmp_path}): read {tmp_path}: is a directory",
        f"{file}.not": f"open {file}.not: no such file or directory",
    }
    for path, words in cases.items():
        done = minidock("run", "--rm", "--env-file", path, "busybox", "env")
        assert (done.returncode, done.stderr.split("\n")[0]) == (125, f"minidock: {words}")


def test_the_state_is_closed_to_other_users(minidock, root_tarball, tmp_path) -> None:
    """The import comes first on a new machine, and it makes the roots; an image's set-uid programs
    lie in there for everybody to run, if somebody may reach them."""
    fresh = type(minidock)(tmp_path / "new")
    fresh.ok("import", "-", "busybox", stdin=root_tarball)
    assert fresh.root.stat().st_mode & 0o777 == 0o700
    fresh.ok("run", "--rm", "busybox", "true")
    assert {p.stat().st_mode & 0o777 for p in fresh.root.iterdir()} == {0o700}


def test_a_run_without_its_image_leaves_nothing(minidock, tmp_path) -> None:
    fresh = type(minidock)(tmp_path / "new")
    done = fresh("run", "--rm", "--pull", "never", "busybox", "true")
    assert done.returncode == 125
    assert "No such image: busybox:latest" in done.stderr
    assert not fresh.root.exists()
    assert not fresh.run_root.exists()


def test_an_output_that_takes_nothing_is_named(minidock) -> None:
    """ "No space left on device" alone would be taken for the containers' disk."""
    for words, code in ((("run", "--rm", "busybox", "echo"), 125), (("ps",), 1)):
        with open("/dev/full", "wb") as full:
            process = minidock.popen(*words, stdout=full, stderr=subprocess.PIPE)
            _, said = process.communicate(timeout=30)
        first = said.decode().split("\n")[0]
        assert first == "minidock: write /dev/stdout: No space left on device"
        assert process.returncode == code


def test_a_reader_that_has_gone_is_no_error(minidock) -> None:
    for words in (("run", "--rm", "busybox", "ls", "-R", "/"), ("ps",)):
        process = minidock.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 141)


def test_a_root_that_may_not_mount_is_told_so(minidock) -> None:
    """As in most containers of others."""
    words = ["setpriv", "--bounding-set=-sys_admin", *minidock.argv, "run", "--rm", "busybox", "id"]
    done = subprocess.run(words, env=minidock.env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        "minidock: run needs CAP_SYS_ADMIN, which root does not have here:"
        " in a container, give that one --privileged\n"
    )
