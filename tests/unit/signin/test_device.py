"""Polling for a device code, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aws_runas.signin.device import DeviceAnswer, DeviceOutcome, DevicePolling
from aws_runas.signin.sso_flows import drive


class World:
    """A clock that sleeping moves, and a service that answers in order."""

    def __init__(self, *answers: DeviceAnswer) -> None:
        self.now = 100.0
        self.polls: list[float] = []
        self._answers: Iterator[DeviceAnswer] = iter(answers)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def poll(self) -> DeviceAnswer:
        self.polls.append(self.now - 100.0)
        return next(self._answers, DeviceAnswer.PENDING)

    def run(self, interval: float = 5.0, lifetime: float = 600.0) -> DeviceOutcome:
        polling = DevicePolling(self.now, interval, lifetime)
        return drive(polling, self.poll, lambda: self.now, self.sleep)


def test_the_first_poll_is_at_once_and_the_others_at_the_interval() -> None:
    world = World(DeviceAnswer.PENDING, DeviceAnswer.PENDING, DeviceAnswer.APPROVED)
    assert world.run() is DeviceOutcome.APPROVED
    assert world.polls == [0.0, 5.0, 10.0]


def test_each_request_to_slow_down_adds_five_seconds() -> None:
    slow = DeviceAnswer.SLOW_DOWN
    world = World(slow, slow, DeviceAnswer.PENDING, DeviceAnswer.APPROVED)
    world.run(interval=1.0)
    assert world.polls == [0.0, 6.0, 17.0, 28.0]


def test_a_network_that_fails_for_a_moment_is_asked_again() -> None:
    world = World(DeviceAnswer.FAILED, DeviceAnswer.APPROVED)
    assert world.run() is DeviceOutcome.APPROVED


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(DeviceAnswer.DENIED, DeviceOutcome.DENIED), (DeviceAnswer.EXPIRED, DeviceOutcome.EXPIRED)],
)
def test_a_refusal_ends_the_wait_at_once(answer: DeviceAnswer, outcome: DeviceOutcome) -> None:
    world = World(DeviceAnswer.PENDING, answer)
    assert world.run() is outcome
    assert world.polls == [0.0, 5.0]


def test_a_code_that_nobody_approves_expires_after_its_life() -> None:
    world = World()
    assert world.run(lifetime=600.0) is DeviceOutcome.EXPIRED
    assert world.now - 100.0 == 600.0
    assert world.polls[-1] == 595.0
