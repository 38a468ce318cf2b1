"""What a command tells a fresh monitor to do: one message, the first on their socket."""

from __future__ import annotations


class Order:
    """`directory` is the container's; `run_dir` where its socket goes (for an `exec`: the file with
    the request). `letters`: t(erminal), i(nput), o(nce: input ends with its first client),
    r(emove at the end), a(ttach the sender), l(og), x (an exec), e(xplain)."""

    def __init__(self, directory: str, run_dir: str, letters: str) -> None:
        self.directory = directory
        self.run_dir = run_dir
        self.letters = letters

    def __contains__(self, letter: str) -> bool:
        return letter in self.letters

    def encode(self) -> bytes:
        """NUL cannot be part of a path."""
        return self.text().encode("utf-8", "surrogateescape")

    def text(self) -> str:
        return "\0".join((self.directory, self.run_dir, self.letters))

    @classmethod
    def parse(cls, text: str) -> Order:
        return cls(*text.split("\0"))
