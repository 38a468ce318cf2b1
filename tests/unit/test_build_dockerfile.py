"""A Dockerfile's text becomes values: each instruction, its forms, and where it ends."""

from __future__ import annotations

import pytest

from minidock.build.dockerfile import parse_dockerfile, parse_triggers
from minidock.build.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    DockerfileError,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Lines,
    Maintainer,
    OnBuild,
    Run,
    RunMount,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)


def parse(text: str) -> Dockerfile:
    return parse_dockerfile(text.encode(), "Dockerfile")


def one(text: str) -> Instruction:
    """The instruction after a FROM."""
    (instruction,) = parse(f"FROM scratch\n{text}").stages[0].instructions
    return instruction


def shell(text: str) -> Command:
    return Command((text,), shell=True)


def words(*argv: str) -> Command:
    return Command(argv, shell=False)


@pytest.mark.parametrize(
    "text, type_, fields",
    [
        ("RUN make  all", Run, {"command": shell("make  all"), "network": "default"}),
        ('RUN ["make", "all"]', Run, {"command": words("make", "all")}),
        ("RUN [not json", Run, {"command": shell("[not json")}),
        ('CMD ["a"] # b', Cmd, {"command": words("a")}),
        ("run echo a # b", Run, {"command": shell("echo a # b")}),
        ("RUN --network=none ls --all", Run, {"command": shell("ls --all"), "network": "none"}),
        ('CMD ["sh", "-c", "a \\"b\\""]', Cmd, {"command": words("sh", "-c", 'a "b"')}),
        ("CMD []", Cmd, {"command": words()}),
        ("CMD echo hi", Cmd, {"command": shell("echo hi")}),
        ("ENTRYPOINT /bin/x y", Entrypoint, {"command": shell("/bin/x y")}),
        ("ENTRYPOINT []", Entrypoint, {"command": words()}),
        ('SHELL ["/bin/bash", "-c"]', Shell, {"words": ("/bin/bash", "-c")}),
        ("ENV a=1 b=\"2 3\" c='4 5' d=6\\ 7", Env, {
            "variables": (("a", "1"), ("b", '"2 3"'), ("c", "'4 5'"), ("d", "6\\ 7")),
        }),
        ("ENV a b = c", Env, {"variables": (("a", "b = c"),)}),
        ("LABEL a.b=c \"d e\"=f", Label, {"labels": (("a.b", "c"), ('"d e"', "f"))}),
        ("ARG a b=1 c=", Arg, {"variables": (("a", None), ("b", "1"), ("c", ""))}),
        ("EXPOSE 80 53/udp  9-10", Expose, {"ports": ("80", "53/udp", "9-10")}),
        ("VOLUME /a /b", Volume, {"paths": ("/a", "/b")}),
        ('VOLUME ["/a b"]', Volume, {"paths": ("/a b",)}),
        ("USER 1:2", User, {"user": "1:2"}),
        ("WORKDIR /a b", Workdir, {"path": "/a b"}),
        ("STOPSIGNAL SIGINT", StopSignal, {"signal": "SIGINT"}),
        ("MAINTAINER a b <c>", Maintainer, {"name": "a b <c>"}),
        ("ONBUILD RUN make", OnBuild, {"trigger": "RUN make"}),
        ("HEALTHCHECK NONE", Healthcheck, {"check": {"Test": ["NONE"]}}),
        ("HEALTHCHECK --interval=5s CMD true", Healthcheck, {
            "check": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000},
        }),
        ("COPY a b /c/", Copy, {"sources": ("a", "b"), "destination": "/c/", "link": False}),
        ('COPY ["a b", "/c d"]', Copy, {"sources": ("a b",), "destination": "/c d"}),
        ("COPY --from=0 --chown=1:2 --chmod=0755 --link --parents a /b", Copy, {
            "sources": ("a",), "destination": "/b", "from_": "0", "chown": "1:2",
            "chmod": "0755", "link": True, "parents": True,
        }),
        ("COPY --exclude=*.o --exclude=x . /", Copy, {"exclude": ("*.o", "x")}),
        ("ADD --checksum=sha256:0 --keep-git-dir=true http://x/y /", Add, {
            "sources": ("http://x/y",), "checksum": "sha256:0", "keep_git_dir": True,
            "unpack": None,
        }),
        ("ADD --unpack=false a.tar /", Add, {"unpack": False}),
    ],
)  # fmt: skip
def test_an_instruction(text: str, type_: type[Instruction], fields: dict[str, object]) -> None:
    found = one(text)
    assert type(found) is type_
    assert {name: getattr(found, name) for name in fields} == fields
    assert found.original == text
    assert found.where == Lines(2, 2)


def test_stages_and_what_stands_before_them() -> None:
    file = parse(
        "ARG V=1\nFROM debian:$V AS Build\nRUN a\nFROM --platform=linux/arm64 scratch\nCOPY x /"
    )
    assert [arg.variables for arg in file.global_args] == [(("V", "1"),)]
    first, last = file.stages
    assert (first.base, first.name, first.platform) == ("debian:$V", "build", "")
    assert (last.base, last.name, last.platform) == ("scratch", "", "linux/arm64")
    assert [type(i).__name__ for i in first.instructions + last.instructions] == ["Run", "Copy"]
    assert first.original == "FROM debian:$V AS Build"


