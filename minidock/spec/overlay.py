"""Directories as overlayfs wants them in its options: ':' parts layers, ',' options, '\\' quotes.

A state root such as `/srv/a:b` would otherwise be read as two layers.

See: https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations


def escape(path: str) -> str:
    """A directory's name as it stands in `lowerdir=`, `upperdir=` or `workdir=`."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def unescape(name: str) -> str:
    """The directory that `escape` wrote."""
    out, plain = "", iter(name)
    for char in plain:
        out += next(plain, "") if char == "\\" else char
    return out


def split_layers(lowerdir: str) -> tuple[str, ...]:
    """The directories of a `lowerdir` option, topmost first."""
    layers = [""]
    for piece in lowerdir.split(":"):
        quotes = len(layers[-1]) - len(layers[-1].rstrip("\\"))
        if quotes % 2:
            layers[-1] += ":" + piece
        else:
            layers.append(piece)
    return tuple(unescape(layer) for layer in layers[1:])
