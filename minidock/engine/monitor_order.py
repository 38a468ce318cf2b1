"""What a command tells a fresh monitor to do: one message, the first on their socket."""

from __future__ import annotations

IS_STARTED = 0  # in place of an exit code: another monitor looks after the container


class Order:
    """`directory` is the container's; `run_dir` where its socket goes (for an `exec`: the file with
    the request). `letters`: t(erminal), i(nput), o(nce: input ends with its first client),
    r(emove at the end), a(ttach the sender), l(og), x (an exec), e(xplain), h(as a health check),
    k(ill what outlives init), m(emory is limited), s(ettle: fill in what is known only now, see
    settle.py), n(etworks of its own, see connection.py), d(ie with the command, as a build's RUN).
    `restarts` counts those that the monitor did by itself."""

    def __init__(self, directory: str, run_dir: str, letters: str, restarts: int = 0) -> None:
        self.directory = directory
        self.run_dir = run_dir
        self.letters = letters
        self.restarts = restarts

    def __contains__(self, letter: str) -> bool:
        return letter in self.letters

    def encode(self) -> bytes:
        """NUL cannot be part of a path."""
        return self.text().encode("utf-8", "surrogateescape")

    def text(self) -> str:
        return "\0".join((self.directory, self.run_dir, self.letters, str(self.restarts)))

    def again(self, restarts: int) -> Order:
        """The order for one more start of the same container, which nobody watches."""
        letters = self.letters.replace("a", "").replace("e", "")
        return Order(self.directory, self.run_dir, letters, restarts)

    @classmethod
    def parse(cls, text: str) -> Order:
        directory, run_dir, letters, restarts = text.split("\0")
        return cls(directory, run_dir, letters, int(restarts))
