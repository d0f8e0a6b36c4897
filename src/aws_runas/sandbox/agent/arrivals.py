"""Tells a burst of the client from messages that came one by one while this process was busy."""

from __future__ import annotations

from collections import deque
from typing import Final

EXECUTION_TIME: Final = 0.0002  # seconds in which official agents execute a message: closer ones wait together


class Arrivals:
    """Estimates how close the messages of one read came.

    An official agent is a process of its own and reads a message as soon as it is there. This one shares its event
    loop with the whole sandbox, so one read can hold many messages that an official agent would have executed one by
    one. The caller looks at the socket in each turn of the loop; what a read holds came since the look before.
    """

    def __init__(self) -> None:
        # Of this turn and the two before: the process can lose the processor between looking and noting the time.
        self._looks: deque[float] = deque(maxlen=3)

    def looked(self, now: float) -> None:
        """Note the beginning of a turn of the loop, in which the socket was looked at.

        Args:
            now: monotonic seconds.
        """
        self._looks.append(now)

    def first_waiting(self, count: int, now: float) -> int | None:
        """Return which of the messages of a read is the first that waits when the connection is cut.

        Args:
            count: messages of this read, at least one.
            now: monotonic seconds.

        Returns:
            0 if some came closer than an agent executes them; else the last one, because the agent has executed the
            others. None before the third turn: nobody knows since when they have waited.
        """
        if len(self._looks) < 3:
            return None
        one_by_one = 1 + (now - self._looks[0]) / EXECUTION_TIME
        return 0 if count > one_by_one else count - 1
