"""Turns of the driver: when received data is handled, and what a lost connection leaves of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, DataReceived, Event
from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.driver import ChannelDriver
from tests.core.frames import output
from tests.core.naive import build
from tests.core.pair import make_channel
from tests.unit.ssm.transport.conftest import Clock

CLOSED = build("channel_closed", 0, b'{"Output":""}', header_length=112)


class Line:
    """A connection to the service."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.writable = True

    def send_message(self, message: bytes) -> None:
        self.sent.append(message)

    def send_messages(self, messages: Sequence[bytes | str]) -> None:
        self.sent += messages

    def pause_reading(self) -> None:
        raise AssertionError("nothing is paused here")

    resume_reading = pause_reading


class Owner:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def events_received(self, events: list[Event]) -> None:
        self.events += events

    def turn_ended(self, now: float) -> None:
        pass


def test_data_that_waits_for_the_turn_of_a_due_timer_is_delivered_before_a_loss(clock: Clock) -> None:
    async def receive_and_lose() -> list[Event]:
        owner = Owner()
        driver = ChannelDriver(make_channel(Role.CLIENT, ChannelSettings()), owner)
        driver.connect(Line(), "token")
        driver.messages_received([output(0, b"$ ")])
        owner.events.clear()
        clock.now += 1.0  # the acknowledgement is overdue
        driver.messages_received([output(1, b"the end"), CLOSED])
        driver.disconnect()
        return list(owner.events)

    data, closed = event_loop.run(receive_and_lose())
    assert isinstance(data, DataReceived)
    assert data.data == b"the end"
    assert isinstance(closed, ChannelClosed)


def test_data_is_delivered_although_the_connection_takes_no_more(clock: Clock) -> None:
    async def receive_while_full() -> list[Event]:
        owner, line = Owner(), Line()
        driver = ChannelDriver(make_channel(Role.CLIENT, ChannelSettings()), owner)
        driver.connect(line, "token")
        driver.messages_received([output(0, b"$ ")])
        owner.events.clear()
        clock.now += 1.0  # the acknowledgement is overdue, so its timer takes the turn
        driver.messages_received([output(1, b"more")])
        line.writable = False
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return list(owner.events)

    (data,) = event_loop.run(receive_while_full())
    assert isinstance(data, DataReceived)
    assert data.data == b"more"
