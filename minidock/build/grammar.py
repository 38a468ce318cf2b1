"""The grammar of each instruction: one function each, from its line to its value.

    NAME [--flag=value …] arguments

Three forms of arguments return everywhere: a JSON list (exec form, which wins where it is one),
words separated by white space, and `name=value` pairs with quotes. Nothing is expanded here.

Messages are Docker's. See: buildkit frontend/dockerfile/instructions/parse.go
"""

from __future__ import annotations

import re

from minidock.build.errors import did_you_mean
from minidock.build.flags import SWITCH, TEXT, TEXTS, Flags, parse_flags, split_flags
from minidock.build.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Lines,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from minidock.build.lines import Line, heredoc_word
from minidock.build.mounts import parse_mount
from minidock.errors import InvalidInput
from minidock.image.healthcheck import parse_healthcheck
from minidock.image.words import json_list, name_values, raw_words
from minidock.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidock.build.instructions import Heredoc

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_NETWORKS = ("default", "host", "none")
SCRIPTS = "/dev/pipes"  # where a here-document that is a program is seen by its RUN

_COPY_FLAGS = {
    "chown": TEXT, "chmod": TEXT, "link": SWITCH, "from": TEXT, "exclude": TEXTS,
    "parents": SWITCH,
}  # fmt: skip
_ADD_FLAGS = {
    "chown": TEXT, "chmod": TEXT, "link": SWITCH, "checksum": TEXT, "keep-git-dir": SWITCH,
    "unpack": SWITCH, "exclude": TEXTS,
}  # fmt: skip
_HEALTHCHECK_FLAGS = dict.fromkeys(
    ("interval", "timeout", "start-period", "start-interval", "retries"), TEXT
)
_RUN_FLAGS = {"mount": TEXTS, "network": TEXT, "security": TEXT, "device": TEXTS}


class _Request(Record):
    """A line on its way to becoming an instruction."""

    name: str
    flags: tuple[str, ...]
    arguments: str
    where: Lines
    original: str
    heredocs: tuple[Heredoc, ...]
    escape: str

    def parsed_flags(self, known: dict[str, str] | None = None) -> Flags:
        return parse_flags(list(self.flags), known or {})

    def words(self) -> tuple[str, ...]:
        return tuple(word for word in _BLANKS.split(self.arguments) if word)

    def list_or_words(self) -> tuple[str, ...]:
        exec_form = json_list(self.arguments)
        return self.words() if exec_form is None else tuple(exec_form)

    def command(self) -> Command:
        exec_form = json_list(self.arguments)
        if exec_form is not None:
            return Command(tuple(exec_form), shell=False)
        return Command((self.arguments,) if self.arguments else (), shell=True)

    def one(self) -> str:
        if not self.arguments:
            raise InvalidInput(f"{self.name} requires exactly one argument")
        return self.arguments


def parse_line(line: Line, escape: str) -> Instruction | Stage:
    """Raises `InvalidInput`, without the place."""
    keyword = line.keyword
    name = keyword.upper()
    if name not in _INSTRUCTIONS:
        raise InvalidInput(f"unknown instruction: {keyword}{did_you_mean(keyword, _INSTRUCTIONS)}")
    # HEALTHCHECK's flags have a parser of their own.
    flags, arguments = ([], line.rest) if name == "HEALTHCHECK" else split_flags(line.rest)
    original = line.text.strip()
    request = _Request(name, tuple(flags), arguments, line.where, original, line.heredocs, escape)
    return _INSTRUCTIONS[name](request)


# ── one function per instruction ─────────────────────────────────────────────────────────────────


def _from(request: _Request) -> Stage:
    words = request.words()
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise InvalidInput(
                f'invalid name for build stage: "{words[2]}", '
                "name can't start with a number or contain symbols"
            )
    elif len(words) != 1:
        raise InvalidInput("FROM requires either one or three arguments")
    platform = request.parsed_flags({"platform": TEXT}).text("platform")
    return Stage(request.where, request.original, words[0], name, platform)


def _run(request: _Request) -> Run:
    flags = request.parsed_flags(_RUN_FLAGS)
    network = flags.text("network", "default").lower()
    if network not in _NETWORKS:
        suggestion = did_you_mean(network, _NETWORKS)
        raise InvalidInput(f'unsupported network mode "{network}"{suggestion}')
    if flags.text("security", "sandbox") != "sandbox":
        raise InvalidInput("granting entitlement security.insecure is not allowed")
    if flags.all("device"):
        raise InvalidInput("RUN --device is not supported: there are no CDI devices here")
    mounts = tuple(map(parse_mount, flags.all("mount")))
    command, script = _run_command(request)
    return Run(request.where, request.original, command, mounts, network, script)


def _run_command(request: _Request) -> tuple[Command, Heredoc | None]:
    """The three cases of here-documents, which `Run` describes."""
    command = request.command()
    if not request.heredocs:
        return command, None
    document = request.heredocs[0]
    words = raw_words(request.arguments)
    if len(words) == 1 and heredoc_word(words[0]):
        if document.content.startswith("#!"):
            return Command((f"{SCRIPTS}/{document.name}",), shell=False), document
        return Command((document.content,), shell=True), None
    text = request.arguments
    for heredoc in request.heredocs:
        text += f"\n{heredoc.content}{heredoc.name}"
    return Command((text,), shell=True), None


