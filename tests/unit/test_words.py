"""Words in Dockerfile instructions: BuildKit's own cases where they are here, and the errors.

The cases are fixtures outside the project: `MINIDOCK_FIXTURES`, or ../shared/fixtures.
"""

from __future__ import annotations

import os

import pytest

from minidock.errors import InvalidInput
from minidock.image.words import expand, expand_document, expand_words
from minidock.spec.quoting import quote

ENV = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": "", "PORTS": "80 443/tcp"} | {
    "FILE": "usr/lib/libx.so.1.so", "GLOB": "*]"
}  # fmt: skip
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.environ.get("MINIDOCK_FIXTURES", os.path.join(PROJECT, "../shared/fixtures"))


def cases(name: str) -> list[str]:
    path = f"{FIXTURES}/dockerfile/{name}"
    if not os.path.exists(path):
        pytest.skip(f"BuildKit's {name} is not here (MINIDOCK_FIXTURES names the directory)")
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("plain", "plain"),
        ("'a $PWD \\b'", "a $PWD \\b"),
        ('"a $PWD \\b \\" \\$PWD"', 'a /home \\b " $PWD'),
        ("a\\ b\\$PWD", "a b$PWD"),
        ("he${PWD}x${NONE}y", "he/homexy"),
        ("${NONE:-d}${NULL:-d}${NULL-d}${PWD:-d}", "dd/home"),
        ("${NONE:+d}${NULL:+d}${NULL+d}${PWD:+d}", "dd"),
        ("${NONE:-${PWD}}", "/home"),
        ("$1x$@y$.", "xy$."),
        ("${FILE#*/} ${FILE##*/}", "lib/libx.so.1.so libx.so.1.so"),
        ("${FILE%.so*} ${FILE%%.so*}", "usr/lib/libx.so.1 usr/lib/libx"),
        ("${FILE/so/a} ${FILE//so/a}", "usr/lib/libx.a.1.so usr/lib/libx.a.1.a"),
        ("${FILE/\\//:} ${FILE//?so/} ${FILE/b*/}", "usr:lib/libx.so.1.so usr/lib/libx.1 usr/li"),
        ("${FILE#x}${NONE#x}${NONE/a/b}", "usr/lib/libx.so.1.so"),
        ("${GLOB#\\*}${GLOB#[a-z]}", "]*]"),
        ("end\\", "end"),
    ],
)
def test_a_word_is_expanded(word: str, result: str) -> None:
    assert expand(word, ENV) == result


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ('"x', "unexpected end of statement while looking for matching double-quote"),
        ("'x", "unexpected end of statement while looking for matching single-quote"),
        ("${x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${x:=1}", "unsupported modifier (=) in substitution"),
        ("${x:?say why}", "x: say why"),
        ("${x:#a}", "unsupported modifier (#) in substitution"),
        ("${x/a}", "syntax error: missing '/' in ${}"),
        ("${x/a/b", "syntax error: missing '}'"),
        ("${PWD#\\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"),
    ],
)
def test_the_error_quotes_the_word_and_says_what_is_wrong(word: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as error:
        expand(word, ENV)
    assert error.value.message == f"failed to process {quote(word)}: {problem}"


def test_quotes_in_a_document_are_characters() -> None:
    text = "it's \"$PWD\" \\$PWD \\\\ ${NONE:-'x'}\n"
    assert expand_document(text, ENV) == "it's \"/home\" $PWD \\ 'x'\n"


def test_another_escape_character() -> None:
    assert expand('c:\\$PWD`$x "`"\\"', ENV, "`") == 'c:\\/home$x "\\'


def test_nested_deeper_than_anybody_reads() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        expand("${x:-" * 5000, ENV)


def test_only_unquoted_white_space_parts_words() -> None:
    assert expand_words('$PORTS "$PORTS" a\\ b', ENV) == ["80", "443/tcp", "80 443/tcp", "a b"]


def test_buildkits_cases_of_variables() -> None:
    for line in cases("envVarTest"):
        platform, word, wanted = (part.strip() for part in line.split("|"))
        if platform == "W":
            continue
        if wanted == "error":
            with pytest.raises(InvalidInput):
                expand(word, ENV)
        else:
            assert expand(word, ENV) == wanted, line


def test_buildkits_cases_of_words() -> None:
    env: dict[str, str] = {}
    for line in cases("wordsTest"):
        if line.startswith("ENV "):
            name, _, value = line.removeprefix("ENV ").partition("=")
            env[name.strip()] = value
            continue
        word, _, wanted = line.partition(" | ")
        if wanted.strip() == "error":
            with pytest.raises(InvalidInput):
                expand_words(word, env)
        else:
            assert expand_words(word.strip(), env) == wanted.split(","), line
