"""Frames, delays, and calls in threads."""

from __future__ import annotations

import asyncio
import threading

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.framing import frame_encoder
from aws_runas.ssm.transport.resumer import Backoff, ReconnectPolicy


def parse(data: bytes, *, mask: bool) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=mask)
    try:
        while True:
            next(parser)
    except StopIteration as end:
        assert not reader.buffer, "one frame, and nothing behind it"
        return end.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_are_what_the_library_reads(length: int, masked: bool) -> None:
    encode = frame_encoder(masked=masked)
    for message in (bytes(range(256)) * (length // 256) + bytes(length % 256), "ä" * (length // 2)):
        frame = parse(encode(message), mask=masked)
        assert frame.opcode is (Opcode.TEXT if isinstance(message, str) else Opcode.BINARY)
        assert bytes(frame.data) == (message.encode() if isinstance(message, str) else message)


def test_no_mask_is_used_twice_in_a_row_of_frames() -> None:
    encode = frame_encoder(masked=True)
    masks = [encode(b"")[2:6] for _ in range(3000)]
    assert len(set(masks)) > 2990


def test_delays_grow_to_their_limit_and_are_spread() -> None:
    policy = ReconnectPolicy()
    latest = [policy.delay(attempt, lambda: 0.999_999) for attempt in range(40)]
    earliest = [policy.delay(attempt, lambda: 0.0) for attempt in range(40)]
    assert latest[0] < 0.06
    assert earliest[0] == 0
    assert latest == sorted(latest)
    assert latest[-1] <= policy.longest_delay
    assert all(early <= late for early, late in zip(earliest, latest, strict=True))


def resumes(*, lasting: float, seconds: float) -> list[float]:
    """Return when connections are resumed of which each carries data and breaks after `lasting` seconds."""
    backoff, policy, now, opened = Backoff(0.0), ReconnectPolicy(), 0.0, list[float]()
    while now < seconds:
        if backoff.attempt:
            now += policy.delay(backoff.attempt, lambda: 0.5)
        opened.append(now)
        backoff.attempt += 1
        backoff.connection_proved(now)
        now += lasting
    return opened


def test_connections_that_break_after_their_first_message_are_resumed_once_a_second_in_the_long_run() -> None:
    opened = resumes(lasting=0.04, seconds=60.0)
    assert 20 < len(opened) < 90
    assert sum(at > 30.0 for at in opened) < 40


def test_ten_cuts_within_half_a_second_cost_no_delay() -> None:
    assert resumes(lasting=0.05, seconds=0.49) == pytest.approx([0.05 * number for number in range(10)])


def test_connections_that_last_five_seconds_are_always_resumed_at_once() -> None:
    assert resumes(lasting=5.01, seconds=300.0) == pytest.approx([5.01 * number for number in range(60)])


def test_a_call_in_a_thread_gives_its_value_or_its_error() -> None:
    async def run() -> None:
        assert await in_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 1, 0)

    asyncio.run(run())


def test_the_end_of_the_program_does_not_wait_for_a_call_that_hangs() -> None:
    release = threading.Event()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(release.wait)

    asyncio.run(run())
    assert any(thread.daemon and "wait" in thread.name for thread in threading.enumerate())
    release.set()


def test_connection_that_lasted_starts_the_count_again_although_no_restart_was_left_when_it_began() -> None:
    backoff, now = Backoff(0.0), 0.0
    for _ in range(40):
        now += 0.05
        backoff.attempt += 1
        backoff.connection_proved(now)
    assert backoff.attempt > 0
    backoff.connection_proved(now + 3600)  # it ends after an hour
    assert backoff.attempt == 0
