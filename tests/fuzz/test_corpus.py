"""The fuzzer's targets over its corpus, without the fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz.seeds import found, seeds
from tests.fuzz.targets import TARGETS, run_one


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_recorded_sessions_break_nothing(target: int) -> None:
    for data in seeds().values():
        if data[0] == target:
            run_one(data)


@pytest.mark.parametrize("name", found())
def test_what_the_fuzzer_found_once_stays_mended(name: str) -> None:
    run_one(found()[name])
