"""Two smux sessions joined by pipes that a test empties when it likes."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import Event, StreamDataReceived, StreamFinished, StreamOpened

RECORDED: dict[str, list[dict[str, str]]] = json.loads(Path(__file__).with_name("recorded.json").read_text())


def recorded(name: str, sender: str) -> bytes:
    """The byte stream that one side of the official pair sent in a recorded session."""
    return b"".join(bytes.fromhex(row["hex"]) for row in RECORDED[name] if row["from"] == sender)


class Log:
    """Takes a session's events, delivers the data at once unless told to hold it, and remembers."""

    def __init__(self, session: SmuxSession, *, hold: bool = False) -> None:
        self.session = session
        self.hold = hold
        self.opened: list[int] = []
        self.finished: list[int] = []
        self.data: dict[int, bytes] = defaultdict(bytes)
        self.all: list[Event] = []

    def take(self) -> None:
        for event in self.session.events():
            self.all.append(event)
            if isinstance(event, StreamOpened):
                self.opened.append(event.stream_id)
            elif isinstance(event, StreamDataReceived):
                self.data[event.stream_id] += event.data
                if not self.hold:
                    self.session.data_delivered(event.stream_id, len(event.data))
            elif isinstance(event, StreamFinished):
                self.finished.append(event.stream_id)


class Pair:
    """A client and a server; step moves bytes both ways until neither has any more."""

    def __init__(self, *, frame_data: int = 1016, stream_queue: int = 65536, receive_buffer: int = 4 << 20) -> None:
        self.client = SmuxSession(
            Side.CLIENT, frame_data=frame_data, stream_queue=stream_queue, receive_buffer=receive_buffer
        )
        self.server = SmuxSession(
            Side.SERVER, frame_data=frame_data, stream_queue=stream_queue, receive_buffer=receive_buffer
        )
        self.at_client, self.at_server = Log(self.client), Log(self.server)

    def step(self, room: int = 1024) -> None:
        for sender, receiver, log in (
            (self.client, self.server, self.at_server),
            (self.server, self.client, self.at_client),
        ):
            while data := sender.data_to_send(room):
                receiver.receive_data(data)
                log.take()
        self.at_client.take()
        self.at_server.take()
        if self.client.wants_to_send() or self.server.wants_to_send():
            self.step(room)
