"""Registries that lie, break, stall or listen: one clear line each, and nothing in the store."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Registry:
    """A registry of one image, of which every part can be replaced. `seen` are the requests, as
    (method, path, Authorization, Range)."""

    def __init__(self) -> None:
        self.tar = tarball({"hello": b"from afar\n", "big": b"0123456789abcdef" * 8192})
        self.layer = gzip.compress(self.tar, 1, mtime=0)
        self.config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/hello"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(self.tar)]},
            }
        ).encode()
        self.document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._descriptor(CONFIG, self.config),
            "layers": [self._descriptor(LAYER, self.layer)],
        }
        self.answers: dict[str, Answer] = {}  # the end of a path → what is said instead
        self.seen: list[tuple[str, str, str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @staticmethod
    def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    @property
    def manifest(self) -> bytes:
        return json.dumps(self.document).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[Handler]:
        registry = self

        class Speaker(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802  # http.server looks for this name
                about = (self.headers.get("Authorization", ""), self.headers.get("Range", ""))
                registry.seen.append((self.command, self.path, *about))
                for end, answer in registry.answers.items():
                    if self.path.partition("?")[0].endswith(end):
                        answer(self)
                        return
                if self.path == "/v2/":
                    say(self, b"{}")
                elif "/manifests/" in self.path:
                    say(self, registry.manifest, MANIFEST)
                elif self.path.endswith(digest(registry.config)):
                    say(self, registry.config)
                elif self.path.endswith(digest(registry.layer)):
                    part(self, registry.layer)
                else:
                    say(self, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}', status=404)

            do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  # and for these

            def log_message(self, *_: object) -> None:
                pass

        return Speaker


def say(
    handler: Handler, body: bytes, kind: str = "application/json", status: int = 200, **extra: str
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in extra.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def part(handler: Handler, body: bytes) -> None:
    """A blob, or what is asked for of it."""
    wanted = handler.headers.get("Range", "")
    if wanted:
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        say(handler, body[start:], "application/octet-stream", 206)
    else:
        say(handler, body, "application/octet-stream")


@pytest.fixture
def registry() -> Iterator[Registry]:
    served = Registry()
    yield served
    served.stop()


@pytest.fixture
def name(minidock, registry: Registry) -> Iterator[str]:
    image = f"{registry.address}/x"
    yield image
    minidock("rmi", "-f", image)


def fails(minidock, name: str, words: str) -> str:
    """The pull ends with one line that says so, and leaves no image."""
    before = minidock.ok("images", "-aq")
    done = minidock("pull", "-q", name, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.startswith("Error response from daemon: ")
    assert done.stderr.count("\n") == 1
    assert minidock.ok("images", "-aq") == before
    assert list((minidock.root / "layers/new").glob("*")) == []
    return str(done.stderr)


def test_the_image_itself_is_sound(minidock, registry: Registry, name: str) -> None:
    assert minidock.ok("pull", "-q", name) == f"{name}:latest\n"
    assert minidock.ok("image", "inspect", "-f", "{{.Config.Cmd}}", name) == "[/hello]\n"


# ── lies ──


def test_a_layer_with_another_content(minidock, registry: Registry, name: str) -> None:
    evil = gzip.compress(tarball({"hello": b"evil\n"}), 1, mtime=0)
    evil = evil.ljust(len(registry.layer), b"\0")
    registry.answers[digest(registry.layer)] = lambda h: say(h, evil)
    fails(minidock, name, "")
    assert list((minidock.root / "images/ingest").glob("partial-*")) == []


def test_a_layer_with_the_right_digest_but_another_tar(
    minidock, registry: Registry, name: str
) -> None:
    other = json.loads(registry.config)
    other["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    registry.config = json.dumps(other).encode()
    registry.document["config"] = registry._descriptor(CONFIG, registry.config)
    fails(minidock, name, "is not sha256:" + "0" * 64)


def test_a_config_with_another_content(minidock, registry: Registry, name: str) -> None:
    registry.answers[digest(registry.config)] = lambda h: say(h, b'{"architecture":"amd64"}')
    fails(minidock, name, "config")


def test_more_bytes_than_said(minidock, registry: Registry, name: str) -> None:
    registry.document["layers"][0]["size"] = len(registry.layer) - 10  # type: ignore[index]
    fails(minidock, name, "is longer than")


def test_fewer_bytes_than_said(minidock, registry: Registry, name: str) -> None:
    registry.document["layers"][0]["size"] = len(registry.layer) + 10  # type: ignore[index]
    fails(minidock, name, "ended too early")


def test_more_layers_than_diff_ids(minidock, registry: Registry, name: str) -> None:
    registry.document["layers"] = [registry.document["layers"][0]] * 2  # type: ignore[index]
    fails(minidock, name, "has 2 layers but names 1 DiffIDs")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manifests": []}, "manifests does not belong here"),
        ({"fsLayers": []}, "fsLayers does not belong here"),
        ({"mediaType": INDEX}, "mediaType is"),
        ({"config": None}, "config"),
        ({"layers": [{"mediaType": LAYER, "digest": "sha256:../../x", "size": 1}]}, "digest"),
        ({"layers": [{"mediaType": LAYER, "digest": "md5:" + "0" * 32, "size": 1}]}, "digest"),
        ({"layers": [{"mediaType": LAYER, "digest": "sha256:" + "0" * 64, "size": -1}]}, "size"),
    ],
)
def test_manifests_that_are_none(
    minidock, registry: Registry, name: str, change: dict[str, object], words: str
) -> None:
    registry.document.update(change)
    fails(minidock, name, words)


def test_the_first_manifest_format(minidock, registry: Registry, name: str) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    registry.answers["/manifests/latest"] = lambda h: say(h, b"{}", kind)
    fails(minidock, name, "schema 1")


def test_urls_of_foreign_layers_are_not_followed(minidock, registry: Registry, name: str) -> None:
    other = Registry()
    try:
        layer = registry.document["layers"][0]  # type: ignore[index]
        layer["urls"] = [f"http://{other.address}/v2/x/blobs/{layer['digest']}"]
        minidock.ok("pull", "-q", name)
        assert other.seen == []
    finally:
        other.stop()


def test_by_digest_another_manifest(minidock, registry: Registry, name: str) -> None:
    fails(minidock, f"{name}@sha256:{'0' * 64}", "manifest verification failed for digest")


# ── too much ──


def test_a_document_without_end(minidock, registry: Registry, name: str) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", MANIFEST)
        handler.send_header("Content-Length", str(1 << 50))
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"[" * 65536)
        except OSError:
            handler.close_connection = True

    registry.answers["/manifests/latest"] = endless
    fails(minidock, name, "is larger than")


def test_a_document_of_a_million_brackets(minidock, registry: Registry, name: str) -> None:
    registry.answers["/manifests/latest"] = lambda h: say(h, b"[" * 1_000_000, MANIFEST)
    fails(minidock, name, "nested too deeply")


def test_a_bomb(minidock, registry: Registry, name: str) -> None:
    """2 GiB of zeros in 2 MB: ended at the first."""
    piece = gzip.compress(bytes(64 << 20), 9, mtime=0)
    header = tarfile.TarInfo("zeros")
    header.size = 2 << 30
    registry.layer = gzip.compress(header.tobuf(), 1, mtime=0) + piece * 32
    registry.document["layers"] = [registry._descriptor(LAYER, registry.layer)]
    fails(minidock, name, "is a bomb")


# ── no registry at all ──


def test_a_page_of_html(minidock, registry: Registry, name: str) -> None:
    registry.answers["/manifests/latest"] = lambda h: say(h, b"<html>Welcome</html>", "text/html")
    fails(minidock, name, "text/html")
    registry.answers["/manifests/latest"] = lambda h: say(
        h, b"<html>\x1b[31mGo away</html>", "text/html", 418
    )
    assert "\x1b" not in fails(minidock, name, "418")


def test_an_error_with_escapes(minidock, registry: Registry, name: str) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2Jno\r\nno"}]}).encode()
    registry.answers["/manifests/latest"] = lambda h: say(h, body, status=403)
    said = fails(minidock, name, "pull access denied")
    assert "\x1b" not in said
    assert "\r" not in said


# ── breaks ──


def test_it_goes_on_where_the_connection_broke(minidock, registry: Registry, name: str) -> None:
    end, half = digest(registry.layer), len(registry.layer) // 2

    def broken(handler: Handler) -> None:
        if handler.headers.get("Range"):
            part(handler, registry.layer)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(registry.layer)))
        handler.end_headers()
        handler.wfile.write(registry.layer[:half])
        handler.close_connection = True

    registry.answers[end] = broken
    minidock.ok("pull", "-q", name)
    ranges = [seen[3] for seen in registry.seen if seen[1].endswith(end)]
    assert ranges == ["", f"bytes={half}-"]


def test_a_registry_that_knows_no_ranges(minidock, registry: Registry, name: str) -> None:
    end, sent = digest(registry.layer), list[int]()

    def broken(handler: Handler) -> None:
        sent.append(1)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(registry.layer)))
        handler.end_headers()
        whole = registry.layer if len(sent) > 1 else registry.layer[:100]
        handler.wfile.write(whole)
        handler.close_connection = len(sent) == 1

    registry.answers[end] = broken
    minidock.ok("pull", "-q", name)
    assert len(sent) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_asked_again(
    minidock, registry: Registry, name: str, status: int
) -> None:
    times: list[float] = []

    def busy(handler: Handler) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            say(handler, b"{}", status=status, Retry_After="1")
        else:
            say(handler, registry.manifest, MANIFEST)

    registry.answers["/manifests/latest"] = busy
    minidock.ok("pull", "-q", name)
    assert len(times) == 2
    assert times[1] - times[0] >= 1, "Retry-After is heeded"


# ── secrets ──


def _asks_for_token(registry: Registry, realm: str) -> None:
    """From now on manifests need a token that `realm` gives."""

    def guarded(handler: Handler) -> None:
        if handler.headers.get("Authorization") == "Bearer secret":
            say(handler, registry.manifest, MANIFEST)
            return
        challenge = f'Bearer realm="{realm}",service="shop"'
        say(handler, b"{}", status=401, WWW_Authenticate=challenge)

    registry.answers["/manifests/latest"] = guarded


def test_a_token_is_fetched_and_stays_where_it_belongs(
    minidock, registry: Registry, name: str
) -> None:
    """The layer lies elsewhere, as with every cloud: the redirect does not take the token along."""
    storage = Registry()
    try:
        _asks_for_token(registry, f"http://{registry.address}/token")
        registry.answers["/token"] = lambda h: say(h, b'{"token":"secret"}')
        storage.answers["/layer"] = lambda h: part(h, registry.layer)
        registry.answers[digest(registry.layer)] = lambda h: say(
            h, b"", status=307, Location=f"http://localhost:{storage.address[10:]}/layer"
        )
        minidock.ok("pull", "-q", name)
        asked = [seen for seen in registry.seen if seen[1].startswith("/token")]
        assert asked[0][1] == "/token?service=shop&scope=repository%3Ax%3Apull"
        assert [seen[2] for seen in storage.seen] == [""]
    finally:
        storage.stop()


@pytest.mark.parametrize(
    "realm",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/token",
        "http://0.0.0.0/token",
        "http://[::ffff:169.254.169.254]/token",
        "file:///etc/shadow",
        "http://user@127.0.0.1/token",
        "gopher://127.0.0.1/",
        "nonsense",
    ],
)
def test_nothing_is_sent_to_an_impossible_token_server(
    minidock, registry: Registry, name: str, realm: str
) -> None:
    _asks_for_token(registry, realm)
    fails(minidock, name, "token server")


def test_credentials_go_to_the_token_server_only(
    minidock, registry: Registry, name: str, tmp_path, monkeypatch
) -> None:
    auth = base64.b64encode(b"clerk:horse").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    monkeypatch.setitem(minidock.env, "DOCKER_CONFIG", str(tmp_path))
    _asks_for_token(registry, f"http://{registry.address}/token")
    registry.answers["/token"] = lambda h: say(h, b'{"access_token":"secret"}')
    minidock.ok("pull", "-q", name)
    with_password = [path for _, path, given, _ in registry.seen if given == f"Basic {auth}"]
    assert [path.partition("?")[0] for path in with_password] == ["/token"]


def test_an_identity_token_stands_for_a_password(
    minidock, registry: Registry, name: str, tmp_path, monkeypatch
) -> None:
    entry = {"auth": "", "identitytoken": "long-lived"}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: entry}}))
    monkeypatch.setitem(minidock.env, "DOCKER_CONFIG", str(tmp_path))
    _asks_for_token(registry, f"http://{registry.address}/token")
    posted = []

    def give(handler: Handler) -> None:
        posted.append(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        say(handler, b'{"access_token":"secret"}')

    registry.answers["/token"] = give
    minidock.ok("pull", "-q", name)
    assert posted[0] == (
        "service=shop&scope=repository%3Ax%3Apull&grant_type=refresh_token"
        "&refresh_token=long-lived&client_id=minidock"
    )
    assert {given for _, _, given, _ in registry.seen} == {"", "Bearer secret"}


def test_login_keeps_the_identity_token_and_not_the_password(
    minidock, registry: Registry, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(minidock.env, "DOCKER_CONFIG", str(tmp_path))
    challenge = f'Bearer realm="http://{registry.address}/token",service="shop"'

    def greeting(handler: Handler) -> None:
        known = handler.headers.get("Authorization") == "Bearer secret"
        extra = {} if known else {"WWW_Authenticate": challenge}
        say(handler, b"{}", status=200 if known else 401, **extra)

    registry.answers["/v2/"] = greeting
    registry.answers["/token"] = lambda h: say(h, b'{"token":"secret","refresh_token":"lasting"}')
    minidock.ok("login", "-u", "clerk", "--password-stdin", registry.address, stdin=b"horse")
    asked = [path for _, path, _, _ in registry.seen if path.startswith("/token")]
    assert asked == ["/token?service=shop&account=clerk&client_id=minidock&offline_token=true"]
    entry = json.loads((tmp_path / "config.json").read_text())["auths"][registry.address]
    assert entry == {"auth": base64.b64encode(b"clerk:").decode(), "identitytoken": "lasting"}


def test_a_wrong_password(minidock, registry: Registry, name: str) -> None:
    _asks_for_token(registry, f"http://{registry.address}/token")
    registry.answers["/token"] = lambda h: say(h, b"{}", status=401)
    fails(minidock, name, "pull access denied")


# ── silence ──


def test_a_registry_that_falls_silent_in_a_layer(
    minidock, registry: Registry, name: str, tmp_path, monkeypatch
) -> None:
    """Four times it is waited for, then no more."""
    settings = tmp_path / "registries.toml"
    settings.write_text(f'[registry."{registry.address}"]\ntimeout = 0.4\n')
    monkeypatch.setitem(minidock.env, "MINIDOCK_REGISTRIES", str(settings))
    over = threading.Event()

    def stall(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(registry.layer)))
        handler.end_headers()
        if not handler.headers.get("Range"):
            handler.wfile.write(registry.layer[:100])
        handler.wfile.flush()
        over.wait(30)

    registry.answers[digest(registry.layer)] = stall
    began = time.monotonic()
    try:
        said = fails(minidock, name, "failed: no answer")
    finally:
        over.set()
    assert time.monotonic() - began < 25, said
    assert sum(path.endswith(digest(registry.layer)) for _, path, _, _ in registry.seen) <= 5
    del registry.answers[digest(registry.layer)]
    minidock.ok("pull", "-q", name)


# ── mirrors ──


@pytest.mark.parametrize("what", ["no layer", "another layer", "silence"])
def test_a_mirror_that_fails_in_the_middle(
    minidock, registry: Registry, name: str, tmp_path, monkeypatch, what: str
) -> None:
    mirror = Registry()
    evil = gzip.compress(tarball({"hello": b"evil\n"}), 1, mtime=0)
    end = digest(mirror.layer)
    mirror.answers = {
        "no layer": {end: lambda h: say(h, b"{}", status=404)},
        "another layer": {end: lambda h: say(h, evil.ljust(len(mirror.layer), b"\0"))},
        "silence": {"/v2/": lambda h: time.sleep(5)},
    }[what]
    settings = tmp_path / "registries.toml"
    settings.write_text(
        f'[registry."{registry.address}"]\nmirrors = ["http://{mirror.address}"]\n'
        f'[registry."{mirror.address}"]\ntimeout = 1\n'
    )
    monkeypatch.setitem(minidock.env, "MINIDOCK_REGISTRIES", str(settings))
    try:
        done = minidock("pull", name)
        assert done.returncode == 0, done.stderr
        assert mirror.seen, "it was asked first"
        assert done.stdout.endswith(
            f"Status: Downloaded newer image for {name}:latest\n{name}:latest\n"
        )
        assert ("asking elsewhere" in done.stderr) == (what != "silence")
        assert minidock("system", "check").returncode == 0
    finally:
        mirror.stop()


# ── the other direction ──


def takes_uploads(registry: Registry, take: Answer) -> None:
    """From now on it has no blobs and wants some; `take` gets what is sent."""
    registry.answers = {
        "/blobs/uploads/": lambda h: say(h, b"", status=202, Location="/upload"),
        "/upload": take,
        "/manifests/latest": lambda h: (body_of(h), say(h, b"", status=201))[1],
    }


def body_of(handler: Handler) -> bytes:
    """A request's body, in chunks or in one piece."""
    if "Content-Length" in handler.headers:
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    pieces = []
    while size := int(handler.rfile.readline(), 16):
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(pieces)


