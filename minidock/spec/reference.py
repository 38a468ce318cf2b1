"""The names of images: what a user types, and what it stands for.

    ubuntu                           docker.io/library/ubuntu:latest
    grafana/loki:2.9                 docker.io/grafana/loki:2.9
    localhost:5000/x                 localhost:5000/x:latest
    ubuntu@sha256:<64 hex>           docker.io/library/ubuntu@sha256:<64 hex>

The short form on the left is called familiar, the full one on the right canonical. What stands
before the first slash is a registry if it could be a host: it holds a dot or a colon, is
`localhost`, or has an upper-case letter (which no repository may have).

The grammar is Docker's, and so are the errors, because scripts look for them.

See: github.com/distribution/reference (reference.go, normalize.go)
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.record import Record

DOCKER_IO = "docker.io"
DEFAULT_TAG = "latest"
_MAX_NAME = 255

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALPHA = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")
_ALNUM = _ALPHA | _DIGITS
_WORD = _ALNUM | {"_"}
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Reference(Record):
    """A parsed name. `tag` is empty only where there is a `digest`, and the other way round both
    may be there: `ubuntu:22.04@sha256:…`."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """`docker.io/library/ubuntu`"""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """`ubuntu`: what tables show as REPOSITORY."""
        if self.domain != DOCKER_IO:
            return self.repository
        alone = self.path.removeprefix("library/")
        return self.path if "/" in alone else alone

    @property
    def familiar(self) -> str:
        """`ubuntu:latest`"""
        return self.familiar_repository + self._suffix

    @property
    def canonical(self) -> str:
        """`docker.io/library/ubuntu:latest`"""
        return self.repository + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar


def parse_reference(text: str) -> Reference:
    """What a user typed; without tag and digest the tag is `latest`.

    Raises `InvalidInput` in Docker's words.
    """
    if is_identifier(text):
        raise InvalidInput(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = _split_domain(text)
    before_tag = remainder.partition(":")[0]
    if before_tag.lower() != before_tag:
        raise InvalidInput(
            f"invalid reference format: repository name ({before_tag}) must be lowercase"
        )
    name, _, digest = remainder.partition("@")
    path, colon, tag = name.partition(":")
    if (
        not _is_domain(domain)
        or not all(map(_is_component, path.split("/")))
        or (colon and not _is_tag(tag))
        or ((digest or remainder.endswith("@")) and not _is_digest(digest))
    ):
        raise InvalidInput("invalid reference format")
    if len(path) > _MAX_NAME:
        raise InvalidInput(f"repository name must not be more than {_MAX_NAME} characters")
    if digest:
        _check_digest(digest)
    elif not tag:
        tag = DEFAULT_TAG
    return Reference(domain, path, tag, digest)


# The grammar, by hand: compiling it as regular expressions takes 8 ms, in every `run` and `ps`.


def _is_domain(text: str) -> bool:
    """`host.name:port`, `[2001:db8::1]:port`"""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    elif not port or not _DIGITS.issuperset(port):
        return False
    if host.startswith("[") and host.endswith("]"):
        return len(host) > 2 and (_HEX | {":"}).issuperset(host[1:-1])
    return all(map(_is_label, host.split(".")))


def _is_label(text: str) -> bool:
    return bool(text) and (_ALNUM | {"-"}).issuperset(text) and "-" not in (text[0], text[-1])


def _is_component(text: str) -> bool:
    """Lower-case words, between which stand `.`, `_`, `__` or any number of `-`."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    between = "".join("x" if char in _LOWER else char for char in text).split("x")
    return all(part in ("", ".", "_", "__") or set(part) == {"-"} for part in between)


def _is_tag(text: str) -> bool:
    allowed = _WORD | {".", "-"}
    return 1 <= len(text) <= 128 and text[0] in _WORD and allowed.issuperset(text)


def _is_digest(text: str) -> bool:
    """`algorithm:hex`; an algorithm may be several words, as in `sha256+b64`."""
    algorithm, _, digits = text.partition(":")
    for separator in "-_+":
        algorithm = algorithm.replace(separator, ".")
    words = algorithm.split(".")
    named = all(word and word[0] in _ALPHA and _ALNUM.issuperset(word) for word in words)
    return named and len(digits) >= 32 and _HEX.issuperset(digits)


def is_identifier(text: str) -> bool:
    """64 hex digits: the full id of an image or container, which no name may look like."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def is_default_tag(text: str) -> bool:
    """Whether `latest` was understood and not said: then `pull` says so."""
    return not parse_reference(text).digest and ":" not in text.rpartition("/")[2]


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash:
        return DOCKER_IO, f"library/{text}"
    if first == "index.docker.io":  # as it was called in 2013
        first = DOCKER_IO
    elif not (first == "localhost" or "." in first or ":" in first or first.lower() != first):
        first, rest = DOCKER_IO, text
    if first == DOCKER_IO and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _check_digest(digest: str) -> None:
    algorithm, _, digits = digest.partition(":")
    if algorithm not in _LENGTHS:
        raise InvalidInput("unsupported digest algorithm")
    if len(digits) != _LENGTHS[algorithm]:
        raise InvalidInput("invalid checksum digest length")
    if digits.lower() != digits:
        raise InvalidInput("invalid checksum digest format")
