"""What a build was told, and who hears how it goes."""

from __future__ import annotations

from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from minidock.build.instructions import Lines
    from minidock.spec.image import Platform
    from minidock.spec.reference import Reference

    class Listener(Protocol):
        """Hears of the steps, from several threads. `number` names a step."""

        def begin(self, number: int, title: str) -> None: ...
        def cached(self, number: int, why: str) -> None: ...
        def work(self, number: int, why: str) -> None:
            """It is not in the cache."""
            ...

        def output(self, number: int, data: bytes) -> None: ...
        def done(self, number: int) -> None: ...
        def failed(self, number: int) -> None: ...
        def warn(self, text: str) -> None: ...


class Secret(Record):
    """`--secret id=…`: a file, or a variable of our environment."""

    id: str
    path: str = ""
    variable: str = ""


class BuildOptions(Record):
    """`epoch`: SOURCE_DATE_EPOCH in seconds. `fetch` pulls an image. `run_options` are what RUNs
    get beside their own: RunOptions.host_config's fields."""

    arguments: Mapping[str, str] = {}
    target: str = ""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    network: str = "default"
    add_hosts: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[tuple[str, str], ...] = ()
    cache_from: tuple[str, ...] = ()
    platform: Platform | None = None
    squash: bool = False
    keep_failed: bool = False
    explain: bool = False
    epoch: int | None = None
    inline_cache: bool = False
    host_config: Mapping[str, object] = {}
    fetch: Callable[[Reference, Platform], None] | None = None


class RunFailed(Exception):
    """A RUN whose program ended with another code than 0, or could not be started."""

    def __init__(self, message: str, *, code: int = 1, kept: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.kept = kept


class StepFailed(Exception):
    """A step could not be done; `where` it stands in the Dockerfile."""

    def __init__(self, number: int, title: str, where: Lines, cause: Exception) -> None:
        super().__init__(title)
        self.number = number
        self.title = title
        self.where = where
        self.cause = cause


class Cancelled(Exception):
    """Another stage failed, or the user has had enough."""
