"""pull: from a name to an image of the store.

    reference ─► registry, or a mirror of it ─► index ─► manifest for the platform ─► config
                                                                              └─► layers

The digest of one document is written in the one before, so a chain of checks leads from the name
to every byte; only the step from a tag to its first document is the registry's word. Layers come
three at a time, as in Docker, and each is unpacked while it arrives. The tag is set last.

See: distribution-spec "Pull"; image-spec image-index.md (platforms)
"""

from __future__ import annotations

import time

from urllib3.exceptions import HTTPError

from minidock.errors import BadData, MinidockError, NotFound
from minidock.image.layout import REPO_DIGESTS
from minidock.record import Record
from minidock.registry.auth import Unauthorized
from minidock.registry.client import TRIES, Refused, Registry, digest_of, read_bounded, why
from minidock.registry.settings import endpoint_of, mirrors_of
from minidock.spec.digest import Digest
from minidock.spec.fields import MAX_JSON
from minidock.spec.image import (
    CONFIGS,
    INDEXES,
    MANIFESTS,
    Descriptor,
    Platform,
    parse_index,
    parse_manifest,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from typing import Any, Protocol

    from minidock.image.compression import Source
    from minidock.image.partial import PartialBlob
    from minidock.image.receive import Part, Receiver
    from minidock.image.store import ImageStore
    from minidock.registry.credentials import Credentials
    from minidock.spec.image import ImageConfig
    from minidock.spec.reference import Reference

    class Watcher(Protocol):
        """Who shows how far it is. `layer` is a short id; called from several threads."""

        def status(self, layer: str, words: str) -> None: ...
        def progress(self, layer: str, doing: str, done: int, total: int) -> None: ...


AT_ONCE = 3
_PIECE = 1 << 20
_PAUSE = 0.3  # seconds before a broken download goes on; doubles
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"


class Found(Record):
    """A manifest in a registry. `digest` is what the tag stands for: of the index where there is
    one, and so the same for every platform."""

    registry: Registry
    name: str
    digest: Digest
    manifest: bytes
    descriptor: Descriptor


class Pulled(Record):
    """`digest` is the repository's for the tag; `changed` whether the store has something new."""

    digest: Digest
    changed: bool


def pull(
    store: ImageStore, reference: Reference, platform: Platform, found: Found, watcher: Watcher
) -> Pulled:
    """Fetch what `find` found, and name it. Raises `MinidockError` in Docker's words; then no name
    has changed, and what came completely is there for the next try."""
    repo_digest = f"{reference.repository}@{found.digest}"
    if store.is_named(reference, found.descriptor.digest, repo_digest):
        _check_platform(store.resolve(str(reference)).config, reference, platform)
        return Pulled(found.digest, changed=False)
    image_id = parse_manifest(found.manifest, f"the manifest of {found.name}").config.digest
    kept = store.keep(
        image_id,
        reference,
        repo_digest,
        lambda config: _check_platform(config, reference, platform),
    )
    if kept is not None:
        return Pulled(found.digest, changed=kept)
    config = _config(found)
    with store.receive(config, found.manifest) as receiver:
        _check_platform(receiver.image, reference, platform)
        receiver.prefer_own()
        _take_layers(receiver, found, watcher)
        notes = {REPO_DIGESTS: repo_digest}
        mine = Platform(receiver.image.os, receiver.image.architecture, receiver.image.variant)
        entry = receiver.descriptor(found.descriptor.media_type)
        entry = entry.but(annotations=notes, platform=mine)
        receiver.finish([] if reference.digest else [reference], entry)
    return Pulled(found.digest, changed=True)


def _check_platform(image: ImageConfig, reference: Reference, platform: Platform) -> None:
    """A tag without an index has one image, whatever it is for."""
    mine = Platform(image.os, image.architecture, image.variant)
    if not mine.fits(platform):
        raise NotFound(
            f"image with reference {reference.familiar} was found but does not provide the "
            f"specified platform ({_words(platform)}): it is for {_words(mine)}"
        )


def _words(platform: Platform) -> str:
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def find(
    reference: Reference,
    platform: Platform,
    credentials: Credentials | None,
    settings: Mapping[str, Mapping[str, Any]],
    tell: Callable[[str], object] | None = None,
    avoid: Container[str] = (),
) -> Found:
    """Ask the mirrors, but not those hosts that are to be avoided, then the registry; `tell` hears
    of what takes long. Raises `NotFound`, `MinidockError`."""
    for mirror in mirrors_of(reference.domain, settings):
        if mirror.host in avoid:
            continue
        try:
            return _find(Registry(mirror, None, tell), reference, platform)
        except MinidockError:
            continue  # a mirror that has not got it, or is down, is no reason to fail
    endpoint = endpoint_of(reference.domain, settings)
    return _find(Registry(endpoint, credentials, tell), reference, platform)


def _find(registry: Registry, reference: Reference, platform: Platform) -> Found:
    which = reference.digest or reference.tag
    try:
        data, media_type, digest = registry.manifest(reference.path, which)
    except (Refused, Unauthorized) as error:
        raise _denied(reference, error) from None
    if media_type in INDEXES:
        wanted = _choose(data, platform, reference)
        data, media_type, inner = registry.manifest(reference.path, wanted.digest)
        descriptor = wanted.but(media_type=media_type, digest=inner, size=len(data))
    else:
        descriptor = Descriptor(media_type, digest, len(data), {}, platform)
    if media_type.startswith(_SCHEMA_1):
        raise BadData(
            f"{reference.familiar} is of Docker's first manifest format (schema 1), which "
            "minidock does not read: push it anew with a Docker of this decade"
        )
    if media_type not in MANIFESTS:
        raise BadData(f"the registry calls the manifest of {reference.familiar} {media_type!r}")
    registry.tell = None  # from here on every layer speaks for itself
    return Found(registry, reference.path, digest, data, descriptor)


def _denied(reference: Reference, error: MinidockError) -> MinidockError:
    """What Docker makes of a registry's refusal."""
    status = error.status if isinstance(error, Refused) else 401
    code = error.code if isinstance(error, Refused) else ""
    if status in (401, 403) or code == "NAME_UNKNOWN":
        return NotFound(
            f"pull access denied for {reference.familiar_repository}, repository does not exist "
            f"or may require 'minidock login': {error.message}"
        )
    if status == 404:
        return NotFound(f"manifest for {reference.familiar} not found: {error.message}")
    return error


def _choose(data: bytes, platform: Platform, reference: Reference) -> Descriptor:
    """The manifest of an index that is for this platform. Raises `NotFound` in Docker's words."""
    candidates = [
        manifest
        for manifest in parse_index(data, f"the index of {reference.familiar}").manifests
        if manifest.media_type in MANIFESTS
        and (manifest.platform is None or manifest.platform.fits(platform))
    ]
    if not candidates:
        raise NotFound(f"no matching manifest for {_words(platform)} in the manifest list entries")
    exact = (m for m in candidates if m.platform and m.platform.variant == platform.variant)
    return next(exact, candidates[0])


def _config(found: Found) -> bytes:
    descriptor = parse_manifest(found.manifest, f"the manifest of {found.name}").config
    if descriptor.media_type not in CONFIGS:
        raise BadData(f"{found.name} is no image to run but {descriptor.media_type[:100]!r}")
    if descriptor.size > MAX_JSON:
        raise BadData(f"the config of {found.name} is larger than {MAX_JSON} bytes")
    response = found.registry.blob(found.name, descriptor.digest)
    data = read_bounded(response, f"the config of {found.name}")
    if digest_of(data) != descriptor.digest or len(data) != descriptor.size:
        raise BadData(f"the config of {found.name} is not {descriptor.digest}")
    return data


# ── layers ───────────────────────────────────────────────────────────────────────────────────────


def _take_layers(receiver: Receiver, found: Found, watcher: Watcher) -> None:
    """Fetch and unpack what is missing, three at a time. The first failure ends the others."""
    missing: list[Part] = []
    for part in {part.descriptor.digest: part for part in reversed(receiver.parts)}.values():
        short = part.descriptor.digest.short
        if receiver.is_here(part):
            watcher.status(short, "Already exists")
        else:
            watcher.status(short, "Pulling fs layer")
            missing.insert(0, part)
    if not missing:
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    downloads = Downloads(found, watcher)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        jobs = [pool.submit(_take_layer, receiver, part, downloads) for part in missing]
        done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        for job in done:
            job.result()
    except BaseException:
        downloads.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _take_layer(receiver: Receiver, part: Part, downloads: Downloads) -> None:
    short, size = part.descriptor.digest.short, part.descriptor.size
    watcher = downloads.watcher
    receiver.layer(
        part,
        lambda blob: Download(downloads, blob),
        lambda done: watcher.progress(short, "Extracting", done, size),
    )
    watcher.status(short, "Pull complete")


class Downloads:
    """The downloads of one pull, which end together."""

    def __init__(self, found: Found, watcher: Watcher) -> None:
        self.found = found
        self.watcher = watcher
        self.stopped = False
        self.open: set[Any] = set()

    def stop(self) -> None:
        """Wake every thread that waits for a registry; it ends with an error of its own."""
        self.stopped = True
        for response in list(self.open):
            try:
                response.shutdown()
            except (OSError, ValueError, RuntimeError):
                continue  # it had just come to its end


class Download:
    """A source: the bytes of a blob that are not here yet, across broken connections."""

    def __init__(self, downloads: Downloads, blob: PartialBlob) -> None:
        self._all = downloads
        self._blob = blob
        self._response: Any = None
        self._failures = 0
        self._complete = False

    def read(self, size: int) -> bytes:
        """The next bytes, b"" when all have come. Raises `MinidockError` after the fifth failure
        without progress in between."""
        descriptor = self._blob.descriptor
        short, watcher = descriptor.digest.short, self._all.watcher
        while self._blob.size < descriptor.size:
            data, problem = self._try(min(size, descriptor.size - self._blob.size + 1))
            if data:
                self._failures = 0
                done = self._blob.size + len(data)
                watcher.progress(short, "Downloading", done, descriptor.size)
                return data
            self._recover(problem)
        if not self._complete:
            self._complete = True
            self._close()
            watcher.status(short, "Download complete")
        return b""

    def _try(self, size: int) -> tuple[bytes, str]:
        """Some bytes, or what was wrong."""
        try:
            if self._response is None:
                self._response = self._connect()
            data = bytes(self._response.read(size))
        except HTTPError as error:
            return b"", why(error)
        return data, "the connection ended too early"

    def _connect(self) -> Any:
        start, found = self._blob.size, self._all.found
        response = found.registry.blob(found.name, self._blob.descriptor.digest, start)
        self._all.open.add(response)
        if start and response.status != 206:
            skip(response, start)  # a registry without ranges sends all of it again
        return response

    def _recover(self, problem: str) -> None:
        self._close()
        short = self._blob.descriptor.digest.short
        self._failures += 1
        if self._all.stopped or self._failures >= TRIES:
            raise MinidockError(f"download of {short} failed: {problem}")
        self._all.watcher.status(short, "Retrying")
        time.sleep(_PAUSE * 2**self._failures)

    def _close(self) -> None:
        if self._response is not None:
            self._all.open.discard(self._response)
            self._response.close()
            self._response = None


def skip(response: Source, count: int) -> None:
    """Read and forget the first `count` bytes."""
    while count and (data := response.read(min(count, _PIECE))):
        count -= len(data)
