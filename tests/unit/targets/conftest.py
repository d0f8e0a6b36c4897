"""A moto for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import moto.backends
import pytest

from tests.support.moto_fixtures import moto_url
from tests.support.moto_world import ACCOUNT, REGION, MotoWorld

__all__ = ["moto_url", "world"]


@pytest.fixture
def world(moto_url: str, tmp_path: Path) -> MotoWorld:
    world = MotoWorld(moto_url, tmp_path)
    backend = moto.backends.get_backend("ec2")[ACCOUNT][REGION]
    backend.reservations.clear()  # a reset would load hundreds of images anew, two seconds each time
    return world
