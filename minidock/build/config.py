"""ENV, CMD, LABEL and their like: the instructions that change how an image is run, not its files.

A pure function: a config in Docker's shape and an expanded instruction give the next config.

    {"Env": ["A=1"], "Cmd": ["sh"]} + ENV B=2  →  {"Env": ["A=1", "B=2"], "Cmd": ["sh"]}

See: image-spec config.md; buildkit frontend/dockerfile/dockerfile2llb/convert.go
"""

from __future__ import annotations

from minidock.build.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from minidock.image.changes import check_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from minidock.build.instructions import Command, Instruction

SHELL = ("/bin/sh", "-c")


def shell_of(config: Mapping[str, Any]) -> list[str]:
    """What reads a shell form: SHELL's words or /bin/sh."""
    return list(config.get("Shell") or SHELL)


def argv(command: Command, config: Mapping[str, Any]) -> list[str]:
    """The program and its arguments that a command stands for."""
    words = list(command.words)
    return [*shell_of(config), *words] if command.shell else words


def configured(
    config: Mapping[str, Any], instruction: Instruction, *, cmd_set: bool = False
) -> dict[str, Any]:
    """The config after the instruction, which has been expanded; `config` stays as it is.

    `cmd_set`: the stage has had a CMD of its own. If not, an ENTRYPOINT takes away the one of the
    image below, which was meant for another entrypoint. Instructions that change nothing here
    (RUN, COPY, ARG …) are welcome. Raises `InvalidInput` for a signal that there is not.
    """
    new = dict(config)
    match instruction:
        case Env(variables=variables):
            new["Env"] = with_variables(config.get("Env") or (), variables)
        case Label(labels=labels):
            new["Labels"] = {**(config.get("Labels") or {}), **dict(labels)}
        case Cmd(command=command):
            new["Cmd"] = argv(command, config)
        case Entrypoint(command=command):
            new["Entrypoint"] = argv(command, config) if command.words else None
            if not cmd_set:
                new["Cmd"] = None
        case Shell(words=words):
            new["Shell"] = list(words)
        case Expose(ports=ports):
            new["ExposedPorts"] = _with_keys(config.get("ExposedPorts"), ports)
        case Volume(paths=paths):
            new["Volumes"] = _with_keys(config.get("Volumes"), paths)
        case User(user=user):
            new["User"] = user
        case StopSignal(signal=signal):
            check_signal(signal)
            new["StopSignal"] = signal
        case Healthcheck(check=check):
            new["Healthcheck"] = dict(check)
        case OnBuild(trigger=trigger):
            new["OnBuild"] = [*(config.get("OnBuild") or ()), trigger]
        case Workdir(path=path):
            new["WorkingDir"] = working_directory(config, path)
        case _:
            pass
    return {key: value for key, value in new.items() if value is not None}


def with_variables(env: Iterable[str], variables: Iterable[tuple[str, str]]) -> list[str]:
    """Known names keep their place; new ones go to the end."""
    values = dict(entry.partition("=")[::2] for entry in env)
    values.update(variables)
    return [f"{name}={value}" for name, value in values.items()]


def working_directory(config: Mapping[str, Any], path: str) -> str:
    """WORKDIR's path: relative to the one before, and without `.`, `..` and doubled slashes."""
    from os.path import join, normpath

    return "/" + normpath(join("/", config.get("WorkingDir") or "", path)).lstrip("/")


def _with_keys(old: Mapping[str, Any] | None, keys: Iterable[str]) -> dict[str, Any]:
    """Docker writes a set as an object with empty objects in it."""
    return {**(old or {}), **{key: {} for key in keys}}
