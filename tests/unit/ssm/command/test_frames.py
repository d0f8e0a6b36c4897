"""Frames of the helper: each fills one message; whatever comes back is an event and never an exception."""

from __future__ import annotations

import ast
import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.sandbox.agent.output import OutputReader
from aws_runas.ssm.command import frames
from aws_runas.ssm.command.frames import FrameEncoder, FrameParser
from aws_runas.ssm.command.helper import HELPER


@given(st.integers(64, 4096), st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_every_frame_fills_exactly_one_message_and_has_the_next_number(size: int, parts: list[bytes]) -> None:
    encoder = FrameEncoder(size)
    encoded = [encoder.data(part[: encoder.data_size]) for part in parts]
    encoded += [encoder.signal(15), encoder.end(), *encoder.request(b"{}" * 500)]
    assert {len(frame) for frame in encoded} == {size}
    assert [int(frame.split()[1]) for frame in encoded] == list(range(1, len(encoded) + 1))
    for part, frame in zip(parts, encoded, strict=False):
        header, _, data = frame.partition(b"\n")
        assert data == part[: encoder.data_size]
        assert int(header.split()[2]) == len(data)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_any_bytes_are_parsed_the_same_in_any_pieces(data: bytes, size: int) -> None:
    whole = FrameParser().receive_data(data)
    parser = FrameParser()
    pieces = [event for at in range(0, len(data), size) for event in parser.receive_data(data[at : at + size])]
    assert pieces == whole


@given(st.sampled_from(b"h1234cpetxn?"), st.binary(max_size=60))
def test_any_frame_of_an_evil_helper_is_an_event(letter: int, data: bytes) -> None:
    line = b"\x1e" + bytes((letter,)) + b"0" + base64.b64encode(data) + b"\n"
    assert len(FrameParser().receive_data(line)) == 1


def _frame(letter: bytes, data: bytes) -> bytes:
    return b"\x1e" + letter + b"0" + base64.b64encode(data) + b"\n"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (_frame(b"1", b"a\x00\xff"), frames.OutputReceived(1, b"a\x00\xff")),
        (_frame(b"2", b""), frames.OutputReceived(2, b"")),
        (_frame(b"c", b"65536"), frames.CreditReceived(65536)),
        (_frame(b"x", b"-15"), frames.CommandExited(-15)),
        (_frame(b"p", b""), frames.InputClosed()),
        (_frame(b"t", b""), frames.TickReceived()),
        (_frame(b"e", b"check sudo: no"), frames.HelperFailed("check", "sudo: no")),
        (b"\x1en0dd.base64.\n", frames.PythonMissing(frozenset(("dd", "base64")))),
        (_frame(b"x", b"256"), frames.JunkReceived(_frame(b"x", b"256")[:-1])),
        (_frame(b"c", b"-1"), frames.JunkReceived(_frame(b"c", b"-1")[:-1])),
        (b"Last login: today\r\n", frames.JunkReceived(b"Last login: today\r")),
        (b"\x1e11QQ==\n", frames.JunkReceived(b"\x1e11QQ==")),  # another channel
        (b"\x1e10Q*==\n", frames.JunkReceived(b"\x1e10Q*==")),
    ],
)
def test_each_line_is_its_event(line: bytes, event: frames.Event) -> None:
    assert FrameParser().receive_data(line) == [event]


def test_hello_with_wrong_types_is_read_as_far_as_it_can_be() -> None:
    (hello,) = FrameParser().receive_data(_frame(b"h", b"uid\0x\0home\0/h\xff\0odd"))
    assert hello == frames.HelloReceived("", -1, "/h\udcff")


def test_a_line_without_end_does_not_grow_for_ever() -> None:
    parser = FrameParser()
    events = [event for _ in range(200) for event in parser.receive_data(b"x" * 1000)]
    assert all(isinstance(event, frames.JunkReceived) for event in events)
    assert events


def _helpers_frame(kind: bytes, data: bytes) -> bytes:
    """Make a frame of output with the program that is sent: its own function and its own table."""
    wanted: list[ast.stmt] = [
        node
        for node in ast.parse(HELPER).body
        if (isinstance(node, ast.FunctionDef) and node.name == "send_output")
        or (isinstance(node, ast.Assign) and ast.unparse(node).startswith("ESCAPES = "))
    ]
    names: dict[str, Any] = {"out": []}
    exec(compile(ast.Module(wanted, []), "helper", "exec"), names)
    names["send_output"](kind, data)
    (frame,) = names["out"]
    return bytes(frame)


odd_bytes = st.lists(
    st.sampled_from(
        [b"=", b".", b"=.", b"\n", b"\r", b"\x1e", b"\xef\xbf\xbd", b"\xe2\x82", b"\xff", b"\x11", b"n", b"}"]
    )
    | st.binary(),
    min_size=1,
).map(b"".join)


@given(odd_bytes.filter(bool), st.lists(st.integers(1, 20)))
def test_what_the_helper_escapes_comes_back_and_the_agent_neither_damages_it_nor_keeps_it_back(
    data: bytes, sizes: list[int]
) -> None:
    frame = _helpers_frame(b"4", data)
    assert not {*b"\n\r\x1e\xef\x11"} & {*frame[3:-1]}
    agent, passed, rest = OutputReader(official=True), b"", frame
    for size in sizes:
        passed, rest = passed + agent.read(rest[:size]), rest[size:]
    passed += agent.read(rest) if rest else b""
    assert (passed, agent.held) == (frame, b"")
    assert FrameParser().receive_data(passed) == [frames.OutputReceived(2, data)]


@pytest.mark.parametrize("text", [b"=", b"==n", b"a=x", b"=N", b"=n=", b"=.x"])
def test_an_escape_that_is_none_is_junk(text: bytes) -> None:
    line = b"\x1e30" + text
    assert FrameParser().receive_data(line + b"\n") == [frames.JunkReceived(line)]


def test_what_follows_a_repeated_list_of_tools_is_not_kept_back() -> None:
    """Behind the first one the instance may go on with plain output; an agent may execute the message twice."""
    parser = frames.FrameParser()
    missing, credit = frames.PythonMissing(frozenset(("dd",))), frames.CreditReceived(10)
    assert parser.receive_data(b"\x1en0dd.\nplain\n") == [missing]
    assert parser.take_rest() == b"plain\n"
    assert parser.receive_data(b"\x1en0dd.\n\x1ec0MTA=\n") == [missing, credit]
