"""Text between quotes as Go prints it, and text that may be shown on a terminal.

Names, labels and commands come from images, which come from strangers. A message that shows one as
it is would let it move the cursor, or pretend to be another line.

See: https://pkg.go.dev/strconv#Quote
"""

from __future__ import annotations

_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def quote(text: str) -> str:
    """strconv.Quote: a Go string literal."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(f"\\{c}" if c in '"\\' else escape(c) for c in text) + '"'


def escape(char: str) -> str:
    """One character as a terminal may see it: itself, or a Go escape if it is not printable."""
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return _ESCAPES.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """Text that can do nothing to a terminal: control characters as escapes, newlines kept.

    Names, labels and commands come from images, which come from strangers.
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\n" else escape(c) for c in text)
