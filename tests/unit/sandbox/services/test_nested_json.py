"""JSON that is nested deeper than Python reads is refused like any other that is damaged."""

from __future__ import annotations

import base64

import pytest

from aws_runas.sandbox.commands import Control
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.gateway import read_action
from aws_runas.sandbox.services.id_tokens import claims_without_check
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sso_oidc import OidcError, _body

DEEP = b"[" * 100_000


def test_a_call_is_refused_in_the_words_of_the_service() -> None:
    with pytest.raises(ServiceError):
        read_action(Request("POST", "/", "", {"x-amz-target": "AmazonSSM.StartSession"}, DEEP))


def test_an_oidc_request_is_invalid() -> None:
    with pytest.raises(OidcError):
        _body(Request("POST", "/token", "", {}, DEEP))


def test_a_token_is_no_token() -> None:
    with pytest.raises(ServiceError):
        claims_without_check(f"a.{base64.urlsafe_b64encode(DEEP).decode()}.c")


def test_a_command_of_the_control_address_is_a_bad_request() -> None:
    control = Control("token", {"calls": lambda order: order})
    reply = control.handle(Request("POST", "/_sandbox/calls", "", {"authorization": "Bearer token"}, DEEP))
    assert reply.status == 400
