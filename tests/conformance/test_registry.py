"""pull and push against Debian's docker-registry."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def registry(start_registry, tmp_path_factory: pytest.TempPathFactory):
    return start_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def shop(minidock, registry) -> Iterator[str]:
    """An image of two layers, pushed; its name in the registry. Gone from the store again."""
    name = f"{registry.address}/shop/{os.urandom(4).hex()}"
    minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", "echo goods > /goods")
    minidock.ok("commit", "-c", "CMD cat /goods", "maker", name)
    minidock.ok("rm", "maker")
    minidock.ok("push", name)
    minidock.ok("rmi", name)
    yield name
    for image in minidock.ok("images", "-q", f"{registry.address}/*/*").split():
        minidock("rmi", "-f", image)


def test_what_is_pushed_can_be_pulled_and_run(minidock, shop: str) -> None:
    done = minidock("pull", shop)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Using default tag: latest"
    assert lines[1] == f"latest: Pulling from {shop.partition('/')[2]}"
    assert any(line.endswith(": Already exists") for line in lines), "busybox's layer is here"
    assert any(line.endswith(": Pull complete") for line in lines)
    assert lines[-3].startswith("Digest: sha256:")
    assert lines[-2:] == [f"Status: Downloaded newer image for {shop}:latest", f"{shop}:latest"]
    assert minidock.ok("run", "--rm", shop) == "goods\n"
    again = minidock.ok("pull", shop).splitlines()
    assert again[-2] == f"Status: Image is up to date for {shop}:latest"
    assert minidock.ok("pull", "-q", shop) == f"{shop}:latest\n"


def test_by_digest(minidock, shop: str) -> None:
    digest = minidock.ok("pull", shop).split("Digest: ")[1].split()[0]
    assert minidock.ok("inspect", "-f", "{{index .RepoDigests 0}}", shop) == f"{shop}@{digest}\n"
    lines = minidock.ok("rmi", shop).splitlines()
    assert lines[:2] == [f"Untagged: {shop}:latest", f"Untagged: {shop}@{digest}"]
    assert minidock.ok("pull", "-q", f"{shop}@{digest}") == f"{shop}@{digest}\n"
    row = minidock.ok("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    assert f"{shop} <none> {digest}\n" in row
    assert minidock.ok("run", "--rm", f"{shop}@{digest}") == "goods\n"
    assert minidock.ok("rmi", f"{shop}@{digest}").startswith(f"Untagged: {shop}@{digest}\nDeleted:")


def test_skopeo_sees_the_same_image(minidock, shop: str) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    seen = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{shop}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert seen.returncode == 0, seen.stderr
    digest = minidock.ok("pull", shop).split("Digest: ")[1].split()[0]
    assert json.loads(seen.stdout)["Digest"] == digest


def test_a_layer_that_is_next_door_is_not_sent_again(minidock, shop: str) -> None:
    minidock.ok("pull", shop)
    other = shop + "-copy"
    minidock.ok("tag", shop, other)
    lines = minidock.ok("push", other).splitlines()
    source = shop.partition("/")[2]
    assert sum(line.endswith(f": Mounted from {source}") for line in lines) == 2, lines
    assert lines[-1].startswith("latest: digest: sha256:")
    lines = minidock.ok("push", other).splitlines()
    assert sum(line.endswith(": Layer already exists") for line in lines) == 2, lines


def test_layers_are_packed_on_the_way(minidock, registry) -> None:
    """What is a plain tar here is gzip there: another manifest, the same image."""
    name = f"{registry.address}/packed/{os.urandom(4).hex()}"
    minidock.ok("run", "--name", "maker", "busybox", "sh", "-c", "head -c 4000000 /dev/zero > /z")
    minidock.ok("commit", "-c", "CMD wc -c /z", "maker", name)
    minidock.ok("rm", "maker")
    try:
        image_id = minidock.ok("inspect", "-f", "{{.Id}}", name)
        before = minidock.ok("inspect", "-f", "{{.RootFS.Layers}}", name)
        pushed = minidock.ok("push", name).splitlines()[-1]
        digest = pushed.split()[2]
        manifest = json.loads(fetch(registry, name, "manifests", digest))
        assert pushed.endswith(f"size: {len(fetch(registry, name, 'manifests', digest))}")
        for layer in manifest["layers"]:
            assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
            blob = fetch(registry, name, "blobs", layer["digest"])
            assert len(blob) == layer["size"]
            assert blob[:3] == b"\x1f\x8b\x08"
        assert manifest["layers"][-1]["size"] < 100_000, "it is only zeros"
        assert minidock.ok("inspect", "-f", "{{.RepoDigests}}", name) == f"[{name}@{digest}]\n"
        again = minidock.ok("push", name).splitlines()
        assert sum(line.endswith(": Layer already exists") for line in again) == 2
        assert again[-1] == pushed
        assert "Status: Image is up to date" in minidock.ok("pull", name)
        minidock.ok("rmi", name)
        minidock.ok("pull", name)
        assert minidock.ok("inspect", "-f", "{{.Id}}", name) == image_id
        assert minidock.ok("inspect", "-f", "{{.RootFS.Layers}}", name) == before
        assert minidock.ok("run", "--rm", name) == "4000000 /z\n"
        assert minidock.ok("push", name).splitlines()[-1] == pushed, "now it goes as it came"
    finally:
        minidock("rmi", "-f", name)


def test_the_same_image_under_another_name_is_not_fetched(minidock, registry) -> None:
    """busybox is here as plain layers; the registry has it packed. The id says that it is it."""
    name = f"{registry.address}/same/{os.urandom(4).hex()}"
    minidock.ok("tag", "busybox", name)
    minidock.ok("push", name)
    minidock.ok("rmi", name)
    lines = minidock.ok("pull", name).splitlines()
    assert not any(line.endswith(": Pull complete") for line in lines)
    assert lines[-2] == f"Status: Downloaded newer image for {name}:latest"
    assert minidock.ok("inspect", "-f", "{{.Id}}", name) == minidock.ok(
        "inspect", "-f", "{{.Id}}", "busybox"
    )
    minidock.ok("rmi", name)


def test_what_was_remembered_of_packing_may_be_nonsense(minidock, registry) -> None:
    name = f"{registry.address}/nonsense/{os.urandom(4).hex()}"
    minidock.ok("tag", "busybox", name)
    packed = minidock.root / "images/packed.json"
    for text in ("", "[", "[]", '{"x": 1}'):
        packed.write_text(text)
        minidock.ok("push", name)
    minidock.ok("rmi", name)
    assert all(key.startswith("sha256:") for key in json.loads(packed.read_text()))


def fetch(registry, name: str, kind: str, digest: str) -> bytes:
    path = name.partition("/")[2]
    url = f"http://{registry.address}/v2/{path}/{kind}/{digest}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept), timeout=30) as answer:
        return bytes(answer.read())


def test_all_tags(minidock, shop: str) -> None:
    minidock.ok("pull", shop)
    for tag in ("one", "two"):
        minidock.ok("tag", shop, f"{shop}:{tag}")
    minidock.ok("push", "-a", shop)
    for tag in ("one", "two", "latest"):
        minidock.ok("rmi", f"{shop}:{tag}")
    minidock.ok("pull", "-a", shop)
    shown = minidock.ok("images", "--format", "{{.Tag}}", shop).split()
    assert sorted(shown) == ["latest", "one", "two"]


def test_run_pulls_what_is_missing(minidock, shop: str) -> None:
    done = minidock("run", "--rm", shop)
    assert (done.returncode, done.stdout) == (0, "goods\n")
    lines = done.stderr.splitlines()
    assert lines[0] == f"Unable to find image '{shop}:latest' locally"
    assert lines[-1] == f"Status: Downloaded newer image for {shop}:latest"
    done = minidock("run", "--rm", shop)
    assert (done.stdout, done.stderr) == ("goods\n", "")
    always = minidock("run", "--rm", "--pull", "always", shop)
    assert always.stdout == "goods\n"
    assert f"Status: Image is up to date for {shop}:latest\n" in always.stderr
    minidock.ok("rmi", shop)
    assert minidock("run", "--rm", "-q", shop).stderr == ""
    minidock.ok("rmi", shop)
    never = minidock("run", "--pull", "never", shop)
    assert never.returncode == 125
    assert f"No such image: {shop}:latest" in never.stderr
    other = minidock("run", "--platform", "linux/s390x", shop)
    assert other.returncode == 125
    assert "does not provide the specified platform (linux/s390x)" in other.stderr


def test_what_is_not_there(minidock, registry) -> None:
    done = minidock("pull", f"{registry.address}/nosuch:tag")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error response from daemon: manifest for {registry.address}/nosuch:tag not found: "
        "manifest unknown: manifest unknown\n"
    )
    done = minidock("push", f"{registry.address}/nosuch")
    assert done.returncode == 1
    assert done.stderr == (
        "Error response from daemon: An image does not exist locally with the tag: "
        f"{registry.address}/nosuch\n"
    )


def test_nobody_answers(minidock) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    done = minidock("pull", f"{address}/x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error response from daemon: Get ")
    assert done.stderr.endswith("connection refused\n")


def test_an_interrupted_pull_goes_on_where_it_was(minidock, registry) -> None:
    """Kill it in the middle of a large layer; what came is kept and not asked for again."""
    name = f"{registry.address}/large/{os.urandom(4).hex()}"
    size = 300 << 20
    minidock.ok("run", "--name", "large", "busybox", "sh", "-c",
                f"head -c {size} /dev/urandom > /large", timeout=120)  # fmt: skip
    minidock.ok("commit", "large", name)
    minidock.ok("rm", "large")
    minidock.ok("push", name, timeout=120)
    minidock.ok("rmi", name)
    ingest = minidock.root / "images" / "ingest"
    pull = minidock.popen("pull", name, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 30
    while not any(p.stat().st_size > 20 << 20 for p in ingest.glob("partial-*")):
        assert time.monotonic() < limit and pull.poll() is None, "too fast or too slow to be caught"
        time.sleep(0.002)
    pull.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert pull.wait(20) == 130
    assert time.monotonic() - began < 3, "Ctrl-C stops at once"
    kept = max(p.stat().st_size for p in ingest.glob("partial-*"))
    assert 20 << 20 <= kept < size
    assert list((minidock.root / "layers" / "new").iterdir()) == []
    sent = _bytes_received()
    minidock.ok("pull", name, timeout=120)
    assert _bytes_received() - sent < size - kept + (16 << 20), "only the rest was sent"
    assert minidock.ok("run", "--rm", name, "wc", "-c", "/large").split()[0] == str(size)
    assert list(ingest.glob("partial-*")) == []
    minidock.ok("rmi", "-f", name)


def _bytes_received() -> int:
    """Over the loopback device, since boot."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            return int(rest.split()[0])
    raise AssertionError("no loopback device")
