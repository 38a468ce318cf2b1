"""Proving to a registry who we are.

Nobody says at first what will be needed: one asks without anything, and the answer 401 says how.

    us                        registry                       token server ("realm")
     │ GET /v2/library/x/… ──────►│
     │◄── 401  WWW-Authenticate: Bearer realm="https://auth…",service="…",scope="…"
     │ GET https://auth…?service=…&scope=repository:library/x:pull  (Basic, if we have a name) ─►│
     │◄──────────────────────────────────────────────────────────────────────────── {"token"} ───┤
     │ GET /v2/library/x/…  Authorization: Bearer … ►│

The registry chooses the token server, so it also chooses where our password goes. It is sent over
TLS only (unless the registry itself is without), and never to an address that only this machine
can reach: the "metadata" services of clouds live at link-local ones, and hand out keys.

See: https://distribution.github.io/distribution/spec/auth/token/, RFC 6750, RFC 7617
"""

from __future__ import annotations

import time

from minidock.errors import MinidockError
from minidock.record import Record
from minidock.spec.fields import Fields, load_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from minidock.registry.credentials import Credentials

    # method, address, headers, form fields → status, body
    Ask = Callable[[str, str, Mapping[str, str], Mapping[str, str] | None], tuple[int, bytes]]

CLIENT_ID = "minidock"
_LEAST_LIFE = 60  # seconds; tokens without a date live so long, says the specification


class Challenge(Record):
    """What a 401 asks for: `scheme` in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


class Unauthorized(MinidockError):
    """The registry, or its token server, does not accept who we are."""


def parse_challenge(header: str) -> Challenge | None:
    """Read a WWW-Authenticate header. RFC 9110 11.6.1

    Bearer realm="https://auth.docker.io/token",service="registry.docker.io"
    """
    scheme, _, rest = header.strip().partition(" ")
    parameters: dict[str, str] = {}
    while rest := rest.strip(" ,"):
        name, equals, rest = rest.partition("=")
        if not equals:
            break
        if rest.startswith('"'):
            value, _, rest = rest[1:].partition('"')
        else:
            value, _, rest = rest.partition(",")
        parameters[name.strip().lower()] = value.strip()
    return Challenge(scheme.lower(), parameters) if scheme else None


class Tokens:
    """The tokens of one registry, one for each scope, for as long as they live."""

    def __init__(self, credentials: Credentials | None, *, secure: bool, local: bool) -> None:
        self._credentials = credentials
        self._secure = secure
        self._local = local
        self._known: dict[str, tuple[str, float]] = {}
        self._challenge: Challenge | None = None
        self.wants_identity = False
        self.identity = ""  # what a token server gave to be kept instead of the password

    def header(self, scope: str) -> str:
        """The Authorization header for a request, as far as is known by now; or ""."""
        if self._challenge and self._challenge.scheme == "basic" and self._credentials:
            return self._credentials.basic()
        token, expires = self._known.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and time.monotonic() < expires else ""

    def answer(self, challenge: Challenge, scope: str, ask: Ask) -> bool:
        """Get what a 401 asks for. False if there is nothing we could show.

        Raises `Unauthorized` where the token server refuses, `MinidockError` for one that is not
        to be trusted.
        """
        self._challenge = challenge
        if challenge.scheme == "basic":
            return bool(self._credentials and self._credentials.username)
        if challenge.scheme != "bearer" or "realm" not in challenge.parameters:
            return False
        self._known[scope] = self._fetch(challenge.parameters, scope, ask)
        return True

    def _fetch(self, parameters: Mapping[str, str], scope: str, ask: Ask) -> tuple[str, float]:
        from urllib.parse import urlencode

        realm = parameters["realm"]
        check_realm(realm, secure=self._secure, local=self._local)
        query = {"service": parameters.get("service", ""), "scope": scope}
        query = {key: value for key, value in query.items() if value}
        known = self._credentials
        if known and known.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": known.identity_token,
                "client_id": CLIENT_ID,
            }
            status, body = ask("POST", realm, {}, form)
        else:
            headers = {"Authorization": known.basic()} if known and known.username else {}
            if known and known.username and self.wants_identity:
                asks = {"account": known.username, "client_id": CLIENT_ID, "offline_token": "true"}
                query |= asks
            separator = "&" if "?" in realm else "?"
            status, body = ask("GET", f"{realm}{separator}{urlencode(query)}", headers, None)
        if status in (401, 403):
            raise Unauthorized("unauthorized: incorrect username or password")
        if status != 200:
            raise MinidockError(f"the token server {realm[:200]} answers {status}")
        fields = Fields(load_object(body, "the token server's answer"), "the token server's answer")
        if self.wants_identity and fields.text("refresh_token"):
            self.identity = _printable(fields, "refresh_token")
        return _read_token(fields)


def _printable(fields: Fields, name: str) -> str:
    """A token, which will stand in a header, a form or a file."""
    token = fields.text(name)
    if not token or not token.isascii() or not token.isprintable():
        raise fields.error(name, "is missing")
    return token


def _read_token(fields: Fields) -> tuple[str, float]:
    token = _printable(fields, "token" if fields.text("token") else "access_token")
    lives = fields.document.get("expires_in")
    seconds = lives if isinstance(lives, int) and lives > 0 else _LEAST_LIFE
    return token, time.monotonic() + max(seconds, _LEAST_LIFE) * 0.9


def check_realm(realm: str, *, secure: bool, local: bool) -> None:
    """Raise `MinidockError` for a token server to which nothing may be sent: without TLS though
    the registry has it, or at an address that only means something to this machine."""
    import ipaddress
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(realm)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc:
        raise MinidockError(f"the registry names an impossible token server: {realm[:200]!r}")
    if parts.scheme == "http" and secure:
        raise MinidockError(f"the registry names a token server without TLS: {realm[:200]!r}")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        why = error.strerror or str(error)
        raise MinidockError(f"cannot find the token server {host[:200]!r}: {why}") from None
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if (
            ip.is_link_local
            or ip.is_unspecified
            or ip.is_multicast
            or (ip.is_loopback and not local)
        ):
            raise MinidockError(
                f"the registry names a token server of this machine: {realm[:200]!r}"
            )
