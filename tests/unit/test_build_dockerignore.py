"""Which paths a .dockerignore keeps out of a build."""

from __future__ import annotations

import pytest

from minidock.build.dockerignore import Ignore, read_ignore
from minidock.errors import InvalidInput


@pytest.mark.parametrize(
    "text, out, stays",
    [
        ("*.log", ["a.log"], ["a/b.log", "a.logs", "a.txt"]),
        ("**/*.log", ["a.log", "a/b.log", "a/b/c.log"], ["a.txt"]),
        ("docs", ["docs", "docs/a", "docs/a/b"], ["docs2", "x/docs"]),
        ("/docs/", ["docs", "docs/a"], ["x/docs"]),
        ("a/../docs/./x", ["docs/x", "docs/x/y"], ["docs"]),
        ("**", ["a", "a/b"], []),
        ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z/y"], ["z", "a/b"]),
        ("**/z", ["z", "a/z"], ["az"]),
        ("**x", ["x", "a/x"], ["ax"]),
        ("?[a-c]", ["xa", "xb/y"], ["xd", "x"]),
        ("[^a]", ["b"], ["a", "bb"]),
        ("a[\\]x]", ["a]", "ax"], ["ab"]),
        ("[\\u0-9^]", ["u", "5", "^"], ["a", "\\"]),
        ("a[^b]c", ["axc"], ["a/c", "abc"]),
        ("[z-a]", [], ["z", "m"]),
        ("\\*", ["*"], ["a"]),
        ("a.b\na+(b)$", ["a.b", "a+(b)$"], ["axb"]),
        ("# no\n  spaces  \n\n#x", ["spaces"], ["# no", "#x"]),
        ("*\n!a\n!b/c", ["x", "b", "b/x"], ["a", "a/b", "b/c", "b/c/d"]),
        ("*.md\n!README*.md\nREADME-x.md", ["a.md", "README-x.md"], ["README.md", "README-y.md"]),
        ("docs\n! docs/README", ["docs/a"], ["docs/README"]),
        ("!a\na", ["a"], []),
        (".", [], ["a"]),
        ("\ufeffa", ["a"], []),
    ],
)
def test_what_is_excluded(text: str, out: list[str], stays: list[str]) -> None:
    ignore = read_ignore(text)
    assert [path for path in [*out, *stays] if ignore.excludes(path)] == out


@pytest.mark.parametrize(
    "text, directory, may",
    [
        ("*\n!a/b", "a", True),
        ("*\n!a/b", "c", False),
        ("*\n!a/*.c", "a", True),
        ("*\n!a/*.c", "a/b.c", True),
        ("*\n!a/*.c", "a/b", False),
        ("*\n!*/x/y", "b", True),
        ("*\n!*/x/y", "b/z", False),
        ("*\n!**/*.md", "any/where", True),
        ("*\n!a", "a/b", True),
        ("a", "a", False),
    ],
)
def test_where_something_may_come_back(text: str, directory: str, may: bool) -> None:
    assert read_ignore(text).may_include_below(directory) is may


@pytest.mark.parametrize(
    "line, message",
    [("!", 'illegal exclusion pattern: "!"'), ("a[", "syntax error in pattern")],
)
def test_patterns_that_are_none(line: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Ignore([line])
    assert caught.value.message == message


def test_an_error_names_file_and_line() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_ignore("# fine\n*.o\n a[ \n", "web.Dockerfile.dockerignore")
    assert caught.value.message == "web.Dockerfile.dockerignore:3: syntax error in pattern: a["


def test_no_pattern_is_nothing() -> None:
    assert not read_ignore("# a\n\n.\n")
    assert read_ignore("a")
