"""What was built before, and why it can or cannot be used again.

    build/cache/<key>.json      one step that was done: what it was given, and the layer it made
    build/cache/<key>.inputs    the files it was given, a line each (copy.py, `fingerprints`)
    build/last/<name>.json      the keys of a Dockerfile's last build, by stage and step
    build/hashes/<name>         what files had in them (hashes.py)

A key is the digest of all that can make a difference: the key of the step before, the instruction
with its variables filled in, the arguments in scope, and the content, mode and owner of its inputs.
Not the time of a file, which every checkout changes. A key that is known stands for a layer that
need not be made again.

The parts of a key are kept under their names. So when a step is not found, those it had last time
can be compared with the ones it has now, and `--explain-cache` tells the first that differs.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256

from minidock.errors import BadData
from minidock.image.blobs import unique_name
from minidock.linux.private import make_private
from minidock.record import Record
from minidock.spec.digest import DiffID
from minidock.spec.fields import Fields
from minidock.spec.image import Descriptor, parse_descriptor
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ABOVE = "above"  # the part that holds ENV, USER and so on since the step before
INSTRUCTION = "instruction"
INPUTS = "inputs"


class Made(Record):
    """What a step made. Without a `layer` it changed nothing. `size` is the bytes of its files."""

    created: str
    layer: Descriptor | None = None
    diff_id: DiffID | None = None
    size: int = 0


class Entry(Record):
    """A step that was done: what its key was made of, and what came out."""

    parent: str
    parts: Mapping[str, str]
    made: Made


def key_of(parent: str, parts: Mapping[str, str]) -> str:
    """The key of a step."""
    text = parent + "\0" + dumps(dict(parts))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class Cache:
    """The steps that were done below one state root."""

    def __init__(self, root: str) -> None:
        self._home = f"{root}/build"
        self._more: dict[str, Made] = {}

    @property
    def home(self) -> str:
        return self._home

    def add_source(self, steps: Mapping[str, Made]) -> None:
        """Steps that an image brought along (`--cache-from`)."""
        self._more.update(steps)

    def find(self, key: str) -> Made | None:
        """What a step made, when it was last done."""
        entry = self.entry(key)
        if entry:
            return entry.made
        return self._more.get(key)

    def entry(self, key: str) -> Entry | None:
        """All about a step that was done; None too for what a power cut left of it."""
        try:
            with open(f"{self._home}/cache/{key}.json", "rb") as file:
                return _parse(loads(file.read()))
        except (OSError, ValueError, KeyError, TypeError, BadData):
            return None

    def inputs(self, key: str) -> list[str]:
        """The lines of its inputs."""
        try:
            with open(f"{self._home}/cache/{key}.inputs", "rb") as file:
                return file.read().decode("utf-8", "surrogateescape").split("\n")
        except OSError:
            return []

    def put(self, key: str, entry: Entry, inputs: Sequence[str] = ()) -> None:
        """Remember a step. Raises `OSError`."""
        make_private(f"{self._home}/cache")
        if inputs:
            data = "\n".join(inputs).encode("utf-8", "surrogateescape")
            self._write(f"cache/{key}.inputs", data)
        made = entry.made
        document: dict[str, Any] = {
            "Parent": entry.parent,
            "Parts": dict(entry.parts),
            "Created": made.created,
            "Size": made.size,
        }
        if made.layer and made.diff_id:
            document["Layer"] = made.layer.to_dict()
            document["DiffID"] = str(made.diff_id)
        self._write(f"cache/{key}.json", dumps(document).encode())

    def use(self, key: str) -> None:
        """It is of use still: `builder prune --filter until=…` goes by that."""
        try:
            os.utime(f"{self._home}/cache/{key}.json")
        except OSError:
            pass

    def last(self, name: str) -> dict[str, str]:
        """The keys of a Dockerfile's last build, by "stage/step"."""
        try:
            with open(f"{self._home}/last/{name}.json", "rb") as file:
                found = loads(file.read())
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    def set_last(self, name: str, keys: Mapping[str, str]) -> None:
        """Remember them. On a full disk not: the next explanation is poorer then, no more."""
        try:
            make_private(f"{self._home}/last")
            self._write(f"last/{name}.json", dumps(dict(keys)).encode())
        except OSError:
            pass

    def hashes_path(self, of: str) -> str:
        """Where the digests of a directory's files are remembered."""
        name = sha256(of.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return f"{self._home}/hashes/{name}"

    def _write(self, name: str, data: bytes) -> None:
        """All of it or nothing; after a power cut it may be spoiled, and is then not used."""
        try:
            self._write_once(name, data)
        except FileNotFoundError:  # a prune has taken the directory away meanwhile
            make_private(os.path.dirname(f"{self._home}/{name}"))
            self._write_once(name, data)

    def _write_once(self, name: str, data: bytes) -> None:
        path = f"{self._home}/{name}"
        temporary = f"{path}.{unique_name()}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
            os.rename(temporary, path)
        except BaseException:
            try:
                os.unlink(temporary)
            except FileNotFoundError:
                pass
            raise

    def known(self) -> list[tuple[str, int]]:
        """Every step, with the time it was used last, in nanoseconds since 1970."""
        try:
            with os.scandir(f"{self._home}/cache") as entries:
                return [
                    (e.name.removesuffix(".json"), e.stat().st_mtime_ns)
                    for e in entries
                    if e.name.endswith(".json")
                ]
        except FileNotFoundError:
            return []

    def forget(self, key: str) -> None:
        """It will have to be done again."""
        for suffix in (".json", ".inputs"):
            try:
                os.unlink(f"{self._home}/cache/{key}{suffix}")
            except FileNotFoundError:
                pass


def _parse(document: Any) -> Entry:
    layer = diff_id = None
    if "Layer" in document:
        layer = parse_descriptor(Fields(document["Layer"], "layer"))
        diff_id = DiffID(document["DiffID"])
    made = Made(str(document["Created"]), layer, diff_id, int(document["Size"]))
    parts = {str(k): str(v) for k, v in document["Parts"].items()}
    return Entry(str(document["Parent"]), parts, made)


# ── why not ──────────────────────────────────────────────────────────────────────────────────────


def why_different(
    before: Entry | None,
    parent: str,
    parts: Mapping[str, str],
    inputs_before: Sequence[str],
    inputs: Sequence[str],
) -> str:
    """In words, why a step is not the one that was done `before`."""
    if before is None:
        return "it was not built before"
    for name in (*before.parts, *(n for n in parts if n not in before.parts)):
        old, new = before.parts.get(name), parts.get(name)
        if old == new:
            continue
        if name == INPUTS and inputs_before:
            return first_change(inputs_before, inputs)
        if name == ABOVE:
            return _above(old or "", new or "")
        if name == INSTRUCTION:
            return f"the instruction was: {old}"
        if old is None:
            return f"{name} is new: {_short(new)}"
        if new is None:
            return f"{name} is gone, it was {_short(old)}"
        return f"{name} was {_short(old)} and is {_short(new)}"
    if before.parent != parent:
        return "what it is built on is new"
    return "its layer is not there any more"


def _short(text: str | None) -> str:
    text = text or "nothing"
    return text if len(text) <= 60 else text[:57] + "…"


def _above(old: str, new: str) -> str:
    """The first of the instructions between two steps that differs."""
    olds, news = old.split("\n"), new.split("\n")
    for before, now in zip(olds, news, strict=False):
        if before != now:
            if not before or not now:
                break
            return f"above it, {now} was {before}"
    gone = [line for line in olds if line and line not in news]
    if gone:
        return f"above it, {gone[0]} is gone"
    come = [line for line in news if line and line not in olds]
    return f"above it, {come[0]} is new" if come else "the order above it is another"


_FIELDS = ("kind or mode", "owner", "content", "extended attributes")


def first_change(before: Sequence[str], now: Sequence[str]) -> str:
    """The first input that changed, and how many more did."""
    old = {line.partition("\0")[0]: line.split("\0")[1:] for line in before}
    new = {line.partition("\0")[0]: line.split("\0")[1:] for line in now}
    changes = []
    for place in sorted({*old, *new}):
        if old.get(place) == new.get(place):
            continue
        shown = place or "."
        if place not in new:
            changes.append(f"{shown} is gone")
        elif place not in old:
            changes.append(f"{shown} is new")
        else:
            pairs = zip(_FIELDS, old[place], new[place], strict=False)
            field = next((name for name, a, b in pairs if a != b), "content")
            changes.append(f"{shown} has another {field}")
    if not changes:
        return "the order of its inputs is another"
    more = f", and {len(changes) - 1} more changed" if len(changes) > 1 else ""
    return changes[0] + more


def why_found(made: Made, now: int | None = None) -> str:
    """The words for a hit."""
    from minidock.spec.timestamp import parse_time

    try:
        seconds = ((now or time.time_ns()) - parse_time(made.created)) // 1_000_000_000
    except ValueError:
        return "nothing it depends on has changed"
    return f"nothing it depends on has changed since it was made, {_ago(max(0, seconds))} ago"


def _ago(seconds: int) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
