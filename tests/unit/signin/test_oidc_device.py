"""The device flow of OpenID Connect in virtual time."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.errors import CredentialsError
from aws_runas.signin import oidc_device

CODE = {"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://v/", "expires_in": 600, "interval": 5}


def polling() -> oidc_device.DevicePolling:
    return oidc_device.DevicePolling(oidc_device.read_device_code(200, json.dumps(CODE)), 100.0)


def pending(error: str = "authorization_pending") -> str:
    return json.dumps({"error": error})


def test_the_device_flow_polls_at_its_interval_and_slower_when_asked() -> None:
    machine, moments = polling(), []
    for error in ("authorization_pending", "slow_down", "authorization_pending", "slow_down", "authorization_pending"):
        moments.append(machine.next_timer())
        machine.receive_answer(400, pending(error), moments[-1])
    assert [*moments, machine.next_timer()] == [105, 110, 120, 130, 145, 160]
    machine.receive_answer(200, json.dumps({"id_token": "a.b.c", "refresh_token": "r"}), 200.0)
    assert machine.tokens is not None
    assert "r" not in repr(machine.tokens).replace("Tokens(", "")


@pytest.mark.parametrize(
    ("error", "now", "code"),
    [("access_denied", 105.0, "login-denied"), ("expired_token", 105.0, "login-timeout"),
     ("authorization_pending", 701.0, "login-timeout"), ("invalid_grant", 105.0, "login-denied")],
)  # fmt: skip
def test_the_device_flow_ends(error: str, now: float, code: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        polling().receive_answer(400, pending(error), now)
    assert caught.value.code == code


def test_a_server_that_fails_for_a_moment_is_asked_again() -> None:
    machine = polling()
    machine.receive_answer(503, "busy", 105.0)
    assert machine.next_timer() == 110.0
    machine.receive_answer(500, pending("server_error"), 110.0)
    assert machine.next_timer() == 115.0
    machine.receive_answer(429, "too many requests", 115.0)  # slower from here on
    assert machine.next_timer() == 125.0
    machine.receive_failure(125.0)
    assert machine.next_timer() == 135.0
    with pytest.raises(CredentialsError) as caught:
        machine.receive_failure(701.0)
    assert caught.value.code == "login-timeout"


@pytest.mark.parametrize(
    "change",
    [{"verification_uri": "javascript:x"}, {"device_code": None}, {"verification_uri": ""}, {"device_code": "\ud800"},
     {"verification_uri": "https://a b/"}, {"interval": math.nan}, {"expires_in": 10**400}],
)  # fmt: skip
def test_a_device_answer_without_what_it_needs_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError):
        oidc_device.read_device_code(200, json.dumps(CODE | change))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.integers(100, 599))
def test_any_answer_is_read_or_refused(text: str, status: int) -> None:
    with pytest.raises(CredentialsError):
        oidc_device.read_device_code(status, text)