# ── where an instruction ends ────────────────────────────────────────────────────────────────────


def test_continued_lines() -> None:
    run = one("RUN one && \\\n    # why\n\n  two \\  \n three\nCMD x".replace("\nCMD x", ""))
    assert isinstance(run, Run)
    assert run.command == shell("one &&   two  three")
    assert run.where == Lines(2, 6)
    assert one("RUN a\\\\\n").original == "RUN a\\\\"  # an escaped escape does not continue
    assert one("RUN a \\").original == "RUN a"  # nothing follows


def test_comments_and_empty_lines() -> None:
    file = parse("\ufeff# hello\n\n  # world\nFROM scratch # no comment".replace(" # no", "\n# no"))
    assert file.stages[0].where == Lines(4, 4)


def test_windows_line_ends() -> None:
    file = parse("FROM scratch\r\nRUN a \\\r\n  b\r\nCOPY <<E /x\r\nhi\r\nE\r\n")
    run, copy = file.stages[0].instructions
    assert isinstance(run, Run) and isinstance(copy, Copy)
    assert run.command == shell("a   b")
    assert copy.heredocs == (Heredoc("E", "hi\r\n"),)


def test_another_escape_character() -> None:
    file = parse('# escape=`\nFROM scratch\nRUN dir c:\\ `\n  /w\nENV a=`"b')
    run, env = file.stages[0].instructions
    assert isinstance(run, Run) and isinstance(env, Env)
    assert run.command == shell("dir c:\\   /w")
    assert env.variables == (("a", '`"b'),)
    assert file.escape == "`"


def test_directives_stand_on_top_only() -> None:
    file = parse("# syntax=docker/dockerfile:1\n# Escape = `\nFROM scratch")
    assert (file.syntax, file.escape) == ("docker/dockerfile:1", "`")
    for above in ("# a comment\n", "# unknown=1\n", "\n"):
        assert parse(f"{above}# escape=`\nFROM scratch").escape == "\\"


# ── here-documents ───────────────────────────────────────────────────────────────────────────────


def test_files_in_place() -> None:
    copy = one("COPY --chmod=600 <<A <<-'B' c /d/\n$x # no comment\nA\n\ttab\n\t\\\n\tB\n")
    assert isinstance(copy, Copy)
    assert copy.heredocs == (
        Heredoc("A", "$x # no comment\n"),
        Heredoc("B", "tab\n\\\n", expand=False),
    )
    assert (copy.sources, copy.destination) == (("c",), "/d/")
    assert copy.where == Lines(2, 7)
    assert copy.original == "COPY --chmod=600 <<A <<-'B' c /d/"


def test_a_script_in_place() -> None:
    run = one("RUN --network=none <<EOF\nset -e\nfalse\nEOF")
    assert isinstance(run, Run)
    assert run.command == shell("set -e\nfalse\n")
    program = one("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF")
    assert isinstance(program, Run)
    assert program.script == Heredoc("EOF", "#!/usr/bin/env python3\nprint(1)\n")
    assert program.command == words("/dev/pipes/EOF")


def test_documents_that_the_shell_reads() -> None:
    run = one("RUN cat <<A 3<<B > /x\none\nA\ntwo\nB\n")
    assert isinstance(run, Run)
    assert run.command == shell("cat <<A 3<<B > /x\none\nA\ntwo\nB")


@pytest.mark.parametrize("text", ["RUN cat <<<x", "RUN echo $((1 << 3))", "RUN a<<b", "CMD a <<b"])
def test_what_is_no_document(text: str) -> None:
    assert one(text).original == text


def test_a_trigger_with_a_document() -> None:
    onbuild = one("ONBUILD COPY <<EOF /x\nhi\nEOF\n")
    assert isinstance(onbuild, OnBuild)
    assert onbuild.trigger == "COPY <<EOF /x\nhi\nEOF"
    (copy,) = parse_triggers([onbuild.trigger], "base")
    assert isinstance(copy, Copy)
    assert copy.heredocs == (Heredoc("EOF", "hi\n"),)
    assert copy.where == Lines()


# ── mounts ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text, mount",
    [
        ("target=/a", RunMount(target="/a")),
        ("type=bind,from=b,src=/x,dst=/a,rw",
         RunMount(from_="b", source="/x", target="/a", read_only=False)),
        ("type=cache,target=/c,sharing=locked,uid=5,mode=0750,id=n",
         RunMount("cache", "/c", read_only=False, sharing="locked", uid=5, mode=0o750, id="n")),
        ("type=tmpfs,target=/t,size=64m",
         RunMount("tmpfs", "/t", read_only=False, size=64 << 20)),
        ("type=secret,id=k", RunMount("secret", id="k")),
        ("type=secret,id=k,env=KEY,required", RunMount("secret", id="k", env="KEY", required=True)),
        ("type=ssh", RunMount("ssh")),
        ('type=bind,"target=/a,b"', RunMount(target="/a,b")),
    ],
)  # fmt: skip
def test_mounts(text: str, mount: RunMount) -> None:
    run = one(f"RUN --mount='{text}' true" if '"' in text else f"RUN --mount={text} true")
    assert isinstance(run, Run)
    assert run.mounts[0].but(raw="") == mount


