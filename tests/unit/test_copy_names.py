"""The rules of cp: what arrives where, and under which name."""

from __future__ import annotations

import pytest

from minidock.cli.container_copy import split_argument
from minidock.engine.copy_names import Arrival, End, arrival, as_typed, clean, led_to, split
from minidock.errors import MinidockError

FILE, DIRECTORY = End("/s/name", exists=True), End("/s/name", exists=True, is_directory=True)
CONTENT = End("/s/name/.", exists=True, is_directory=True)


@pytest.mark.parametrize(
    ("source", "path", "there", "result"),
    [
        (FILE, "/d/new", "nothing", ("/d", "new")),
        (FILE, "/d/there", "file", ("/d", "there")),
        (FILE, "/d/there", "directory", ("/d/there", "name")),
        (FILE.but(name="link"), "/d/there", "directory", ("/d/there", "link")),
        (DIRECTORY, "/d/new", "nothing", ("/d", "new")),
        (DIRECTORY, "/d/new/", "nothing", ("/d", "new")),
        (DIRECTORY, "/d/there/", "directory", ("/d/there/", "name")),
        (CONTENT, "/d/new", "nothing", ("/d", "new")),
        (CONTENT, "/d/there", "directory", ("/d/there", ".")),
        (DIRECTORY.but(path="/"), "/d/there", "directory", ("/d/there", "/")),
    ],
)
def test_what_arrives_where(source: End, path: str, there: str, result: tuple[str, str]) -> None:
    end = End(path, exists=there != "nothing", is_directory=there == "directory")
    assert arrival(source, end) == Arrival(*result)


@pytest.mark.parametrize(
    ("source", "path", "exists", "words"),
    [
        (FILE, "/d/new/", False, "no such directory"),
        (FILE, "/d/new/.", False, "no such directory"),
        (DIRECTORY, "/d/there", True, "cannot copy directory"),
        (CONTENT, "/d/there", True, "cannot copy directory"),
    ],
)
def test_what_cannot_be(source: End, path: str, exists: bool, words: str) -> None:
    with pytest.raises(MinidockError, match=words):
        arrival(source, End(path, exists=exists))


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b", ("/a", "b")),
        ("/a/b/", ("/a", "b")),
        ("/a/b/.", ("/a/b", ".")),
        ("/a//../c", ("/", "c")),
        ("c", ("/", "c")),
        ("/", ("/", "/")),
        ("/.", ("/", ".")),
    ],
)
def test_splitting(path: str, parts: tuple[str, str]) -> None:
    assert split(path) == parts


def test_what_was_typed_at_the_end_stays() -> None:
    for typed, kept in (("a/b", "/a/b"), ("a/./b/", "/a/b/"), ("a/b/.", "/a/b/."), ("/", "/")):
        assert as_typed(clean(typed), typed) == kept


def test_a_copy_of_what_a_link_leads_to_has_the_name_of_the_link() -> None:
    assert led_to("/a/link", "/b/target") == End("/b/target", name="link")
    assert led_to("/a/link/", "/b/target") == End("/b/target/", name="link")
    assert led_to("/a/same", "/b/same") == End("/b/same")
    assert led_to("/a/link/.", "/b/target") == End("/b/target/.")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:", ("web", "")),
        ("web:a:b", ("web", "a:b")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("../a:b", ("", "../a:b")),
        (".a:b", ("", ".a:b")),
        ("a/b", ("", "a/b")),
        ("-", ("", "-")),
    ],
)
def test_containers_and_paths(text: str, parts: tuple[str, str]) -> None:
    assert split_argument(text) == parts
