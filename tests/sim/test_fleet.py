"""Fleet runs in virtual time: the limits of the service, failures, interrupts, ten thousand targets."""

from __future__ import annotations

from collections import Counter

import pytest

from aws_runas.fleet.model import Fetch, Host, Invocation, Limits, Outcome, Pair, Poll, Send, State
from aws_runas.fleet.policy import ODD_POLLS, THROTTLED_SENDS, FleetPolicy
from tests.sim.fleet_service import Machine, Rate, Service, play, report

NONCE = "feedbeef"
PAIR = Pair("prod", "eu-west-1", "123456789012")
OTHER = Pair("prod", "us-east-1", "123456789012")


def hosts(count: int, pairs: tuple[Pair, ...] = (PAIR,)) -> list[Host]:
    return [Host(pairs[number % len(pairs)], f"i-{number:017x}", f"web-{number}") for number in range(count)]


def number(host: Host) -> int:
    return int(host.instance_id[2:], 16)


def test_a_hundred_short_outputs_cost_no_call_for_each_host() -> None:
    service = Service(NONCE, lambda host: Machine(seconds=1 + number(host) % 5))
    policy = FleetPolicy(hosts(100), Limits(concurrency=100), NONCE)
    outcomes, end = play(policy, service)
    assert Counter(outcome.state for outcome in outcomes) == {State.SUCCESS: 100}
    assert all(outcome.stdout == "ok\n" and not outcome.truncated for outcome in outcomes)
    assert service.calls["get"] == 0
    assert service.calls["send"] == 2
    assert end - service.last_end <= 6
    assert not service.throttled


def test_long_outputs_are_fetched_whole_and_within_a_minute() -> None:
    service = Service(NONCE, lambda _: Machine(output="x" * 20_000 + "\n"))
    policy = FleetPolicy(hosts(100), Limits(concurrency=100), NONCE)
    outcomes, end = play(policy, service)
    assert {len(outcome.stdout) for outcome in outcomes} == {20_001}
    assert not any(outcome.truncated for outcome in outcomes)
    assert service.calls["get"] == 100
    assert end - service.last_end <= 60
    assert not service.throttled


def test_output_beyond_the_limit_is_called_truncated() -> None:
    service = Service(NONCE, lambda _: Machine(output="y" * 30_000))
    outcomes, _ = play(FleetPolicy(hosts(1), Limits(), NONCE), service)
    assert outcomes[0].truncated
    assert outcomes[0].state is State.SUCCESS
    assert outcomes[0].exit_status == 0


@pytest.mark.parametrize("concurrency", [1, 7, 50, 200])
def test_no_more_hosts_run_at_a_time_than_allowed_over_all_pairs(concurrency: int) -> None:
    service = Service(NONCE, lambda host: Machine(seconds=number(host) % 7))
    policy = FleetPolicy(hosts(60, (PAIR, OTHER)), Limits(concurrency=concurrency), NONCE)
    outcomes, _ = play(policy, service)
    assert len(outcomes) == 60
    assert service.most_running <= concurrency


def test_the_first_error_stops_further_hosts_and_running_ones_continue() -> None:
    service = Service(NONCE, lambda host: Machine(seconds=1 if number(host) == 3 else 8, status=number(host) == 3))
    policy = FleetPolicy(hosts(40), Limits(concurrency=10), NONCE)
    outcomes, _ = play(policy, service)
    assert Counter(outcome.state for outcome in outcomes) == {State.SUCCESS: 9, State.FAILED: 1, State.NOT_RUN: 30}
    assert [outcome.host.name for outcome in outcomes if outcome.state is State.FAILED] == ["web-3"]


def test_the_budget_allows_as_many_errors_as_it_says() -> None:
    service = Service(NONCE, lambda host: Machine(status=number(host) in (1, 2, 50)))
    policy = FleetPolicy(hosts(100), Limits(concurrency=20, max_errors=3), NONCE)
    outcomes, _ = play(policy, service)
    assert Counter(outcome.state for outcome in outcomes) == {State.SUCCESS: 97, State.FAILED: 3}


