"""`--cidfile`: the file in which a script finds the id of the container it has made."""

from __future__ import annotations

import os

from minidock.cli.command import ClientError
from minidock.linux.files import remove_file


class CidFile:
    """Made before the container, which nobody could find again if its id could not be written
    down. Raises `ClientError` where there is such a file already, or there can be none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError as error:
            raise ClientError(
                "container ID file found, make sure the other container isn't running or delete "
                f"{path}"
            ) from error
        except OSError as error:
            why = str(error.strerror).lower()
            message = f"failed to create the container ID file: open {path}: {why}"
            raise ClientError(message) from error

    def write(self, container_id: str) -> None:
        """Raises `OSError`."""
        os.write(self._fd, container_id.encode())
        self._written = True

    def close(self) -> None:
        """An empty one goes again: there is no container."""
        os.close(self._fd)
        if not self._written:
            remove_file(self._path)
