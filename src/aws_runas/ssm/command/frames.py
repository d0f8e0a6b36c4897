"""The frames between the client and the helper: encodes one direction, parses the other. Does no I/O."""

from __future__ import annotations

import binascii
import os
import re
from base64 import b64decode
from dataclasses import field
from typing import Final

from aws_runas.dataclass import dataclass

RECORD_SEPARATOR: Final = 0x1E
# Bytes that never appear in a line of output: line ends, the mark of a frame, XON, and the first byte of U+FFFD, which
# the agent damages (spec sessions 0.3). The escape itself is last, so that its result is not unescaped again.
ESCAPES: Final = ((b"=n", b"\n"), (b"=r", b"\r"), (b"=s", b"\x1e"), (b"=e", b"\xef"), (b"=q", b"\x11"), (b"=}", b"="))
FILLING: Final = b"=."  # ends a line: the agent holds back the last three bytes unless they are complete characters
_ESCAPE: Final = re.compile(rb"=[nrseq}]")
MAX_LINE: Final = 64 * 1024  # characters; the helper's longest line has at most 12,300
MAX_NUMBER: Final = 1 << 31
MIN_HEADER: Final = 24  # bytes kept for the header of a frame with data


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The helper is running.

    Args:
        python: version of the Python that runs the helper.
        uid: user id of the session.
        home: home directory of the session's user.
    """

    python: str
    uid: int
    home: str


@dataclass(frozen=True, slots=True)
class PythonMissing:
    """There is no Python; the shell continues to read lines.

    Args:
        tools: the programs of bootstrap.TOOLS that the instance has.
    """

    tools: frozenset[str]


@dataclass(frozen=True, slots=True)
class OutputReceived:
    """The command has written output.

    Args:
        stream: 1 or 2.
        data: as the command wrote it.
    """

    stream: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreditReceived:
    """The command has read input.

    Args:
        size: number of bytes.
    """

    size: int


@dataclass(frozen=True, slots=True)
class InputClosed:
    """The command has closed its standard input."""


@dataclass(frozen=True, slots=True)
class CommandExited:
    """The command has ended.

    Args:
        status: its exit status, or the negative number of the signal that killed it.
    """

    status: int


@dataclass(frozen=True, slots=True)
class HelperFailed:
    """The helper reports an error.

    Args:
        kind: the first word of the error.
        text: the rest of the error; escape it before it reaches a terminal.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class TickReceived:
    """The helper is alive."""


@dataclass(frozen=True, slots=True)
class JunkReceived:
    """A line that is not a frame, from another program on that terminal."""

    line: bytes


Event = (
    HelloReceived
    | PythonMissing
    | OutputReceived
    | CreditReceived
    | InputClosed
    | CommandExited
    | HelperFailed
    | TickReceived
    | JunkReceived
)


class FrameEncoder:
    """Encodes and numbers the frames to the helper.

    Each frame fills exactly one message, so a repeated message has a repeated number.

    Args:
        message_size: bytes of one message, at least 64.
    """

    def __init__(self, message_size: int) -> None:
        self._message_size = message_size
        self._number = 0

    @property
    def data_size(self) -> int:
        """Return the number of data bytes that one frame holds."""
        return self._message_size - MIN_HEADER

    def request(self, request: bytes) -> list[bytes]:
        """Return the frames that start a command."""
        size = self.data_size
        frames = [self._data(b"a0", request[at : at + size]) for at in range(0, len(request), size)]
        return [*frames, self._frame(b"r0")]

    def data(self, data: bytes) -> bytes:
        """Return a frame of standard input with at most `data_size` bytes; empty data marks its end."""
        return self._data(b"d0", data)

    def signal(self, number: int) -> bytes:
        """Return the frame that sends a signal to the command's process group."""
        return self._frame(b"s0", b"%d" % number)

    def end(self) -> bytes:
        """Return the frame that ends the command: HUP, then KILL."""
        return self._frame(b"q0")

    def _data(self, kind: bytes, data: bytes) -> bytes:
        return self._frame(kind, b"%d" % len(data), data)

    def _frame(self, kind: bytes, word: bytes = b"", data: bytes = b"") -> bytes:
        self._number += 1
        header = b"%s %d %s" % (kind, self._number, word)
        return header + b" " * (self._message_size - len(header) - 1 - len(data)) + b"\n" + data


class FrameParser:
    """Parses the helper's output into events. Accepts any bytes; a line that is not a frame becomes JunkReceived."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._frames_only = False  # PythonMissing was seen; its message may come twice, and no plain output follows it

    def receive_data(self, data: bytes) -> list[Event]:
        """Process bytes and return the events that they complete.

        Bytes after the first PythonMissing are kept for the next call, or for `take_rest`.
        """
        buffer = self._buffer
        buffer += data
        events: list[Event] = []
        start = 0
        while (end := buffer.find(b"\n", start)) >= 0:
            events.append(_parse(bytes(buffer[start:end])))
            start = end + 1
            if isinstance(events[-1], PythonMissing) and not self._frames_only:
                self._frames_only = True
                break
        del buffer[:start]
        if len(buffer) > MAX_LINE and b"\n" not in buffer:
            events.append(JunkReceived(bytes(buffer)))
            buffer.clear()
        return events

    def take_rest(self) -> bytes:
        """Return the unparsed bytes and clear the buffer: after PythonMissing they may be plain output."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


def _parse(line: bytes) -> Event:
    if len(line) < 3 or line[0] != RECORD_SEPARATOR or line[2:3] != b"0":
        return JunkReceived(line)
    letter, text = line[1:2], line[3:].rstrip(b"\r")
    if letter in b"34":
        data = unescape(text)
        return JunkReceived(line) if data is None else OutputReceived(int(letter) - 2, data)
    if letter == b"n":
        return PythonMissing(frozenset(text.decode("ascii", "replace").split(".")[:-1]))
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return JunkReceived(line)
    return _event(letter, data) or JunkReceived(line)


def unescape(text: bytes) -> bytes | None:
    """Return the output that the Python helper escaped; None if the escapes are invalid."""
    text = text.removesuffix(FILLING)
    if b"=" not in text:
        return text
    if text.count(b"=") != len(_ESCAPE.findall(text)):
        return None
    for escape, byte in ESCAPES:
        text = text.replace(escape, byte)
    return text


def _event(letter: bytes, data: bytes) -> Event | None:
    match letter:
        case b"1" | b"2":
            return OutputReceived(int(letter), data)
        case b"c":
            size = _number(data)
            return CreditReceived(size) if size is not None and size >= 0 else None
        case b"x":
            status = _number(data)
            return CommandExited(status) if status is not None and -128 < status < 256 else None
        case b"p":
            return InputClosed()
        case b"t":
            return TickReceived()
        case b"e":
            kind, _, text = data.decode("utf-8", "replace").partition(" ")
            return HelperFailed(kind, text)
        case b"h":
            return _hello(data)
    return None


def _number(data: bytes) -> int | None:
    digits = data.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 10 or int(data) > MAX_NUMBER:
        return None
    return int(data)


def _hello(data: bytes) -> HelloReceived:
    words = [os.fsdecode(word) for word in data.split(b"\0")]
    values = dict(zip(words[::2], words[1::2], strict=False))
    uid = _number(values.get("uid", "").encode("utf-8", "replace"))
    return HelloReceived(values.get("python", ""), -1 if uid is None else uid, values.get("home", ""))
