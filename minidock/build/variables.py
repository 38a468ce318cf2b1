"""What the variables in a Dockerfile mean, and an instruction with its final texts.

There are two scopes. FROM sees the arguments that stand before the first FROM, and the platform;
inside a stage an instruction sees the image's environment and the ARGs declared so far; of an ENV
and an ARG with the same name the later one counts:

    ARG VERSION=13                  --build-arg VERSION=12 would win over the 13
    FROM debian:$VERSION            debian:13
    ARG VERSION                     without this line it would mean nothing below
    ENV MAJOR=$VERSION

An ARG without a default takes the global one of its name. All words of an instruction are expanded
with the variables from before it: in `ENV a=1 b=$a` the `$a` is the old one. RUN, CMD, ENTRYPOINT,
HEALTHCHECK and ONBUILD are not expanded; a shell, or a later build, does that.

See: https://docs.docker.com/reference/dockerfile/#environment-replacement, #scope
"""

from __future__ import annotations

from minidock.build.errors import located
from minidock.build.instructions import (
    Add,
    Arg,
    Copy,
    Env,
    Expose,
    Instruction,
    Label,
    Run,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from minidock.build.mounts import parse_mount
from minidock.errors import InvalidInput
from minidock.image.changes import ports_of
from minidock.image.words import expand, expand_document, expand_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeVar

    from minidock.build.instructions import Dockerfile, Heredoc, Lines

    T = TypeVar("T", bound=Instruction)

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def platform_arguments(build: str, target: str, stage: str = "") -> dict[str, str]:
    """BUILDPLATFORM, TARGETARCH and so on: what FROM knows, and a stage that declares them."""
    found = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        system, architecture, variant = (*platform.split("/"), "", "")[:3]
        found[f"{prefix}PLATFORM"] = platform
        found[f"{prefix}OS"] = system
        found[f"{prefix}ARCH"] = architecture
        found[f"{prefix}VARIANT"] = variant
    return found


def global_arguments(
    dockerfile: Dockerfile, given: Mapping[str, str], platform: Mapping[str, str]
) -> dict[str, str]:
    """What FROM sees. Raises `DockerfileError`."""
    found = dict(platform)
    for arg in dockerfile.global_args:
        for name, default in arg.variables:
            if name in given:
                found[name] = given[name]
            elif default is not None:
                found[name] = _expanded_at(dockerfile, arg.where, default, found)
    return found


def expanded_stage(stage: Stage, outer: Mapping[str, str], dockerfile: Dockerfile) -> Stage:
    """FROM with its final texts; `outer` are the global arguments. Raises `DockerfileError`."""
    base = _expanded_at(dockerfile, stage.where, stage.base, outer)
    platform = _expanded_at(dockerfile, stage.where, stage.platform, outer)
    if not base:
        problem = f"base name ({stage.base}) should not be blank"
        raise located(dockerfile.path, dockerfile.lines, stage.where, problem)
    return stage.but(base=base, platform=platform)


def _expanded_at(
    dockerfile: Dockerfile, where: Lines, text: str, variables: Mapping[str, str]
) -> str:
    try:
        return expand(text, variables, dockerfile.escape)
    except InvalidInput as error:
        raise located(dockerfile.path, dockerfile.lines, where, error.message) from None


def declared(arg: Arg, given: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """What an expanded ARG adds to its stage; a variable that has no value at all is not there."""
    found = {}
    for name, default in arg.variables:
        value = given.get(name, outer.get(name) if default is None else default)
        if value is not None:
            found[name] = value
    return found


def stage_variables(
    arguments: Mapping[str, str], environment: Sequence[str], given: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a moment, `environment` being the config's Env. They are what a RUN gets as
    its environment, too."""
    found = proxies(given)
    for entry in environment:
        name, _, value = entry.partition("=")
        found[name] = value
    return {**found, **arguments}


def proxies(given: Mapping[str, str]) -> dict[str, str]:
    """The build arguments that need no ARG and are in no history and no cache key, under both of
    their names: curl reads http_proxy, most others HTTP_PROXY."""
    found = {}
    for name in _PROXIES:
        value = given.get(name, given.get(name.lower()))
        if value is not None:
            found[name] = found[name.lower()] = value
    return found


def undeclared(arguments: Mapping[str, str], env: Env) -> dict[str, str]:
    """The arguments after an expanded ENV: those of its names mean nothing any more."""
    names = {name for name, _ in env.variables}
    return {name: value for name, value in arguments.items() if name not in names}


# ── one instruction ──────────────────────────────────────────────────────────────────────────────


def expanded(instruction: T, variables: Mapping[str, str], escape: str = "\\") -> T:
    """The instruction with its final texts. Raises `InvalidInput`, without the place."""
    found = _expanded(instruction, variables, escape)
    assert isinstance(found, type(instruction))
    return found


def _expanded(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    special = _SPECIAL.get(type(instruction))
    if special:
        return special(instruction, variables, escape)

    def text(word: str) -> str:
        return expand(word, variables, escape)

    changes: dict[str, object] = {}
    for name in _TEXTS.get(type(instruction), ()):
        value = getattr(instruction, name)
        changes[name] = text(value) if isinstance(value, str) else tuple(map(text, value))
    if isinstance(instruction, Copy | Add):
        changes["heredocs"] = tuple(_document(d, variables) for d in instruction.heredocs)
    return instruction.but(**changes) if changes else instruction


_TEXTS: dict[type[Instruction], tuple[str, ...]] = {
    Copy: ("sources", "destination", "chown", "chmod", "exclude"),
    Add: ("sources", "destination", "chown", "chmod", "exclude", "checksum"),
    Workdir: ("path",),
    User: ("user",),
    StopSignal: ("signal",),
    Volume: ("paths",),
}


def _document(document: Heredoc, variables: Mapping[str, str]) -> Heredoc:
    if not document.expand:
        return document
    return document.but(content=expand_document(document.content, variables))


def _arg(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    assert isinstance(instruction, Arg)
    return instruction.but(
        variables=tuple(
            (
                expand(name, variables, escape),
                None if default is None else expand(default, variables, escape),
            )
            for name, default in instruction.variables
        )
    )


def _env(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    assert isinstance(instruction, Env)
    return instruction.but(variables=_pairs("ENV", instruction.variables, variables, escape))


def _label(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    assert isinstance(instruction, Label)
    return instruction.but(labels=_pairs("LABEL", instruction.labels, variables, escape))


def _pairs(
    name: str, pairs: Iterable[tuple[str, str]], variables: Mapping[str, str], escape: str
) -> tuple[tuple[str, str], ...]:
    found = tuple(
        (expand(key, variables, escape), expand(value, variables, escape)) for key, value in pairs
    )
    if not all(key for key, _ in found):
        raise InvalidInput(f"{name} names can not be blank")
    return found


def _expose(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    """A word may stand for several, and a range for many ports."""
    assert isinstance(instruction, Expose)
    words = [w for port in instruction.ports for w in expand_words(port, variables, escape)]
    return instruction.but(ports=tuple(port for word in words for port in ports_of(word)))


def _run(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Instruction:
    """Only its mounts: the shell expands the command."""
    assert isinstance(instruction, Run)

    def text(word: str) -> str:
        return expand(word, variables, escape)

    return instruction.but(mounts=tuple(parse_mount(m.raw, text) for m in instruction.mounts))


_SPECIAL: dict[type[Instruction], Callable[[Instruction, Mapping[str, str], str], Instruction]] = {
    Arg: _arg,
    Env: _env,
    Label: _label,
    Expose: _expose,
    Run: _run,
}
