"""Which images `images` lists, and in which order."""

from __future__ import annotations

from typing import Any, cast

import pytest

from minidock.engine.image_list import list_images
from minidock.errors import InvalidInput, NotFound
from minidock.image.store import ImageStore, StoredImage
from minidock.spec.digest import Digest
from minidock.spec.image import ImageConfig
from minidock.spec.timestamp import parse_time

OLD, MIDDLE, NEW = (f"2026-11-23T09:0{n}:00Z" for n in (1, 2, 3))


def image(
    number: int, created: str, *names: str, parent: str = "", labels: dict[str, str] | None = None
) -> StoredImage:
    digest = Digest.from_hex(f"{number:064x}")
    config = ImageConfig("amd64", "linux", config={"Labels": labels}, created=created)
    return StoredImage(digest, digest, config, names, (), (), parent)


class Shelf:
    """What `list_images` asks of a store."""

    def __init__(self, *images: StoredImage) -> None:
        self._images = images

    def images(self) -> list[StoredImage]:
        return list(self._images)

    def resolve(self, name: str) -> StoredImage:
        for one in self._images:
            if name in one.references:
                return one
        raise NotFound(f"No such image: {name}")


def numbers(
    shelf: Shelf, everything: bool = False, until: int | None = None, **filters: Any
) -> Any:
    listed = list_images(cast(ImageStore, shelf), filters, everything=everything, until=until)
    return [int(item.image.id.hex, 16) for item in listed]


SHELF = Shelf(
    image(1, OLD, "a:1", "other/b:2", labels={"k": "v"}),
    image(2, MIDDLE),
    image(3, NEW, "c:3", parent=image(2, MIDDLE).id, labels={"k": "w", "l": ""}),
    image(4, MIDDLE),
)


def test_newest_first_and_no_mere_parents() -> None:
    assert numbers(SHELF) == [3, 4, 1]
    assert numbers(SHELF, everything=True) == [3, 2, 4, 1]


def test_order_is_by_time_and_not_by_text() -> None:
    shelf = Shelf(
        image(1, "2026-11-23T09:00:00.12Z", "a:1"),
        image(2, "2026-11-23T09:00:00.123Z", "a:2"),
        image(3, "2026-11-23T10:00:00+02:00", "a:3"),
        image(4, "", "a:4"),
        image(5, "not a time", "a:5"),
    )
    assert numbers(shelf) == [2, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"dangling": ["true"]}, [4]),
        ({"dangling": ["1"]}, [4]),
        ({"dangling": ["false"]}, [3, 1]),
        ({"label": ["k"]}, [3, 1]),
        ({"label": ["k=v"]}, [1]),
        ({"label": ["k", "l"]}, [3]),
        ({"label": ["k=v", "l"]}, []),
        ({"label": [""]}, []),
        ({"before": ["c:3"]}, [4, 1]),
        ({"before": ["c:3", "a:1"]}, []),
        ({"since": ["a:1"]}, [3, 4]),
        ({"since": ["a:1", "c:3"]}, []),
        ({"reference": ["a"]}, [1]),
        ({"reference": ["c", "a:*"]}, [3, 1]),
        ({"reference": ["*"]}, [3, 1]),
        ({"reference": ["*/*"]}, [1]),
        ({"reference": ["nosuch"]}, []),
        ({"reference": ["a"], "label": ["l"]}, []),
    ],
)
def test_filters(filters: dict[str, list[str]], expected: list[int]) -> None:
    assert numbers(SHELF, **filters) == expected


def test_a_pattern_chooses_among_the_names_of_an_image() -> None:
    (listed,) = list_images(cast(ImageStore, SHELF), {"reference": ["other/*"]})
    assert listed.references == ("other/b:2",)


def test_until() -> None:
    assert numbers(SHELF, until=parse_time(MIDDLE)) == [1]


@pytest.mark.parametrize(
    ("filters", "error", "words"),
    [
        ({"foo": ["x"]}, InvalidInput, "invalid filter 'foo'"),
        ({"dangling": ["x"]}, InvalidInput, r"invalid filter 'dangling=\[x\]'"),
        ({"before": ["x"]}, NotFound, "No such image: x"),
        ({"reference": ["["]}, InvalidInput, "syntax error in pattern"),
    ],
)
def test_what_cannot_be(filters: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        numbers(SHELF, **filters)
