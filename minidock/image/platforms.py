"""`linux/arm64/v8`: what an image is for, as a user types it.

See: containerd platforms.Parse
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.image.catalog import host_platform
from minidock.spec.image import Platform


def parse_platform(text: str) -> Platform:
    """`linux/arm64/v8`, `arm64`; empty for this machine's. Raises `InvalidInput`."""
    if not text:
        return host_platform()
    parts = text.lower().split("/")
    if not all(part and part.replace("-", "").replace("_", "").isalnum() for part in parts):
        raise InvalidInput(f'"{text}" is an invalid component of "{text}": platform specifier')
    if len(parts) == 1:
        known = host_platform().architecture
        parts = ["linux", known] if parts == ["linux"] else ["linux", *parts]
    if len(parts) > 3:
        raise InvalidInput(f'"{text}": unknown operating system or architecture: invalid argument')
    same = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386"}
    return Platform(parts[0], same.get(parts[1], parts[1]), parts[2] if len(parts) > 2 else "")
