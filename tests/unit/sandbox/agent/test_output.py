"""Output through the UTF-8 reader of official agents: what is lost and what is kept."""

from __future__ import annotations

import random

import pytest

from aws_runas.sandbox.agent.output import OutputReader


def passed(official: bool, *reads: bytes) -> bytes:
    reader = OutputReader(official=official)
    return b"".join(map(reader.read, reads)) + reader.end()


def slow_official_reader(data: bytes) -> bytes:
    """What one read becomes, rune by rune: the oracle."""
    sent, position = b"", 0
    while position < len(data):
        for length in range(1, 5):
            try:
                character = data[position : position + length].decode()
            except UnicodeDecodeError:
                continue
            break
        else:
            length, character = 1, "\ufffd"
        if character == "\ufffd":
            if len(data) - position < 4:
                break
            sent += data[position : position + 1]
        else:
            sent += data[position : position + length]
        position += length
    return sent


def test_replacement_character_loses_two_bytes() -> None:
    text = "a\ufffdb - and more".encode()
    assert passed(True, text) == text.replace("\ufffd".encode(), b"\xef")
    assert passed(False, text) == text


@pytest.mark.parametrize("tail", [b"\xff\xfe\xfd", b"\xe2\x82", b"\xf0\x9f\x98", b"\xef\xbf\xbd"])
def test_last_bytes_that_are_no_character_are_never_sent(tail: bytes) -> None:
    assert passed(True, b"whole text " + tail) == b"whole text "
    assert passed(False, b"whole text " + tail) == b"whole text " + tail


def test_characters_cut_between_reads_arrive_whole() -> None:
    text = "Grüße, 世界, 🙂.".encode()
    assert passed(True, *(bytes([octet]) for octet in text)) == text


def test_other_invalid_bytes_pass() -> None:
    assert passed(True, b"\xff\x80\xc3 is not UTF-8") == b"\xff\x80\xc3 is not UTF-8"


@pytest.mark.parametrize("seed", range(20))
def test_random_reads_lose_what_the_official_reader_loses(seed: int) -> None:
    source = random.Random(seed)
    alphabet = [b"\xef\xbf\xbd", b"\xff", b"\x80", b"\xe2\x82", b"a", "é".encode(), "🙂".encode(), b"\xf0\x9f"]
    for _ in range(200):
        data = b"".join(source.choice(alphabet) for _ in range(source.randrange(12)))
        assert passed(True, data) == slow_official_reader(data), data


@pytest.mark.parametrize("text", ["abc", "caf\u00e9", "\u20ac", "\U0001f600 and on", ""])
def test_kind_reader_keeps_an_incomplete_character_back(text: str) -> None:
    whole = text.encode()
    for at in range(len(whole) + 1):
        reader = OutputReader(official=False)
        first = reader.read(whole[:at])
        first.decode()
        assert first + reader.held == whole[:at]
        assert len(reader.held) <= 3


@pytest.mark.parametrize("data", [b"\xff", b"a\x80\x80\x80", b"\xf8\x88", b"\x80", b"ok\xfe"])
def test_kind_reader_passes_what_is_no_utf8(data: bytes) -> None:
    assert OutputReader(official=False).read(data) == data
