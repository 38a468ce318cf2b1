"""Speaking with one registry: the requests of the distribution specification, and nothing else.

    GET  /v2/<name>/manifests/<tag or digest>      POST  /v2/<name>/blobs/uploads/   begin
    GET  /v2/<name>/blobs/<digest>                 PATCH, PUT <its Location>         send, finish
    HEAD of both                                   GET   /v2/<name>/tags/list

HTTP itself (connections kept open, TLS, chunks, redirects, retries with growing pauses, proxies)
is urllib3's work: it is what pip and requests stand on, it is small, it gives the body as a stream,
and it drops our Authorization when a redirect leads to another host, as to the storage of a cloud.

What a registry says is a stranger's word: documents are bounded, a silent one is given up, and an
answer that is no answer (a page of HTML) becomes one line.

See: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import urllib3
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    SSLError,
    TimeoutError,
)

from minidock.errors import BadData, MinidockError
from minidock.registry.auth import Tokens, Unauthorized, parse_challenge
from minidock.registry.settings import is_local
from minidock.spec.digest import Digest
from minidock.spec.fields import MAX_JSON
from minidock.spec.image import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST
from minidock.spec.lean_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Self

    from minidock.registry.credentials import Credentials
    from minidock.registry.settings import Endpoint

    Response = urllib3.BaseHTTPResponse

ACCEPT = ", ".join((INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
TRIES = 4
_CONNECT = 15.0  # seconds at most, of which `timeout` in the settings may make fewer
_MOST_PAUSE = 60  # seconds, whatever Retry-After says
_BUSY = (429, 500, 502, 503, 504)
_MAX_TAGS = 100_000


class Refused(MinidockError):
    """The registry answers with an error. `code` is its own, such as MANIFEST_UNKNOWN, or empty;
    `status` HTTP's."""

    def __init__(self, message: str, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Registry:
    """One endpoint. May be used by several threads at once. `tell` hears, in a line, why
    something is tried again."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.tell = tell
        retries = _Patience(
            total=None,
            connect=0 if endpoint.mirror else 2,  # there is somebody else to ask
            read=0 if endpoint.mirror else TRIES - 1,
            status=TRIES,
            redirect=5,
            other=0,  # a certificate is no better the next time
            status_forcelist=_BUSY,
            allowed_methods=None,
            backoff_factor=0.3,
            backoff_max=20,
            raise_on_status=False,
        )
        retries.tell = self._again
        self._pool = _new_pool(endpoint, retries)
        self._base = ""
        self._tokens = Tokens(
            credentials, secure=not endpoint.insecure, local=is_local(endpoint.host)
        )

    def _again(self, reason: str) -> None:
        if self.tell:
            self.tell(f"{self.endpoint.host}: {reason}; trying again")

    # ── one request ──────────────────────────────────────────────────────────────────────────

    def request(
        self,
        method: str,
        path: str,
        scope: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        expect: Iterable[int] = (200,),
        retry: bool = True,
    ) -> Response:
        """Ask; the answer's body is not read yet. `path` begins at "/v2/", or is an address that
        the registry itself gave. Raises `Refused`, `Unauthorized`, `MinidockError`."""
        url = path if "://" in path else self._find() + path
        for attempt in (1, 2):
            authorization = self._tokens.header(scope) if self._is_ours(url) else ""
            response = self._send(
                method,
                url,
                {**(headers or {}), **({"Authorization": authorization} if authorization else {})},
                body,
                retry=retry,
            )
            if response.status != 401 or attempt == 2:
                break
            challenge = parse_challenge(response.headers.get("WWW-Authenticate", ""))
            response.drain_conn()
            if not challenge or not self._tokens.answer(challenge, scope, self._ask):
                break
        if response.status not in expect:
            raise _refusal(response)
        return response

    def _is_ours(self, url: str) -> bool:
        """A token never goes to another host than its own."""
        return bool(self._base) and url.startswith(self._base + "/")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, *, retry: bool = True
    ) -> Response:
        try:
            return self._pool.request(
                method,
                url,
                headers={"User-Agent": "minidock", **headers},
                body=body,
                preload_content=False,
                decode_content=False,
                redirect=method in ("GET", "HEAD"),
                retries=None if retry else False,
            )
        except HTTPError as error:
            raise MinidockError(f'{method.capitalize()} "{_plain(url)}": {why(error)}') from None

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        """For the token server, which is no part of this registry."""
        body, kind = None, {}
        if form is not None:
            from urllib.parse import urlencode

            body = urlencode(form)
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
        response = self._send(method, url, {**headers, **kind}, body)
        return response.status, read_bounded(response, "the token server's answer")

    def _find(self) -> str:
        """`https://host`, or `http://host` where that is allowed and nothing else answers."""
        if self._base:
            return self._base
        host = self.endpoint.host
        bases = [f"https://{host}"]
        if self.endpoint.plain:
            bases = [f"http://{host}"]
        elif self.endpoint.insecure:
            bases.append(f"http://{host}")
        failure: MinidockError | None = None
        for base in bases:
            try:
                last = base == bases[-1]
                response = self._send("GET", f"{base}/v2/", {}, None, retry=last)
                read_bounded(response, "the registry's greeting")
                self._base = base
                return base
            except MinidockError as error:
                failure = error
        assert failure
        raise failure

    # ── what registries do ───────────────────────────────────────────────────────────────────

    def log_in(self) -> str:
        """Find out whether we are known. An identity token to be kept instead of the password, or
        "" where the registry gives none. Raises `Unauthorized`, `MinidockError`."""
        self._tokens.wants_identity = True
        try:
            self.request("GET", "/v2/").drain_conn()
        except Refused as error:
            if error.status == 401:
                raise Unauthorized(
                    f"login attempt to {self._base}/v2/ failed with status: 401 Unauthorized"
                ) from None
            raise
        except Unauthorized as error:
            raise Unauthorized(f'Get "{self._base}/v2/": {error.message}') from None
        return self._tokens.identity

    def manifest(self, name: str, which: str) -> tuple[bytes, str, Digest]:
        """A manifest or index: its bytes, media type, and digest, which is verified where `which`
        is one. Raises `Refused`, `BadData`."""
        response = self.request(
            "GET", f"/v2/{name}/manifests/{which}", pull_scope(name), headers={"Accept": ACCEPT}
        )
        data = read_bounded(response, f"the manifest of {name}")
        digest = digest_of(data)
        if ":" in which and digest != which:
            raise BadData(f"manifest verification failed for digest {which}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return data, media_type, digest

    def blob(self, name: str, digest: Digest, start: int = 0) -> Response:
        """The body of a blob, from byte `start` on. 206 where the registry can do that; else it
        is 200 and begins at 0."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        path = f"/v2/{name}/blobs/{digest}"
        return self.request("GET", path, pull_scope(name), headers=headers, expect=(200, 206))

    def has(self, name: str, kind: str, which: str, scope: str) -> bool:
        """Whether a blob (`kind` "blobs") or manifest ("manifests") is there."""
        headers = {"Accept": ACCEPT} if kind == "manifests" else {}
        response = self.request(
            "HEAD", f"/v2/{name}/{kind}/{which}", scope, headers=headers, expect=(200, 404)
        )
        response.drain_conn()
        return response.status == 200

    def tags(self, name: str) -> list[str]:
        """Every tag of a repository; the list comes in pages."""
        path, found = f"/v2/{name}/tags/list", list[str]()
        while path and len(found) < _MAX_TAGS:
            response = self.request("GET", path, pull_scope(name))
            try:
                page = loads(read_bounded(response, "the list of tags")).get("tags") or []
            except (ValueError, AttributeError):
                raise BadData("the list of tags is not what it should be") from None
            found += [tag for tag in page if isinstance(tag, str)]
            path = self._next_page(response.headers.get("Link", ""))
        return found

    def _next_page(self, link: str) -> str:
        """RFC 8288: `</v2/x/tags/list?last=b&n=2>; rel="next"`."""
        target, _, relation = link.partition(";")
        target = target.strip(" <>")
        if "next" not in relation:
            return ""
        if "://" in target and not self._is_ours(target):
            raise BadData("the list of tags goes on at another host")
        return target

    def location(self, response: Response) -> str:
        """Where an upload goes on: an address, or a path of this registry."""
        location = response.headers.get("Location", "")
        if not location:
            raise BadData("the registry does not say where to upload to")
        return location if "://" in location else self._find() + location


class _Patience(urllib3.Retry):
    """When to try again; says so, and lets no registry make it wait for a day."""

    tell: Callable[[str], object] = print

    def new(self, **changes: Any) -> Self:
        copy = super().new(**changes)
        copy.tell = self.tell
        return copy

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Response | None = None,
        error: Exception | None = None,
        *rest: Any,
        **named: Any,
    ) -> Self:
        following = super().increment(method, url, response, error, *rest, **named)
        if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
            self.tell(why(error))
        elif response and response.status in _BUSY:
            self.tell(f"{response.status} {response.reason or ''}".strip())
        return following

    def get_retry_after(self, response: Response) -> float | None:
        seconds = super().get_retry_after(response)
        return min(seconds, _MOST_PAUSE) if seconds else seconds


