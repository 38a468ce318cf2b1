"""`-o`: where the result goes, if not among the images.

-o out                    the files of the last stage, in a directory
-o type=local,dest=out    the same
-o type=tar,dest=out.tar  as a tar; `dest=-` or `-o -` is standard output
-o type=image,name=x      an image, as without -o
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minidock.build.builder import Build
    from minidock.build.state import State
    from minidock.cli.app import App


class Output:
    """One place. `kind` is local or tar."""

    def __init__(self, kind: str, dest: str, app: App) -> None:
        self._kind = kind
        self._dest = dest
        self._app = app

    def write(self, build: Build, state: State) -> None:
        """Write the files of a state there. Raises `OSError`, `MinidockError`."""
        from minidock.build.export import to_directory, to_tar

        if self._kind == "local":
            to_directory(build, state, self._dest)
        elif self._dest == "-":
            to_tar(build, state, self._app.stdout)
        else:
            fd = os.open(self._dest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                to_tar(build, state, fd)
            finally:
                os.close(fd)


def outputs(given: Iterable[str], app: App) -> list[Output]:
    """None for the images of the store. Raises `ClientError`."""
    return [output for text in given if (output := _output(text, app))]


def _output(text: str, app: App) -> Output | None:
    if "=" not in text:
        kind = "tar" if text == "-" else "local"
        return _checked(kind, text, app)
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    kind = fields.get("type", "")
    if kind in ("docker", "image"):
        if fields.get("dest"):
            raise ClientError(f"--output type={kind}: write an archive with minidock save")
        return None
    if kind not in ("local", "tar"):
        raise ClientError(
            f"--output: unsupported type {kind or 'missing'}: local and tar are known"
        )
    dest = fields.get("dest", "")
    if not dest and kind == "tar":
        dest = "-"
    if not dest:
        raise ClientError("--output: dest is required for type=local")
    return _checked(kind, dest, app)


def _checked(kind: str, dest: str, app: App) -> Output:
    if kind == "tar" and dest == "-" and os.isatty(app.stdout):
        raise ClientError("--output: refusing to write a tar to a terminal")
    return Output(kind, dest, app)