@pytest.mark.parametrize(
    ("details", "state", "counts"),
    [
        ("Execution Timed Out", State.TIMED_OUT, True),
        ("TimedOut", State.TIMED_OUT, True),
        ("Delivery Timed Out", State.NOT_DELIVERED, False),
        ("Undeliverable", State.NOT_DELIVERED, False),
        ("InvalidPlatform", State.REFUSED, False),
        ("AccessDenied", State.REFUSED, False),
        ("Terminated", State.NOT_RUN, False),
        ("Cancelled", State.CANCELLED, False),
    ],
)
def test_each_final_status_has_its_state_and_its_place_in_the_budget(details: str, state: State, counts: bool) -> None:
    service = Service(NONCE, lambda host: Machine(details=details if number(host) == 0 else None))
    policy = FleetPolicy(hosts(3), Limits(concurrency=1), NONCE)
    outcomes, _ = play(policy, service)
    states = [outcome.state for outcome in sorted(outcomes, key=lambda outcome: number(outcome.host))]
    assert states == [state] + [State.NOT_RUN if counts else State.SUCCESS] * 2


def test_an_interrupt_cancels_what_runs_and_sends_nothing_more() -> None:
    service = Service(NONCE, lambda _: Machine(seconds=600))
    policy = FleetPolicy(hosts(30), Limits(concurrency=10), NONCE)
    outcomes, end = play(policy, service, interrupt_at=5.0)
    assert Counter(outcome.state for outcome in outcomes) == {State.CANCELLED: 10, State.NOT_RUN: 20}
    assert Counter(outcome.stdout for outcome in outcomes) == {"partial\n": 10, "": 20}
    assert end < 15
    assert len(service.cancelled) == len(service.commands) == 1


def test_output_of_a_script_without_counts_is_called_truncated_where_it_is_cut() -> None:
    def end(output: str, error: str) -> Outcome:
        policy = FleetPolicy(hosts(1), Limits(fetch_all=True), NONCE)
        (send,) = policy.actions(0.0)
        assert isinstance(send, Send)
        policy.sent(send, "c", 0.0)
        policy.polled(Poll(PAIR, "c"), [Invocation(send.hosts[0].instance_id, "Success", "x", "", 0)], 1.0)
        policy.fetched(
            Fetch(send.hosts[0], "c"), Invocation(send.hosts[0].instance_id, "Success", output, error, 0), 2.0
        )
        return policy.new_outcomes()[0]

    assert not end("whole", "").truncated
    cut = end("x" * 23_980 + "--output truncated--", "")
    assert (cut.truncated, cut.stdout) == (True, "x" * 23_980)
    assert end("whole", "y--output truncated--").truncated


def test_a_second_interrupt_reports_what_still_runs() -> None:
    service = Service(NONCE, lambda _: Machine(seconds=600))
    policy = FleetPolicy(hosts(4), Limits(concurrency=2), NONCE)
    sends = policy.actions(0.0)
    for send in sends:
        policy.sent(send, str(service.perform(send, 0.0)), 0.1)  # type: ignore[arg-type]
    policy.abandon(3.0)
    assert policy.done
    assert Counter(outcome.state for outcome in policy.new_outcomes()) == {State.RUNNING: 2, State.NOT_RUN: 2}


def test_a_host_that_the_service_loses_is_given_up_in_the_end() -> None:
    service = Service(NONCE, lambda _: Machine(seconds=1e9))
    policy = FleetPolicy(hosts(1), Limits(delivery=30, execution=60), NONCE)
    outcomes, end = play(policy, service)
    assert [outcome.state for outcome in outcomes] == [State.UNKNOWN]
    assert end < 30 + 60 + 60 + 10


@pytest.mark.parametrize("seed", range(3))
def test_a_service_that_throttles_loses_nothing(seed: int) -> None:
    service = Service(
        NONCE,
        lambda host: Machine(seconds=number(host) % 11, output="z" * (3000 if number(host) % 2 else 5)),
        send_rate=Rate(1, 1, 1),
        list_rate=Rate(1, 2, 2),
        get_rate=Rate(1, 1, 1),
    )
    policy = FleetPolicy(hosts(120, (PAIR, OTHER)), Limits(concurrency=120), NONCE)
    outcomes, _ = play(policy, service, seed=seed)
    assert Counter(outcome.state for outcome in outcomes) == {State.SUCCESS: 120}
    assert {len(outcome.stdout) for outcome in outcomes} == {3000, 5}
    assert service.throttled.total() > 0


def test_ten_thousand_targets_end_without_a_throttled_call() -> None:
    service = Service(NONCE, lambda host: Machine(seconds=1 + number(host) % 20))
    policy = FleetPolicy(hosts(10_000), Limits(concurrency=1000), NONCE)
    outcomes, _ = play(policy, service)
    assert Counter(outcome.state for outcome in outcomes) == {State.SUCCESS: 10_000}
    assert not service.throttled


