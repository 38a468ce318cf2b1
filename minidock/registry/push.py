"""push: the parts of an image that a registry does not have yet, then its name.

    each layer, the config    HEAD blobs/<digest> ──► there already
                              POST uploads/?mount=…&from=… ──► taken from a repository next door
                              POST uploads/, then PUT <its Location>?digest=…
    the manifest, last        PUT manifests/<tag>

A registry refuses a manifest that names what it does not have, so a tag never leads to half an
image. Layers go five at a time, as in Docker. One that is kept as a plain tar is packed while it is
sent, so that its digest is known at the end only:

                              POST uploads/, PATCH <its Location> in chunks, PUT …?digest=…

All others go as they are stored, and have the same digest there as here.

See: distribution-spec "Push", "Mounting a blob from another repository"
"""

from __future__ import annotations

import time

from minidock.errors import MinidockError
from minidock.image.packed import Packer, is_plain
from minidock.record import Record
from minidock.registry.auth import Unauthorized
from minidock.registry.client import TRIES, Refused, Registry, push_scope
from minidock.registry.settings import endpoint_of
from minidock.spec.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from minidock.image.store import ImageStore
    from minidock.registry.client import Response
    from minidock.registry.credentials import Credentials
    from minidock.registry.pull import Watcher
    from minidock.spec.image import Descriptor
    from minidock.spec.reference import Reference

AT_ONCE = 5
_PIECE = 1 << 20
_PAUSE = 0.3  # seconds before a broken upload begins again; doubles
_GONE_UP = (201, 202, 204)


class Pushed(Record):
    """`digest` and `size` are the manifest's."""

    digest: Digest
    size: int


def push(
    store: ImageStore,
    reference: Reference,
    credentials: Credentials | None,
    settings: Mapping[str, Mapping[str, Any]],
    watcher: Watcher,
    tell: Callable[[str], object] | None = None,
) -> Pushed:
    """Send one image under its name; `tell` hears why something is tried again. Raises `NotFound`
    where there is no such image here, `MinidockError` in Docker's words."""
    registry = Registry(endpoint_of(reference.domain, settings), credentials, tell)
    with store.hold():
        image = store.outgoing(reference)
        sender = _Sender(registry, reference, store, watcher, as_is=image.as_is)
        try:
            _send_layers(sender, image.layers)
            sent = image.sent_as(sender.packed)
            sender.send(image.config)
            scope = push_scope(reference.path)
            registry.request(
                "PUT",
                f"/v2/{reference.path}/manifests/{reference.tag}",
                scope,
                headers={"Content-Type": sent.descriptor.media_type},
                body=sent.manifest,
                expect=_GONE_UP,
            ).drain_conn()
        except (Refused, Unauthorized) as error:
            raise _denied(reference, error) from None
        store.note_repo_digest(reference, image.entry, sent.descriptor.digest)
    return Pushed(sent.descriptor.digest, sent.descriptor.size)


def _denied(reference: Reference, error: MinidockError) -> MinidockError:
    status = error.status if isinstance(error, Refused) else 401
    if status in (401, 403):
        return MinidockError(
            f"push access denied for {reference.familiar_repository}, repository does not exist or "
            f"may require authorization: server message: {error.message}"
        )
    return error


def _send_layers(sender: _Sender, layers: tuple[Descriptor, ...]) -> None:
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        once = {layer.digest: layer for layer in layers}.values()
        jobs = [pool.submit(sender.send_layer, layer) for layer in once]
        done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        for job in done:
            job.result()
    except BaseException:
        sender.stopped = True
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Broken(MinidockError):
    """An upload broke off; from its beginning it may succeed."""


