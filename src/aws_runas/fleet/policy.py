"""The next steps of a fleet run: a pure state machine that receives the time and the service's replies.

It returns actions; threads and calls are outside (engine.py). Concurrency and the error budget apply to all pairs of
profile and region together, in addition to the limits of Run Command. Tests run the same machine in virtual time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import field
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.fleet.model import (
    FINAL_DETAILS,
    STARTED_DETAILS,
    Action,
    Cancel,
    Fetch,
    Host,
    Invocation,
    Limits,
    Outcome,
    Pair,
    Poll,
    Send,
    State,
)
from aws_runas.fleet.wrapper import Unwrapped, is_cut, unwrap

PIECE: Final = 50  # maximum instance ids in one SendCommand; API reference
FIRST_POLL: Final = 1.0  # seconds after sending
POLL_GROWTH: Final = 1.4  # factor by which the wait before each later poll grows
MAX_POLL: Final = 5.0  # seconds; polling every second was throttled in practice
FETCH_SPACING: Final = 0.5  # seconds between two GetCommandInvocation calls of a pair
SEND_SPACING: Final = 0.2  # seconds between two SendCommand calls of a pair
THROTTLED_SPACING: Final = 1.0  # seconds added after a throttled call; doubles, and is halved after answered calls
MAX_SLOWDOWN: Final = 20.0  # seconds
REFILL: Final = 0.25  # fraction of the concurrency: smaller batches wait, so that not every host needs a separate call
THROTTLED_SENDS: Final = 12  # throttled SendCommand calls in a row, about three minutes; then the hosts are given up
ODD_POLLS: Final = 8  # answered polls in a row without usable content, about half a minute; then the outcome is unknown
FETCH_ATTEMPTS: Final = 8  # InvocationDoesNotExist right after sending is normal
ENDED_EARLY: Final = (State.TIMED_OUT, State.CANCELLED)  # ended before the wrapper could write its last line
LOST_AFTER: Final = 60.0  # seconds after both timeouts; then the outcome of a host that has not ended is unknown


@dataclass(slots=True)
class _Command:
    pair: Pair
    hosts: dict[str, Host]
    sent_at: float
    next_poll: float
    interval: float
    running: set[str]
    started: set[str] = field(default_factory=set)  # hosts whose agent has received the command
    odd_polls: int = 0
    in_flight: bool = False


@dataclass(slots=True)
class _Lane:
    """The calls of one pair, and when the next ones may be made.

    Args:
        sending: the hosts of the SendCommand call that has not been answered.
        piece: maximum hosts in the next SendCommand; smaller while one of the hosts makes the call fail.
        throttled_sends: number of throttled SendCommand calls in a row.
    """

    waiting: deque[Host] = field(default_factory=deque)
    sending: tuple[Host, ...] = ()
    piece: int = PIECE
    throttled_sends: int = 0
    polling: bool = False
    next_send: float = 0.0
    next_fetch: float = 0.0
    slowdown: float = 0.0
    slow_until: float = 0.0
    fetching: int = 0
    to_fetch: deque[tuple[Host, str, int]] = field(default_factory=deque)

    def slow_down(self, now: float) -> None:
        """Make no calls for a while, because the service throttled one."""
        self.slowdown = min(max(self.slowdown * 2, THROTTLED_SPACING), MAX_SLOWDOWN)
        self.slow_until = now + self.slowdown

    def speed_up(self) -> None:
        """Shorten the next pause after throttling, because the service answered."""
        self.slowdown = self.slowdown / 2 if self.slowdown > THROTTLED_SPACING / 2 else 0.0


class FleetPolicy:
    """Decides what to send, poll, fetch and cancel.

    Call `actions` after each event and at `next_timer`, perform the actions that it returns, and report each answer.

    Args:
        hosts: every host, once.
        limits: see Limits.
        nonce: nonce in the last line of the wrapper.
    """

    def __init__(self, hosts: Sequence[Host], limits: Limits, nonce: str) -> None:
        self._limits = limits
        self._nonce = nonce
        self._lanes: dict[Pair, _Lane] = {}
        for host in hosts:
            self._lanes.setdefault(host.pair, _Lane()).waiting.append(host)
        self._commands: dict[str, _Command] = {}
        self._being_sent = 0
        self._running = 0
        self._errors = 0
        self._stopped = False
        self._cancelled: set[str] = set()
        self._outcomes: dict[Host, Outcome] = {}
        self._fresh: list[Outcome] = []
        self._partial: dict[Host, Outcome] = {}
        self.total = len(hosts)

    # --- state
    @property
    def done(self) -> bool:
        """True once every host has an outcome."""
        return len(self._outcomes) == self.total

    @property
    def errors(self) -> int:
        """Hosts that count against the error budget."""
        return self._errors

    @property
    def running(self) -> int:
        """Hosts that were sent a command and have not ended."""
        return self._running

    @property
    def waiting_outputs(self) -> int:
        """Hosts that have ended and whose output is still being fetched."""
        return len(self._partial)

    def command_ids(self) -> list[tuple[Pair, str]]:
        """Return the commands with hosts that have not ended."""
        return [(command.pair, command_id) for command_id, command in self._commands.items() if command.running]

    def new_outcomes(self) -> list[Outcome]:
        """Return the new outcomes since the last call, in the order in which the hosts ended."""
        fresh, self._fresh = self._fresh, []
        return fresh

    # --- decisions
    def actions(self, now: float) -> list[Action]:
        """Return the calls to make now; `now` is in monotonic seconds."""
        self._give_up_lost(now)
        actions: list[Action] = [*self._cancels()]
        actions += self._sends(now)
        for pair, lane in self._lanes.items():
            poll = self._poll(pair, lane, now)
            if poll is not None:
                actions.append(poll)
            fetch = self._fetch(lane, now)
            if fetch is not None:
                actions.append(fetch)
        return actions

    def next_timer(self, now: float) -> float | None:
        """Return when `actions` may return new actions without an event; None if that needs an answer."""
        times: list[float] = []
        may_send = self._may_send()
        for lane in self._lanes.values():
            if lane.waiting and not lane.sending and may_send:
                times.append(max(lane.next_send, lane.slow_until))
            if lane.to_fetch and not lane.fetching:
                times.append(max(lane.next_fetch, lane.slow_until))
        for command in self._commands.values():
            if command.running and not command.in_flight and not self._lanes[command.pair].polling:
                times.append(max(command.next_poll, self._lanes[command.pair].slow_until))
        return max(min(times), now) if times else None

    def _cancels(self) -> Iterable[Cancel]:
        if not self._stopped:
            return
        for pair, command_id in self.command_ids():
            if command_id not in self._cancelled:
                self._cancelled.add(command_id)
                yield Cancel(pair, command_id)

    def _free_slots(self) -> int:
        return self._limits.concurrency - self._running - self._being_sent

    def _may_send(self) -> bool:
        """Return True if enough slots are free for a batch, or nothing is running."""
        left = sum(len(lane.waiting) for lane in self._lanes.values())
        if not left:
            return False
        busy = self._running + self._being_sent
        return not busy or self._free_slots() >= min(left, max(1, int(self._limits.concurrency * REFILL)))

    def _sends(self, now: float) -> list[Action]:
        actions: list[Action] = []
        if self._stopped or self._errors > self._limits.max_errors:
            self._drop_waiting()
            return actions
        if not self._may_send():
            return actions
        free = self._free_slots()
        for pair, lane in self._lanes.items():
            if not lane.waiting or lane.sending or free <= 0 or now < max(lane.next_send, lane.slow_until):
                continue
            count = min(free, lane.piece, len(lane.waiting))
            hosts = tuple(lane.waiting.popleft() for _ in range(count))
            lane.sending = hosts
            self._being_sent += count
            free -= count
            actions.append(Send(pair, hosts, max(self._limits.max_errors - self._errors, 0)))
        return actions

    def _drop_waiting(self) -> None:
        for lane in self._lanes.values():
            while lane.waiting:
                self._finish(Outcome(lane.waiting.popleft(), State.NOT_RUN))

    def _poll(self, pair: Pair, lane: _Lane, now: float) -> Poll | None:
        if lane.polling or now < lane.slow_until:
            return None
        due = [
            (command.next_poll, command_id)
            for command_id, command in self._commands.items()
            if command.pair == pair and command.running and command.next_poll <= now
        ]
        if not due:
            return None
        command_id = min(due)[1]
        lane.polling = True
        self._commands[command_id].in_flight = True
        return Poll(pair, command_id)

    def _fetch(self, lane: _Lane, now: float) -> Fetch | None:
        if not lane.to_fetch or lane.fetching or now < max(lane.next_fetch, lane.slow_until):
            return None
        host, command_id, _ = lane.to_fetch[0]
        lane.fetching = 1
        lane.next_fetch = now + FETCH_SPACING
        return Fetch(host, command_id)

    def _give_up_lost(self, now: float) -> None:
        patience = self._limits.delivery + self._limits.execution + LOST_AFTER
        for command_id, command in self._commands.items():
            if command.running and now > command.sent_at + patience:
                for instance_id in list(command.running):
                    self._end(command, command_id, Invocation(instance_id, ""), State.UNKNOWN, now=now)

    # --- answers
    def sent(self, send: Send, command_id: str, now: float) -> None:
        """Note that SendCommand was accepted.

        Args:
            send: the action.
            command_id: from the reply.
            now: monotonic seconds.
        """
        self._being_sent -= len(send.hosts)
        self._running += len(send.hosts)
        lane = self._lanes[send.pair]
        lane.sending, lane.throttled_sends = (), 0
        lane.piece = min(lane.piece * 2, PIECE)
        lane.next_send = now + SEND_SPACING
        hosts = {host.instance_id: host for host in send.hosts}
        self._commands[command_id] = _Command(send.pair, hosts, now, now + FIRST_POLL, FIRST_POLL, set(hosts))
        lane.speed_up()

    def send_failed(self, send: Send, reason: str, now: float, *, retry: bool, answered: bool = True) -> None:
        """Note that SendCommand failed.

        Args:
            send: the action.
            reason: text for the user.
            now: monotonic seconds.
            retry: the call was throttled; its hosts go back to the front of the queue, a limited number of times.
            answered: the service refused; otherwise it is not known whether it accepted the command.
        """
        self._being_sent -= len(send.hosts)
        lane = self._lanes[send.pair]
        lane.sending = ()
        lane.throttled_sends += retry
        if retry and lane.throttled_sends < THROTTLED_SENDS:
            lane.waiting.extendleft(reversed(send.hosts))
            lane.slow_down(now)
            return
        for host in send.hosts:
            self._errors += 1
            self._finish(Outcome(host, State.REFUSED if answered else State.UNKNOWN, details=reason))

    def send_named_gone(self, send: Send, gone: Collection[str], reason: str, now: float) -> None:
        """Note that SendCommand was refused because some instances have vanished since they were listed.

        The service refuses the whole call in this case. Instances that it names are left out. If it names none, the
        number of hosts per call is halved until the refused call has a single one. The instances were not reached,
        which does not count against the error budget.

        Args:
            send: the action.
            gone: instance ids that the service named.
            reason: text for the user.
            now: monotonic seconds.
        """
        self._being_sent -= len(send.hosts)
        lane = self._lanes[send.pair]
        lane.sending = ()
        lane.next_send = now + SEND_SPACING
        left = [host for host in send.hosts if host.instance_id not in gone]
        if len(left) == len(send.hosts):
            lane.piece = max(len(left) // 2, 1)
            if len(left) == 1:
                left = []
        for host in send.hosts:
            if host not in left:
                self._finish(Outcome(host, State.NOT_DELIVERED, details=reason))
        lane.waiting.extendleft(reversed(left))

    def polled(self, poll: Poll, invocations: Iterable[Invocation], now: float) -> None:
        """Note the reply of ListCommandInvocations.

        Args:
            poll: the action.
            invocations: the invocations of all pages.
            now: monotonic seconds.
        """
        lane, command = self._lanes[poll.pair], self._commands[poll.command_id]
        lane.polling = command.in_flight = False
        command.odd_polls = 0
        command.interval = min(command.interval * POLL_GROWTH, MAX_POLL)
        command.next_poll = now + command.interval
        lane.speed_up()
        for invocation in invocations:
            if invocation.details in STARTED_DETAILS:
                command.started.add(invocation.instance_id)
            final = FINAL_DETAILS.get(invocation.details)
            if final is not None and invocation.instance_id in command.running:
                self._end(command, poll.command_id, invocation, final[0], now=now, is_error=final[1])

    def poll_failed(
        self, poll: Poll, reason: str, now: float, *, throttled: bool, final: bool = False, answered: bool = False
    ) -> None:
        """Note that ListCommandInvocations failed. It is repeated.

        Args:
            poll: the call.
            reason: why it failed, for the user.
            now: monotonic seconds.
            throttled: the call was throttled.
            final: the call would fail again, so the outcome of the hosts is unknown.
            answered: the service replied, with an error or unusable content; otherwise, the network may come back.
        """
        lane, command = self._lanes[poll.pair], self._commands[poll.command_id]
        lane.polling = command.in_flight = False
        command.interval = min(command.interval * POLL_GROWTH, MAX_POLL)
        command.next_poll = now + command.interval
        if throttled:
            lane.slow_down(now)
        command.odd_polls += answered and not throttled
        if final or command.odd_polls >= ODD_POLLS:
            self._stopped = True  # do not send further commands, since they could not be polled
            self._cancelled.update(self._commands)
            for instance_id in sorted(command.running):
                self._end(command, poll.command_id, Invocation(instance_id, reason), State.UNKNOWN, now=now)

    def fetched(self, fetch: Fetch, invocation: Invocation, now: float) -> None:
        """Note the reply of GetCommandInvocation.

        Args:
            fetch: the action.
            invocation: the invocation with its output.
            now: monotonic seconds.
        """
        lane = self._lanes[fetch.host.pair]
        lane.fetching = 0
        lane.to_fetch.popleft()
        lane.speed_up()
        outcome = self._partial.pop(fetch.host)
        unwrapped = unwrap(invocation.output, invocation.error, self._nonce)
        self._finish(self._with_output(outcome, unwrapped, invocation))
        del now

    def fetch_failed(self, fetch: Fetch, now: float, *, throttled: bool) -> None:
        """Note that GetCommandInvocation failed. It is repeated a few times, or without limit if it was throttled.

        Args:
            fetch: the action.
            now: monotonic seconds.
            throttled: the call was throttled.
        """
        lane = self._lanes[fetch.host.pair]
        lane.fetching = 0
        host, command_id, attempts = lane.to_fetch.popleft()
        if throttled:
            lane.to_fetch.appendleft((host, command_id, attempts))
            lane.slow_down(now)
        elif attempts + 1 < FETCH_ATTEMPTS:
            lane.to_fetch.append((host, command_id, attempts + 1))
        else:
            self._finish(self._partial.pop(host))

    def interrupt(self) -> None:
        """Stop sending and cancel running commands."""
        self._stopped = True

    def abandon(self, now: float) -> None:
        """End the run with the known outcomes; hosts that have not ended are reported as running."""
        self.interrupt()
        self._drop_waiting()
        for lane in self._lanes.values():
            for host in lane.sending:
                self._finish(Outcome(host, State.UNKNOWN, details="SendCommand was not answered"))
        for command_id, command in self._commands.items():
            for instance_id in sorted(command.running):
                host = command.hosts[instance_id]
                seconds = now - command.sent_at
                self._finish(Outcome(host, State.RUNNING, seconds=seconds, command_id=command_id))
            command.running.clear()
        for host in list(self._partial):
            self._finish(self._partial.pop(host))

    # --- hosts that end
    def _end(
        self,
        command: _Command,
        command_id: str,
        invocation: Invocation,
        state: State,
        *,
        now: float,
        is_error: bool = False,
    ) -> None:
        host = command.hosts[invocation.instance_id]
        command.running.discard(invocation.instance_id)
        self._running -= 1
        self._errors += is_error
        seconds = now - command.sent_at
        outcome = Outcome(host, state, invocation.details, seconds=seconds, command_id=command_id)
        if state not in (State.SUCCESS, State.FAILED, State.TIMED_OUT, State.CANCELLED):
            self._finish(outcome)
            return
        unwrapped = unwrap(invocation.output, None, self._nonce)
        outcome = self._with_output(outcome, unwrapped, invocation)
        if state in ENDED_EARLY:  # lists may omit output from before the end
            may_have_run = self._limits.fetch_ended or invocation.instance_id in command.started
            has_all = bool(invocation.output) or not may_have_run
            has_all = has_all and not is_cut(invocation.output)
        else:
            has_all = unwrapped.whole and not self._limits.fetch_all
        if has_all:
            self._finish(outcome)
            return
        self._partial[host] = outcome
        self._lanes[host.pair].to_fetch.append((host, command_id, 0))

    def _with_output(self, outcome: Outcome, unwrapped: Unwrapped, invocation: Invocation) -> Outcome:
        status = unwrapped.exit_status
        if status is None and invocation.exit_status >= 0:
            status = invocation.exit_status
        truncated = not unwrapped.whole
        if self._limits.fetch_all or outcome.state in ENDED_EARLY:  # no counts: only the truncation marks show it
            truncated = is_cut(invocation.output) or is_cut(invocation.error or "")
        return Outcome(
            outcome.host,
            outcome.state,
            outcome.details,
            None if outcome.state in ENDED_EARLY else status,
            unwrapped.stdout,
            unwrapped.stderr,
            truncated,
            unwrapped.missing,
            outcome.seconds,
            outcome.command_id,
        )

    def _finish(self, outcome: Outcome) -> None:
        if outcome.host not in self._outcomes:
            self._outcomes[outcome.host] = outcome
            self._fresh.append(outcome)
