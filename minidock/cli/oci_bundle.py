"""`minidock oci` spec and features: JSON to begin with, and about this runtime."""

from __future__ import annotations

import os

from minidock.cli.command import Command, Flag
from minidock.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.cli.oci import Oci
    from minidock.cli.parse import Parsed

SPEC = Command(
    help="Write a config.json to begin with",
    run="minidock.cli.oci_bundle:spec",
    most=0,
    flags=(
        Flag("bundle", "b", help="The directory to write it to", value="dir"),
        Flag("rootless", kind="bool", help="With a user namespace: root inside is nobody outside"),
    ),
    examples=("mkdir -p demo/rootfs && minidock oci spec -b demo",),
)
FEATURES = Command(
    help="Print what this runtime can do, as JSON",
    run="minidock.cli.oci_bundle:features",
    most=0,
    examples=("minidock oci features",),
)


def spec(args: Parsed, oci: Oci) -> int:
    """`minidock oci spec`"""
    from minidock.cli.oci_look import to_json
    from minidock.runtime.features import example

    path = os.path.join(args.text("bundle") or ".", "config.json")
    content = to_json(example(user_namespace=args.on("rootless"))) + "\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise Conflict(f"File {path} exists. Remove it first") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(content)
    return 0


def features(args: Parsed, oci: Oci) -> int:
    """`minidock oci features`"""
    from minidock import __version__
    from minidock.cli.oci_look import to_json
    from minidock.runtime.features import features as known

    oci.out(to_json(known(__version__)) + "\n")
    return 0
