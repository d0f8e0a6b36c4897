"""The sandbox's registries: tokens that end in twelve hours, and what the public gallery asks for."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from aws_runas.sandbox.services.ecr import Registries
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.principals import Key, Principal
from aws_runas.sandbox.state import Clock

ONE = Key("ASIAONE", "s", Principal("arn:one", "AROA:one", role_name="one"))
OTHER = Key("ASIATWO", "s", Principal("arn:two", "AROA:two", role_name="two"))


class Authorizer:
    """Notes what is asked, and refuses what it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refused = ""

    def __call__(self, action: str, key: Key, resource: str | None) -> None:
        self.asked.append(action)
        if action == self.refused:
            raise ServiceError("AccessDeniedException", "no")


@pytest.fixture
def authorizer() -> Authorizer:
    return Authorizer()


@pytest.fixture
def registries(authorizer: Authorizer) -> Registries:
    return Registries(Clock(), authorizer)


def private(registries: Registries, key: Key = ONE, region: str = "eu-west-1", **values: Any) -> list[dict[str, Any]]:
    reply = registries.private("GetAuthorizationToken", values, key, region)
    data: list[dict[str, Any]] = json.loads(reply.body)["authorizationData"]
    return data


def test_token_ends_in_twelve_hours_and_names_the_registry(registries: Registries) -> None:
    (entry,) = private(registries)
    assert 12 * 3600 - 60 < entry["expiresAt"] - time.time() <= 12 * 3600
    assert entry["proxyEndpoint"] == "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    user, _, password = base64.b64decode(entry["authorizationToken"]).partition(b":")
    assert user == b"AWS"
    assert len(password) > 1000


def test_each_caller_keeps_one_password(registries: Registries) -> None:
    tokens = [private(registries, key)[0]["authorizationToken"] for key in (ONE, ONE, OTHER)]
    assert tokens[0] == tokens[1] != tokens[2]


def test_lifetimes_follow_the_clock(authorizer: Authorizer) -> None:
    (entry,) = private(Registries(Clock(speed=3600.0), authorizer))
    assert 0 < entry["expiresAt"] - time.time() <= 12


def test_named_registries_have_an_entry_each(registries: Registries) -> None:
    entries = private(registries, region="cn-north-1", registryIds=["1" * 12, "2" * 12])
    assert [entry["proxyEndpoint"] for entry in entries] == [
        "https://111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "https://222222222222.dkr.ecr.cn-north-1.amazonaws.com.cn",
    ]
    with pytest.raises(ServiceError, match="InvalidParameterException"):
        private(registries, registryIds=["1" * 12] * 11)


def test_other_calls_are_left_to_moto(registries: Registries) -> None:
    with pytest.raises(LookupError):
        registries.private("DescribeRepositories", {}, ONE, "eu-west-1")


def test_public_gallery_is_in_one_region_and_needs_a_bearer_token(
    registries: Registries, authorizer: Authorizer
) -> None:
    reply = registries.public("GetAuthorizationToken", {}, ONE, "us-east-1")
    assert json.loads(reply.body)["authorizationData"]["authorizationToken"]
    assert authorizer.asked == ["sts:GetServiceBearerToken"]
    for region, action in (("eu-west-1", "GetAuthorizationToken"), ("us-east-1", "DescribeImages")):
        with pytest.raises(ServiceError):
            registries.public(action, {}, ONE, region)
    authorizer.refused = "sts:GetServiceBearerToken"
    with pytest.raises(ServiceError, match="AccessDenied"):
        registries.public("GetAuthorizationToken", {}, ONE, "us-east-1")