def _copy(request: _Request) -> Copy:
    files, destination, heredocs = _sources_and_destination(request)
    flags = request.parsed_flags(_COPY_FLAGS)
    return Copy(
        request.where,
        request.original,
        files,
        destination,
        heredocs,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        parents=flags.on("parents"),
        exclude=flags.all("exclude"),
    )


def _add(request: _Request) -> Add:
    files, destination, heredocs = _sources_and_destination(request)
    flags = request.parsed_flags(_ADD_FLAGS)
    return Add(
        request.where,
        request.original,
        files,
        destination,
        heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        exclude=flags.all("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.on("keep-git-dir"),
        unpack=flags.on("unpack") if flags.all("unpack") else None,
    )


def _sources_and_destination(
    request: _Request,
) -> tuple[tuple[str, ...], str, tuple[Heredoc, ...]]:
    words = request.list_or_words()
    if len(words) < 2:
        raise InvalidInput(
            f"{request.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    *sources, destination = words
    if heredoc_word(destination):
        raise InvalidInput(f"{request.name} cannot accept a heredoc as a destination")
    files = tuple(source for source in sources if not heredoc_word(source))
    named = {found[0] for source in sources if (found := heredoc_word(source))}
    return files, destination, tuple(doc for doc in request.heredocs if doc.name in named)


def _workdir(request: _Request) -> Workdir:
    request.parsed_flags()
    return Workdir(request.where, request.original, request.one())


def _arg(request: _Request) -> Arg:
    request.parsed_flags()
    words = raw_words(request.arguments, request.escape)
    if not words:
        raise InvalidInput("ARG requires at least one argument")
    variables = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInput("ARG names can not be blank")
        variables.append((name, value if equals else None))
    return Arg(request.where, request.original, tuple(variables))


def _env(request: _Request) -> Env:
    return Env(request.where, request.original, _named(request))


def _label(request: _Request) -> Label:
    return Label(request.where, request.original, _named(request))


def _named(request: _Request) -> tuple[tuple[str, str], ...]:
    request.parsed_flags()
    pairs = name_values(request.name, request.arguments, request.escape)
    if not all(name for name, _ in pairs):
        raise InvalidInput(f"{request.name} names can not be blank")
    return tuple(pairs)


def _cmd(request: _Request) -> Cmd:
    request.parsed_flags()
    return Cmd(request.where, request.original, request.command())


def _entrypoint(request: _Request) -> Entrypoint:
    request.parsed_flags()
    return Entrypoint(request.where, request.original, request.command())


def _shell(request: _Request) -> Shell:
    request.parsed_flags()
    command = request.command()
    if not command.words:
        raise InvalidInput("SHELL requires at least one argument")
    if command.shell:
        raise InvalidInput("SHELL requires the arguments to be in JSON form")
    return Shell(request.where, request.original, command.words)


def _expose(request: _Request) -> Expose:
    request.parsed_flags()
    return Expose(request.where, request.original, _at_least_one(request, request.words()))


def _volume(request: _Request) -> Volume:
    request.parsed_flags()
    paths = tuple(path.strip() for path in _at_least_one(request, request.list_or_words()))
    if not all(paths):
        raise InvalidInput("VOLUME specified can not be an empty string")
    return Volume(request.where, request.original, paths)


def _at_least_one(request: _Request, words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise InvalidInput(f"{request.name} requires at least one argument")
    return words


def _user(request: _Request) -> User:
    request.parsed_flags()
    return User(request.where, request.original, request.one())


def _stopsignal(request: _Request) -> StopSignal:
    request.parsed_flags()
    return StopSignal(request.where, request.original, request.one())


def _healthcheck(request: _Request) -> Healthcheck:
    parse_flags(split_flags(request.arguments)[0], _HEALTHCHECK_FLAGS)  # it says what is wrong
    check = parse_healthcheck(request.arguments)
    return Healthcheck(request.where, request.original, check)


def _maintainer(request: _Request) -> Maintainer:
    request.parsed_flags()
    return Maintainer(request.where, request.original, request.one())


def _onbuild(request: _Request) -> OnBuild:
    request.parsed_flags()
    if not request.arguments:
        raise InvalidInput("ONBUILD requires at least one argument")
    trigger = Line(request.where, request.arguments, request.heredocs)
    name = trigger.keyword.upper()
    if name == "ONBUILD":
        raise InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("MAINTAINER", "FROM"):
        raise InvalidInput(f"{name} isn't allowed as an ONBUILD trigger")
    parse_line(trigger, request.escape)
    text = request.arguments
    for heredoc in request.heredocs:
        text += f"\n{heredoc.content}{heredoc.name}"
    return OnBuild(request.where, request.original, text)


_INSTRUCTIONS: dict[str, Callable[[_Request], Instruction | Stage]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
