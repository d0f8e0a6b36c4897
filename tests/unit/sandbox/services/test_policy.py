"""The policy language, statement by statement."""

from __future__ import annotations

from typing import Any

import pytest

from aws_runas.sandbox.services.policy import evaluate

ROLE = "arn:aws:iam::123456789012:role/deploy-web"


def allow(**more: Any) -> dict[str, Any]:
    return {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"} | more}


def deny(**more: Any) -> dict[str, Any]:
    return {"Statement": [allow(**more)["Statement"] | {"Effect": "Deny"}]}


@pytest.mark.parametrize(
    ("policies", "verdict"),
    [
        ([], None),
        ([allow()], True),
        ([allow(), deny()], False),
        ([allow(Action="sts:*")], True),
        ([allow(Action=["iam:*", "STS:assumerole"])], True),
        ([allow(Action="sts:Get*")], None),
        ([{"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}], True),
        ([{"Statement": {"Effect": "Allow", "NotAction": "sts:*", "Resource": "*"}}], None),
        ([allow(Resource="arn:aws:iam::*:role/deploy-?eb")], True),
        ([allow(Resource="arn:aws:iam::*:role/deploy-[w]eb")], None),
        ([allow(Resource=["arn:aws:iam::123456789012:role/other"])], None),
        ([allow(), deny(Resource=ROLE)], False),
        ([allow(), deny(Resource="arn:aws:iam::123456789012:role/other")], True),
    ],
)
def test_actions_and_resources(policies: list[dict[str, Any]], verdict: bool | None) -> None:
    assert evaluate(policies, "sts:AssumeRole", ROLE, {}) is verdict


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {"aws:MultiFactorAuthPresent": "true"}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": True}}, {"aws:MultiFactorAuthPresent": "true"}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {"aws:MultiFactorAuthPresent": "false"}, False),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, {}, True),
        ({"StringEquals": {"sts:ExternalId": ["a", "b"]}}, {"sts:externalid": "b"}, True),
        ({"StringEquals": {"sts:ExternalId": "a"}}, {"sts:ExternalId": "A"}, False),
        ({"StringNotEquals": {"sts:ExternalId": "a"}}, {}, True),
        ({"StringLike": {"sts:RoleSessionName": "dev-*"}}, {"sts:RoleSessionName": "dev-1"}, True),
        ({"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}, {"aws:MultiFactorAuthAge": "20"}, True),
        ({"Null": {"aws:MultiFactorAuthAge": "true"}}, {}, True),
        ({"NoSuchOperator": {"a": "b"}}, {"a": "b"}, False),
        ({"StringEquals": {"a": "1", "b": "2"}}, {"a": "1", "b": "3"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, str], holds: bool) -> None:
    assert (evaluate([allow(Condition=condition)], "sts:AssumeRole", ROLE, context) is True) is holds


@pytest.mark.parametrize(
    ("principal", "verdict"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ["arn:aws:iam::123456789012:user/me"]}, True),
        ({"AWS": "arn:aws:iam::123456789012:user/other"}, None),
        ({"Service": "ec2.amazonaws.com"}, None),
    ],
)
def test_principals_of_a_trust_policy(principal: Any, verdict: bool | None) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    assert evaluate([trust], "sts:AssumeRole", None, {}, ["arn:aws:iam::123456789012:user/me"]) is verdict
