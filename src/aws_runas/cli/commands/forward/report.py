"""Output of a forward: the listening line, messages, the status line of a terminal, events as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, assert_never

from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal.status_line import StatusLine
from aws_runas.redact import printable
from aws_runas.ssm.forward import events
from aws_runas.ssm.forward.forwarding import Totals

_EVENT_NAMES: Final = {
    events.Listening: "listening",
    events.SessionOpened: "session_opened",
    events.SessionEnded: "session_over",
    events.SessionNotOpened: "session_not_opened",
    events.ConnectionLost: "connection_lost",
    events.ConnectionRegained: "connection_regained",
    events.LocalOpened: "connection_opened",
    events.LocalClosed: "connection_closed",
    events.RemoteRefused: "connection_refused",
    events.HalfCloseTimedOut: "half_close_timed_out",
    events.AgentSilent: "agent_silent",
    events.AgentAnswered: "agent_answered",
}


class ForwardReport:
    """Writes messages for the user to stderr and events for programs to stdout.

    Args:
        env: streams and wall clock.
        as_json: write the listening line as JSON.
        event_lines: write every event as a JSON line to stdout, including the listening line.
        quiet: write no status line, and only messages about failures.
        verbose: also write messages about ordinary events.
        clock: monotonic seconds, for the rates of the status line.
    """

    def __init__(
        self,
        env: Environment,
        *,
        as_json: bool,
        event_lines: bool,
        quiet: bool,
        verbose: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env = env
        self._as_json = as_json
        self._event_lines = event_lines
        self._clock = clock
        self._quiet = quiet
        self._verbose = verbose
        self._has_status = not quiet and not verbose and env.stderr.isatty()
        self._status_line = StatusLine(env.stderr)
        self._told_unwritable = False
        self._last: tuple[float, Totals] | None = None
        self.stdout_closed: Callable[[], None] = lambda: None

    @property
    def has_status(self) -> bool:
        """True if there is a status line to update."""
        return self._has_status

    def notify(self, event: events.ForwardEvent) -> None:
        """Show an event.

        Args:
            event: event of any forward.
        """
        if self._event_lines:
            self._write_json({"event": _EVENT_NAMES[type(event)], "time": _timestamp(self._env.now()), **asdict(event)})
        elif isinstance(event, events.Listening):
            self._write_listening(event)
        line = self._line(event)
        if line:
            self.message(line)

    def message(self, text: str) -> None:
        """Write a line on stderr.

        Args:
            text: without a line end.
        """
        self._error(f"{self._status_line.removed()}aws-runas: {printable(text)}\n")

    def status(self, totals: Totals) -> None:
        """Update the status line; called about once a second.

        Args:
            totals: totals over all forwards.
        """
        now = self._clock()
        up = down = 0.0
        if self._last is not None and now > self._last[0]:
            passed = now - self._last[0]
            up = (totals.sent - self._last[1].sent) / passed
            down = (totals.received - self._last[1].received) / passed
        self._last = (now, totals)
        text = (
            f"{_count(totals.connections, 'connection')} · up {_rate(up)} · down {_rate(down)} · "
            f"{_count(totals.sessions, 'session')}"
            + f" · resumed {_count(totals.resumed, 'time')}"
            * bool(totals.resumed)
        )
        self._error(self._status_line.drawn(text))

    def finish(self) -> None:
        """Remove the status line."""
        self._error(self._status_line.removed())
        self._has_status = False

    def _line(self, event: events.ForwardEvent) -> str:
        """Return the message for the user, "" if there is none."""
        match event:
            case events.RemoteRefused():
                return f"connection {event.connection}: nothing accepts connections at {event.destination}"
            case events.HalfCloseTimedOut():
                return (
                    f"connection {event.connection}: reset after {event.seconds:g} s of silence after "
                    "the end of its input; --half-close SECONDS waits longer"
                )
            case events.AgentSilent():
                return (
                    f"session {event.session}: the agent has not answered for {event.seconds:.0f} s; "
                    "new connections use another session"
                )
            case events.AgentAnswered():
                return f"session {event.session}: the agent answers again after {event.seconds:.0f} s"
            case events.SessionEnded() if event.reason:
                next_step = "" if event.sessions else "; the next connection opens a new one"
                return f"session {event.session} is over: {event.reason}{next_step}"
            case events.SessionNotOpened():
                next_step = "" if event.retry_in is None else f"; trying again in {event.retry_in:.0f} s"
                return f"no new session: {event.reason}{next_step}"
            case events.SessionOpened() if self._verbose:
                return f"session {event.session} opened, agent {event.agent_version}"
            case events.SessionEnded() if self._verbose:
                return f"session {event.session} closed"
            case events.ConnectionLost() if not self._quiet:
                return f"session {event.session}: connection lost ({event.reason}); resuming"
            case events.ConnectionRegained() if not self._quiet:
                return f"session {event.session}: resumed after {event.seconds:.1f} s"
            case events.LocalOpened() if self._verbose:
                return f"connection {event.connection} from {event.peer}"
            case events.LocalClosed() if self._verbose:
                reason = f": {event.reason}" if event.reason else ""
                return f"connection {event.connection} closed, {event.sent} bytes up, {event.received} down{reason}"
            case (
                events.Listening()
                | events.SessionOpened()
                | events.SessionEnded()
                | events.ConnectionLost()
                | events.ConnectionRegained()
                | events.LocalOpened()
                | events.LocalClosed()
            ):
                return ""
            case _:
                assert_never(event)

    def _write_listening(self, event: events.Listening) -> None:
        if self._as_json:
            self._write_json(asdict(event))
        else:
            self._write(f"{printable(f'listening on {event.local} -> {event.destination}')}\n")

    def _write_json(self, value: dict[str, object]) -> None:
        self._write(json.dumps(value) + "\n")

    def _write(self, text: str) -> None:
        try:
            self._env.stdout.write(text.encode("utf-8", "surrogateescape"))
            self._env.stdout.flush()
        except (OSError, ValueError) as error:
            if not isinstance(error, BrokenPipeError) and not self._told_unwritable:
                self._told_unwritable = True
                reason = (getattr(error, "strerror", None) or str(error)).lower()
                self._error(f"aws-runas: warning: standard output cannot be written: {reason}\n")
            self.stdout_closed()

    def _error(self, text: str) -> None:
        if not text:
            return
        try:
            self._env.stderr.write(text)
            self._env.stderr.flush()
        except (OSError, ValueError):  # the reader is gone
            self._has_status = False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rate(bytes_per_second: float) -> str:
    if bytes_per_second >= 1e6:
        return f"{bytes_per_second / 1e6:.1f} MB/s"
    if bytes_per_second >= 1e3:
        return f"{bytes_per_second / 1e3:.0f} kB/s"
    return f"{bytes_per_second:.0f} B/s"


def _timestamp(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
