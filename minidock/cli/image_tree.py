"""images --tree: which layers images share.

Two images with the same lowest layers have those once on disk. Drawn as a tree, a layer stands
below the one it was made on, with its own size, and an image's names stand at its topmost layer:

    77.2MB  19a51b4a6bae  debian:12  debian:latest
    ├── 3.15MB  e1e66c59c8dd  ya:latest
    └── 12.4MB  5c7d4f1a0b22
        └── 0B  9a0364b9e99b  web:1

The id is the ChainID's, which stands for a layer and all below it.
"""

from __future__ import annotations

from minidock.cli.units import human_size
from minidock.engine.prune import image_layers
from minidock.spec.quoting import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minidock.engine.image_list import Listed
    from minidock.image.store import ImageStore

_NONE = "<none>"


class _Layer:
    """A node of the tree."""

    def __init__(self, chain: str, size: int) -> None:
        self.chain = chain
        self.size = size
        self.names: list[str] = []
        self.above: dict[str, _Layer] = {}


def tree(listed: Sequence[Listed], images: ImageStore) -> str:
    """The whole tree as text. Raises `StoreError`."""
    root = _Layer("", 0)
    for item in listed:
        layer = root
        for chain, size in image_layers(images, item.image).items():
            layer = layer.above.setdefault(chain, _Layer(chain, size))
        layer.names += item.references or (f"{_NONE} {item.image.id.short}",)
    return "".join(f"{line}\n" for layer in root.above.values() for line in _draw(layer, "", ""))


def _draw(layer: _Layer, first: str, rest: str) -> Iterator[str]:
    words = (human_size(layer.size), layer.chain.partition(":")[2][:12], *sorted(layer.names))
    yield first + visible("  ".join(words))
    above = list(layer.above.values())
    for number, child in enumerate(above):
        last = number == len(above) - 1
        branch, stem = ("└── ", "    ") if last else ("├── ", "│   ")
        yield from _draw(child, rest + branch, rest + stem)
