"""check: containers, beside what image/check.py says of the store.

A container's directory must be one: with a document that can be read, a name that leads back to it,
and layers that are there. What is none is what a killed command left.
"""

from __future__ import annotations

import os
from functools import partial

from minidock.engine.image_removal import image_uses, lowerdirs
from minidock.engine.removal import remove_run_dir, remove_tree
from minidock.image.check import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidock.engine.containers import Container, Containers
    from minidock.engine.paths import Paths
    from minidock.image.store import ImageStore


def check(paths: Paths, containers: Containers, images: ImageStore) -> Iterator[Problem]:
    """Everything below the two roots. Changes nothing."""
    used = [path for use in image_uses(containers) for path in use.lowerdirs]
    yield from images.check(used)
    yield from _check_directories(paths, containers)
    yield from _check_names(paths)
    for container in containers.all():
        yield from _check_container(paths, container)
    yield from _check_run_dirs(paths, containers)


def _entries(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def _check_directories(paths: Paths, containers: Containers) -> Iterator[Problem]:
    for name in _entries(paths.containers):
        path = f"{paths.containers}/{name}"
        if containers.load(name) is None:
            whole = path.removesuffix(".removing")
            yield Problem(
                f"{path} is no container: making or removing it was interrupted",
                "remove it",
                partial(_remove_unmade, containers, name, whole),
            )


def _remove_unmade(containers: Containers, name: str, directory: str) -> None:
    """Unless it was being made when it was looked at, and is a container now."""
    if containers.load(name) is None:
        remove_tree(directory)


def _check_names(paths: Paths) -> Iterator[Problem]:
    for name in _entries(paths.names):
        path = f"{paths.names}/{name}"
        if not os.path.isdir(path):
            yield Problem(
                f"the name {name} belongs to no container",
                "remove it",
                partial(os.unlink, path),
            )


def _check_container(paths: Paths, container: Container) -> Iterator[Problem]:
    link = f"{paths.names}/{container.name}"
    if os.path.realpath(link) != os.path.realpath(container.directory):
        yield Problem(
            f"container {container.id[:12]} is called {container.name}, but that name is not its",
            "give it another: minidock rename",
        )
    for directory in lowerdirs(container):
        if not os.path.isdir(directory):
            yield Problem(
                f"container {container.id[:12]} needs {directory}, which is not there",
                f"it cannot be started any more: minidock rm {container.id[:12]}",
            )
    for needed in ("upper", "work", "config.json"):
        if not os.path.exists(f"{container.directory}/{needed}"):
            yield Problem(
                f"container {container.id[:12]} has no {needed}",
                f"it cannot be started any more: minidock rm {container.id[:12]}",
            )


def _check_run_dirs(paths: Paths, containers: Containers) -> Iterator[Problem]:
    for name in _entries(paths.run_root):
        path = f"{paths.run_root}/{name}"
        if len(name) == 64 and os.path.isdir(path) and containers.load(name) is None:
            yield Problem(
                f"{path} belongs to no container",
                "remove it",
                partial(remove_run_dir, path),
            )
