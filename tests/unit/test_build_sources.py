"""Which files COPY copies, and what becomes of their names and modes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minidock.build.chmod import changed_mode
from minidock.build.directory import Directory
from minidock.build.dockerignore import Ignore
from minidock.build.download import file_name
from minidock.build.sources import clean, select
from minidock.errors import InvalidInput, NotFound


@pytest.fixture
def context(tmp_path: Path) -> Path:
    home = tmp_path / "context"
    for name in ("README.md", "src/a.c", "src/b.c", "src/lib/deep.c", "docs/x.md", "docs/y.txt"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (home / "link").symlink_to("src")
    (home / "out").symlink_to("../../../../../../etc")
    (home / "abs").symlink_to("/src/a.c")
    return home


def places(home: Path, *sources: str, ignore: str = "", **kwargs: object) -> list[str]:
    with Directory(str(home), Ignore(ignore.split()) if ignore else None) as tree:
        return sorted(item.place for item in select(tree, sources, **kwargs).items)  # type: ignore[arg-type]


def test_a_directory_means_its_content(context: Path) -> None:
    assert places(context, "docs") == ["", "x.md", "y.txt"]
    assert places(context, "src/") == ["", "a.c", "b.c", "lib", "lib/deep.c"]


def test_wildcards(context: Path) -> None:
    assert places(context, "src/*.c") == ["a.c", "b.c"]
    assert places(context, "*/?.c") == ["a.c", "a.c", "b.c", "b.c"]  # link/ is followed, too
    assert places(context, "nothing*") == []
    assert places(context, "src/[^a].c") == ["b.c"]


def test_links_stay_inside(context: Path) -> None:
    assert places(context, "link") == ["", "a.c", "b.c", "lib", "lib/deep.c"]
    assert places(context, "abs") == ["abs"]  # an absolute link begins at the context
    for source in ("out", "out/passwd", "../../etc/passwd", "/etc/passwd"):
        with pytest.raises(NotFound):
            places(context, source)


def test_what_is_not_there(context: Path) -> None:
    with pytest.raises(NotFound, match='"/no/such": not found'):
        places(context, "no/such")


def test_exclude(context: Path) -> None:
    def excluded(path: str, is_directory: bool) -> bool:
        return path == "lib" or path.endswith("a.c")

    assert places(context, "src", excluded=excluded) == ["", "b.c"]
    assert places(context, "src/*.c", excluded=excluded) == ["b.c"]


def test_parents(context: Path) -> None:
    assert places(context, "src/a.c", parents=True) == ["src", "src/a.c"]
    assert places(context, "./src/./lib/deep.c", parents=True) == ["lib", "lib/deep.c"]
    assert places(context, "docs", parents=True) == ["docs", "docs/x.md", "docs/y.txt"]
    assert places(context, "src/**/deep.c", parents=True) == ["src", "src/lib", "src/lib/deep.c"]


def test_what_is_ignored_is_not_there(context: Path) -> None:
    assert places(context, "src", ignore="**/*.c !src/lib/*.c") == ["", "lib", "lib/deep.c"]
    assert places(context, ".", ignore="* !docs/x.md") == ["", "docs", "docs/x.md"]
    with pytest.raises(NotFound):
        places(context, "README.md", ignore="*.md")


def test_clean() -> None:
    assert [clean(p) for p in ("./a//b/", "/", "../../a", "a/../../b", ".")] == [
        "a/b", "", "a", "b", "",
    ]  # fmt: skip


def test_a_swapped_directory_is_not_entered(context: Path) -> None:
    with Directory(str(context)) as tree:
        found = select(tree, ("src",)).items
        deep = next(item for item in found if item.place == "lib/deep.c")
        select(tree, ("docs",))  # so that it is not open any more
        (context / "src").rename(context / "moved")
        os.symlink("moved", context / "src")
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            tree.open(deep.node)


@pytest.mark.parametrize(
    ("mode", "text", "is_directory", "expected"),
    [
        (0o644, "755", False, 0o755),
        (0o644, "4755", False, 0o4755),
        (0o644, "u+x,go-r", False, 0o700),
        (0o640, "a=rX", False, 0o444),
        (0o640, "a=rX", True, 0o555),
        (0o755, "a=rX", False, 0o555),
        (0o600, "g=u", False, 0o660),
        (0o777, "o=", False, 0o770),
        (0o644, "+x", False, 0o755),
        (0o755, "u+s,+t", False, 0o5755),
        (0o644, "u=rwx,g+w-r", False, 0o724),
    ],
)
def test_chmod(mode: int, text: str, is_directory: bool, expected: int) -> None:
    assert oct(changed_mode(mode, text, is_directory=is_directory)) == oct(expected)


@pytest.mark.parametrize("text", ["", "8", "77777", "u", "x+y", "u+q", "rw", "u+r,"])
def test_no_mode(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid chmod parameter"):
        changed_mode(0o644, text, is_directory=False)


def test_the_name_of_a_url() -> None:
    assert file_name("http://x/a/b%20c.tgz?q=1#f") == "b c.tgz"
    for url in ("http://x", "http://x/", "http://x/a/..", "http://x/%2e%2e", "http://x/a%2f%2e"):
        with pytest.raises(InvalidInput):
            file_name(url)