def test_an_upload_that_breaks_begins_again(minidock, registry: Registry, name: str) -> None:
    """A layer's first try ends in a broken connection, the second in an error of the server's."""
    tries = []

    def take(handler: Handler) -> None:
        tries.append(handler.command)
        if len(tries) == 1:
            handler.rfile.read(10_000)
            handler.close_connection = True
            handler.connection.close()
            return
        body = body_of(handler)
        if len(tries) == 2:
            say(handler, b"", status=503)
            return
        if handler.command == "PATCH":
            assert gzip.decompress(body)
        say(handler, b"", status=202 if handler.command == "PATCH" else 201, Location="/upload")

    takes_uploads(registry, take)
    minidock.ok("tag", "busybox", name)
    done = minidock("push", name)
    assert done.returncode == 0, done.stderr
    assert tries == ["PATCH", "PATCH", "PATCH", "PUT", "PUT"], "the last is the config"
    assert done.stdout.count(": Retrying\n") == 2
    assert done.stdout.count(": Pushed\n") == 1


def test_an_upload_that_is_refused_is_not_tried_again(
    minidock, registry: Registry, name: str
) -> None:
    def refuse(handler: Handler) -> None:
        body_of(handler)
        error = {"errors": [{"code": "DENIED", "message": "the quota is used up"}]}
        say(handler, json.dumps(error).encode(), status=403)

    takes_uploads(registry, refuse)
    minidock.ok("tag", "busybox", name)
    done = minidock("push", name)
    assert done.returncode == 1
    assert "the quota is used up" in done.stderr
    assert "Retrying" not in done.stdout
