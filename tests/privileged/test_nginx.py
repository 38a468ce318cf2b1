"""A web server, for real: Debian's nginx, installed by apt in a container that reaches the mirror
through NAT, committed, and asked through published ports."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

DEBIAN = Path(__file__).parents[2] / "rootfs" / "debian.tar"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not DEBIAN.exists(), reason="there is no rootfs/debian.tar: make it first"),
]

INSTALL = "apt-get install -y -q --no-install-recommends nginx"


def fetch(url: str) -> str:
    """A page, once somebody answers."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    pytest.fail(f"nobody answers at {url}")


def test_nginx_behind_published_ports(minidock: Any) -> None:
    minidock.ok("import", "-c", 'CMD ["sh"]', str(DEBIAN), "debian")
    try:
        minidock.ok("run", "-d", "--name", "setup", "debian", "sleep", "600")
        updated = minidock("exec", "setup", "apt-get", "update", "-qq", timeout=120)
        if updated.returncode or "Failed to fetch" in updated.stderr:
            pytest.skip(f"the mirror is out of reach: {updated.stderr.strip()[-200:]}")
        minidock.ok("exec", "setup", "sh", "-c", f"{INSTALL} >/dev/null", timeout=300)
        minidock.ok("exec", "setup", "sh", "-c", "echo hello from nginx >/var/www/html/index.html")
        changes = ("CMD nginx -g 'daemon off;'", "EXPOSE 80")
        flags = [word for change in changes for word in ("-c", change)]
        minidock.ok("commit", *flags, "setup", "web", timeout=120)
        minidock.ok("rm", "-f", "setup")
        minidock.ok("run", "-d", "--name", "one", "-P", "web")
        minidock.ok("run", "-d", "--name", "two", "-P", "web")
        for name in ("one", "two"):
            places = minidock.ok("port", name, "80").splitlines()
            number = places[0].rpartition(":")[2]
            assert places == [f"0.0.0.0:{number}", f"[::]:{number}"]
            for host in ("127.0.0.1", "[::1]", "localhost"):
                assert fetch(f"http://{host}:{number}/") == "hello from nginx\n"
        logged = minidock.ok("exec", "two", "cat", "/var/log/nginx/access.log")
        assert logged.count("GET / ") == 3
    finally:
        minidock.remove_all()
        minidock("rmi", "-f", "web", "debian")
