"""The session that minidock exists for, typed at a terminal: run, look, commit, run again.

The image has a real bash (this machine's own, with the libraries it asks for) beside busybox, so
that the shell reads its files and writes its history as it would in Debian or Ubuntu.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import shutil
import subprocess
import tarfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOO = "This is a really important file!!!!"
PROMPT = r"root@[0-9a-f]{12}:/# "
AGO = r"(?:Less than a second|\d+ seconds?|About a minute|\d+ minutes) ago"
NAME = r"[a-z]+_[a-z]+\d?"


def ubuntu_tarball() -> bytes:
    """A root filesystem with bash and busybox."""
    bash, busybox = shutil.which("bash"), Path("/bin/busybox")
    if not bash or not busybox.exists():
        pytest.skip("needs bash and /bin/busybox (Debian package busybox-static)")
    linked = subprocess.run(["ldd", bash], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for name in ("bin", "etc", "lib", "lib64", "proc", "root", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
            tar.addfile(entry)
        tar.add(bash, "bin/bash")
        tar.add(busybox, "bin/busybox")
        for library in re.findall(r"(/\S+) \(0x", linked):
            tar.add(library, library.lstrip("/"))
        for applet in ("cat", "ls", "sleep"):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        add_file(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        add_file(tar, "root/.bashrc", r"PS1='\u@\h:\w\$ '" + "\n")
    return buffer.getvalue()


def add_file(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def ubuntu(minidock: Any) -> Iterator[Any]:
    """minidock with that image and no other container; afterwards the image is gone again."""
    minidock.ok("import", "-c", 'CMD ["/bin/bash"]', "-", "ubuntu", stdin=ubuntu_tarball())
    yield minidock
    minidock.remove_all()
    for name in ("ubuntu-foo", "ubuntu"):
        minidock("rmi", "-f", name)


class Screen:
    """A command on a terminal of its own, and what it shows."""

    def __init__(self, minidock: Any, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [*minidock.argv, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**minidock.env, "TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def read_until(self, pattern: str, seconds: float = 20) -> str:
        """Everything up to and with `pattern`. A terminal's own colours and modes are left out."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], (pattern, self.seen)
            try:
                text = os.read(self.master, 65536).decode()
            except OSError:  # EIO: the last process on the terminal has closed it
                text = ""
            assert text, (pattern, self.seen)
            self.seen += re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait for the command; its exit code."""
        code = self.process.wait(20)
        os.close(self.master)
        return code


def test_run_look_commit_run_again(ubuntu: Any) -> None:
    minidock = ubuntu

    # minidock run -i -t ubuntu /bin/bash
    first = Screen(minidock, "run", "-i", "-t", "ubuntu", "/bin/bash")
    prompt = first.read_until(PROMPT)
    short_id = prompt[5:17]
    first.type("cat > foo\r")
    first.read_until("cat > foo\r\n")
    first.type(FOO + "\r")
    first.read_until(re.escape(FOO) + "\r\n")
    first.type("\x04")
    first.read_until(PROMPT)
    first.type("exit\r")
    first.read_until("exit\r\n")
    assert first.end() == 0

    # … and again: a fresh container
    second = Screen(minidock, "run", "-i", "-t", "ubuntu", "/bin/bash")
    second.read_until(PROMPT)
    second.type("cat foo\r")
    second.read_until("cat: can't open 'foo': No such file or directory\r\n")
    second.read_until(PROMPT)
    second.type("exit 7\r")
    second.read_until("exit 7\r\n")
    assert second.end() == 7

    # minidock ps -a
    header, *rows = minidock.ok("ps", "-a").splitlines()
    assert header.split("  ")[0] == "CONTAINER ID"
    shape = rf'[0-9a-f]{{12}} +ubuntu +"/bin/bash" +{AGO} +Exited \(\d\) {AGO} +{NAME}'
    assert [bool(re.fullmatch(shape, row)) for row in rows] == [True, True], rows
    assert rows[1].startswith(short_id)  # the newest stands first
    assert "Exited (7)" in rows[0] and "Exited (0)" in rows[1]

    # minidock diff 48cff2e9be75
    assert sorted(minidock.ok("diff", short_id).splitlines()) == [
        "A /foo",
        "A /root/.bash_history",
        "C /root",
    ]

    # minidock commit 48cff2e9be75 ubuntu-foo
    image_id = minidock.ok("commit", short_id, "ubuntu-foo")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", image_id)

    # minidock run ubuntu-foo /bin/cat foo
    assert minidock.ok("run", "ubuntu-foo", "/bin/cat", "foo") == FOO + "\n"

    # minidock images
    header, *rows = minidock.ok("images", "ubuntu*").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    size = r"[\d.]+MB"
    assert re.fullmatch(rf"ubuntu-foo +latest +{image_id[7:19]} +{AGO} +{size}", rows[0])
    assert re.fullmatch(rf"ubuntu +latest +[0-9a-f]{{12}} +{AGO} +{size}", rows[1])

    # minidock run -it --rm --name my-running-app ubuntu-foo
    app = Screen(minidock, "run", "-it", "--rm", "--name", "my-running-app", "ubuntu-foo")
    app.read_until(PROMPT)
    _, row = minidock.ok("ps").splitlines()
    assert re.search(r"ubuntu-foo +\"/bin/bash\" .* Up .* my-running-app$", row)
    assert minidock.ok("ps", "-l").splitlines()[1].endswith("my-running-app")
    app.type("ls /\r")
    app.read_until(r"bin .*foo.*\r\n")
    app.read_until(PROMPT)
    app.type("exit\r")
    app.read_until("exit\r\n")
    assert app.end() == 0
    assert "my-running-app" not in minidock.ok("ps", "-a")

    # minidock rm … ; minidock rmi ubuntu-foo
    refused = minidock("rmi", "ubuntu-foo")
    assert refused.returncode == 1
    assert re.fullmatch(
        r'Error response from daemon: conflict: unable to remove repository reference "ubuntu-foo" '
        rf"\(must force\) - container [0-9a-f]{{12}} is using its referenced image "
        rf"{image_id[7:19]}\n",
        refused.stderr,
    )
    ids = minidock.ok("ps", "-aq").split()
    assert minidock.ok("rm", *ids).split() == ids
    untagged, *deleted = minidock.ok("rmi", "ubuntu-foo").splitlines()
    assert untagged == "Untagged: ubuntu-foo:latest"
    assert deleted[0] == f"Deleted: {image_id.strip()}"
    assert len(deleted) == 2  # the image and the one layer that only it had
    assert "ubuntu-foo" not in minidock.ok("images")
    assert minidock.ok("ps", "-aq") == ""
