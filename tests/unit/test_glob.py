"""Go's path.Match. Most cases are those of its own test (path/match_test.go)."""

from __future__ import annotations

import pytest

from minidock.errors import InvalidInput
from minidock.spec.glob import path_match

CASES = [
    ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True),
    ("a*", "abc", True), ("a*", "ab/c", False), ("a*/b", "abc/b", True), ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True), ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False), ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True), ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True), ("ab[b-d]", "abc", True), ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False), ("ab[^b-d]", "abc", False), ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True), ("a\\*b", "ab", False), ("a?b", "a☺b", True), ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False), ("a[^a][^a][^a]b", "a☺b", False), ("[a-ζ]*", "α", True),
    ("*[a-ζ]", "A", False), ("a?b", "a/b", False), ("a*b", "a/b", False), ("[\\]a]", "]", True),
    ("[\\-]", "-", True), ("[x\\-]", "x", True), ("[x\\-]", "-", True), ("[x\\-]", "z", False),
    ("[\\-x]", "a", False), ("*x", "xxx", True), ("", "", True), ("", "a", False),
    ("**", "ab", True),
]  # fmt: skip
BAD = [
    "[]a]",
    "[-]",
    "[x-]",
    "[-x]",
    "\\",
    "[a-b-c]",
    "[",
    "[^",
    "[^bc",
    "a[",
    "[^]",
    "[a-",
    "[a\\",
]


@pytest.mark.parametrize(("pattern", "name", "fits"), CASES)
def test_as_go_does(pattern: str, name: str, fits: bool) -> None:
    assert path_match(pattern, name) is fits


@pytest.mark.parametrize("pattern", BAD)
@pytest.mark.parametrize("name", ["a", "ab", "]", "-", ""])
def test_a_bad_pattern_is_bad_whatever_the_name(pattern: str, name: str) -> None:
    with pytest.raises(InvalidInput, match="syntax error in pattern"):
        path_match(pattern, name)


def test_many_stars_take_no_time() -> None:
    assert not path_match("*a" * 50, "a" * 49 + "/")
    assert not path_match("a*" * 100 + "b", "a" * 1000)
