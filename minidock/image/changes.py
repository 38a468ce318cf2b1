"""`-c 'CMD ["/bin/bash"]'`: Dockerfile instructions that `import` and `commit` take.

Only those that change an image's config and nothing else. Each is parsed as in a Dockerfile, in
its shell form (`CMD echo hi`) or its exec form, a JSON list (`CMD ["echo", "hi"]`). What comes out
is the config in Docker's shape:

    {"Env": ["A=1"], "Cmd": ["/bin/sh", "-c", "echo hi"], "ExposedPorts": {"80/tcp": {}}, …}

Errors are Docker's (`docker import -c 'FOO bar'` and so on were tried).

See: moby builder/dockerfile/builder.go (BuildFromConfig), daemon/commit.go (merge); buildkit
frontend/dockerfile/parser, instructions
"""

from __future__ import annotations

from minidock.errors import InvalidInput
from minidock.image.healthcheck import parse_healthcheck
from minidock.image.words import expand, expand_words, first_word, json_list, name_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_SHELL = ("/bin/sh", "-c")
_MAX_PORT = 65535


def apply_changes(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The config after the instructions, which may each be of several lines; `config` stays.

    Raises `InvalidInput` in Docker's words.
    """
    if not changes:
        return dict(config)
    lines = _logical_lines("\n".join(changes))
    if not lines:
        raise InvalidInput("file with no instructions")
    instructions = []
    for line in lines:
        name, arguments = first_word(line)
        if name.upper() not in _INSTRUCTIONS:
            raise InvalidInput(f"{name.lower()} is not a valid change command")
        instructions.append((name.upper(), arguments))
    new = _Config(config)
    for name, arguments in instructions:
        _INSTRUCTIONS[name](new, arguments)
    return _inherit(new.config, config)


def _inherit(new: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """An ENTRYPOINT of one's own drops the CMD that belonged to another one; else CMD stays."""
    if not new.get("Entrypoint"):
        if not new.get("Cmd") and old.get("Cmd"):
            new["Cmd"] = old["Cmd"]
        if new.get("Entrypoint") is None and old.get("Entrypoint"):
            new["Entrypoint"] = old["Entrypoint"]
    return new


def _logical_lines(text: str) -> list[str]:
    """Without comments and empty lines, and with lines that end in a backslash joined."""
    lines = []
    pending = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        stripped = line.rstrip()
        if stripped.endswith("\\"):
            pending += stripped[:-1]
            continue
        lines.append((pending + line).strip())
        pending = ""
    if pending.strip():
        lines.append(pending.strip())
    return lines


class _Config:
    """A config being changed."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.cmd_set = False

    @property
    def env(self) -> dict[str, str]:
        """What variables in arguments mean: the image's own environment, not the user's."""
        pairs = (entry.partition("=") for entry in self.config.get("Env") or [])
        return {name: value for name, _, value in pairs}

    def expand(self, word: str) -> str:
        return expand(word, self.env)

    def add_keys(self, field: str, keys: Sequence[str]) -> None:
        """Docker writes a set as an object with empty objects in it."""
        self.config[field] = {**(self.config.get(field) or {}), **{key: {} for key in keys}}

    def command(self, arguments: str) -> list[str]:
        """Exec form as it is; shell form for a shell."""
        words = json_list(arguments)
        if words is not None:
            return words
        shell = list(self.config.get("Shell") or _SHELL)
        return [*shell, arguments] if arguments else shell


def _expanded_pairs(new: _Config, name: str, arguments: str) -> list[tuple[str, str]]:
    # All are expanded before any is set: in `ENV a=1 b=$a` the variable is the old one.
    pairs = [(new.expand(k), new.expand(v)) for k, v in name_values(name, arguments)]
    if any(not key for key, _ in pairs):
        raise InvalidInput(f"{name} names can not be blank")
    return pairs


def _one(new: _Config, name: str, arguments: str) -> str:
    if not arguments:
        raise InvalidInput(f"{name} requires exactly one argument")
    return new.expand(arguments)


# ── one function per instruction ─────────────────────────────────────────────────────────────────


def _cmd(new: _Config, arguments: str) -> None:
    new.config["Cmd"] = new.command(arguments)
    new.cmd_set = True


def _entrypoint(new: _Config, arguments: str) -> None:
    new.config.pop("Entrypoint", None)
    if arguments:
        new.config["Entrypoint"] = new.command(arguments)
    if not new.cmd_set:
        new.config.pop("Cmd", None)


def _env(new: _Config, arguments: str) -> None:
    entries = list(new.config.get("Env") or [])
    for key, value in _expanded_pairs(new, "ENV", arguments):
        for i, entry in enumerate(entries):
            if entry.partition("=")[0] == key:
                entries[i] = f"{key}={value}"
                break
        else:
            entries.append(f"{key}={value}")
    new.config["Env"] = entries


def _label(new: _Config, arguments: str) -> None:
    pairs = _expanded_pairs(new, "LABEL", arguments)
    new.config["Labels"] = {**(new.config.get("Labels") or {}), **dict(pairs)}


def _expose(new: _Config, arguments: str) -> None:
    if not arguments:
        raise InvalidInput("EXPOSE requires at least one argument")
    ports: list[str] = []
    for word in arguments.split():
        for spec in expand_words(word, new.env):
            ports += ports_of(spec)
    new.add_keys("ExposedPorts", sorted(ports))


def ports_of(spec: str) -> list[str]:
    """What EXPOSE may name: `80`, `53/udp`, `8000-8002`, and `8080:80`, where 80 is meant."""
    port, slash, protocol = spec.rpartition(":")[2].partition("/")
    first, dash, last = port.partition("-")
    if (slash and not protocol) or protocol.lower() not in ("", "tcp", "udp", "sctp"):
        raise InvalidInput(f"invalid proto: {protocol}")
    if not port:
        raise InvalidInput(f"no port specified: {spec}<empty>")
    numbers = (first, last) if dash else (first, first)
    if not all(n.isascii() and n.isdigit() and int(n[:9]) <= _MAX_PORT for n in numbers):
        raise InvalidInput(f"invalid containerPort: {port}")
    if int(numbers[1]) < int(numbers[0]):
        raise InvalidInput(f"invalid containerPort: {port}")
    each = range(int(numbers[0]), int(numbers[1]) + 1)
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in each]


def _healthcheck(new: _Config, arguments: str) -> None:
    new.config["Healthcheck"] = parse_healthcheck(arguments)


def _onbuild(new: _Config, arguments: str) -> None:
    if not arguments:
        raise InvalidInput("ONBUILD requires at least one argument")
    trigger = arguments.split(None, 1)[0].upper()
    if trigger == "ONBUILD":
        raise InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise InvalidInput(f"{trigger} isn't allowed as an ONBUILD trigger")
    new.config["OnBuild"] = [*(new.config.get("OnBuild") or []), arguments]


def _stopsignal(new: _Config, arguments: str) -> None:
    text = _one(new, "STOPSIGNAL", arguments)
    check_signal(text)
    new.config["StopSignal"] = text


def check_signal(text: str) -> None:
    """Raises `InvalidInput` for what is neither the name nor the number of a signal."""
    import signal

    known = {name.name.removeprefix("SIG") for name in signal.Signals}
    name = text.upper().removeprefix("SIG")
    realtime = name.startswith(("RTMIN+", "RTMAX-")) and name[6:].isdigit()
    if not (name in known or realtime or (text.isdigit() and 0 < int(text[:4]) <= signal.SIGRTMAX)):
        raise InvalidInput(f"invalid signal: {text}")


def _user(new: _Config, arguments: str) -> None:
    new.config["User"] = _one(new, "USER", arguments)


def _volume(new: _Config, arguments: str) -> None:
    words = json_list(arguments)
    paths = [new.expand(word) for word in (arguments.split() if words is None else words)]
    if not paths:
        raise InvalidInput("VOLUME requires at least one argument")
    if not all(path.strip() for path in paths):
        raise InvalidInput("VOLUME specified can not be an empty string")
    new.add_keys("Volumes", [path.strip() for path in paths])


def _workdir(new: _Config, arguments: str) -> None:
    path = _one(new, "WORKDIR", arguments)
    if not path.startswith("/"):
        from os.path import normpath

        path = normpath(f"/{new.config.get('WorkingDir') or ''}/{path}")
        path = "/" + path.lstrip("/")
    new.config["WorkingDir"] = path


_INSTRUCTIONS: dict[str, Callable[[_Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
