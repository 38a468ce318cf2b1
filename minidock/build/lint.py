"""What Docker warns of while it builds: legal, but seldom meant.

    1 warning found:
     - LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value"
       format (line 3)

Only the rules that need nothing but the text. A directive `# check=skip=NAME,…` (or `skip=all`)
turns rules off.

See: https://docs.docker.com/reference/build-checks/
"""

from __future__ import annotations

import re

from minidock.build.instructions import Lines, LintWarning
from minidock.image.words import json_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minidock.build.instructions import Stage
    from minidock.build.lines import Line, Text

_SECRET = re.compile(
    r"(?i)(?:^|_)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)"
    r"(?:_|$)"
)
_RESERVED = ("context", "scratch")


def warnings_of(text: Text, stages: Sequence[Stage]) -> tuple[LintWarning, ...]:
    """In the order of the file."""
    skipped = _skipped(text.directives.get("check", ""))
    found = [*_of_lines(text), *_of_stages(stages)]
    found.sort(key=lambda warning: warning.where.first)
    return tuple(w for w in found if w.rule not in skipped and "all" not in skipped)


def _skipped(directive: str) -> set[str]:
    rules: set[str] = set()
    for part in directive.split(";"):
        key, _, value = part.strip().partition("=")
        if key.strip().lower() == "skip":
            rules.update(name.strip() for name in value.split(","))
    return rules


def _of_lines(text: Text) -> Iterator[LintWarning]:
    casing = _majority(text.instructions)
    for line in text.instructions:
        name = line.keyword.upper()
        if line.gap:
            problem = "Empty continuation line"
            yield LintWarning("NoEmptyContinuation", problem, line.where)
        if line.keyword != (name if casing == "upper" else name.lower()):
            problem = (
                f"Command '{line.keyword}' should match the case of the command majority "
                f"({casing}case)"
            )
            yield LintWarning("ConsistentInstructionCasing", problem, line.where)
        yield from _of_line(name, line)


def _majority(lines: Sequence[Line]) -> str:
    lower = sum(line.keyword == line.keyword.lower() for line in lines)
    return "lower" if lower > len(lines) / 2 else "upper"


def _of_line(name: str, line: Line) -> Iterator[LintWarning]:
    rest = line.rest
    if name == "MAINTAINER":
        problem = "Maintainer instruction is deprecated in favor of using label"
        yield LintWarning("MaintainerDeprecated", problem, line.where)
    elif name in ("ENV", "LABEL") and rest and "=" not in rest.split()[0]:
        problem = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
        yield LintWarning("LegacyKeyValueFormat", problem, line.where)
    elif name in ("CMD", "ENTRYPOINT") and rest and json_list(rest) is None:
        problem = (
            f"JSON arguments recommended for {name} to prevent unintended behavior related to OS "
            "signals"
        )
        yield LintWarning("JSONArgsRecommended", problem, line.where)
    if name in ("ENV", "ARG") and rest:
        for word in rest.split():
            key = word.partition("=")[0]
            if _SECRET.search(key) and ("=" in word or word == rest.split()[0]):
                problem = f'Do not use ARG or ENV instructions for sensitive data ({name} "{key}")'
                yield LintWarning("SecretsUsedInArgOrEnv", problem, line.where)


def _of_stages(stages: Sequence[Stage]) -> Iterator[LintWarning]:
    seen: set[str] = set()
    for stage in stages:
        words = stage.original.split()
        if stage.name:
            keyword, as_, name = words[0], words[-2], words[-1]
            if (keyword == keyword.upper()) != (as_ == as_.upper()):
                problem = f"'{as_}' and '{keyword}' keywords' casing do not match"
                yield LintWarning("FromAsCasing", problem, stage.where)
            if name != name.lower():
                problem = f"Stage name '{name}' should be lowercase"
                yield LintWarning("StageNameCasing", problem, stage.where)
            if stage.name in _RESERVED:
                problem = f'Stage name should not use the same name as reserved stage "{name}"'
                yield LintWarning("ReservedStageName", problem, stage.where)
            if stage.name in seen:
                problem = f'Duplicate stage name "{stage.name}", stage names should be unique'
                yield LintWarning("DuplicateStageName", problem, stage.where)
            seen.add(stage.name)
        yield from _twice(stage)


def _twice(stage: Stage) -> Iterator[LintWarning]:
    """CMD, ENTRYPOINT and HEALTHCHECK: only the last one of a stage counts."""
    last: dict[str, Lines] = {}
    for instruction in stage.instructions:
        name = type(instruction).__name__.upper()
        if name in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
            if name in last:
                problem = (
                    f"Multiple {name} instructions should not be used in the same stage because "
                    "only the last one will be used"
                )
                yield LintWarning("MultipleInstructionsDisallowed", problem, last[name])
            last[name] = instruction.where
