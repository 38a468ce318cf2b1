"""The text of a Dockerfile → its stages, or an error that shows the place.

    ARG VERSION=13              before the first FROM: arguments of the FROMs themselves
    FROM debian:$VERSION AS a   each FROM begins a stage: an image of its own
    RUN make
    FROM scratch
    COPY --from=a /out /

The last stage is the result. What a stage is built on may be an image, a stage above, or nothing.

See: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

from minidock.build.errors import located
from minidock.build.grammar import parse_line
from minidock.build.instructions import (
    Arg,
    Dockerfile,
    DockerfileError,
    Instruction,
    Lines,
    Stage,
)
from minidock.build.lines import Line, take_apart
from minidock.build.lint import warnings_of
from minidock.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidock.build.lines import Text


def parse_dockerfile(data: bytes, path: str) -> Dockerfile:
    """`path` is shown in errors. Raises `DockerfileError` in Docker's words."""
    text = take_apart(data, path)
    if not text.instructions:
        last = Lines(len(text.lines), len(text.lines))
        raise located(path, text.lines, last, "file with no instructions")
    stages: list[Stage] = []
    arguments: list[Arg] = []
    contents: list[list[Instruction]] = []  # of the stages
    for line in text.instructions:
        parsed = _parsed(text, line)
        if isinstance(parsed, Stage):
            stages.append(parsed)
            contents.append([])
        elif stages:
            contents[-1].append(parsed)
        elif isinstance(parsed, Arg):
            arguments.append(parsed)
        else:
            raise located(path, text.lines, line.where, "no build stage in current context")
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build")
    pairs = zip(stages, contents, strict=True)
    stages = [stage.but(instructions=tuple(content)) for stage, content in pairs]
    return Dockerfile(
        path,
        text.lines,
        tuple(stages),
        tuple(arguments),
        text.escape,
        text.directives.get("syntax", ""),
        warnings_of(text, stages),
    )


def parse_triggers(triggers: Sequence[str], image: str) -> tuple[Instruction, ...]:
    """The ONBUILD instructions that came with `image`. Raises `DockerfileError`."""
    found: list[Instruction] = []
    for trigger in triggers:
        text = take_apart(trigger.encode("utf-8", "surrogateescape"), f"ONBUILD of {image}")
        for line in text.instructions:
            parsed = _parsed(text, line)
            if isinstance(parsed, Stage):
                raise located(text.path, text.lines, line.where, "FROM isn't allowed as a trigger")
            found.append(parsed.but(where=Lines()))  # these lines are not of the file being built
    return tuple(found)


def _parsed(text: Text, line: Line) -> Instruction | Stage:
    try:
        return parse_line(line, text.escape)
    except DockerfileError:
        raise
    except InvalidInput as error:
        message = error.message
        if not message.endswith(_WITHOUT_LINE):
            message = f"dockerfile parse error on line {line.where.first}: {message}"
        raise located(text.path, text.lines, line.where, message) from None


# Docker finds these while it looks for words, before it knows that it is parsing an instruction.
_WITHOUT_LINE = ("must have two arguments", "Must be of the form: name=value")
