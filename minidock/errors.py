"""What can go wrong, as a tree.

    MinidockError              one clear line for the user, perhaps with a hint
    ├── InvalidInput           the user asked for something that cannot be meant
    ├── NotFound               no such container, image, file …
    ├── Conflict               the thing exists, or is in a state that forbids this
    ├── BadData                a file of somebody else is not what it claims to be
    │   ├── BadArchive         a tarball that is broken or hostile
    │   └── BadJSON            JSON that is not the document it should be; names the field
    ├── StoreError             the store on disk contradicts itself
    └── StartFailed            the container's process could not be started; carries its exit code

System calls raise plain `OSError`; the executor of a plan adds a note about the step it was doing.
Only `cli` and `api` print, and only they choose exit codes.
"""

from __future__ import annotations


class MinidockError(Exception):
    """An error that a user can act on.

    `message` is one line, in the words of Docker where Docker has words for it, without the
    prefix `Error response from daemon: ` (the CLI adds it). `hint` says what to do next.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(MinidockError):
    """The request itself is wrong: a malformed name, an impossible value."""


class NotFound(MinidockError):
    """What was named does not exist."""


class Conflict(MinidockError):
    """The thing exists but is in the wrong state: running, in use, already there."""


class BadData(MinidockError):
    """Foreign data is not what it claims to be."""


class BadArchive(BadData):
    """A tarball is truncated, malformed, or tries to write outside its target."""


class BadJSON(BadData):
    """A JSON document is malformed; the message names the field."""


class StoreError(MinidockError):
    """The store on disk contradicts itself (a blob missing, a digest that does not match)."""


WRONG_REQUEST = 125  # exit code of a start that was refused before it was tried


class StartFailed(MinidockError):
    """The container's process could not be started.

    `exit_code` is Docker's: 127 not found, 126 cannot be executed, 125 what was asked for makes no
    sense (an unknown user), 128 for everything else.
    """

    def __init__(self, message: str, *, exit_code: int = 128, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
