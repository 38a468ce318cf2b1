"""An image's layers as one tree: what shows, and where links lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minidock.image.stack import Stack, read_text, resolve, resolve_as_far


def layers(home: Path, *trees: dict[str, str | None]) -> Stack:
    """Layers, lowest first: a name that ends in a slash is a directory, `->x` a link to x."""
    found = []
    for number, tree in enumerate(trees):
        top = home / str(number)
        top.mkdir()
        for name, content in tree.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir(exist_ok=True)
            elif content.startswith("->"):
                path.symlink_to(content[2:])
            else:
                path.write_text(content)
        found.insert(0, str(top))
    return Stack(found)


def names(stack: Stack, path: str) -> list[str]:
    node = resolve(stack, path)
    assert node
    return [child.name for child in stack.children(node)]


def test_upper_layers_hide_and_directories_merge(tmp_path: Path) -> None:
    stack = layers(tmp_path, {"etc/a": "old", "etc/b": "b"}, {"etc/a": "new", "etc/c": "c"})
    assert names(stack, "/etc") == ["a", "b", "c"]
    assert read_text(stack, "etc/a") == b"new"
    assert read_text(stack, "etc/nothing") == b""


def test_a_file_on_top_of_a_directory_hides_it(tmp_path: Path) -> None:
    stack = layers(tmp_path, {"x/deep": "1"}, {"x": "file"}, {"x/new": "2"})
    assert names(stack, "x") == ["new"]


def test_links_stay_inside(tmp_path: Path) -> None:
    stack = layers(
        tmp_path,
        {"run/pid": "1", "var/run": "->/run", "up": "->../../../run", "self": "->self"},
    )
    for path in ("var/run/pid", "up/pid", "/../var/run/./pid"):
        node = resolve(stack, path)
        assert node and node.path == "run/pid"
    with pytest.raises(OSError, match="Too many levels"):
        resolve(stack, "self/x")
    link = resolve(stack, "var/run", follow=False)
    assert link and link.is_link


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    stack = layers(tmp_path, {"data/": None, "app": "->/data/app", "file": ""})
    node, missing = resolve_as_far(stack, "/app/src/../lib")
    assert (node.path, missing) == ("data", ["app", "lib"])
    node, missing = resolve_as_far(stack, "file/x")
    assert (node.path, missing) == ("file", ["x"])
    assert resolve_as_far(Stack(()), "a/b")[1] == ["a", "b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts")
def test_whiteouts_and_opaque_directories(tmp_path: Path) -> None:
    stack = layers(tmp_path, {"a/x": "1", "b/y": "2", "c": "3"}, {"b/z": "4", "a/": None})
    top = tmp_path / "1"
    os.mknod(top / "c", 0o20000, 0)
    os.mknod(top / "a" / "x", 0o20000, 0)
    os.setxattr(top / "b", "trusted.overlay.opaque", b"y")
    assert names(stack, "/") == ["a", "b"]
    assert names(stack, "a") == []
    assert names(stack, "b") == ["z"]
