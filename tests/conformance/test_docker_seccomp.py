"""Docker's default profile, whatever its age, refuses nothing that ours lets through."""

from __future__ import annotations

import errno
import importlib.util
import io
import platform
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the probing program is made of x86-64 instructions"
)


def probes() -> Any:
    """The module that assembles the probing program."""
    path = Path(__file__).parents[1] / "privileged" / "test_seccomp.py"
    spec = importlib.util.spec_from_file_location("seccomp_probes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# What Docker let through once, and does not any more, or never looked at.
STRICTER = {
    "io_uring": "25.0",
    "AF_VSOCK": "23.0",
    "AF_VSOCK, in the lower half only": "an open list until 29",
    "AF_ALG": "29",
    "int 0x80: io_uring": "25.0",
    "int 0x80: AF_VSOCK": "23.0",
    "int 0x80: AF_ALG by socketcall": "allowed",
}


def test_nothing_is_let_through_that_docker_refuses(
    minidock: Any, docker_engine: Callable[..., Any]
) -> None:
    probe = probes()
    asked = {**probe.REFUSED, **probe.NOT_THERE}
    asked |= {name: made for name, (made, _) in probe.ALLOWED.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("probe")
        content = probe.program(list(asked.values()), probe.WORDS, as_text=True)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    found = {}
    for engine in (docker_engine, minidock):
        done = engine("import", "-c", 'CMD ["/probe"]', "-", "probes", stdin=buffer.getvalue())
        assert done.returncode == 0, done.stderr
        done = engine("run", "--rm", "--network", "none", "probes")
        assert done.returncode == 0, done.stderr
        found[engine] = dict(zip(asked, map(ord, done.stdout), strict=True))
    theirs, ours = found.values()
    refused = (errno.EPERM, errno.ENOSYS)
    assert {name for name, answer in theirs.items() if answer in refused} <= {
        name for name, answer in ours.items() if answer in refused
    }
    different = {name for name in asked if (theirs[name] in refused) != (ours[name] in refused)}
    assert different <= set(STRICTER)
