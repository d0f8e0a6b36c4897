"""docs/reference/openapi.yaml, held against the servers by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from aws_runas.serve import api, app
from tests.support.serving import TOKEN, Served, serving

SCHEMA = schemathesis.openapi.from_path(Path(__file__).parents[2] / "docs" / "reference" / "openapi.yaml")
BOUND = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def ecs() -> Iterator[Served]:
    with serving("ecs") as served:
        yield served


@pytest.fixture(scope="module")
def ec2() -> Iterator[Served]:
    with serving("ec2") as served:
        yield served


@(SCHEMA.exclude(path_regex="^/latest").parametrize())
@BOUND
def test_the_container_server_and_the_api_do_as_described(case: schemathesis.Case[Any], ecs: Served) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{ecs.port}", headers={"Authorization": TOKEN})


@(SCHEMA.exclude(path_regex="^/credentials").parametrize())
@BOUND
def test_the_metadata_server_and_the_api_do_as_described(case: schemathesis.Case[Any], ec2: Served) -> None:
    headers = {"X-AwsRunas-Token": ec2.page_token()}
    case.call_and_validate(base_url=f"http://127.0.0.1:{ec2.port}", headers=headers)


def test_every_path_of_the_api_is_described() -> None:
    described = set(SCHEMA.raw_schema["paths"])
    assert set(api.METHODS) | {app.PAGE_PATHS[0], "/credentials", "/latest/api/token"} <= described
