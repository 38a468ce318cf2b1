"""A compiled profile: what the compiler makes, the cache keeps and the kernel is given."""

from __future__ import annotations

from minidock.linux.flags import SeccompFilterFlag
from minidock.record import Record


class Filter(Record):
    """`program` is an array of `struct sock_filter`, `flags` are those of seccomp(2), `summary`
    says for a person what it does."""

    program: bytes
    flags: int
    summary: str

    @property
    def notifies(self) -> bool:
        """Whether some calls wait for the decision of another process."""
        return bool(self.flags & SeccompFilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER)
