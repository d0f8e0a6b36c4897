"""Turns of the driver: when received data is handled, and what a lost connection leaves of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, DataReceived, Event
from aws_runas.ssm.core.recovery import pacing
from aws_runas.ssm.core.recovery.pacing import MIN_SPACING
from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.driver import ChannelDriver
from aws_runas.ssm.transport.event_loop import READ_INTERVAL
from tests.core.frames import output
from tests.core.naive import build
from tests.core.pair import make_channel
from tests.unit.ssm.transport.conftest import Clock, exact

CLOSED = build("channel_closed", 0, b'{"Output":""}', header_length=112)


class Line:
    """A connection to the service."""

    def __init__(self, *, spaces: bool = False) -> None:
        self.sent: list[bytes | str] = []
        self.spaced: list[int] = []  # numbers of messages that were sent together
        self.unspaced = 0  # how often spacing was stopped
        self.writable = True
        self._spaces = spaces

    def send_message(self, message: bytes) -> None:
        self.sent.append(message)

    def send_messages(self, messages: Sequence[bytes | str]) -> None:
        self.sent += messages

    def send_spaced(self, messages: Sequence[bytes], seconds: float) -> bool:
        assert seconds >= 2 * MIN_SPACING
        if self._spaces:
            self.spaced.append(len(messages))
            self.sent += messages
        return self._spaces

    def stop_spacing(self) -> None:
        self.unspaced += 1

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


FULL = 1024  # bytes of payload
HEADER = 120  # bytes before it
STEP = 0.0005  # seconds


@pytest.fixture
def small_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client that is late catch up with few messages, so that it is soon on time again."""
    monkeypatch.setattr(pacing, "BURST", 5)


async def upload(line: Line, clock: Clock, sizes: Sequence[int]) -> list[bytes]:
    """Send payloads of these sizes as fast as the channel takes them; return the payloads that left."""
    driver = ChannelDriver(make_channel(Role.CLIENT, ChannelSettings()), Owner())
    driver.connect(line, "token")
    driver.messages_received([output(0, b"$ ")])
    clock.now += 0.02
    driver.turn(time_passed=True)
    line.sent.clear()
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
    while payloads:
        while payloads and driver.send_capacity() >= FULL:
            driver.send_message(payloads.pop(0))
        driver.turn(time_passed=True)
        clock.now += STEP
        await asyncio.sleep(0)  # messages leave that were prepared, and that nobody else spaces
    for step in range(200):
        if step == 150:
            driver.send_message(b"later")
        clock.now += STEP
        driver.turn(time_passed=True)
        await asyncio.sleep(0)
    return [message[HEADER:] for message in line.sent if isinstance(message, bytes)]


def payloads_of(sizes: Sequence[int]) -> list[bytes]:
    return [bytes([number]) * size for number, size in enumerate(sizes)]


@exact
@pytest.mark.usefixtures("small_burst")
def test_messages_prepared_ahead_are_written_at_once_if_somebody_spaces_them(clock: Clock) -> None:
    line, sizes = Line(spaces=True), [FULL] * 40 + [10]
    assert event_loop.run(upload(line, clock, sizes))[: len(sizes)] == payloads_of(sizes)
    assert sum(line.spaced) > 16
    assert max(line.spaced) == 4  # with the one that left in the turn, those of five messages' time
    assert line.unspaced == 1


@exact
@pytest.mark.usefixtures("small_burst")
def test_messages_prepared_ahead_leave_one_by_one_if_nobody_spaces_them(clock: Clock) -> None:
    line, sizes = Line(), [FULL] * 25
    assert event_loop.run(upload(line, clock, sizes))[: len(sizes)] == payloads_of(sizes)
    assert line.spaced == []


@exact
@pytest.mark.usefixtures("small_burst")
def test_short_messages_are_not_spaced_by_their_size(clock: Clock) -> None:
    line, sizes = Line(spaces=True), [10] * 25
    sent = event_loop.run(upload(line, clock, sizes))
    assert sent[: len(sizes)] == payloads_of(sizes)
    mixed = Line(spaces=True)
    sizes = [FULL, 10, FULL, FULL, FULL] * 5
    assert event_loop.run(upload(mixed, clock, sizes))[: len(sizes)] == payloads_of(sizes)
    assert mixed.spaced == []


@exact
@pytest.mark.usefixtures("small_burst")
def test_late_client_catches_up_without_messages_that_wait_at_the_kernel(clock: Clock) -> None:
    async def catch_up(line: Line) -> None:
        driver = ChannelDriver(make_channel(Role.CLIENT, ChannelSettings()), Owner())
        driver.connect(line, "token")
        driver.messages_received([output(0, b"$ ")])
        for number in range(160):
            clock.now += 0.02 if number == 100 else STEP
            while driver.send_capacity() >= FULL:
                driver.send_message(bytes(FULL))
            driver.turn(time_passed=True)
            await asyncio.sleep(0)
            if number in (99, 100, 159):
                seen.append((len(line.spaced), line.unspaced))

    line, seen = Line(spaces=True), list[tuple[int, int]]()
    event_loop.run(catch_up(line))
    on_time, late, on_time_again = seen
    assert on_time[0] > 2
    assert on_time[1] == 0
    assert late == (on_time[0], 1)
    assert on_time_again[0] > late[0]


@exact
def test_acknowledgements_of_a_steady_download_leave_with_the_next_read(clock: Clock) -> None:
    async def download(line: Line) -> list[int]:
        driver = ChannelDriver(make_channel(Role.CLIENT, ChannelSettings()), Owner())
        driver.connect(line, "token")
        number = 0
        while number < 200:  # one message each 1.5 ms
            driver.messages_received([output(number, b"data")])
            number += 1
            clock.now += 0.0015
            await asyncio.sleep(0)
        sent = []
        for _ in range(8):
            driver.messages_received([output(number + ahead, b"data") for ahead in range(7)])
            number += 7
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the turn of the timer that was due
            before = len(line.sent)
            clock.now += READ_INTERVAL * 0.9  # more than acknowledgements are held back otherwise
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            sent.append(len(line.sent) - before)
            clock.now += READ_INTERVAL * 0.1 + 1e-6
        return sent[2:]  # the first two follow messages that were read one by one

    line = Line()
    assert event_loop.run(download(line)) == [0] * 6
    assert len(line.sent) >= 200 + 7 * 7
