"""Performs the actions of the policy: makes calls in threads, collects answers in one queue, handles interrupts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from aws_runas.aws.run_command import ODD_COMMAND_ID, UNANSWERED
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.model import (
    Action,
    Cancel,
    Fetch,
    Host,
    InstancesGoneError,
    Invocation,
    Outcome,
    Pair,
    Poll,
    Send,
)
from aws_runas.fleet.policy import FleetPolicy

CANCEL_PATIENCE: Final = 10.0  # seconds after the first Ctrl-C; then the known results are shown
MAX_WAIT: Final = 1.0  # maximum seconds between two updates of the progress line
FINAL_CODES: Final = ("access-denied", "parameter-invalid")  # a retry does not help
# Codes of temporary failures: the network may come back, and the user may sign in.
MAY_PASS: Final = (
    "endpoint-timeout", "endpoint-unreachable", "proxy-failed", "login-needed", "mfa-no-terminal", "keyring-locked",
)  # fmt: skip
LONG_AFTER: Final = 60.0  # seconds: any poll is due


class Calls(Protocol):
    """The calls to one pair's service; each blocks."""

    def send(self, hosts: Sequence[Host], max_errors: int) -> str:
        """Send the command and return its id."""

    def poll(self, command_id: str) -> list[Invocation]:
        """Return all invocations of a command."""

    def fetch(self, command_id: str, instance_id: str) -> Invocation:
        """Return one invocation with its output."""

    def cancel(self, command_id: str) -> None:
        """Cancel a command."""


class Engine:
    """Runs a policy to its end.

    Args:
        calls: one set of calls for each pair.
        clock: monotonic seconds.
        on_outcome: receives the outcome of each host that has ended.
        on_change: called after each event, for the progress line.
        on_command: receives each command that was accepted, before it is used in any other way.
        on_error: receives failures of calls that are repeated.
    """

    def __init__(
        self,
        policy: FleetPolicy,
        calls: Mapping[Pair, Calls],
        clock: Callable[[], float],
        *,
        on_outcome: Callable[[Outcome], None],
        on_change: Callable[[], None],
        on_command: Callable[[Send, str], None],
        on_error: Callable[[Action, AwsRunasError], None],
    ) -> None:
        self._policy = policy
        self._calls = calls
        self._clock = clock
        self._on_outcome = on_outcome
        self._on_change = on_change
        self._on_command = on_command
        self._on_error = on_error
        self._answers: queue.SimpleQueue[tuple[Action, object] | None] = queue.SimpleQueue()
        self._deadline: float | None = None
        self._interrupts = 0
        self.interrupted = False

    def run(self) -> None:
        """Run until every host has an outcome, or the user has interrupted twice."""
        while not self._policy.done:
            self._turn()
        self._report()

    def run_once(self) -> None:
        """Poll all sent commands once, fetch the outputs of ended hosts, and report the others as running."""
        now = self._clock()
        for action in self._policy.actions(now + LONG_AFTER):
            if isinstance(action, Poll):
                self._take(action, self._answer(action))
        while self._policy.waiting_outputs:
            self._turn()
        self._policy.abandon(now)
        self._report()

    def interrupt(self) -> None:
        """Cancel running commands; on the second call, stop at once. May be called from a signal handler."""
        self._interrupts += 1
        self._answers.put(None)

    def _handle_interrupts(self, now: float) -> None:
        if self._interrupts and not self.interrupted:
            self.interrupted = True
            self._deadline = now + CANCEL_PATIENCE
            self._policy.interrupt()
        if self._interrupts > 1 or (self._deadline is not None and now >= self._deadline):
            self._policy.abandon(now)

    def _turn(self) -> None:
        now = self._clock()
        self._handle_interrupts(now)
        for action in self._policy.actions(now):
            # A daemon thread, since a call that hangs must not block exit. The policy limits the calls of each pair.
            threading.Thread(target=self._perform, args=(action,), name="fleet", daemon=True).start()
        self._report()
        if self._policy.done:
            return
        timer = self._policy.next_timer(now)
        wait = MAX_WAIT if timer is None else min(max(timer - self._clock(), 0.0), MAX_WAIT)
        try:
            answered = self._answers.get(timeout=wait) if wait > 0 else self._answers.get_nowait()
        except queue.Empty:
            return
        if answered is not None:
            self._take(*answered)

    def _report(self) -> None:
        for outcome in self._policy.new_outcomes():
            self._on_outcome(outcome)
        self._on_change()

    def _perform(self, action: Action) -> None:
        self._answers.put((action, self._answer(action)))

    def _answer(self, action: Action) -> object:
        try:
            return self._call(action)
        except AwsRunasError as error:
            return error

    def _call(self, action: Action) -> object:
        match action:
            case Send(pair, hosts, max_errors):
                return self._calls[pair].send(hosts, max_errors)
            case Poll(pair, command_id):
                return self._calls[pair].poll(command_id)
            case Fetch(host, command_id):
                return self._calls[host.pair].fetch(command_id, host.instance_id)
            case Cancel(pair, command_id):
                self._calls[pair].cancel(command_id)
                return None

    def _take(self, action: Action, answer: object) -> None:
        now = self._clock()
        if isinstance(answer, AwsRunasError):
            self._failed(action, answer, now)
            return
        match action:
            case Send():
                self._on_command(action, str(answer))
                self._policy.sent(action, str(answer), now)
            case Poll():
                self._policy.polled(action, answer if isinstance(answer, list) else [], now)
            case Fetch():
                if isinstance(answer, Invocation):
                    self._policy.fetched(action, answer, now)
            case Cancel():
                pass

    def _failed(self, action: Action, error: AwsRunasError, now: float) -> None:
        throttled = error.code == "throttled"
        if isinstance(error, InstancesGoneError) and isinstance(action, Send):
            self._policy.send_named_gone(action, error.instance_ids, error.message, now)
            return
        if not throttled:
            self._on_error(action, error)
        match action:
            case Send():
                answered = error.code not in (*UNANSWERED, ODD_COMMAND_ID)
                self._policy.send_failed(action, error.message, now, retry=throttled, answered=answered)
            case Poll():
                final, answered = error.code in FINAL_CODES, error.code not in MAY_PASS
                self._policy.poll_failed(
                    action, error.message, now, throttled=throttled, final=final, answered=answered
                )
            case Fetch():
                self._policy.fetch_failed(action, now, throttled=throttled)
            case Cancel():
                pass
