"""The modules of one command in one file, as an installation has them.

Importing a module means to look through directories, to compare two files' times, to open and read
one of them: 60 µs and more, for each of the eighty modules that starting a container takes. So
`make install` writes the compiled form of those into one file (`write`), which the launcher of
`minidock-oci` makes known (`use`). What is not in there is imported as ever; a checkout has no such
file and notices nothing.

See: https://docs.python.org/3/reference/import.html#the-meta-path, marshal
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # that of the .pyc files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class Preloaded:
    """A finder and loader of Python's import system, over what `write` has written."""

    def __init__(self, path: str) -> None:
        with open(path, "rb", 0) as file:
            content = file.read()
        if content[: len(MAGIC_NUMBER)] != MAGIC_NUMBER:
            raise ValueError("compiled by another Python")
        modules = marshal.loads(memoryview(content)[len(MAGIC_NUMBER) :])
        self._modules: dict[str, tuple[bool, str, bytes]] = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is found: here, or not at all."""
        found = self._modules.get(name)
        if found is None:
            return None
        is_package, origin, _ = found
        loader: Any = self
        spec = type(sys.__spec__)(name, loader, origin=origin, is_package=is_package)
        if is_package:  # what is not in our file is looked for in its directory
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """None: an ordinary module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        _, origin, code = self._modules[module.__name__]
        module.__file__ = origin
        exec(marshal.loads(code), module.__dict__)


def use(path: str) -> None:
    """Import from this file where it can be done. One of another Python's is left alone."""
    try:
        finder: Any = Preloaded(path)
    except (OSError, ValueError, EOFError, TypeError):
        return  # slower, and no less right
    sys.meta_path.insert(0, finder)


def write(path: str, names: Sequence[str]) -> None:
    """Write a file for `use`: the modules of these names and all of ours that they import. In it
    are no docstrings and no assertions."""
    for name in names:
        __import__(name)
    modules: dict[str, tuple[bool, str, bytes]] = {}
    for name, module in sorted(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if name.partition(".")[0] == __name__.partition(".")[0] and origin:
            with open(origin, "rb") as file:
                code = compile(file.read(), origin, "exec", dont_inherit=True, optimize=2)
            is_package = origin.endswith("/__init__.py")
            modules[name] = (is_package, origin, marshal.dumps(code))
    with open(path, "wb") as file:
        file.write(MAGIC_NUMBER + marshal.dumps(modules))
