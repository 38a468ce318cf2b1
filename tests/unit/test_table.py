"""Columns: what Go's tabwriter makes with minwidth 10, padding 3."""

from __future__ import annotations

import pytest

from minidock.cli.table import align, table


def test_a_list_as_docker_prints_it() -> None:
    header = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
    rows = [
        ("05729c0ae253", "bb", '"ls"', "Less than a second ago", "Created", "", "two"),
        ("1cfb5a1d4c8d", "bb", '"sleep 1000"', "1 second ago", "Up 1 second", "", "one"),
    ]
    assert table(header, rows).splitlines() == [
        "CONTAINER ID   IMAGE     COMMAND        CREATED                  STATUS        PORTS"
        "     NAMES",
        '05729c0ae253   bb        "ls"           Less than a second ago   Created            '
        "     two",
        '1cfb5a1d4c8d   bb        "sleep 1000"   1 second ago             Up 1 second        '
        "     one",
    ]


def test_a_header_alone() -> None:
    assert table(("REPOSITORY", "TAG"), []) == "REPOSITORY   TAG\n"


@pytest.mark.parametrize(
    ("text", "aligned"),
    [
        ("no tabs\n", "no tabs\n"),
        ("a\tb\n", "a         b\n"),
        ("1234567\tb\n", "1234567   b\n"),
        ("12345678\tb\n", "12345678   b\n"),
        ("a\t\n", "a         \n"),
        ("a\tb\nlong without a tab\nc\td\n", "a         b\nlong without a tab\nc         d\n"),
        (
            "12345678901\tx\nbreak\n1\tx\n",  # a line without the cell ends the column's block
            "12345678901   x\nbreak\n1         x\n",
        ),
        ("a\tb\tc\nd\te\n", "a         b         c\nd         e\n"),
        ("日本\tx\nabcd\tx\n", "日本      x\nabcd      x\n"),
        ("日本語日本\tx\n1\tx\n", "日本語日本   x\n1            x\n"),
        ("", ""),
    ],
)
def test_columns(text: str, aligned: str) -> None:
    assert align(text) == aligned


def test_a_cell_is_one_line_and_does_nothing_to_the_terminal() -> None:
    text = table(("NAMES", "X"), [("a\tb\nc\x1b[31m", "\udcff")])
    assert text == "NAMES             X\na\\tb\\nc\\x1b[31m   \\xff\n"
