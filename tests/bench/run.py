"""minidock beside docker and podman, on one machine, in one run.

    sudo .venv/bin/python tests/bench/run.py [--rounds N] [--only NAME] [--quick] [--json FILE]

prints the facts of the machine, then a table: for each measure the median, the spread, how much of
each peer's time minidock takes, and how much of it was asked for. The exit code is 0 unless there
is something minidock could not be measured at: a slow machine is no failure, so times are never
asserted.

A full run takes some minutes. Everything it makes lives on a filesystem and in a mount namespace of
its own (disk.py, namespace.py) and is gone at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

import builds
import commands
import facts
import inputs
import measures
import namespace
import networks
import report
import travel
from disk import Disk
from peers import Crun, Docker, Engine, Minidock, MinidockOci, Peer, Podman, Runc, Unavailable

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASES = ("rootfs/debian.tar", "rootfs/ubuntu.tar", "rootfs/busybox.tar")
CGROUP_ROOT = "/sys/fs/cgroup"


def main() -> int:
    """The whole program; returns the exit code."""
    options = _options()
    if os.geteuid() != 0:
        print("run.py: containers, mounts and loop devices need root: sudo …", file=sys.stderr)
        return 1
    # `kill` ends the run as Ctrl-C does: through every clean-up on the way.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _bench(options)
    except (OSError, commands.Failed, Unavailable, subprocess.CalledProcessError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("run.py: interrupted, everything removed", file=sys.stderr)
        return 130


def _bench(options: argparse.Namespace) -> int:
    known = facts.machine()
    namespace.enter()
    known["cgroups"] = namespace.hide_unified_controllers() or known["cgroups"]
    with ExitStack() as undo:
        disk = undo.enter_context(Disk())
        known["filesystem"] = disk.describe()
        base = _base(options)
        known["base"] = inputs.describe(base)
        peers, absent = _start_peers(disk, options, base, undo, known)
        print(*(f"{name:>12}  {value}" for name, value in known.items()), "", sep="\n", flush=True)
        _say("making the inputs")
        fed = _inputs(disk, base, quick=options.quick)
        results = []
        offered = measures.all_measures(disk, peers, fed)
        offered += _travels(disk, peers, fed, undo, absent, quick=options.quick)
        builders = [peer for peer in peers if isinstance(peer, Engine)]
        builders += builds.start_buildah(disk, base, absent)
        offered += builds.measures_of(disk, builders, quick=options.quick)
        if not options.only or networks.NAMES.intersection(options.only):
            offered += _bridged(disk, peers, base, undo, absent, quick=options.quick)
        for measure in _selected(offered, options.only):
            _say(measure.title)
            rounds = measures.rounds_of(measure, options.rounds)
            results.append(measures.take(measure, rounds, disk))
    print(report.table(results, absent))
    if options.quick:
        print("\nA smoke run: small inputs and few rounds; the ratios mean little.")
    if options.json:
        with open(options.json, "w") as file:
            file.write(report.to_json(known, results, absent) + "\n")
    missing = report.unmeasured(results)
    for line in missing:
        print(f"not measured: {line}", file=sys.stderr)
    return 1 if missing else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure minidock beside docker and podman, in one run.",
        epilog="Runs on a loop-mounted ext4 in $TMPDIR (/tmp), which needs about 8 GB at its peak.",
    )
    parser.add_argument("--rounds", type=_positive, default=15, help="per measure (default 15)")
    parser.add_argument("--only", action="append", metavar="NAME", help="one measure; repeatable")
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, few rounds: a smoke run"
    )
    parser.add_argument("--base", metavar="FILE", help="root tarball (default: what rootfs/ made)")
    parser.add_argument(
        "--minidock",
        metavar="WORDS",
        type=shlex.split,
        help="how to call minidock (default: installed for this run with `make install`)",
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there as well")
    options = parser.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 2)
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _base(options: argparse.Namespace) -> str:
    """The root tarball of the image that is run."""
    if options.base:
        return str(options.base)
    for name in BASES:
        path = os.path.join(REPOSITORY, name)
        if os.path.exists(path):
            return path
    raise OSError(f"no root tarball ({', '.join(BASES)}): make one, or name one with --base")


def _inputs(disk: Disk, base: str, *, quick: bool) -> measures.Inputs:
    """The files to commit and to import, made on the bench's own disk."""
    share = 10 if quick else 1
    files, tree_bytes = 2000 // share, 200_000_000 // share
    entries, root_bytes = 10_000 // share, 180_000_000 // share
    tree, root = f"{disk.path}/tree.tar", f"{disk.path}/root.tar"
    inputs.write_tree(tree, "bench", count=files, total=tree_bytes)
    content = inputs.write_root(root, base, count=entries, total=root_bytes)
    directory = disk.directory("tree")
    commands.run(("tar", "-xf", tree, "-C", directory), env=commands.lean_environment())
    return measures.Inputs(
        tree=tree,
        tree_directory=directory,
        tree_words=f"{tree_bytes // 1_000_000} MB in {files:,} files",
        plain=root,
        packed=inputs.compress(root),
        import_words=f"{content / 1e6:.0f} MB",
        listed=6 if quick else 21,
        starts=4 if quick else 20,
    )


