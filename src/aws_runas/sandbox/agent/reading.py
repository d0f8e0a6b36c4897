"""Reader of an agent's data channel. It can be blocked, and cut while messages are in its buffer.

It distinguishes a burst of the client from messages that arrived one by one while this process was busy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aws_runas.sandbox.services.link import Frames
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.message import (
    INPUT_STREAM_DATA,
    PAUSE_PUBLICATION,
    START_PUBLICATION,
    Message,
    decode_message,
    message_type_of,
)

EXECUTION_TIME: Final = 0.0002  # seconds in which official agents execute a message: closer ones wait together


class Arrivals:
    """Estimate of how close together the messages of one read arrived.

    An official agent is a separate process and reads each message as soon as it arrives. This agent shares its event
    loop with the whole sandbox, so one read can hold many messages that an official agent would have executed one by
    one. The caller checks the socket in each turn of the loop, so the messages of a read arrived since the last check.
    """

    def __init__(self) -> None:
        # Of this turn and the two before: the process can lose the CPU between checking and noting the time.
        self._looks: deque[float] = deque(maxlen=3)

    def looked(self, now: float) -> None:
        """Note the beginning of a turn of the loop in which the socket was checked.

        Args:
            now: monotonic seconds.
        """
        self._looks.append(now)

    def first_waiting(self, count: int, now: float) -> int | None:
        """Return the index of the first message of a read that waits when the connection is cut.

        Args:
            count: messages of this read, at least one.
            now: monotonic seconds.

        Returns:
            0 if some arrived faster than an agent executes them; else the last index, because the agent has executed
            the others. None before the third turn, because the time that they have waited is unknown.
        """
        if len(self._looks) < 3:
            return None
        one_by_one = 1 + (now - self._looks[0]) / EXECUTION_TIME
        return 0 if count > one_by_one else count - 1


NEXT_BURST = 0.5  # seconds that a cut waits for messages in the receive buffer
HOLD_LIMIT = 30.0  # seconds that a busy agent lets messages wait if fewer arrive than requested


class ChannelReader:
    """Reader that passes frames to the channel, like the reading thread of an official agent.

    While a plugin blocks it, nothing is read: no acknowledgement, no signal, no end of the session.

    Args:
        process: accepts frames.
        one_by_one: process each frame alone, so that a plugin can block before the next one.
    """

    def __init__(self, process: Callable[[Frames], None], *, one_by_one: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._one_by_one = one_by_one
        self._blocked = False
        self._waiting: Frames = []
        self._cut: Callable[[Frames], None] | None = None
        self._hold = 0  # data messages that wait for the cut; none is read before it
        self._cut_timer: asyncio.TimerHandle | None = None
        self._arrivals = Arrivals()
        self.paused = False  # by pause_publication, until start_publication

    def receive(self, frames: Frames) -> None:
        """Accept the frames of one read."""
        if self._hold:
            self._waiting += frames
            if sum(map(is_input, self._waiting)) >= self._hold:
                self._cut_now([])
            return
        first = self._first_waiting(frames) if self._cut is not None else None
        if first is not None:
            self._take(frames[:first])
            self._cut_now(frames[first:])
        else:
            self._take(frames)

    def _take(self, frames: Frames) -> None:
        if not self._one_by_one:
            self._process(frames)
        else:
            self._waiting += frames
            self._drain()

    def _first_waiting(self, frames: Frames) -> int | None:
        """Return the index of the first frame that waits when the connection is cut now; None to cut it later."""
        inputs = [index for index, frame in enumerate(frames) if is_input(frame)]
        if not inputs:
            return None
        if self._waiting:  # a plugin blocks, so everything waits
            return 0
        first = self._arrivals.first_waiting(len(inputs), self._loop.time())
        return None if first is None else inputs[first]

    def _drain(self) -> None:
        while self._waiting and not self._blocked and not self._hold:
            frame = self._waiting.pop(0)
            if isinstance(frame, bytes):
                message_type = message_type_of(frame)
                if message_type in (PAUSE_PUBLICATION, START_PUBLICATION):
                    self.paused = message_type == PAUSE_PUBLICATION
            self._process([frame])

    def block(self) -> None:
        """Read nothing until `unblock`."""
        self._blocked = True

    def unblock(self) -> None:
        """Read again."""
        if self._blocked:
            self._blocked = False
            self._loop.call_soon(self._drain)

    def cut_at_next_burst(self, cut: Callable[[Frames], None]) -> None:
        """Lose the connection while messages are in the receive buffer, after `NEXT_BURST` at the latest.

        Args:
            cut: called once with those messages, or none. Of messages that arrived one by one, only the last waits.
        """
        if self._cut is None:
            self._cut = cut
            self._cut_timer = self._loop.call_later(NEXT_BURST, self._cut_now, [])
            self._loop.call_soon(self._look)  # not now: messages can have arrived since this turn began

    def cut_with(self, count: int, cut: Callable[[Frames], None]) -> None:
        """Lose the connection as soon as `count` data messages wait, like a busy agent. Read none before.

        Args:
            count: number of data messages, 1 or more.
            cut: called once with all waiting frames, after `HOLD_LIMIT` at the latest.
        """
        if self._cut is None:
            self._hold = count
            self._cut = cut
            self._cut_timer = self._loop.call_later(HOLD_LIMIT, self._cut_now, [])

    def _look(self) -> None:
        """Run in every turn of the loop until the cut, to know how long a message can have waited."""
        if self._cut is not None:
            self._arrivals.looked(self._loop.time())
            self._loop.call_soon(self._look)

    def _cut_now(self, frames: Frames) -> None:
        cut, self._cut = self._cut, None
        self._hold = 0
        if self._cut_timer is not None:
            self._cut_timer.cancel()
        if cut is not None:
            waiting, self._waiting = self._waiting, []
            cut(waiting + frames)

    def close(self) -> None:
        """Read nothing more."""
        self._blocked = True
        self._hold = 0
        self._cut = None
        if self._cut_timer is not None:
            self._cut_timer.cancel()


def read_after_cut(
    frames: Frames,
    *,
    expected: Callable[[], int],
    process: Callable[[Frames], None],
    execute: Callable[[Message], None],
) -> None:
    """Process the frames that were in the receive buffer at the cut (trap 12.16).

    The agent acknowledges each message. The first acknowledgement can still be written, into a socket whose peer is
    gone, so its message is counted. Later ones cannot be written: the next expected message is executed but not
    counted, so it will be executed again, and messages after it are not stored. A message that was counted before is
    never executed, but it uses up the first write.

    Args:
        frames: in order of arrival.
        expected: returns the sequence number that is executed next.
        process: executes, counts and acknowledges, or handles a frame without data; the acknowledgement is lost.
        execute: executes without counting.
    """
    has_written = has_executed = False
    for frame in frames:
        message = input_message(frame)
        if message is None:
            process([frame])
        elif not has_written:
            has_written = True
            process([frame])
        elif message.sequence_number == expected() and not has_executed:
            has_executed = True
            execute(message)


def input_message(frame: bytes | str) -> Message | None:
    """Return the message of a frame with data of the client, None for other frames and for unreadable ones."""
    if not is_input(frame) or isinstance(frame, str):
        return None
    try:
        return decode_message(frame)
    except RemoteProtocolError:
        return None


def is_input(frame: bytes | str) -> bool:
    """Return True if a frame is a data message of the client."""
    return isinstance(frame, bytes) and message_type_of(frame) == INPUT_STREAM_DATA
