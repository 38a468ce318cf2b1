"""Whatever is written in a Dockerfile, a wrong one is an `InvalidInput` and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from minidock.build.config import configured
from minidock.build.dockerfile import parse_dockerfile
from minidock.build.dockerignore import read_ignore
from minidock.build.history import created_by
from minidock.build.variables import expanded, expanded_stage, global_arguments
from minidock.errors import InvalidInput

FILES = sorted(Path(__file__).parents[1].glob("conformance/dockerfiles/*.Dockerfile"))
PIECES = [
    piece.encode("utf-8", "surrogateescape")
    for piece in (
        '$ ${ } " \' \\ \n <<EOF << [ ] "a", -- = # \t \0 é \udcff :- % #* / \r { \\u0000 NaN'
        " RUN FROM ONBUILD HEALTHCHECK --mount=type=cache, EXPOSE 1-99999 - ** ! ^"
    ).split(" ")
]


def mutated(chance: random.Random) -> bytes:
    text = bytearray(chance.choice(FILES).read_bytes())
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(text))
        if chance.random() < 0.6:
            text[at:at] = chance.choice(PIECES) + b" " * chance.randint(0, 1)
        else:
            del text[at : at + chance.randint(1, 10)]
    return bytes(text)


def everything(text: bytes) -> None:
    """As far as a build goes before it touches a file."""
    file = parse_dockerfile(text, "Dockerfile")
    outer = global_arguments(file, {"X": "1"}, {})
    for stage in file.stages:
        expanded_stage(stage, outer, file)
        config: dict[str, object] = {}
        for instruction in stage.instructions:
            meant = expanded(instruction, {"a": "1", "set": "x y"}, file.escape)
            created_by(meant, config)
            config = configured(config, meant)


@pytest.mark.parametrize("seed", range(8))
def test_a_text_is_understood_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(150):
        text = mutated(chance)
        try:
            everything(text)
        except InvalidInput as error:
            assert error.message
            refused += 1
        try:
            ignore = read_ignore(text.decode("utf-8", "surrogateescape"))
            assert ignore.excludes("a/b/c") in (True, False)
        except InvalidInput:
            pass
    assert 0 < refused < 150
