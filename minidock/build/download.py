"""ADD of a URL: fetch it, once.

    build/downloads/<name>.json    what the server said of a URL when it was fetched last
    build/downloads/sha256-<hex>   what it sent

With `--checksum` the file is what it should be or the build fails, and what is here already need
not be asked for. Without it the server is asked each time whether it has changed (ETag,
Last-Modified): an answer of a few bytes where it has not.

See: RFC 9110 (conditional requests), https://docs.docker.com/reference/dockerfile/#add
"""

from __future__ import annotations

import os
from hashlib import sha256

from minidock.errors import InvalidInput, MinidockError
from minidock.image.blobs import unique_name
from minidock.linux.private import make_private
from minidock.record import Record
from minidock.spec.lean_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PIECE = 1 << 18
_TIMEOUT = 60.0  # seconds that a server may say nothing
_OK, _NOT_MODIFIED = 200, 304


class Fetched(Record):
    """A file in `directory`; `name` is what it is called in the image, `mtime` in seconds."""

    directory: str
    file: str
    name: str
    mtime: int


def download(home: str, url: str, checksum: str = "") -> Fetched:
    """Fetch, or find it fetched. Raises `InvalidInput`, `MinidockError`."""
    directory = f"{home}/downloads"
    name = file_name(url)
    if checksum:
        _check_digest(checksum)
        path = f"sha256-{checksum.removeprefix('sha256:')}"
        known = _known(directory, url)
        if os.path.exists(f"{directory}/{path}"):
            return Fetched(directory, path, name, int(known.get("mtime", 0)))
    make_private(directory)
    known = _known(directory, url)
    digest, about = _request(directory, url, known)
    if checksum and digest != checksum.removeprefix("sha256:"):
        raise InvalidInput(f"digest mismatch sha256:{digest}: {checksum}")
    about["digest"] = digest
    _remember(directory, url, about)
    return Fetched(directory, f"sha256-{digest}", name, int(about.get("mtime", 0)))


def file_name(url: str) -> str:
    """The last part of its path."""
    from urllib.parse import unquote, urlsplit

    path = urlsplit(url).path
    name = unquote(path.rstrip("/").rpartition("/")[2])
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InvalidInput(f"cannot determine filename for source {url}")
    return name


def _check_digest(checksum: str) -> None:
    kind, _, value = checksum.partition(":")
    if kind != "sha256" or len(value) != 64 or not all(c in "0123456789abcdef" for c in value):
        raise InvalidInput(f"invalid checksum {checksum}: it must be sha256:<64 hex digits>")


def _known(directory: str, url: str) -> dict[str, Any]:
    try:
        with open(_about(directory, url), "rb") as file:
            found = loads(file.read())
    except (OSError, ValueError):
        return {}
    sound = isinstance(found, dict) and found.get("url") == url
    return found if sound and os.path.exists(f"{directory}/sha256-{found['digest']}") else {}


def _about(directory: str, url: str) -> str:
    return f"{directory}/{sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()}.json"


def _remember(directory: str, url: str, about: dict[str, Any]) -> None:
    temporary = f"{directory}/{unique_name()}.tmp"
    with open(temporary, "wb") as file:
        file.write(dumps({**about, "url": url}).encode())
    os.rename(temporary, _about(directory, url))


def _request(directory: str, url: str, known: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Ask the server; the digest of what it sent, and what it said of it."""
    import urllib3

    headers = {"User-Agent": "minidock", "Accept-Encoding": "identity"}
    for header, key in (("If-None-Match", "etag"), ("If-Modified-Since", "modified")):
        if known.get(key):
            headers[header] = str(known[key])
    pool: Any = urllib3.PoolManager(timeout=_TIMEOUT)
    proxy = os.environ.get("https_proxy" if url.startswith("https") else "http_proxy")
    if proxy and not _is_local(url):
        pool = urllib3.ProxyManager(proxy, timeout=_TIMEOUT)
    try:
        answer = pool.request("GET", url, headers=headers, preload_content=False, retries=3)
        try:
            if answer.status == _NOT_MODIFIED and known:
                return str(known["digest"]), known
            if answer.status != _OK:
                raise MinidockError(f"failed to load {url}: {answer.status} {answer.reason}")
            digest = _receive(directory, answer)
            return digest, _described(answer)
        finally:
            answer.close()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise MinidockError(f"failed to load {url}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """The last of urllib3's reasons, which is the one that says what happened."""
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2] or str(error)


def _is_local(url: str) -> bool:
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    excluded = [h.strip() for h in os.environ.get("no_proxy", "").split(",")]
    return host in ("localhost", "127.0.0.1", "::1", *excluded)


def _receive(directory: str, answer: Any) -> str:
    temporary = f"{directory}/{unique_name()}.tmp"
    total = sha256()
    expected = answer.headers.get("Content-Length")
    size = 0
    try:
        with open(temporary, "wb") as file:
            while piece := answer.read(_PIECE):
                total.update(piece)
                file.write(piece)
                size += len(piece)
        if expected is not None and expected.isdigit() and int(expected) != size:
            raise MinidockError(f"the answer ended after {size} of {expected} bytes")
        os.rename(temporary, f"{directory}/sha256-{total.hexdigest()}")
    except BaseException:
        os.unlink(temporary)
        raise
    return total.hexdigest()


def _described(answer: Any) -> dict[str, Any]:
    from email.utils import parsedate_to_datetime

    modified = answer.headers.get("Last-Modified", "")
    mtime = 0
    try:
        mtime = int(parsedate_to_datetime(modified).timestamp()) if modified else 0
    except (TypeError, ValueError, OverflowError):
        pass
    return {"etag": answer.headers.get("ETag", ""), "modified": modified, "mtime": max(0, mtime)}
