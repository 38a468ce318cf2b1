"""Which variables an instruction sees, and what it is with their values in it."""

from __future__ import annotations

import pytest

from minidock.build.config import configured
from minidock.build.dockerfile import parse_dockerfile
from minidock.build.instructions import (
    Arg,
    Copy,
    DockerfileError,
    Env,
    Expose,
    Instruction,
    Run,
    RunMount,
)
from minidock.build.variables import (
    declared,
    expanded,
    expanded_stage,
    global_arguments,
    platform_arguments,
    stage_variables,
    undeclared,
)
from minidock.errors import InvalidInput


def one(text: str) -> Instruction:
    file = parse_dockerfile(f"FROM scratch\n{text}".encode(), "Dockerfile")
    return file.stages[0].instructions[0]


VARIABLES = {"a": "1", "path": "/x y", "many": "80 443/udp"}


@pytest.mark.parametrize(
    "text, field, value",
    [
        ("COPY --chown=$a s$a ${path}/", "destination", "/x y/"),
        ("COPY --chown=$a s$a ${path}/", "sources", ("s1",)),
        ("COPY --chown=$a s$a ${path}/", "chown", "1"),
        ("ADD --checksum=$a x /", "checksum", "1"),
        ("WORKDIR $path", "path", "/x y"),
        ("USER ${u:-nobody}", "user", "nobody"),
        ("STOPSIGNAL SIG$s", "signal", "SIG"),
        ("VOLUME /$a /$b", "paths", ("/1", "/")),
        ("ENV b=$a c=\"'$b'\"", "variables", (("b", "1"), ("c", "''"))),
        ("LABEL $a=\\$a", "labels", (("1", "$a"),)),
        ("ARG b=$a c", "variables", (("b", "1"), ("c", None))),
        ("EXPOSE $many 1-3", "ports", ("80/tcp", "443/udp", "1/tcp", "2/tcp", "3/tcp")),
        ("CMD $a", "original", "CMD $a"),
    ],
)
def test_texts_are_expanded(text: str, field: str, value: object) -> None:
    assert getattr(expanded(one(text), VARIABLES), field) == value


def test_mounts_are_expanded() -> None:
    run = one("RUN --mount=type=cache,target=$path,uid=$a echo $a")
    assert isinstance(run, Run)
    done = expanded(run, VARIABLES)
    mount = RunMount("cache", "/x y", uid=1, read_only=False)
    assert done.mounts[0].but(raw="") == mount
    assert done.command == run.command
    with pytest.raises(InvalidInput, match="invalid value x for uid"):
        expanded(run, {"a": "x", "path": "/"})


def test_here_documents_are_expanded_unless_quoted() -> None:
    copy = one("COPY <<A <<'B' /x/\n\"$a\" '$a' \\$a \\\\\nA\n$a\nB")
    assert isinstance(copy, Copy)
    first, second = expanded(copy, VARIABLES).heredocs
    assert first.content == "\"1\" '1' $a \\\n"
    assert second.content == "$a\n"


def test_another_escape_character() -> None:
    env = expanded(one("ENV x=`$a y=c:\\d"), VARIABLES, "`")
    assert isinstance(env, Env)
    assert env.variables == (("x", "$a"), ("y", "c:\\d"))


def test_what_from_sees() -> None:
    text = b"ARG A=1\nARG B=${A}2 C\nARG D=$TARGETARCH\nFROM --platform=$D x:$B$C AS y\n"
    file = parse_dockerfile(text, "Dockerfile")
    platform = platform_arguments("linux/amd64", "linux/arm/v7")
    outer = global_arguments(file, {"A": "5", "C": "c", "X": "x"}, platform)
    assert {name: outer.get(name) for name in "ABCDX"} == {
        "A": "5", "B": "52", "C": "c", "D": "arm", "X": None,
    }  # fmt: skip
    assert (outer["TARGETVARIANT"], outer["BUILDPLATFORM"]) == ("v7", "linux/amd64")
    stage = expanded_stage(file.stages[0], outer, file)
    assert (stage.base, stage.platform) == ("x:52c", "arm")


@pytest.mark.parametrize(
    "base, message",
    [
        ("$NO", "base name ($NO) should not be blank"),
        ("${NO:?say}", 'failed to process "${NO:?say}": NO: say'),
    ],
)
def test_errors_of_from(base: str, message: str) -> None:
    file = parse_dockerfile(f"\nFROM {base}".encode(), "D")
    with pytest.raises(DockerfileError) as caught:
        expanded_stage(file.stages[0], {}, file)
    assert caught.value.message == message
    assert caught.value.excerpt.startswith("D:2\n")


def test_what_a_stage_sees() -> None:
    arg = one("ARG a b=2 c=3 d")
    assert isinstance(arg, Arg)
    arguments = declared(arg, {"c": "given"}, {"a": "outer", "b": "outer"})
    assert arguments == {"a": "outer", "b": "2", "c": "given"}
    given = {"HTTP_PROXY": "p", "other": "o"}
    variables = stage_variables(arguments, ["b=env", "e=5"], given)
    assert variables == {
        "a": "outer",
        "b": "2",
        "c": "given",
        "e": "5",
        "HTTP_PROXY": "p",
        "http_proxy": "p",
    }
    env = one("ENV b=env")
    assert isinstance(env, Env)
    assert undeclared(arguments, env) == {"a": "outer", "c": "given"}


@pytest.mark.parametrize(
    "before, text, after",
    [
        ({}, "ENV a=1", {"Env": ["a=1"]}),
        ({"Env": ["a=0", "b=2"]}, "ENV a=1 c=3", {"Env": ["a=1", "b=2", "c=3"]}),
        ({}, "CMD x y", {"Cmd": ["/bin/sh", "-c", "x y"]}),
        ({"Shell": ["bash", "-c"]}, "CMD x", {"Shell": ["bash", "-c"], "Cmd": ["bash", "-c", "x"]}),
        ({"Cmd": ["a"]}, "CMD []", {"Cmd": []}),
        ({"Cmd": ["a"]}, 'ENTRYPOINT ["b"]', {"Entrypoint": ["b"]}),
        ({"Entrypoint": ["a"]}, "ENTRYPOINT []", {}),
        ({"Volumes": {"/a": {}}}, "VOLUME /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ({}, "WORKDIR a/../b/", {"WorkingDir": "/b"}),
        ({"WorkingDir": "/x"}, "WORKDIR y", {"WorkingDir": "/x/y"}),
        ({}, "WORKDIR //x", {"WorkingDir": "/x"}),
        ({}, "LABEL a=b", {"Labels": {"a": "b"}}),
        ({}, "USER u:g", {"User": "u:g"}),
        ({}, "STOPSIGNAL SIGRTMIN+3", {"StopSignal": "SIGRTMIN+3"}),
        ({}, "ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ({}, "HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ({"User": "u"}, "RUN x", {"User": "u"}),
    ],
)
def test_the_config_after_it(
    before: dict[str, object], text: str, after: dict[str, object]
) -> None:
    assert configured(before, expanded(one(text), {})) == after


def test_the_config_after_expose_and_a_cmd_of_its_own() -> None:
    expose = expanded(one("EXPOSE 80 53/UDP"), {})
    assert isinstance(expose, Expose)
    assert configured({}, expose) == {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}
    both = configured({"Cmd": ["a"]}, one('ENTRYPOINT ["b"]'), cmd_set=True)
    assert both == {"Cmd": ["a"], "Entrypoint": ["b"]}
    with pytest.raises(InvalidInput, match="invalid signal: SIGFOO"):
        configured({}, one("STOPSIGNAL SIGFOO"))
