"""Run Command in virtual time: a service with limits, pages and delays, and instances that take their time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aws_runas.fleet.model import Action, Cancel, Fetch, Host, Invocation, Outcome, Poll, Send
from aws_runas.fleet.policy import FleetPolicy

PAGE = 50  # rows of one answer
LIST_LIMIT = 2500  # characters of both streams in a list
GET_LIMIT = 24_000


@dataclass(slots=True)
class Rate:
    """A token bucket of the service: calls a second, with a burst."""

    per_second: float
    burst: float
    tokens: float = 0.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Return False if the call is throttled."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Machine:
    """How an instance behaves."""

    seconds: float = 1.0
    status: int = 0
    output: str = "ok\n"
    details: str | None = None  # overrides Success and Failed


@dataclass
class Service:
    """The service of all regions, and the network between.

    Args:
        behave: host -> how it behaves.
        latency: seconds of each call.
        eventual: seconds until an invocation can be seen.
    """

    nonce: str
    behave: Callable[[Host], Machine]
    latency: float = 0.05
    eventual: float = 0.5
    send_rate: Rate = field(default_factory=lambda: Rate(5, 10, 10))
    list_rate: Rate = field(default_factory=lambda: Rate(10, 20, 20))
    get_rate: Rate = field(default_factory=lambda: Rate(5, 10, 10))
    calls: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    commands: dict[str, dict[str, tuple[Host, float, float]]] = field(default_factory=dict)
    cancelled: dict[str, float] = field(default_factory=dict)
    last_end: float = 0.0
    most_running: int = 0

    def perform(self, action: Action, now: float) -> object:
        """Answer a call; None means throttled."""
        match action:
            case Send(_, hosts, _):
                return self._send(hosts, now)
            case Poll(_, command_id):
                rows = len(self.commands[command_id])
                for _ in range(-(-rows // PAGE)):
                    if not self._take("list", self.list_rate, now):
                        return None
                return [row for row in self._rows(command_id, now) if row is not None]
            case Fetch(host, command_id):
                if not self._take("get", self.get_rate, now):
                    return None
                row = self._row(command_id, host.instance_id, now)
                assert row is not None
                output = "partial\n" if row.details == "Cancelled" else row.output[:GET_LIMIT]  # lists leave it out
                return Invocation(row.instance_id, row.details, output, "", row.exit_status, whole=True)
            case Cancel(_, command_id):
                self.cancelled.setdefault(command_id, now)
                return ""

    def _take(self, name: str, rate: Rate, now: float) -> bool:
        self.calls[name] += 1
        if rate.take(now):
            return True
        self.throttled[name] += 1
        return False

    def _send(self, hosts: tuple[Host, ...], now: float) -> str | None:
        assert len(hosts) <= 50
        if not self._take("send", self.send_rate, now):
            return None
        command_id = f"command-{len(self.commands)}"
        self.commands[command_id] = {
            host.instance_id: (host, now, now + 0.5 + self.behave(host).seconds) for host in hosts
        }
        running = [end for command in self.commands.values() for _, _, end in command.values() if end > now]
        self.most_running = max(self.most_running, len(running))
        return command_id

    def _rows(self, command_id: str, now: float) -> list[Invocation | None]:
        rows = []
        for instance_id in self.commands[command_id]:
            row = self._row(command_id, instance_id, now)
            if row is not None and len(row.output) > LIST_LIMIT:
                text = row.output[: LIST_LIMIT - 30] + "\n---Output truncated---"
                row = Invocation(row.instance_id, row.details, text, "", row.exit_status)
            rows.append(row)
        return rows

    def _row(self, command_id: str, instance_id: str, now: float) -> Invocation | None:
        host, sent, end = self.commands[command_id][instance_id]
        machine = self.behave(host)
        if now < sent + self.eventual:
            return None
        cancelled = self.cancelled.get(command_id)
        if cancelled is not None and cancelled < end:
            return Invocation(instance_id, "Cancelled")
        if now < end:
            return Invocation(instance_id, "InProgress")
        self.last_end = max(self.last_end, end)
        details = machine.details or ("Success" if machine.status == 0 else "Failed")
        if details not in ("Success", "Failed"):
            return Invocation(instance_id, details)
        size = len(machine.output.encode())
        text = f"{machine.output}\n{self.nonce} {size} 0 {machine.status}\n"
        return Invocation(instance_id, details, text, "", machine.status)


def play(
    policy: FleetPolicy, service: Service, *, seed: int = 0, interrupt_at: float | None = None, until: float = 100_000
) -> tuple[list[Outcome], float]:
    """Run the policy against the service in virtual time and return the outcomes and the time of the last one."""
    dice, now, order = random.Random(seed), 0.0, itertools.count()
    answers: list[tuple[float, int, Action, object]] = []
    outcomes: list[Outcome] = []
    while not policy.done:
        assert now < until
        if interrupt_at is not None and now >= interrupt_at:
            policy.interrupt()
        for action in policy.actions(now):
            answer = service.perform(action, now)
            arrival = now + service.latency * dice.uniform(0.5, 2)
            heapq.heappush(answers, (arrival, next(order), action, answer))
        outcomes += policy.new_outcomes()
        if policy.done:
            break
        timer = policy.next_timer(now)
        if answers and (timer is None or answers[0][0] <= timer):
            now, _, action, answer = heapq.heappop(answers)
            report(policy, action, answer, now)
        else:
            assert timer is not None, "nothing to wait for"
            now = max(timer, now + 1e-6)
    return outcomes + policy.new_outcomes(), now


def report(policy: FleetPolicy, action: Action, answer: object, now: float) -> None:
    """Tell the policy what the service answered."""
    match action:
        case Send():
            if isinstance(answer, str):
                policy.sent(action, answer, now)
            else:
                policy.send_failed(action, "", now, retry=True)
        case Poll():
            if isinstance(answer, list):
                policy.polled(action, answer, now)
            else:
                policy.poll_failed(action, "", now, throttled=True)
        case Fetch():
            if isinstance(answer, Invocation):
                policy.fetched(action, answer, now)
            else:
                policy.fetch_failed(action, now, throttled=True)
        case Cancel():
            pass
