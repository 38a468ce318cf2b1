"""Who we are to a registry: `~/.docker/config.json`, which Docker and Podman read and write too.

    {
      "auths":       {"registry.example.com": {"auth": "<base64 of user:password>"}},
      "credHelpers": {"gcr.io": "gcloud"},       a program docker-credential-gcloud knows
      "credsStore":  "pass"                      … and this one knows all others
    }

A helper is asked by its standard input and answers in JSON; then no secret lies in the file. What
is not ours in that file is kept when it is written.

See: https://github.com/docker/docker-credential-helpers
"""

from __future__ import annotations

import base64
import binascii
import os

from minidock.errors import InvalidInput, MinidockError
from minidock.linux.files import remove_file
from minidock.record import Record
from minidock.spec.lean_json import dumps, loads
from minidock.spec.reference import DOCKER_IO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # so a helper says that the secret is an identity token
_HELPER_TIMEOUT = 60.0


class Credentials(Record):
    """A name and password, or an `identity_token` that stands for both."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def basic(self) -> str:
        """The value of an Authorization header. RFC 7617"""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class CredentialFile:
    """The file, as it was when asked."""

    def __init__(self, path: str = "") -> None:
        directory = os.environ.get("DOCKER_CONFIG") or f"{os.path.expanduser('~')}/.docker"
        self.path = path or f"{directory}/config.json"

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                document = loads(file.read(4 << 20))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InvalidInput(f"{self.path}: not valid JSON: {error}") from None
        if not isinstance(document, dict):
            raise InvalidInput(f"{self.path}: not an object")
        return document

    def find(self, domain: str) -> Credentials | None:
        """What is known for a registry. Raises `InvalidInput` for a file that cannot be read,
        `MinidockError` where a helper fails."""
        document = self._read()
        helper = self._helper(document, domain)
        if helper:
            return _ask_helper(helper, _key(domain))
        auths = document.get("auths")
        if not isinstance(auths, dict):
            return None
        for key, entry in auths.items():
            if _same_registry(key, domain) and isinstance(entry, dict):
                return self._decode(key, entry)
        return None

    def _decode(self, key: str, entry: dict[str, Any]) -> Credentials | None:
        token = entry.get("identitytoken") or ""
        try:
            text = base64.b64decode(entry.get("auth") or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise InvalidInput(f"{self.path}: auths.{key}.auth is not base64") from None
        username, colon, password = text.partition(":")
        if not colon:
            username, password = entry.get("username") or "", entry.get("password") or ""
        if not (username or token):
            return None
        return Credentials(str(username), str(password).rstrip("\0"), str(token))

    def store(self, domain: str, credentials: Credentials) -> str:
        """Remember who we are; how, in a word for the user: the helper's name or "" for the file.
        Raises `MinidockError`, `OSError`."""
        document = self._read()
        helper = self._helper(document, domain)
        if helper:
            user, secret = credentials.username, credentials.password
            if credentials.identity_token:
                user, secret = _TOKEN_USER, credentials.identity_token
            entry = {"ServerURL": _key(domain), "Username": user, "Secret": secret}
            _run_helper(helper, "store", dumps(entry))
            return helper
        text = f"{credentials.username}:{credentials.password}"
        entry = {"auth": base64.b64encode(text.encode()).decode()}
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
        document.setdefault("auths", {})[_key(domain)] = entry
        self._write(document)
        return ""

    def erase(self, domain: str) -> bool:
        """Forget; False if nothing was known. Raises as `store` does."""
        document = self._read()
        helper = self._helper(document, domain)
        auths = document.get("auths") or {}
        keys = [key for key in auths if _same_registry(key, domain)]
        if helper:
            known = _ask_helper(helper, _key(domain)) is not None
            if known:
                _run_helper(helper, "erase", _key(domain))
            return known
        for key in keys:
            del auths[key]
        if keys:
            self._write(document)
        return bool(keys)

    def _helper(self, document: dict[str, Any], domain: str) -> str:
        helpers = document.get("credHelpers") or {}
        found = helpers.get(_key(domain)) or helpers.get(domain) or document.get("credsStore") or ""
        if not isinstance(found, str) or "/" in found or found.startswith("."):
            raise InvalidInput(f"{self.path}: {found!r} is not the name of a credential helper")
        return found

    def _write(self, document: dict[str, Any]) -> None:
        import json

        directory = os.path.dirname(self.path)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # Who keeps it elsewhere has a link here, and wants to go on having one.
        target = os.path.realpath(self.path)
        temporary = f"{target}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(json.dumps(document, indent="\t"))  # as Docker writes it
                file.flush()
                os.fsync(fd)
            os.rename(temporary, target)
        except BaseException:
            remove_file(temporary)
            raise


def _key(domain: str) -> str:
    """How the file calls a registry."""
    return HUB_KEY if domain == DOCKER_IO else domain


def _same_registry(key: str, domain: str) -> bool:
    """Old files have whole addresses: `https://host/v1/`."""
    if domain == DOCKER_IO:
        return key.rstrip("/") in (HUB_KEY.rstrip("/"), DOCKER_IO, "index.docker.io")
    return key.partition("://")[2].partition("/")[0] == domain if "://" in key else key == domain


def _ask_helper(helper: str, key: str) -> Credentials | None:
    answer = _run_helper(helper, "get", key)
    if answer is None:
        return None
    try:
        document = loads(answer.encode())
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise MinidockError(
            f"docker-credential-{helper} gave no credentials but nonsense"
        ) from None
    if user == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(user, secret)


def _run_helper(helper: str, action: str, text: str) -> str | None:
    """What a helper answers; None where it knows nothing. Raises `MinidockError`."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, action],
            input=text,
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise MinidockError(f"{program}, which the Docker config names, is not installed") from None
    except subprocess.TimeoutExpired:
        raise MinidockError(f"{program} {action} does not answer") from None
    if done.returncode == 0:
        return done.stdout
    message = (done.stdout or done.stderr).strip()
    if "credentials not found" in message:
        return None
    raise MinidockError(f"{program} {action} failed: {message[:200]}")
