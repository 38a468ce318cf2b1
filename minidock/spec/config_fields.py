"""What the fields of a runtime's `config.json` may hold, beyond what all JSON documents do.

See: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from minidock.spec.fields import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ConfigFields(Fields):
    """Numbers within their range, strings without NUL bytes, words from a list.

    Every method raises `BadJSON` that names the document and the field.
    """

    def number(self, key: str, default: int | None = 0, most: int = 2**32 - 1) -> int:
        """0 to `most`. With `default=None` it must be there."""
        value = int(self._take(key, int, default))
        if not 0 <= value <= most:
            raise self.error(key, f"is out of range: {value}")
        return value

    def signed(self, key: str, least: int = -(2**63), most: int = 2**63 - 1) -> int:
        """`least` to `most`; 0 when it is not there."""
        value = int(self._take(key, int, 0))
        if not least <= value <= most:
            raise self.error(key, f"is out of range: {value}")
        return value

    def maybe(self, key: str, least: int = -(2**63), most: int = 2**64 - 1) -> int | None:
        """A number where 0 and "not said" differ."""
        if self.document.get(key) is None:
            return None
        value = int(self._take(key, int, None))
        if not least <= value <= most:
            raise self.error(key, f"is out of range: {value}")
        return value

    def maybe_flag(self, key: str) -> bool | None:
        """A yes or no where "no" and "not said" differ."""
        return None if self.document.get(key) is None else self.flag(key)

    def choice(self, key: str, words: Sequence[str]) -> str:
        """One of `words`; "" when it is not there."""
        value = self.text(key)
        if value and value not in words:
            raise self.error(key, f"is unknown: {value!r}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """For execve(2): what the kernel would cut at a NUL byte is refused."""
        values = self.texts(key)
        if any("\0" in value for value in values):
            raise self.error(key, "holds a NUL byte")
        return values

    def ids(self, key: str) -> tuple[int, ...]:
        """A list of user or group ids."""
        values = self._take(key, list, [])
        if not all(type(v) is int and 0 <= v < 2**31 for v in values):
            raise self.error(key, "is not a list of ids")
        return tuple(values)
