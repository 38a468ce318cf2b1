"""What only these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from privileged.building import Builder


@pytest.fixture
def builder(minidock: Any, tmp_path: Path) -> Iterator[Builder]:
    built = Builder(minidock, tmp_path / "context")
    yield built
    assert built.left() == []