# ── what is wrong, and where ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text, message",
    [
        ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("cpoy a b", "unknown instruction: cpoy (did you mean copy?)"),
        ("FOOBAR x", "unknown instruction: FOOBAR"),
        ("COPY --form=x a b", "unknown flag: --form (did you mean from?)"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --link=x a b", "expecting boolean value for flag --link, not: x"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: --from"),
        ("COPY a", "COPY requires at least two arguments, but only one was provided. "
                   "Destination could not be determined"),
        ("COPY a <<EOF\nEOF", "COPY cannot accept a heredoc as a destination"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1b", 'invalid name for build stage: "1b", '
                         "name can't start with a number or contain symbols"),
        ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("ENV =x", "ENV names can not be blank"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --intervall=1s CMD x", "unknown flag: --intervall (did you mean interval?)"),
        ("HEALTHCHECK --interval=1 CMD x", 'time: missing unit in duration "1"'),
        ("RUN --network=hots x", 'unsupported network mode "hots" (did you mean host?)'),
        ("RUN --mount=type=bnid,target=/x x", 'unsupported mount type "bnid" (did you mean bind?)'),
        ("RUN --mount=target=/x,reqiured x",
         "unexpected key 'reqiured' in 'reqiured' (did you mean required?)"),
        ("RUN --mount=target=/. x", 'invalid mount target "/."'),
        ("RUN --mount=type=tmpfs x", 'invalid mount target ""'),
        ("RUN --mount=target=/x,uid=1 x", 'uid not allowed for "bind" type mounts'),
        ("RUN --mount=type=cache,target=/x,required x",
         "unexpected key 'required' for mount type 'cache'"),
        ("RUN --mount=target=/x,from=$y x",
         "'from' doesn't support variable expansion, define alias stage instead"),
        ("RUN --mount=type=secret x", "invalid secret mount. one of source, target required"),
    ],
)  # fmt: skip
def test_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(f"FROM scratch\n{text}\n")
    assert caught.value.message == f"dockerfile parse error on line 2: {message}"
    assert caught.value.excerpt.startswith("Dockerfile:2\n")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "file with no instructions"),
        ("# only this", "file with no instructions"),
        ("ARG a", "dockerfile contains no stages to build"),
        ("RUN x", "no build stage in current context"),
        ("FROM scratch\nENV a", "ENV must have two arguments"),
        ("FROM scratch\nENV a=b c",
         'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
        ("FROM scratch\nCOPY <<EOF /x\nhi\n", "unterminated heredoc"),
        ("# escape=x\nFROM scratch", "invalid escape token 'x' does not match ` or \\"),
        ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
    ],
)  # fmt: skip
def test_errors_of_the_whole(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert caught.value.message == message


def test_the_place_is_shown_as_docker_shows_it() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("# one\nFROM scratch\nENV a=b \\\n  c=d\nRUNN \\\n x\x1b\nCMD x\n")
    assert caught.value.excerpt == (
        "Dockerfile:5\n"
        "--------------------\n"
        "   4 |       c=d\n"
        "   5 | >>> RUNN \\\n"
        "   6 | >>>  x\\x1b\n"
        "   7 |     CMD x\n"
        "--------------------"
    )


# ── what is only seldom meant ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text, rules",
    [
        ("ENV a b", ["LegacyKeyValueFormat"]),
        ("CMD sh", ["JSONArgsRecommended"]),
        ("MAINTAINER me", ["MaintainerDeprecated"]),
        ("ENV API_TOKEN=x", ["SecretsUsedInArgOrEnv"]),
        ("RUN a \\\n\n b", ["NoEmptyContinuation"]),
        ("run a", ["ConsistentInstructionCasing"]),
        ('CMD ["a"]\nCMD ["b"]', ["MultipleInstructionsDisallowed"]),
        ("FROM a as B", ["FromAsCasing", "StageNameCasing"]),
        ("FROM a AS b\nFROM c AS b", ["DuplicateStageName"]),
        ("ENV a=b\nLABEL c=d", []),
    ],
)
def test_warnings(text: str, rules: list[str]) -> None:
    assert [warning.rule for warning in parse(f"FROM scratch\n{text}").warnings] == rules


def test_warnings_may_be_turned_off() -> None:
    text = "FROM scratch\nENV a b\nCMD x"
    assert len(parse(f"# check=skip=LegacyKeyValueFormat\n{text}").warnings) == 1
    assert parse(f"# check=skip=all;error=true\n{text}").warnings == ()
