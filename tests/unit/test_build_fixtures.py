"""BuildKit's own Dockerfiles and what its parser makes of them, where they are here.

Fixtures outside the project: `MINIDOCK_FIXTURES`, or ../shared/fixtures. A few of them are no
complete Dockerfiles, as its parser alone does not ask for one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minidock.build import instructions as of
from minidock.build.dockerfile import parse_dockerfile
from minidock.errors import InvalidInput
from minidock.spec.quoting import quote

PROJECT = Path(__file__).parent.parent.parent
FIXTURES = Path(os.environ.get("MINIDOCK_FIXTURES", PROJECT / "../shared/fixtures")) / "dockerfile"
INCOMPLETE = {"health", "flags"}  # a HEALTHCHECK without arguments, a --user of ADD
FILES = sorted(path.parent.name for path in FIXTURES.glob("testfiles/*/Dockerfile"))
WRONG = sorted(path.parent.name for path in FIXTURES.glob("testfiles-negative/*/Dockerfile"))


def words(instruction: of.Instruction) -> list[str]:
    """As BuildKit's parser shows them: raw."""
    legacy = "" if "=" not in instruction.original.split()[1] else "="
    match instruction:
        case of.Run(command=command) | of.Cmd(command=command) | of.Entrypoint(command=command):
            return list(command.words)
        case of.Env(variables=pairs) | of.Label(labels=pairs):
            return [word for pair in pairs for word in (*pair, legacy)]
        case of.Arg(variables=variables):
            return [name if value is None else f"{name}={value}" for name, value in variables]
        case of.Copy() | of.Add():
            return [*instruction.sources, instruction.destination]
        case of.Expose(ports=found) | of.Volume(paths=found):
            return list(found)
        case of.Workdir(path=text) | of.User(user=text) | of.Maintainer(name=text):
            return [text]
        case _:
            raise AssertionError(instruction)


def shown(instruction: of.Instruction) -> str:
    name = type(instruction).__name__.lower()
    if isinstance(instruction, of.OnBuild):
        (inner,) = of_trigger(instruction.trigger)
        return f"(onbuild {shown(inner)})"
    return " ".join([f"({name}", *map(quote, words(instruction))]) + ")"


def of_trigger(trigger: str) -> tuple[of.Instruction, ...]:
    from minidock.build.dockerfile import parse_triggers

    return parse_triggers([trigger], "image")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_buildkits(name: str) -> None:
    data = (FIXTURES / "testfiles" / name / "Dockerfile").read_bytes()
    wanted = (FIXTURES / "testfiles" / name / "result").read_text().splitlines()
    if name in INCOMPLETE or not any(line.startswith("(from ") for line in wanted):
        with pytest.raises(InvalidInput):
            parse_dockerfile(data, name)
        return
    file = parse_dockerfile(data, name)
    found = [shown(arg) for arg in file.global_args]
    for stage in file.stages:
        found += [" ".join(["(from", *map(quote, stage.original.split()[1:])]) + ")"]
        found += map(shown, stage.instructions)
    assert found == wanted


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_of_buildkits(name: str) -> None:
    data = (FIXTURES / "testfiles-negative" / name / "Dockerfile").read_bytes()
    with pytest.raises(InvalidInput):
        parse_dockerfile(data, name)