def test_instances_that_vanish_unnamed_are_found_by_halves_and_the_others_run() -> None:
    gone = {7, 31}
    service = Service(NONCE, lambda _: Machine())
    policy = FleetPolicy(hosts(50), Limits(), NONCE)
    outcomes, calls, now = [], 0, 0.0
    while not policy.done:
        for action in policy.actions(now):
            if isinstance(action, Send) and any(number(host) in gone for host in action.hosts):
                calls += 1
                policy.send_named_gone(action, (), "gone", now)
            else:
                report(policy, action, service.perform(action, now), now)
        outcomes += policy.new_outcomes()
        now += 0.5
    states = Counter(outcome.state for outcome in outcomes)
    assert states == {State.SUCCESS: 48, State.NOT_DELIVERED: 2}
    assert {number(outcome.host) for outcome in outcomes if outcome.state is State.NOT_DELIVERED} == gone
    assert calls <= 16  # two searches by halves


def test_a_named_vanished_instance_costs_one_further_call() -> None:
    policy = FleetPolicy(hosts(50), Limits(), NONCE)
    (first,) = policy.actions(0.0)
    assert isinstance(first, Send)
    policy.send_named_gone(first, {first.hosts[3].instance_id}, "gone", 0.0)
    (second,) = policy.actions(1.0)
    assert isinstance(second, Send)
    assert second.hosts == (*first.hosts[:3], *first.hosts[4:])
    assert [outcome.host for outcome in policy.new_outcomes()] == [first.hosts[3]]
    assert policy.errors == 0


def test_sending_that_is_throttled_each_time_is_given_up() -> None:
    policy = FleetPolicy(hosts(3), Limits(), NONCE)
    now, sent = 0.0, 0
    while not policy.done:
        for action in policy.actions(now):
            assert isinstance(action, Send)
            sent += 1
            policy.send_failed(action, "slow down", now, retry=True)
        now = policy.next_timer(now) or now
    assert {outcome.state for outcome in policy.new_outcomes()} == {State.REFUSED}
    assert sent == THROTTLED_SENDS
    assert 60 < now < 300


def test_polling_that_is_not_allowed_ends_the_run_with_unknown_ends() -> None:
    policy = FleetPolicy(hosts(4), Limits(concurrency=2), NONCE)
    (send,) = policy.actions(0.0)
    assert isinstance(send, Send)
    policy.sent(send, "command-0", 0.0)
    (poll,) = policy.actions(2.0)
    assert isinstance(poll, Poll)
    policy.poll_failed(poll, "denied", 2.0, throttled=False, final=True)
    assert policy.actions(3.0) == []  # nothing is cancelled
    assert Counter(outcome.state for outcome in policy.new_outcomes()) == {State.UNKNOWN: 2, State.NOT_RUN: 2}
    assert policy.done


def test_leaving_while_a_call_is_not_answered_says_that_nobody_knows() -> None:
    policy = FleetPolicy(hosts(3), Limits(concurrency=2), NONCE)
    policy.actions(0.0)
    policy.abandon(1.0)
    assert policy.done
    assert Counter(outcome.state for outcome in policy.new_outcomes()) == {State.UNKNOWN: 2, State.NOT_RUN: 1}


@pytest.mark.parametrize(
    ("answered", "throttled", "ends"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_polling_that_is_answered_with_errors_alone_is_given_up(answered: bool, throttled: bool, ends: bool) -> None:
    policy = FleetPolicy(hosts(1), Limits(), NONCE)
    (send,) = policy.actions(0.0)
    assert isinstance(send, Send)
    policy.sent(send, "command-0", 0.0)
    now, polls = 0.0, 0
    while not policy.done and polls < 3 * ODD_POLLS:
        now = policy.next_timer(now) or now
        for action in policy.actions(now):
            assert isinstance(action, Poll)
            polls += 1
            policy.poll_failed(action, "expired", now, throttled=throttled, answered=answered)
    assert policy.done is ends
    if ends:
        assert (polls, [one.state for one in policy.new_outcomes()]) == (ODD_POLLS, [State.UNKNOWN])
        assert 15 < now < 60


def test_an_answer_that_says_something_starts_the_count_again() -> None:
    policy = FleetPolicy(hosts(1), Limits(), NONCE)
    (send,) = policy.actions(0.0)
    assert isinstance(send, Send)
    policy.sent(send, "command-0", 0.0)
    now = 0.0
    for count in range(3 * ODD_POLLS):
        now = policy.next_timer(now) or now
        (poll,) = policy.actions(now)
        assert isinstance(poll, Poll)
        if count % (ODD_POLLS - 1) == 0:
            policy.polled(poll, [], now)
        else:
            policy.poll_failed(poll, "odd", now, throttled=False, answered=True)
    assert not policy.done
