"""What the contestants are fed: a root tarball of a chosen size, and 2,000 files to commit.

The content has to behave like a distribution's: neither zeros (which compress to nothing and may
become holes) nor noise (which does not compress at all). Two pools are made once from a fixed seed,
prose of a small vocabulary and random bytes, and every file is a slice of each; gzip takes that to
roughly 40 %, as it does a Debian root. The same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import tarfile
from collections.abc import Iterator

SEED = 20130326
_POOL_BYTES = 4 << 20
_NOISE_SHARE = 0.15
_EPOCH = 1_500_000_000


class Filler:
    """An endless supply of the same pseudo-random, moderately compressible file contents."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        words = [
            "".join(self._random.choices(letters, k=self._random.randint(2, 11)))
            for _ in range(3000)
        ]
        # Zipf's law, as in any language: the nth word is n times rarer than the first.
        ranks = [1 / rank for rank in range(1, len(words) + 1)]
        self._prose = " ".join(self._random.choices(words, ranks, k=_POOL_BYTES // 7)).encode()
        self._noise = self._random.randbytes(_POOL_BYTES)

    def content(self, size: int) -> bytes:
        """`size` bytes: a slice of noise after slices of prose."""
        noise = min(int(size * _NOISE_SHARE), len(self._noise) - 1)
        parts = []
        left = size - noise
        while left > 0:
            start = self._random.randrange(len(self._prose) // 2)
            parts.append(self._prose[start : start + left])
            left -= len(parts[-1])
        start = self._random.randrange(len(self._noise) - noise)
        parts.append(self._noise[start : start + noise])
        return b"".join(parts)

    def files(self, count: int, total: int) -> Iterator[bytes]:
        """`count` contents of together `total` bytes, most of them small, some large.

        Sizes follow an exponential law, as the files of a distribution roughly do.
        """
        weights = [self._random.expovariate(1.0) for _ in range(count)]
        scale = total / sum(weights) if weights else 0
        for weight in weights:
            yield self.content(int(weight * scale))


def write_tree(path: str, prefix: str, *, count: int, total: int) -> None:
    """A plain tar at `path` of `count` files with `total` bytes below `prefix` (`bench`)."""
    with tarfile.open(path, "w") as out:
        _add_directories(out, prefix)
        _add_files(out, prefix, count, total)


def write_root(path: str, base: str, *, count: int, total: int) -> int:
    """A plain root tarball: the members of `base`, then files up to `count` and `total` bytes.

    A base that is larger than `total` stays as it is. Returns the bytes of all files.
    """
    members = size = 0
    with (
        tarfile.open(base, "r:*") as source,
        tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in source:
            members += 1
            size += member.size
            out.addfile(member, source.extractfile(member) if member.isreg() else None)
        _add_directories(out, "bench")
        if size < total:
            _add_files(out, "bench", max(count - members, 1), total - size)
    return max(size, total)


def compress(path: str) -> str:
    """Make `path`.gz with gzip's default level and no timestamp; returns its name."""
    with (
        open(path, "rb") as plain,
        open(path + ".gz", "wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0, filename="") as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)
    return path + ".gz"


def describe(path: str) -> str:
    """`debian.tar, 7123 entries, 118 MB of content`."""
    entries = size = 0
    with tarfile.open(path, "r:*") as source:
        for member in source:
            entries += 1
            size += member.size
    return f"{os.path.basename(path)}, {entries} entries, {size / 1e6:.0f} MB of content"


def _add_directories(out: tarfile.TarFile, prefix: str) -> None:
    parts = prefix.split("/")
    for depth in range(1, len(parts) + 1):
        out.addfile(_header("/".join(parts[:depth]), tarfile.DIRTYPE, 0o755))


def _add_files(out: tarfile.TarFile, prefix: str, count: int, total: int) -> None:
    for number, content in enumerate(Filler().files(count, total)):
        folder = f"{prefix}/{number // 100:03d}"
        if number % 100 == 0:
            out.addfile(_header(folder, tarfile.DIRTYPE, 0o755))
        header = _header(f"{folder}/{number:05d}", tarfile.REGTYPE, 0o644)
        header.size = len(content)
        out.addfile(header, io.BytesIO(content))


def _header(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.mode = mode
    header.mtime = _EPOCH
    return header