class _Sender:
    """Sends the blobs of one image; used by several threads. `packed` are the plain layers among
    them, and what they became."""

    def __init__(
        self,
        registry: Registry,
        reference: Reference,
        store: ImageStore,
        watcher: Watcher,
        *,
        as_is: bool,
    ) -> None:
        self.stopped = False
        self.packed: dict[Digest, Descriptor] = {}
        self._as_is = as_is
        self._registry = registry
        self._name = reference.path
        self._domain = reference.domain
        self._scope = push_scope(reference.path)
        self._store = store
        self._watcher = watcher

    def send_layer(self, layer: Descriptor) -> None:
        short = layer.digest.short
        self._watcher.status(short, "Preparing")
        pack = is_plain(layer) and not self._as_is
        failures = 0
        while True:
            try:
                words = self._send_packed(layer) if pack else self.send(layer)
            except _Broken as error:
                failures += 1
                if self.stopped or failures >= TRIES:
                    raise MinidockError(f"upload of {short} failed: {error.message}") from None
                self._watcher.status(short, "Retrying")
                time.sleep(_PAUSE * 2**failures)
                continue
            self._watcher.status(short, words)
            return

    def _send_packed(self, layer: Descriptor) -> str:
        """One plain layer as gzip; as `send`."""
        known = self._store.find_packed(layer.digest)
        if known:
            self.packed[layer.digest] = known
            if self._registry.has(self._name, "blobs", known.digest, self._scope):
                return "Layer already exists"
        upload, source = self._begin(known.digest if known else None, layer.digest)
        if not upload:
            return f"Mounted from {source}"
        packer = Packer(self._pieces(layer))
        response = self._put("PATCH", upload, iter(packer))
        blob = self.packed[layer.digest] = packer.blob
        self._put("PUT", _with_digest(self._registry.location(response), blob.digest), b"")
        self._store.note_packed(layer.digest, blob)
        return "Pushed"

    def send(self, blob: Descriptor) -> str:
        """One blob, if it is not there; how it came there, in Docker's words."""
        if self._registry.has(self._name, "blobs", blob.digest, self._scope):
            return "Layer already exists"
        upload, source = self._begin(blob.digest, blob.digest)
        if not upload:
            return f"Mounted from {source}"
        # In one piece: chunks of our own would only be put together again over there.
        self._put("PUT", _with_digest(upload, blob.digest), self._pieces(blob), blob.size)
        return "Pushed"

    def _put(
        self, method: str, url: str, body: Iterator[bytes] | bytes, size: int = -1
    ) -> Response:
        """Send a body; of unknown size, in chunks."""
        headers = {"Content-Type": "application/octet-stream"}
        if size >= 0:
            headers["Content-Length"] = str(size)
        try:
            response = self._registry.request(
                method,
                url,
                self._scope,
                headers=headers,
                body=body,
                expect=_GONE_UP,
                retry=False,  # a body that was read once is gone
            )
        except Unauthorized:
            raise
        except MinidockError as error:
            if isinstance(error, Refused) and error.status < 500 and error.status != 429:
                raise
            raise _Broken(error.message) from None
        response.drain_conn()
        return response

    def _begin(self, digest: Digest | None, stored: Digest) -> tuple[str, str]:
        """Where to send a blob to; or "" and the repository next door that had it. `digest` is
        what it is called over there, if that is known, `stored` here."""
        path = f"/v2/{self._name}/blobs/uploads/"
        for source in self._store.repositories_of(stored, self._domain) if digest else ():
            if source == self._name:
                continue
            query = f"?mount={digest}&from={source}"
            response = self._registry.request("POST", path + query, self._scope, expect=_GONE_UP)
            response.drain_conn()
            if response.status == 201:
                return "", source
            return self._registry.location(response), ""
        response = self._registry.request("POST", path, self._scope, expect=_GONE_UP)
        response.drain_conn()
        return self._registry.location(response), ""

    def _pieces(self, blob: Descriptor) -> Iterator[bytes]:
        short, sent = blob.digest.short, 0
        with open(self._store.open_blob(blob.digest), "rb", buffering=0) as file:
            while data := file.read(_PIECE):
                if self.stopped:
                    raise MinidockError("the push was stopped")
                yield data
                sent += len(data)
                self._watcher.progress(short, "Pushing", sent, blob.size)


def _with_digest(upload: str, digest: Digest) -> str:
    return f"{upload}{'&' if '?' in upload else '?'}digest={digest}"
