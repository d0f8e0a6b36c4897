"""A moto for the tests of a folder; its conftest imports these fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.moto_world import MotoWorld, moto_server, reset


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def world(moto_url: str, tmp_path: Path) -> MotoWorld:
    reset(moto_url)
    return MotoWorld(moto_url, tmp_path)
