"""From the flags of run, create and exec to what the engine understands.

The rules are Docker's: of an environment variable given twice the last counts, files before flags;
a name without a value takes the one it has here.
"""

from __future__ import annotations

import os

from minidock.cli.command import ClientError
from minidock.cli.lifecycle_flags import health_check, restart_policy
from minidock.cli.run_flags import HOST_FLAGS, NETWORK_FLAGS
from minidock.errors import MinidockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minidock.cli.parse import Parsed
    from minidock.engine.run import RunOptions


def run_options(args: Parsed, *, attach: bool) -> RunOptions:
    """What `run` and `create` were told. Raises `MinidockError` for what cannot be meant."""
    from minidock.engine.run import RunOptions

    image, *command = args.positionals
    network, endpoints = _networks(args)
    return RunOptions(
        image=image,
        command=tuple(command),
        name=args.text("name"),
        terminal=args.on("tty"),
        interactive=args.on("interactive"),
        attach=attach,
        auto_remove=args.on("rm"),
        env=environment(args),
        labels=tuple(label(text) for text in args.each("label")),
        user=args.text("user") if args.given("user") else None,
        working_dir=_working_dir(args),
        hostname=args.text("hostname") or None,
        entrypoint=args.text("entrypoint") if args.given("entrypoint") else None,
        read_only=args.on("read-only"),
        network=network,
        endpoints=endpoints,
        init=args.on("init") if args.given("init") else None,
        stop_signal=_stop_signal(args),
        restart=restart_policy(args.text("restart"), auto_remove=args.on("rm")),
        health_check=health_check(args),
        console_size=(0, 0),
        domainname=args.text("domainname"),
        stop_timeout=args.number("stop-timeout") if args.given("stop-timeout") else None,
        host_config=_host_config(args),
        volumes=_volumes(args),
        exposed=_exposed(args),
    )


def _host_config(args: Parsed) -> dict[str, Any]:
    """What else was asked for. Usually nothing, and then nothing is imported."""
    if not args.given("link") and not any(args.given(flag.long) for flag in HOST_FLAGS):
        return {}
    from minidock.cli.host_config import host_config

    return host_config(args)


def _volumes(args: Parsed) -> dict[str, Any]:
    """Paths given with `-v` alone, as Docker's `Config` has them."""
    if not args.each("volume"):
        return {}
    from minidock.cli.mount_flags import sort_volumes

    return {path: {} for path in sort_volumes(args.each("volume"))[1]}


def _working_dir(args: Parsed) -> str | None:
    path = args.text("workdir")
    if not path:
        return None
    if not path.startswith("/"):
        raise MinidockError(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return os.path.normpath(path)


def _networks(args: Parsed) -> tuple[str, dict[str, Any]]:
    """The network mode, and how the container is on each network. Usually nothing was said."""
    if not any(args.given(flag.long) for flag in NETWORK_FLAGS):
        return "bridge", {}
    from minidock.cli.network_values import endpoints, is_of_users

    network, found = endpoints(args)
    if found == {network: {}} and not is_of_users(network):
        return network, {}
    return network, found


def _exposed(args: Parsed) -> tuple[str, ...]:
    if not args.each("expose"):
        return ()
    from minidock.cli.port_values import exposed

    return exposed(args.each("expose"))


def _stop_signal(args: Parsed) -> str | None:
    text = args.text("stop-signal")
    if not text:
        return None
    from minidock.engine.lifecycle import parse_signal

    parse_signal(text)
    return text


def label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise ClientError(f"invalid label '{text}': empty name")
    return name, value


def environment(args: Parsed) -> tuple[str, ...]:
    """The files first, then the flags. A name alone takes the value it has here; where it has
    none, a flag takes the variable out of the image's environment, and a file leaves it alone."""
    from minidock.cli.parse import bad_usage
    from minidock.spec.quoting import quote

    found: list[str] = []
    for path in args.each("env-file"):
        found += (entry for entry in map(_with_value, _env_file(path)) if "=" in entry)
    for text in args.each("env"):
        if not text.partition("=")[0]:
            wrong = f"invalid environment variable: {text}"
            raise bad_usage(args, f'invalid argument {quote(text)} for "-e, --env" flag: {wrong}')
        found.append(_with_value(text))
    return tuple(found)


def _with_value(text: str) -> str:
    return text if "=" in text or text not in os.environ else f"{text}={os.environ[text]}"


def _env_file(path: str) -> list[str]:
    """The variables of a file. Its lines end at a newline and nowhere else: `str.splitlines`, and
    Python's text mode, would cut a value at a form feed or a carriage return."""
    wrong = f"invalid env file ({path})"
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except IsADirectoryError as error:
        raise ClientError(f"{wrong}: read {path}: is a directory") from error
    except OSError as error:
        raise ClientError(f"open {path}: {str(error.strerror).lower()}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError as error:
            values = " ".join(str(byte) for byte in line.removesuffix(b"\r"))
            text = f"invalid utf8 bytes at line {number}: [{values}]"
            raise ClientError(f"{wrong}: {text}") from error
        name = entry.partition("=")[0]
        if not entry or entry.startswith("#"):
            continue
        if any(space in name for space in " \t"):
            raise ClientError(f"{wrong}: variable '{name}' contains whitespaces")
        if not name:
            raise ClientError(f"{wrong}: no variable name on line '{entry}'")
        entries.append(entry)
    return entries
