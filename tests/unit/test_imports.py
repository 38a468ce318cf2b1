"""The house has floors: imports point downward only. And the commands one waits for stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minidock

PACKAGE = Path(minidock.__file__).parent
FLOORS = (  # from the top; what stands on one floor does not import each other
    ("__main__",),
    ("cli", "api"),
    ("study",),
    ("build",),
    ("engine",),
    ("runtime", "registry"),
    ("image", "network", "isolation"),
    ("step",),
    ("linux", "spec"),
    ("record", "errors", "preloaded", "__init__"),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}


def room(path: Path) -> str:
    """The package, or the single module, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) for every import of ours, those inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            names = [node.module or ""]
            if node.module == "minidock":
                names = [f"minidock.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            head, _, rest = name.partition(".")
            if head == "minidock":
                found = rest.partition(".")[0] or "__init__"
                yield node.lineno, found if found in FLOOR_OF else "__init__"


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    here = room(path)
    assert here in FLOOR_OF, f"on which floor is {here}?"
    for line, there in imported(path):
        allowed = there == here or FLOOR_OF[there] > FLOOR_OF[here]
        assert allowed, f"{path}:{line}: {here} imports {there}, which is not below it"


def test_the_test_sees_arrows() -> None:
    found = {there for path in MODULES if room(path) == "engine" for _, there in imported(path)}
    assert {"runtime", "image", "isolation", "linux", "spec", "errors"} <= found


HEAVY = {
    "argparse", "asyncio", "click", "contextlib", "dataclasses", "datetime", "enum", "inspect",
    "json", "logging", "pathlib", "re", "shutil", "signal", "socket", "subprocess", "tarfile",
    "tempfile", "threading", "typing",
}  # fmt: skip
OBSERVERS = {  # --explain and its relatives, for whoever did not ask for them
    "minidock.linux.notation",
    "minidock.linux.notation_calls",
    "minidock.linux.notation_sockets",
    "minidock.linux.notation_words",
    "minidock.linux.recording",
    "minidock.runtime.narrate",
    "minidock.study.explain",
}


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after `code`."""
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}\n"
    program += "sys.stderr.write(' '.join(sys.modules))"
    argv = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


RUN = """
import minidock.cli.main, minidock.engine.spawn, minidock.linux.seal, minidock.cli.container_run
import minidock.cli.run_options, minidock.engine.containers, minidock.engine.paths
import minidock.engine.run, minidock.engine.start, minidock.engine.client, minidock.image.store
"""
EXEC = """
import minidock.cli.main, minidock.cli.container_exec, minidock.engine.exec
import minidock.engine.containers, minidock.engine.client
"""
LAUNCHER = """
import minidock.engine.launcher, minidock.runtime.launch
import minidock.runtime.plan, minidock.runtime.exec
minidock.engine.launcher.read_facts(), minidock.engine.launcher.loads(b"{}")
"""
PS = """
from minidock.cli.app import App
from minidock.cli.container_lists import PS, ps
from minidock.cli.parse import parse
import minidock.cli.main
ps(parse(PS, "ps", ["-a"]), App(root="/nonexistent", run_root="/nonexistent"))
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(RUN, id="run"),
        pytest.param(EXEC, id="exec"),
        pytest.param(PS, id="ps"),
        pytest.param(LAUNCHER, id="launcher"),
        pytest.param("import minidock.engine.spawn, minidock.engine.monitor", id="monitor"),
    ],
)
def test_the_fast_path_is_light(code: str) -> None:
    found = modules_after(code)
    assert not found & HEAVY
    assert not found & OBSERVERS
    codecs = {name for name in found if name.startswith("encodings.")}
    assert codecs == {"encodings.aliases", "encodings.utf_8"}  # what Python itself begins with


def test_the_monitor_carries_little() -> None:
    """It stays beside its container for as long as that lives."""
    found = modules_after("import minidock.engine.spawn, minidock.engine.monitor")
    ours = {name for name in found if name.startswith("minidock.")}
    heavy = ("minidock.image", "minidock.isolation", "minidock.cli", "minidock.runtime.plan")
    assert not {name for name in ours if name.startswith(heavy)}
    assert len(ours) < 30, sorted(ours)


def test_the_narrator_needs_nothing_late() -> None:
    """init tells its story after it has pivoted, when a module would come from the image."""
    code = """
import os, sys
from minidock.runtime.narrate import Narrator
from minidock.runtime import exec, launch, plan
from minidock.engine import launcher
from minidock.linux.flags import Ioctl, Prctl, CloneFlag, MountFlag, AtFlag
before = set(sys.modules)
sys.path[:] = []
sys.meta_path[:] = []
reader, writer = os.pipe()
narrator = Narrator(writer)
kernel = narrator.kernel("init")
narrator.remark("init", ("s\\xe9nt\\udcff", "mount(2)"))
kernel.umask(0o22)
for call in (
    lambda: kernel.mount("a", "/nonexistent\\udcff", "b", MountFlag.MS_BIND, None),
    lambda: kernel.openat2(-1, "x", os.O_PATH, 0, 0x10),
    lambda: kernel.ioctl(writer, Ioctl.TIOCSWINSZ, bytes(8)),
    lambda: kernel.execve("/nonexistent", ["a"], ["b=c"]),
    lambda: kernel.stat("/nonexistent"),
    lambda: kernel.prctl(Prctl.PR_CAPBSET_READ, 3),
    lambda: kernel.rt_sigaction(13),
):
    try:
        call()
    except OSError:
        pass
assert set(sys.modules) == before
assert os.read(reader, 65536).count(b"\\n") == 10
"""
    modules_after(code)