def _new_pool(endpoint: Endpoint, retries: urllib3.Retry) -> urllib3.PoolManager:
    limits = urllib3.Timeout(connect=min(_CONNECT, endpoint.timeout), read=endpoint.timeout)
    options: dict[str, Any] = {"timeout": limits, "retries": retries, "maxsize": 8}
    if endpoint.insecure:
        urllib3.disable_warnings()  # it was asked for, by name
        options["cert_reqs"] = "CERT_NONE"
    elif endpoint.ca:
        options["ca_certs"] = endpoint.ca
    proxy = _proxy_for(endpoint)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _proxy_for(endpoint: Endpoint) -> str:
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    if not proxies or proxy_bypass(endpoint.host):
        return ""
    return proxies.get("http" if endpoint.plain else "https", "")


def pull_scope(name: str) -> str:
    return f"repository:{name}:pull"


def push_scope(name: str) -> str:
    return f"repository:{name}:pull,push"


def digest_of(data: bytes) -> Digest:
    from hashlib import sha256

    return Digest.from_hex(sha256(data).hexdigest())


def read_bounded(response: Response, what: str) -> bytes:
    """A document of at most 4 MiB. Raises `BadData` for a longer one, `MinidockError`."""
    data = b""
    try:
        while len(data) <= MAX_JSON and (piece := response.read(1 << 16)):
            data += piece
    except HTTPError as error:
        raise MinidockError(f"{what}: {why(error)}") from None
    if len(data) > MAX_JSON:
        response.close()
        raise BadData(f"{what} is larger than {MAX_JSON} bytes")
    response.release_conn()
    return data


