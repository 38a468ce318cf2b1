"""Overlay options: escaped, and short enough for mount(2)."""

from __future__ import annotations

import pytest

from minidock.isolation.overlay import PAGE, MountOverlay, plan_overlay, plan_root_overlay
from minidock.spec.overlay import escape, split_layers, unescape
from minidock.spec.runtime import parse_spec


@pytest.mark.parametrize("path", ["/a", "/a:b", "/a,b", "/a\\b", "/a\\:b", "/:,\\"])
def test_escaping_is_undone(path: str) -> None:
    assert unescape(escape(path)) == path
    assert split_layers(f"{escape(path)}:{escape(path)}:/z") == (path, path, "/z")


def test_few_layers_have_their_full_names() -> None:
    step = plan_overlay("/t", ("/l/2", "/l/1"), "/u", "/w")
    assert step.stand_in == ""
    assert step.data() == "lowerdir=/l/2:/l/1,upperdir=/u,workdir=/w"


def test_many_layers_fit_into_a_page() -> None:
    layers = tuple(f"/srv/containers/minidock/layers/l/{n}" for n in range(127, 0, -1))
    step = plan_overlay("/t", layers, "/var/" + "u" * 100, "/var/" + "w" * 100)
    assert step.stand_in == "/srv/containers/minidock/layers/l"
    assert len(step.data()) < PAGE
    assert step.data().startswith("lowerdir=127:126:")


def test_options_that_are_no_directories_stay_options() -> None:
    mount = {
        "destination": "/",
        "type": "overlay",
        "options": ["lowerdir=/a\\:b:/c", "upperdir=/u", "workdir=/w", "redirect_dir=off", "ro"],
    }
    document = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["x"], "cwd": "/"},
        "mounts": [mount],
    }
    step = plan_root_overlay(parse_spec(document, "/b"))
    assert isinstance(step, MountOverlay)
    assert step.lowerdirs == ("/a:b", "/c")
    assert step.extra == "redirect_dir=off"
    assert int(step.flags) == 1
    assert step.target == "/b/rootfs"
