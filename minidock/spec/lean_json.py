"""JSON through the C half of `json` alone. The Python half compiles regular expressions while it is
imported and brings `re` and `enum` along: 8 ms, in programs that take 30.

What is accepted and written is the same, except that NaN and Infinity, which are not JSON, are
refused both ways.

See: RFC 8259
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Reading:
    """How to build values; the attributes are those of json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _no_constant


def _not_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_scan = make_scanner(_Reading)  # type: ignore[arg-type]  # any object with these attributes
_encode = make_encoder(
    None, _not_json, encode_basestring_ascii, None, ":", ",", False, False, False
)


def loads(data: bytes | str) -> Any:
    """Decode one document. Raises `ValueError` (which includes UnicodeDecodeError) for what is not
    JSON, `RecursionError` for what is nested too deeply."""
    # (The codec utf-8-sig would do it, but is a file to be found and read.)
    text = data.removeprefix(b"\xef\xbb\xbf").decode() if isinstance(data, bytes) else data
    text = text.strip(" \t\n\r")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except SystemError:
        # The scanner looks for its exception among the imported modules, and json is not there.
        from json.decoder import JSONDecoder

        return JSONDecoder().decode(text)  # finds the same fault, and can say so
    if end != len(text):
        raise ValueError(f"more after the JSON value, at character {end}")
    return value


def dumps(document: object) -> str:
    """Encode without any white space, in ASCII, keys in the order they have."""
    return "".join(_encode(document, 0))
