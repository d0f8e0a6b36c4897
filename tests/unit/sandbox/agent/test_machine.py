"""What an agent makes of its client's version, and where it cuts terminal output."""

from __future__ import annotations

import pytest

from aws_runas.sandbox.agent.machine import newer_client
from aws_runas.sandbox.agent.shell import split_runes


@pytest.mark.parametrize(
    ("version", "newer"),
    [
        ("1.2.764.0", True),
        ("1.1.70.0", True),
        ("1.1.70", True),
        ("1.1.69.9", False),
        ("1.1", False),
        ("0.0.1", False),
        ("2.0", True),
        ("pyssm-client/0.1.0", True),
        ("", False),
    ],
)
def test_client_speaks_smux_from_a_version_on(version: str, newer: bool) -> None:
    assert newer_client(version) is newer


@pytest.mark.parametrize("text", ["abc", "caf\u00e9", "\u20ac", "\U0001f600 and on", ""])
def test_cut_characters_wait_for_their_rest(text: str) -> None:
    whole = text.encode()
    for at in range(len(whole) + 1):
        first, tail = split_runes(whole[:at])
        first.decode()
        assert first + tail == whole[:at]
        assert len(tail) <= 3


@pytest.mark.parametrize("data", [b"\xff", b"a\x80\x80\x80", b"\xf8\x88", b"\x80", b"ok\xfe"])
def test_what_is_no_utf8_passes_as_it_is(data: bytes) -> None:
    assert split_runes(data) == (data, b"")
