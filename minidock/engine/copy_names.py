"""cp: what arrives where, and under which name.

A copy has two ends. Of each it matters whether it is there and whether it is a directory, and what
was typed at the end of its path: `dir` is a directory, `dir/` the same but nothing else, `dir/.`
what is in it.

    source       destination              result
    ──────────   ──────────────────────   ────────────────────────────────────────────────────────
    a file       is not there             is made with this name; if it ends in `/`, an error
    a file       is a file                is replaced
    a file       is a directory           goes into it, with its own name
    a directory  is not there             is made with this name, with the content of the source
    a directory  is a file                an error
    a directory  is a directory           goes into it with its own name; for `dir/.` its content

A symbolic link is copied as a link, but for `dir/` and `dir/.`, which ask for what it leads to, and
for `-L`; the copy has the link's name then. A destination that is a link is what it leads to.

Nothing here looks at a file: these are the rules alone.

See: https://docs.docker.com/reference/cli/docker/container/cp/, moby's pkg/archive/copy.go
"""

from __future__ import annotations

from posixpath import normpath

from minidock.errors import MinidockError
from minidock.record import Record


class End(Record):
    """One end of a copy. `path` is absolute, and ends as it was typed; `name` is the one that the
    copy gets where that is not the last part of the path."""

    path: str
    exists: bool = False
    is_directory: bool = False
    name: str = ""


class Arrival(Record):
    """Where to write: an existing directory, and the name in it: "." for the directory itself,
    into which the content goes."""

    directory: str
    name: str


def arrival(source: End, destination: End) -> Arrival:
    """Raises `MinidockError` in Docker's words."""
    directory, base = split(destination.path)
    if destination.exists and destination.is_directory:
        return Arrival(destination.path, source.name or split(source.path)[1])
    if destination.exists and source.is_directory:
        raise MinidockError("cannot copy directory")
    if not (destination.exists or source.is_directory) and means_directory(destination.path):
        raise MinidockError("no such directory")
    return Arrival(directory, base)


def split(path: str) -> tuple[str, str]:
    """Directory and last part: `/a/b/` → `/a`, `b`; `/a/b/.` → `/a/b`, `.`; `/` → `/`, `/`."""
    plain = clean(path)
    if means_content(path):
        return plain, "."
    directory, _, base = plain.rpartition("/")
    return directory or "/", base or "/"


def clean(path: str) -> str:
    """An absolute path without `.`, `..` and doubled slashes, as text."""
    return normpath("/" + path.lstrip("/"))


def as_typed(plain: str, typed: str) -> str:
    """A cleaned path with the `/` or `/.` at its end that was typed."""
    if means_content(typed) and not means_content(plain):
        plain = plain.rstrip("/") + "/."
    if typed.endswith("/") and not plain.endswith("/"):
        plain += "/"
    return plain


def means_content(path: str) -> bool:
    """Whether it ends in `/.`"""
    return path.rpartition("/")[2] == "."


def means_directory(path: str) -> bool:
    """Whether it can be nothing else."""
    return path.endswith("/") or means_content(path)


def led_to(path: str, target: str) -> End:
    """The end that a link at `path` leads to: `target`, ending as it was typed, with the link's
    name."""
    there = as_typed(target, path)
    name = _base(path)
    return End(there, name="" if name == _base(there) else name)


def _base(path: str) -> str:
    """The last part as Go takes it: of `/a/.` that is `.`"""
    return path.rstrip("/").rpartition("/")[2] or "/"
