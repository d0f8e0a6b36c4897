"""Escapes among what is typed, in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.errors import UsageError
from aws_runas.ssm.terminal.escape import Escape, EscapeFilter, parse_escape

TYPED = [
    (b"ls\r", [b"ls\r"]),
    (b"~.", [Escape.LEAVE]),
    (b"\r~.", [b"\r", Escape.LEAVE]),
    (b"\n~?x", [b"\n", Escape.HELP, b"x"]),
    (b"a~.", [b"a~."]),
    (b"\r~~.", [b"\r~."]),
    (b"\r~~~.", [b"\r~~."]),
    (b"\r~\x1a", [b"\r", Escape.SUSPEND]),
    (b"\r~x", [b"\r~x"]),
    (b"\r~\r~.", [b"\r~\r", Escape.LEAVE]),
    (b"~?~.", [Escape.HELP, Escape.LEAVE]),
    (b"\x03~.", [b"\x03~."]),
]


def joined(parts: list[bytes | Escape]) -> list[bytes | Escape]:
    result: list[bytes | Escape] = []
    for part in parts:
        if isinstance(part, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += part
        else:
            result.append(part)
    return result


@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_escapes_whole_and_key_by_key(typed: bytes, expected: list[bytes | Escape]) -> None:
    assert joined(EscapeFilter().feed(typed)) == expected
    one_by_one = EscapeFilter()
    assert joined([part for i in range(len(typed)) for part in one_by_one.feed(typed[i : i + 1])]) == expected


@given(st.lists(st.sampled_from([b"~", b".", b"?", b"\r", b"\n", b"a", b"\x1a", b"~.", b"\r~"]), max_size=30))
def test_the_pieces_do_not_matter(pieces: list[bytes]) -> None:
    whole, parts = EscapeFilter(), EscapeFilter()
    assert joined(whole.feed(b"".join(pieces))) == joined([part for piece in pieces for part in parts.feed(piece)])


@given(st.binary())
def test_without_an_escape_everything_passes(data: bytes) -> None:
    assert EscapeFilter(b"").feed(data) == ([data] if data else [])


def test_the_escape_is_one_character() -> None:
    assert [parse_escape(text) for text in ("~", "^B", "^]", "none", "%")] == [b"~", b"\x02", b"\x1d", b"", b"%"]
    for text in ("", "ab", "ä", "^", "\r"):
        if text == "^":
            assert parse_escape(text) == b"^"
            continue
        with pytest.raises(UsageError):
            parse_escape(text)
