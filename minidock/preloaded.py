"""The modules of one command in one file, as an installation has them.

Importing a module means to look through directories, to compare two files' times, to open and read
one of them: 60 µs and more, for each of the eighty modules that starting a container takes. So
`make install` writes the compiled form of those into one file (`write`), which the launchers of
`minidock` and `minidock-oci` make known (`use`), and so does whoever starts another interpreter
(linux/seal.py). What is not in there is imported as ever; a checkout has no such file and notices
nothing.

See: https://docs.python.org/3/reference/import.html#the-meta-path, marshal
"""

from __future__ import annotations

import marshal
import mmap
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # that of the .pyc files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


_LENGTH = 4  # bytes that say how long the table of modules is; their code follows it


class Preloaded:
    """A finder and loader of Python's import system, over what `write` has written."""

    def __init__(self, path: str) -> None:
        with open(path, "rb", 0) as file:
            # Private, so that a monitor that rests can let go of its pages (engine/rest.py).
            content = memoryview(
                mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            )
        start = len(MAGIC_NUMBER) + _LENGTH
        if content[: len(MAGIC_NUMBER)] != MAGIC_NUMBER:
            raise ValueError("compiled by another Python")
        code = start + int.from_bytes(content[start - _LENGTH : start], "little")
        index: dict[str, tuple[bool, str, int, int]] = marshal.loads(content[start:code])
        self._index = index
        self._code = content[code:]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is found: here, or not at all."""
        found = self._index.get(name)
        if found is None:
            return None
        is_package, origin, _, _ = found
        loader: Any = self
        spec = type(sys.__spec__)(name, loader, origin=origin, is_package=is_package)
        if is_package:  # what is not in our file is looked for in its directory
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """None: an ordinary module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        _, origin, start, end = self._index[module.__name__]
        module.__file__ = origin
        exec(marshal.loads(self._code[start:end]), module.__dict__)


def use(path: str) -> None:
    """Import from this file where it can be done. One of another Python's is left alone."""
    try:
        finder: Any = Preloaded(path)
    except (OSError, ValueError, EOFError, TypeError):
        return  # slower, and no less right
    sys.meta_path.insert(0, finder)


def write(path: str, prefixes: Sequence[str]) -> None:
    """Write a file for `use`: every module of ours whose name begins with one of `prefixes`
    ("minidock.runtime": the whole package), and the packages these are in. In it are no docstrings
    and no assertions."""
    index: dict[str, tuple[bool, str, int, int]] = {}
    code = b""
    for name, origin in _modules():
        if name.startswith(tuple(prefixes)) or any(p.startswith(f"{name}.") for p in prefixes):
            with open(origin, "rb") as file:
                compiled = compile(file.read(), origin, "exec", dont_inherit=True, optimize=2)
            one = marshal.dumps(compiled)
            is_package = origin.endswith("/__init__.py")
            index[name] = (is_package, origin, len(code), len(code) + len(one))
            code += one
    table = marshal.dumps(index)
    with open(path, "wb") as file:
        file.write(MAGIC_NUMBER + len(table).to_bytes(_LENGTH, "little") + table + code)


def _modules() -> Iterator[tuple[str, str]]:
    """Name and file of every module of this package."""
    import os

    root = os.path.dirname(os.path.abspath(__file__))
    for directory, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                origin = f"{directory}/{name}"
                dotted = origin[len(os.path.dirname(root)) + 1 : -len(".py")].replace("/", ".")
                yield dotted.removesuffix(".__init__"), origin
