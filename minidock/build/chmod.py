"""`--chmod=755` and `--chmod=u=rwX,go-w`: a mode as chmod(1) understands it.

See: chmod(1), POSIX chmod "extended description"
"""

from __future__ import annotations

from minidock.errors import InvalidInput

_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_MAX = 0o7777


def check_mode(text: str) -> None:
    """Raises `InvalidInput` for what is no mode, before anything is done."""
    changed_mode(0, text, is_directory=False)


def changed_mode(mode: int, text: str, *, is_directory: bool) -> int:
    """What becomes of `mode`. Raises `InvalidInput`."""
    if text and all(char in "01234567" for char in text):
        number = int(text, 8)
        if number > _MAX:
            raise _wrong(text)
        return number
    for clause in text.split(","):
        mode = _clause(mode, clause, text, is_directory)
    return mode


def _wrong(text: str) -> InvalidInput:
    return InvalidInput(
        f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
    )


def _clause(mode: int, clause: str, text: str, is_directory: bool) -> int:
    who = clause[: len(clause) - len(clause.lstrip("ugoa"))]
    rest = clause[len(who) :]
    if not rest or rest[0] not in "+-=":
        raise _wrong(text)
    classes = "ugo" if not who or "a" in who else who
    while rest:
        operator, rest = rest[0], rest[1:]
        if operator not in "+-=":
            raise _wrong(text)
        end = next((i for i, char in enumerate(rest) if char in "+-="), len(rest))
        bits = _bits(mode, rest[:end], classes, text, is_directory)
        rest = rest[end:]
        if operator == "+":
            mode |= bits
        elif operator == "-":
            mode &= ~bits
        else:
            mode = mode & ~_all(classes) | bits
    return mode


def _all(classes: str) -> int:
    special = {"u": 0o4000, "g": 0o2000, "o": 0o1000}
    return sum(7 << _SHIFT[c] | special[c] for c in dict.fromkeys(classes))


def _bits(mode: int, letters: str, classes: str, text: str, is_directory: bool) -> int:
    bits = 0
    for letter in letters:
        for c in classes:
            if letter in _BITS:
                bits |= _BITS[letter] << _SHIFT[c]
            elif letter == "X":
                if is_directory or mode & 0o111:
                    bits |= 1 << _SHIFT[c]
            elif letter == "s":
                bits |= {"u": 0o4000, "g": 0o2000, "o": 0}[c]
            elif letter == "t":
                bits |= 0o1000
            elif letter in _SHIFT and len(letters) == 1:
                bits |= (mode >> _SHIFT[letter] & 7) << _SHIFT[c]
            else:
                raise _wrong(text)
    return bits
