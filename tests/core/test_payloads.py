"""The JSON inside messages: what is understood, what is refused, and that nothing else escapes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.payloads import HandshakeResponse, ProcessedAction

DECODERS: list[Callable[[bytes], object]] = [
    payloads.decode_acknowledge,
    payloads.decode_size,
    payloads.decode_flag,
    payloads.decode_exit_code,
    payloads.decode_handshake_request,
    payloads.decode_handshake_response,
    payloads.decode_handshake_complete,
    payloads.decode_challenge,
]
KEYS = [
    "AcknowledgedMessageSequenceNumber",
    "cols",
    "rows",
    "AgentVersion",
    "RequestedClientActions",
    "ActionType",
    "ActionParameters",
    "ClientVersion",
    "ProcessedClientActions",
    "ActionStatus",
    "ActionResult",
    "Error",
    "Errors",
    "Challenge",
    "HandshakeTimeToComplete",
    "CustomerMessage",
    "Output",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=20,
)


@given(st.sampled_from(DECODERS), st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_decoder_refuses_with_its_own_error_or_accepts(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except RemoteProtocolError as error:
        str(error).encode("utf-8")  # can be printed


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_reason_of_a_closed_channel_can_always_be_printed(data: bytes) -> None:
    payloads.decode_channel_closed(data).encode("utf-8")


@pytest.mark.parametrize("decode", DECODERS)
def test_deep_nesting_and_endless_numbers_are_refused(decode: Callable[[bytes], object]) -> None:
    for data in (b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"cols":' + b"9" * 10_000 + b"}"):
        with pytest.raises(RemoteProtocolError):
            decode(data)


def test_size_needs_both_numbers() -> None:
    assert payloads.decode_size(b'{"cols":133,"rows":45}') == (133, 45)
    assert payloads.decode_size(b'{"cols":133.0,"rows":45}') == (133, 45)
    for body in (b'{"cols":133}', b'{"cols":-1,"rows":2}', b'{"cols":true,"rows":2}', b'{"cols":"1","rows":2}', b"[]"):
        with pytest.raises(RemoteProtocolError):
            payloads.decode_size(body)


def test_flag_is_four_bytes() -> None:
    assert payloads.decode_flag(b"\0\0\0\2") == payloads.TERMINATE_SESSION
    with pytest.raises(RemoteProtocolError):
        payloads.decode_flag(b"\2")


@pytest.mark.parametrize("code", [0, 3, 255, -1, 3221225786])
def test_exit_code_survives(code: int) -> None:
    assert payloads.decode_exit_code(payloads.encode_exit_code(code)) == code


@pytest.mark.parametrize("text", [b"", b"EXIT_CODE:", b"EXIT_CODE: x", b"EXIT_CODE: 1 2", b"EXIT_CODE: " + b"1" * 99])
def test_exit_code_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        payloads.decode_exit_code(text)


def test_endless_list_of_actions_is_refused() -> None:
    request = {"AgentVersion": "3", "RequestedClientActions": [{"ActionType": "x"}] * 65}
    with pytest.raises(RemoteProtocolError, match="more than 64"):
        payloads.decode_handshake_request(json.dumps(request).encode())


def test_text_of_the_peer_is_shortened_and_made_printable() -> None:
    output = payloads.decode_channel_closed(json.dumps({"Output": "\ud800" + "x" * 100_000}).encode())
    assert output.startswith("?x")
    assert len(output) == 16 * 1024


def test_lone_surrogates_in_what_we_send_do_not_stop_it() -> None:
    response = HandshakeResponse("1.2", [ProcessedAction("\ud800", 3, None, "unsupported action \ud800")], ["\ud800"])
    assert payloads.decode_handshake_response(payloads.encode_handshake_response(response)).actions[0].status == 3


def test_response_answers_in_the_official_form() -> None:
    body = payloads.encode_handshake_response(HandshakeResponse("1.2.677.0", [ProcessedAction("SessionType", 1)]))
    assert body == (
        b'{"ClientVersion":"1.2.677.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,'
        b'"ActionResult":null,"Error":""}],"Errors":null}'
    )
