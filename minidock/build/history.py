"""What `minidock history` shows of an instruction, in the words of Docker's builder.

    RUN |1 VERSION=13 /bin/sh -c make      with the arguments that it saw
    COPY a b /app/
    CMD ["sh"]
    EXPOSE map[80/tcp:{}]                  Go's way of printing a map, and of printing most else

Tools read these lines, so they are Docker's to the letter, without the ` # buildkit` that it adds
to those with a layer.

See: buildkit frontend/dockerfile/dockerfile2llb/convert.go (commitToHistory)
"""

from __future__ import annotations

from minidock.build.config import argv, working_directory
from minidock.build.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from minidock.spec.quoting import escape, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from minidock.build.instructions import Instruction

_CHECK_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")


def created_by(
    instruction: Instruction,
    config: Mapping[str, Any],
    arguments: Mapping[str, str] | None = None,
) -> str:
    """The line for an expanded instruction; "" for ONBUILD, which leaves none. `config` is that
    before the instruction, `arguments` what a RUN sees of ARGs (in their order)."""
    match instruction:
        case Run(command=command):
            seen = [f"{name}={value}" for name, value in (arguments or {}).items()]
            count = [f"|{len(seen)}"] if seen else []
            return " ".join(["RUN", *count, *seen, *argv(command, config)])
        case Copy() | Add():
            return _copied(instruction)
        case Env(variables=pairs):
            return _named("ENV", pairs)
        case Label(labels=pairs):
            return _named("LABEL", pairs)
        case Arg(variables=variables):
            words = (name if value is None else f"{name}={value}" for name, value in variables)
            return " ".join(["ARG", *words])
        case Cmd(command=command):
            return f"CMD {_quoted(argv(command, config))}"
        case Entrypoint(command=command):
            return f"ENTRYPOINT {_quoted(argv(command, config) if command.words else ())}"
        case Shell(words=words):
            return f"SHELL [{' '.join(words)}]"
        case Expose(ports=ports):
            return f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in sorted(set(ports)))}]"
        case Volume(paths=paths):
            return f"VOLUME [{' '.join(paths)}]"
        case User(user=text):
            return f"USER {text}"
        case Workdir(path=text):
            return f"WORKDIR {working_directory(config, text)}"
        case StopSignal(signal=text):
            return f"STOPSIGNAL {text}"
        case Maintainer(name=text):
            return f"MAINTAINER {text}"
        case Healthcheck(check=check):
            return _check(check)
        case _:
            return ""


def _copied(instruction: Copy | Add) -> str:
    words = ["COPY" if isinstance(instruction, Copy) else "ADD"]
    words += ["--parents"] if isinstance(instruction, Copy) and instruction.parents else []
    for flag in ("chown", "chmod"):
        value = getattr(instruction, flag)
        words += [f"--{flag}={value}"] if value else []
    words += [*instruction.sources, *(f"<<{d.name}" for d in instruction.heredocs)]
    return " ".join([*words, instruction.destination])


def _named(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in pairs)])


def _quoted(words: Sequence[str]) -> str:
    """Go's %q of a list of strings."""
    return f"[{' '.join(map(quote, words))}]"


def _check(check: Mapping[str, Any]) -> str:
    """Go's %q of a structure: durations as words, and a number as the character it is."""
    times = (f'"{_duration(int(check.get(name, 0)))}"' for name in _CHECK_TIMES)
    retries = f"'{escape(chr(int(check.get('Retries', 0))))}'"
    return f"HEALTHCHECK &{{{' '.join([_quoted(check['Test']), *times, retries])}}}"


def _duration(nanoseconds: int) -> str:
    """time.Duration's String: 1m30s, 500ms."""
    if nanoseconds < 1_000_000_000:
        milliseconds = nanoseconds / 1_000_000
        return f"{milliseconds:g}ms" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    out = f"{hours}h" if hours else ""
    out += f"{minutes}m" if hours or minutes else ""
    return out + f"{rest / 1_000_000_000:g}s"
