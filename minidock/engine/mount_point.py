"""Mount points: what of a container's tree is not its own: volumes, parts of the host's, other
images, tmpfs.

A container's directory says which it has, in the `MountPoints` of container.json. How they got
there is told in mount_plan.py; whoever only looks (`inspect`, `ps`, `cp`, `volume rm`) needs this
file and no more.

See: https://docs.docker.com/reference/api/engine/version/v1.50/ (MountPoint), moby's volume/mounts
"""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class MountPoint(Record):
    """One of them. The first eight are Docker's: `kind` is "bind", "volume", "tmpfs" or "image",
    `source` the directory or file of the host (of a volume: its data), `name` a volume's or an
    image's.

    `anonymous`: goes with the container. `copy`: is filled from the image if it is empty.
    `make_source`: the host's directory is made where it is missing. `subpath`: of a volume only
    this part is shown. `recursion`: for what is mounted below a bind's source: "" (with it,
    read-only if it is), "disabled" (without), "writable". `tmpfs`: options.
    `labels`, `options`: for a volume that has to be made. `image`: an image's id, and `layers` its
    directories, the topmost first.
    """

    kind: str
    destination: str
    name: str = ""
    source: str = ""
    driver: str = ""
    mode: str = ""
    writable: bool = True
    propagation: str = ""
    anonymous: bool = False
    copy: bool = False
    make_source: bool = False
    subpath: str = ""
    recursion: str = ""
    tmpfs: str = ""
    labels: Mapping[str, str] | None = None
    options: Mapping[str, str] | None = None
    image: str = ""
    layers: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As `inspect` shows it."""
        volume = self.kind == "volume"
        return {
            "Type": self.kind,
            **({"Name": self.name} if self.name else {}),
            "Source": self.source,
            "Destination": self.destination,
            **({"Driver": self.driver} if volume else {}),
            "Mode": self.mode,
            "RW": self.writable,
            "Propagation": self.propagation,
        }

    def document(self) -> dict[str, Any]:
        """For container.json: what is shown, and what else a start has to know."""
        more = {
            "Anonymous": self.anonymous,
            "MakeSource": self.make_source,
            "Subpath": self.subpath,
            "Recursion": self.recursion,
            "Tmpfs": self.tmpfs,
            "Copy": self.copy,
            "Labels": dict(self.labels) if self.labels else None,
            "Options": dict(self.options) if self.options else None,
            "Image": self.image,
            "Layers": list(self.layers),
        }
        return {**self.shown(), **{key: value for key, value in more.items() if value}}


def mount_points(document: Mapping[str, Any]) -> list[MountPoint]:
    """Those of a container.json."""
    return [
        MountPoint(
            kind=d["Type"],
            destination=d["Destination"],
            name=d.get("Name", ""),
            source=d["Source"],
            driver=d.get("Driver", ""),
            mode=d["Mode"],
            writable=d["RW"],
            propagation=d["Propagation"],
            anonymous=d.get("Anonymous", False),
            make_source=d.get("MakeSource", False),
            subpath=d.get("Subpath", ""),
            recursion=d.get("Recursion", ""),
            tmpfs=d.get("Tmpfs", ""),
            copy=d.get("Copy", False),
            labels=d.get("Labels"),
            options=d.get("Options"),
            image=d.get("Image", ""),
            layers=tuple(d.get("Layers", ())),
        )
        for d in document.get("MountPoints", ())
    ]
