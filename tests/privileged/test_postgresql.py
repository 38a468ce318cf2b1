"""A database, for real: Debian's PostgreSQL on a named volume, which a client finds by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DEBIAN = Path(__file__).parents[2] / "rootfs" / "debian.tar"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not DEBIAN.exists(), reason="there is no rootfs/debian.tar: make it first"),
]

# Unpacked without being set up, and without what the server itself has no use for: that is a tenth
# of the time.
INSTALL = r"""
set -e
cd /tmp
apt-get update -qq
packages=$(apt-get install -s --no-install-recommends postgresql | awk '/^Inst/ { print $2 }')
apt-get download -qq $(echo "$packages" | grep -v -E 'perl|llvm|z3|locales|ssl-cert|l10n|-dev')
for package in *.deb; do dpkg -x "$package" /; done
rm -- *.deb
useradd --system --home-dir /var/lib/postgresql postgres
mkdir -p /var/lib/postgresql /var/run/postgresql
chown postgres /var/lib/postgresql /var/run/postgresql
ln -s /usr/lib/postgresql/*/bin /opt/postgresql
"""
START = (
    "[ -s $PGDATA/PG_VERSION ] || "
    "{ initdb -N -A trust && echo host all all all trust >>$PGDATA/pg_hba.conf; } && "
    "exec postgres -F -c listen_addresses=*"
)


def ask(minidock, question: str) -> str:
    """What a client in a container of its own is told, once the server answers."""
    script = f"for i in $(seq 100); do psql -At -h db -c '{question}' && break; sleep 0.1; done"
    argv = ("run", "--rm", "--network", "shop", "postgresql", "sh", "-c", script)
    return minidock.ok(*argv, timeout=120)


def test_a_database_that_a_client_finds_by_name_and_that_outlives_its_container(minidock) -> None:
    minidock.ok("import", "-c", 'CMD ["sh"]', str(DEBIAN), "debian")
    minidock.ok("run", "--name", "setup", "debian", "sh", "-c", INSTALL, timeout=600)
    changes = (
        "ENV PATH=/opt/postgresql:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "EXPOSE 5432",
        "USER postgres",
        f"CMD {START}",
    )
    flags = [word for change in changes for word in ("-c", change)]
    minidock.ok("commit", *flags, "setup", "postgresql", timeout=120)
    minidock.ok("network", "create", "shop")
    serve = ("run", "-d", "--network", "shop", "-v", "pgdata:/var/lib/postgresql")
    try:
        minidock.ok(*serve, "--name", "db", "postgresql")
        ask(minidock, "CREATE TABLE foo (what text)")
        ask(minidock, "INSERT INTO foo VALUES ($$This is a really important file!!!!$$)")
        minidock.ok("rm", "-f", "db")
        minidock.ok(*serve, "--name", "another", "--network-alias", "db", "postgresql")
        assert ask(minidock, "SELECT what FROM foo") == "This is a really important file!!!!\n"
        minidock.ok("stop", "another", timeout=60)
        assert minidock.ok("wait", "another") == "0\n"
    finally:
        minidock.remove_all()
        minidock("volume", "rm", "pgdata")
        minidock("rmi", "-f", "postgresql", "debian")