def _refusal(response: Response) -> Refused:
    """What an error answer says, as one line."""
    body = b"" if response.status == 404 and response.headers.get("Content-Length") == "0" else None
    if body is None:
        try:
            body = read_bounded(response, "the registry's answer")
        except MinidockError:
            body = b""
    try:
        first = loads(body)["errors"][0]
        code = str(first.get("code") or "")
        message = str(first.get("message") or code)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Refused(
            f"the registry answers {response.status} {response.reason or ''}".strip(),
            response.status,
        )
    line = f"{code.lower().replace('_', ' ')}: {message}"
    return Refused(
        "".join(c if c.isprintable() else " " for c in line)[:500], response.status, code
    )


def why(error: Exception) -> str:
    """The cause at the bottom of what urllib3 raises, in the words of the system."""
    if isinstance(error, MaxRetryError) and error.reason:
        return why(error.reason)
    if isinstance(error, NewConnectionError) and isinstance(error.__cause__, OSError):
        cause = error.__cause__
        return f"connect: {(cause.strerror or str(cause)).lower()}"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, SSLError):
        inner = error.args[0] if error.args else error
        return f"tls: {getattr(inner, 'verify_message', '') or inner}"
    text = str(error)
    return text.partition("): ")[2] or text


def _plain(url: str) -> str:
    """Without the query: it may hold a token of the storage behind the registry."""
    return url.partition("?")[0]
