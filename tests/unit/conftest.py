"""For the unit tests: botocore parses each of its model files once for the process."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader


@pytest.fixture(scope="session", autouse=True)
def _models_are_parsed_once() -> Iterator[None]:
    """Parse a model once, though the tests make hundreds of sessions; a command makes one."""
    with pytest.MonkeyPatch.context() as patch:
        read = JSONFileLoader().load_file

        @functools.cache
        def load(path: str) -> Any:
            return read(path)

        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        yield
