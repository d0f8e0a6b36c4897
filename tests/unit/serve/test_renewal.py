"""Credentials in memory: renewed before they end, once however many wait."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.serve.renewal import CodeSlot, Outcome, Renewal
from tests.support.serving import DEADLINE, GOOD_CODE, WRONG_CODE, FakeProvider, eventually


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


class TimedProvider(FakeProvider):
    """Issues by a clock of the test's."""

    def __init__(self, clock: Clock, **values: object) -> None:
        super().__init__(**values)  # type: ignore[arg-type]
        self.clock = clock

    def credentials(self, *, refresh: bool = False) -> Credentials:
        from tests.support.serving import credentials

        super().credentials(refresh=refresh)
        return credentials(self.calls, life=self.life, now=self.clock())


def _get(renewal: Renewal) -> Outcome:
    answers: queue.Queue[Outcome] = queue.Queue()
    renewal.get(answers.put)
    return answers.get(timeout=DEADLINE)


def _renew(renewal: Renewal, **values: object) -> Outcome:
    answers: queue.Queue[Outcome] = queue.Queue()
    renewal.renew(answers.put, **values)  # type: ignore[arg-type]
    return answers.get(timeout=DEADLINE)


def _number(outcome: Outcome) -> int:
    assert isinstance(outcome, Credentials)
    return int(outcome.access_key_id[-10:])


def _code(outcome: Outcome) -> str:
    assert isinstance(outcome, AwsRunasError)
    return outcome.code


def test_a_hundred_that_wait_cost_one_call() -> None:
    provider = FakeProvider(gate=threading.Event())
    renewal = Renewal(provider)
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(_get, renewal) for _ in range(100)]
        assert provider.begun.wait(DEADLINE)
        eventually(lambda: len(renewal._jobs[0].waiting) == 100, "a hundred waiting")
        assert provider.gate is not None
        provider.gate.set()
        assert {_number(each.result(DEADLINE)) for each in waiting} == {1}
    assert provider.calls == 1


def test_what_is_in_memory_is_handed_over_at_once_and_without_a_call() -> None:
    provider = FakeProvider()
    renewal = Renewal(provider)
    _get(renewal)
    seen: list[Outcome] = []
    renewal.get(seen.append)
    assert [_number(each) for each in seen] == [1]
    assert provider.calls == 1


def test_near_the_end_the_old_ones_are_served_while_one_renewal_runs_behind() -> None:
    clock = Clock()
    provider = TimedProvider(clock)
    renewal = Renewal(provider, now=clock)
    assert _number(_get(renewal)) == 1
    clock.time += 3241  # a tenth of the hour is left, less a second
    provider.gate = threading.Event()
    provider.begun.clear()
    assert [_number(_get(renewal)) for _ in range(50)] == [1] * 50
    assert provider.begun.wait(DEADLINE)
    assert provider.calls == 2
    provider.gate.set()
    eventually(lambda: _number(_get(renewal)) == 2, "the new ones")
    assert provider.calls == 2


def test_before_the_last_tenth_nothing_is_renewed() -> None:
    clock = Clock()
    provider = TimedProvider(clock)
    renewal = Renewal(provider, now=clock)
    _get(renewal)
    clock.time += 3239
    _get(renewal)
    assert provider.calls == 1


def test_a_renewal_that_fails_behind_is_tried_again_after_half_a_minute_and_the_old_ones_serve_on() -> None:
    clock = Clock()
    provider = TimedProvider(clock)
    renewal = Renewal(provider, now=clock)
    _get(renewal)
    clock.time += 3300
    provider.fault = CredentialsError("AWS is away", code="sts-unreachable")
    assert _number(_get(renewal)) == 1
    eventually(lambda: renewal.last_error, "the failure")
    assert [_number(_get(renewal)) for _ in range(20)] == [1] * 20
    assert provider.calls == 2
    clock.time += 31
    provider.fault = None
    _get(renewal)
    eventually(lambda: _number(_get(renewal)) == 3, "the new ones")
    assert renewal.last_error is None


def test_ended_credentials_are_never_served() -> None:
    clock = Clock()
    provider = TimedProvider(clock)
    renewal = Renewal(provider, now=clock)
    _get(renewal)
    clock.time += 3600
    assert renewal.current() is None
    assert _number(_get(renewal)) == 2


def test_all_who_wait_hear_of_the_failure_and_the_next_one_tries_again() -> None:
    provider = FakeProvider(fault=CredentialsError("no", code="sts-access-denied"))
    renewal = Renewal(provider)
    assert _code(_get(renewal)) == "sts-access-denied"
    provider.fault = None
    assert _number(_get(renewal)) == 2


def test_a_fault_of_the_provider_reaches_who_waits_and_not_the_log() -> None:
    provider = FakeProvider(fault=RuntimeError("secret inside"))
    outcome = _get(Renewal(provider))
    assert _code(outcome) == "serve-provider-failed"
    assert "secret inside" not in str(outcome)


@pytest.fixture
def locked() -> Renewal:
    slot = CodeSlot()
    return Renewal(FakeProvider(prompt=slot.prompt, wants_code=True), slot=slot)


def test_without_a_code_one_is_asked_for(locked: Renewal) -> None:
    assert _code(_get(locked)) == "mfa-required"


def test_a_wrong_code_is_refused_and_the_right_one_serves(locked: Renewal) -> None:
    assert _code(_renew(locked, code=WRONG_CODE)) == "mfa-code-refused"
    assert _number(_renew(locked, code=GOOD_CODE)) == 2
    assert _number(_get(locked)) == 2


def test_a_code_after_a_refresh_completes_the_refresh(locked: Renewal) -> None:
    _renew(locked, code=GOOD_CODE)
    assert _code(_renew(locked, refresh=True)) == "mfa-required"
    assert _number(_get(locked)) == 1  # what is good serves on
    assert _number(_renew(locked, code=GOOD_CODE)) == 3
    assert isinstance(locked.provider, FakeProvider)
    assert locked.provider.refreshes == 2
    assert _number(_renew(locked, code=GOOD_CODE)) == 4
    assert locked.provider.refreshes == 2  # that was it


def test_a_code_is_used_once(locked: Renewal) -> None:
    _renew(locked, code=GOOD_CODE)
    assert _code(_renew(locked, refresh=True)) == "mfa-required"


def test_keys_without_an_end_are_looked_at_again_after_an_hour() -> None:
    class Keys(FakeProvider):
        def credentials(self, *, refresh: bool = False) -> Credentials:
            super().credentials(refresh=refresh)
            return Credentials("AKIAEXAMPLE", "made-up")

    clock, provider = Clock(), Keys()
    renewal = Renewal(provider, now=clock)
    _get(renewal)
    clock.time += 3599
    _get(renewal)
    assert provider.calls == 1
    clock.time += 2
    _get(renewal)
    eventually(lambda: provider.calls == 2, "the look")