def _travels(
    disk: Disk,
    peers: Sequence[Peer],
    fed: measures.Inputs,
    undo: ExitStack,
    absent: dict[str, str],
    *,
    quick: bool,
) -> list[measures.Measure]:
    """What has to do with registries and archives."""
    engines = [peer for peer in peers if isinstance(peer, Engine)]
    ours = [peer for peer in engines if isinstance(peer, Minidock)]
    if not ours:
        return []
    try:
        registry = travel.Registry(disk)
    except Unavailable as error:
        absent["registry"] = str(error)
        return []
    undo.callback(registry.stop)
    count = 3_000 if quick else 30_000
    small = f"{disk.path}/small.tar"
    inputs.write_tree(small, "bench", count=count, total=count * 3000)
    parcels = [
        travel.make_parcel(ours[0], registry, fed.import_words, fed.plain, fed.packed, small=False),
        travel.make_parcel(
            ours[0], registry, f"{count:,} files", small, inputs.compress(small), small=True
        ),
    ]
    return [line for parcel in parcels for line in travel.measures_of(engines, parcel)]


def _bridged(
    disk: Disk,
    peers: Sequence[Peer],
    base: str,
    undo: ExitStack,
    absent: dict[str, str],
    *,
    quick: bool,
) -> list[measures.Measure]:
    """What has to do with networks."""
    place = networks.Place()
    undo.callback(place.remove)
    engines = networks.start_engines(disk, place, peers, base, absent)
    for engine in engines:
        undo.callback(engine.stop)
    return networks.measures_of(place, engines, quick=quick)


def _start_peers(
    disk: Disk, options: argparse.Namespace, base: str, undo: ExitStack, known: dict[str, str]
) -> tuple[list[Peer], dict[str, str]]:
    """The contestants that are here and have the image; and by name, why others are not."""
    minidock = Minidock(options.minidock, REPOSITORY)
    wanted: list[Peer] = [minidock, Docker(), Podman(), Runc(), Crun(), MinidockOci(minidock)]
    peers, absent = [], {}
    for peer in wanted:
        undo.callback(_remove_cgroups, _missing_cgroups(peer))
        undo.callback(peer.stop)
        try:
            peer.start(disk)
            known[peer.name] = peer.version()
            peer.load(base)
            peers.append(peer)
        except (Unavailable, commands.Failed) as error:
            absent[peer.name] = known[peer.name] = str(error)
    return peers, absent


def _selected(
    chosen: Sequence[measures.Measure], names: Sequence[str] | None
) -> list[measures.Measure]:
    unknown = set(names or ()) - {measure.name for measure in chosen}
    if unknown:
        known = " ".join(measure.name for measure in chosen)
        raise OSError(f"no such measure: {' '.join(sorted(unknown))} (there are: {known})")
    return [measure for measure in chosen if not names or measure.name in names]


def _missing_cgroups(peer: Peer) -> list[str]:
    """The cgroups this peer will make and leave, that is, which are not there yet."""
    return [
        path
        for hierarchy in os.listdir(CGROUP_ROOT)
        for parent in peer.cgroups
        if not os.path.exists(path := os.path.join(CGROUP_ROOT, hierarchy, parent))
    ]


def _remove_cgroups(paths: Sequence[str]) -> None:
    for path in paths:
        try:
            os.rmdir(path)
        except OSError:
            continue  # never made, or somebody else uses it by now


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
