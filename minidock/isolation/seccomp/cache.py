"""Compiled filters, kept from one start to the next.

Reading a profile of four hundred names and compiling it takes longer than all the system calls of
a start together, and gives the same bytes each time. So the bytes are kept, in a file named by the
hash of all that they depend on: the profile as the bundle has it (which names follow from the
container's capabilities is decided in there already), the machine, the kernel, and this compiler.

What lies there is a program that decides over system calls, so nobody else may be able to write
it: the directory belongs to the user that minidock runs as and is closed to all others, and so is
the file; otherwise neither is looked at. A file that was cut short by a crash is found by the
checksum in its first line. `/run` is empty after a boot; until then the newest few dozen are kept.

That a plan asks here does not make it less of a function: with a directory or without, the filter
is the same one.
"""

from __future__ import annotations

import os
import stat

from minidock.isolation.seccomp.filter import Filter
from minidock.linux.files import remove_file
from minidock.linux.private import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidock.linux.host import HostFacts
    from minidock.spec.seccomp import Seccomp

_MOST_BYTES = 1 << 16
_MOST_FILES = 64  # some 5 KB each; there are as many as sets of capabilities in use, that is few
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_COMPILER = ("architectures", "assembler", "compiler", "filter", "numbers")


def ready_filter(profile: str, facts: HostFacts) -> Filter:
    """The filter for `profile`, JSON as `Spec.seccomp` has it: a kept one, or one made now and
    kept. Raises `BadJSON` or `StartFailed` for a profile that cannot be used."""
    if not facts.filter_cache:
        return _compile(profile, facts)
    try:
        name = _name(profile, facts)
        kept = _read(facts.filter_cache, name)
    except OSError:
        return _compile(profile, facts)  # a cache that cannot be read is no reason to fail
    if kept:
        return kept
    made = _compile(profile, facts)
    try:
        _write(facts.filter_cache, name, made)
    except OSError:
        pass
    return made


def decode(profile: str) -> Seccomp:
    """The profile as data. Raises `BadJSON` that names the field."""
    from minidock.spec.config_fields import ConfigFields
    from minidock.spec.lean_json import loads
    from minidock.spec.seccomp import parse_seccomp

    return parse_seccomp(ConfigFields(loads(profile), "config.json", "linux.seccomp"))


def _compile(profile: str, facts: HostFacts) -> Filter:
    from minidock.isolation.seccomp.compiler import compile_profile

    return compile_profile(decode(profile), facts.machine, facts.kernel)


def _name(profile: str, facts: HostFacts) -> str:
    """What the filter depends on, as a hash. A changed compiler is seen by its files."""
    here = os.path.dirname(__file__)
    about = [os.stat(f"{here}/{module}.py") for module in _COMPILER]
    versions = [f"{status.st_mtime_ns} {status.st_size}" for status in about]
    return _sha256("\n".join((facts.machine, str(facts.kernel), *versions, profile)).encode())


def _sha256(data: bytes) -> str:
    """In hexadecimal. The hash alone: hashlib would load the whole of OpenSSL."""
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]  # the module behind hashlib's
    except ImportError:  # Python 3.12 has another one
        from hashlib import sha256
    return str(sha256(data).hexdigest())


def _read(directory: str, name: str) -> Filter | None:
    """The filter in a file that nobody else can have written. None where there is none."""
    try:
        dirfd = os.open(directory, _OPEN | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        if not _is_ours(os.fstat(dirfd)):
            raise PermissionError(directory)
        try:
            fd = os.open(name, _OPEN, dir_fd=dirfd)
        except FileNotFoundError:
            return None
    finally:
        os.close(dirfd)
    with open(fd, "rb", 0) as file:
        status = os.fstat(fd)
        if not _is_ours(status) or not stat.S_ISREG(status.st_mode):
            raise PermissionError(name)
        return _unpack(file.read(_MOST_BYTES))


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _write(directory: str, name: str, made: Filter) -> None:
    """Put a file there, whole or not at all. (Not synced: it would not survive a power cut.)"""
    make_private(directory)
    temporary = f"{directory}/.{name}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb", 0) as file:
            file.write(_pack(made))
        os.rename(temporary, f"{directory}/{name}")
    except BaseException:
        remove_file(temporary)
        raise
    _forget_oldest(directory)


def _forget_oldest(directory: str) -> None:
    """Keep the newest files, so that a machine that is never booted does not fill its memory. What
    a killed writer left goes with them."""
    with os.scandir(directory) as entries:
        files = [(entry.stat().st_mtime_ns, entry.path) for entry in entries]
    for _, path in sorted(files)[:-_MOST_FILES]:
        os.unlink(path)


def _pack(made: Filter) -> bytes:
    """Three lines of text, checksum, flags and summary, and the program."""
    content = f"{made.flags}\n{made.summary}\n".encode() + made.program
    return f"{_sha256(content)}\n".encode() + content


def _unpack(data: bytes) -> Filter | None:
    """None for what `_pack` has not made."""
    checksum, _, content = data.partition(b"\n")
    if _sha256(content).encode() != checksum:
        return None
    flags, summary, program = content.split(b"\n", 2)
    return Filter(program, int(flags), summary.decode())
