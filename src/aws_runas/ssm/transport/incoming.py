"""From received bytes to messages: `websockets` reads everything but whole binary frames (docs/adr/0201)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from aws_runas.ssm.transport.framing import FrameSplitter

END_OF_HEAD: Final = b"\r\n\r\n"  # of the answer to the opening request


class Incoming:
    """Puts messages together.

    Args:
        protocol: of `websockets`; it judges what it reads.
        opening: called with the opening request or its answer.
    """

    def __init__(
        self, protocol: ClientProtocol | ServerProtocol, opening: Callable[[Request | Response], None]
    ) -> None:
        self._protocol = protocol
        self._opening = opening
        self._splitter = FrameSplitter() if isinstance(protocol, ClientProtocol) else None
        self._end_of_answer = b""  # the last bytes of the answer to the opening request, as far as it has come
        self._fragments: list[bytes] = []
        self._fragments_are_text = False

    def take(self, data: bytes, messages: list[bytes | str]) -> None:
        """Take received bytes; only clients take binary frames out themselves, because those of servers have no mask.

        Args:
            data: cut anywhere.
            messages: whole messages are added to it, text as str.
        """
        if self._splitter is None:
            self._read(data, messages)
            return
        if self._protocol._state is State.CONNECTING:
            data = self._take_answer(data, messages)
        for head, frame in self._splitter.split(data):
            if head and not self._fragments and self._protocol._state is State.OPEN:
                messages.append(frame[head:])
            else:
                self._read(frame, messages)

    def end(self, messages: list[bytes | str]) -> None:
        """Take it that nothing more comes; the library is told of a frame whose end is missing.

        Args:
            messages: see take.
        """
        rest = self._splitter.take_rest() if self._splitter is not None else b""
        if rest:
            self._protocol.receive_data(rest)
        self._protocol.receive_eof()
        self._sort_events(messages)

    def _take_answer(self, data: bytes, messages: list[bytes | str]) -> bytes:
        """Give the library the answer to the opening request; return what came behind it, frames."""
        end = (self._end_of_answer + data).find(END_OF_HEAD)
        if end >= 0:
            end += len(END_OF_HEAD) - len(self._end_of_answer)
            self._read(data[:end], messages)
            if self._protocol._state is State.OPEN:
                return data[end:]
            data = data[end:]
        self._end_of_answer = (self._end_of_answer + data)[-len(END_OF_HEAD) + 1 :]
        self._read(data, messages)
        return b""

    def _read(self, data: bytes, messages: list[bytes | str]) -> None:
        self._protocol.receive_data(data)
        self._sort_events(messages)

    def _sort_events(self, messages: list[bytes | str]) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._sort_frame(event, messages)
            elif isinstance(event, (Request, Response)):
                self._opening(event)

    def _sort_frame(self, frame: Frame, messages: list[bytes | str]) -> None:
        opcode = frame.opcode
        if opcode is Opcode.BINARY and frame.fin:
            messages.append(bytes(frame.data))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if opcode is not Opcode.CONT:
                self._fragments_are_text = opcode is Opcode.TEXT
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._fragments)
                self._fragments.clear()
                messages.append(_text_of(whole) if self._fragments_are_text else whole)


def _text_of(data: bytes) -> bytes | str:
    """A text frame's content; bytes that are no UTF-8 stay bytes, as the official programs take them (spec 1)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
