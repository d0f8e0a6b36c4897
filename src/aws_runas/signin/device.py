"""Polling for a device code as a state machine: answers in, next poll time and one outcome out. No calls, no clock.

Source: RFC 8628, section 3.5.
"""

from __future__ import annotations

from enum import Enum, auto

from aws_runas.dataclass import dataclass

SLOWER = 5.0  # seconds by which the interval grows after each SlowDownException


class DeviceAnswer(Enum):
    """Answer of the service to one poll."""

    PENDING = auto()
    SLOW_DOWN = auto()
    APPROVED = auto()
    DENIED = auto()
    EXPIRED = auto()
    FAILED = auto()  # an error of the network or the service; the poll is repeated


class DeviceOutcome(Enum):
    """The end of the wait."""

    APPROVED = auto()
    DENIED = auto()
    EXPIRED = auto()


@dataclass(slots=True)
class DevicePolling:
    """The wait for one device code.

    Args:
        now: monotonic seconds.
        interval: seconds between polls, set by the service.
        lifetime: seconds after which the code has expired.

    Attributes:
        next_poll: when to poll next; the first poll is due at once.
        outcome: None until the user has decided.
    """

    now: float
    interval: float
    lifetime: float
    next_poll: float = 0.0
    deadline: float = 0.0
    outcome: DeviceOutcome | None = None

    def __post_init__(self) -> None:
        self.next_poll = self.now
        self.deadline = self.now + self.lifetime

    def receive_answer(self, answer: DeviceAnswer, now: float) -> None:
        """Process the answer to a poll."""
        if answer is DeviceAnswer.APPROVED:
            self.outcome = DeviceOutcome.APPROVED
        elif answer is DeviceAnswer.DENIED:
            self.outcome = DeviceOutcome.DENIED
        elif answer is DeviceAnswer.EXPIRED:
            self.outcome = DeviceOutcome.EXPIRED
        else:
            if answer is DeviceAnswer.SLOW_DOWN:
                self.interval += SLOWER
            self.next_poll = now + self.interval
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """End the wait when the code has expired."""
        if self.outcome is None and now >= self.deadline:
            self.outcome = DeviceOutcome.EXPIRED

    def next_timer(self) -> float:
        """Return when to poll or to end the wait."""
        return min(self.next_poll, self.deadline)
