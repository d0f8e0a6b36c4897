"""Output of a fleet run: one progress line, results as they arrive, a table at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from aws_runas import files
from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal.status_line import StatusLine
from aws_runas.errors import SessionError, TargetError
from aws_runas.fleet.model import Host, Outcome, State
from aws_runas.redact import printable

NAME_BYTES = 200  # of the host name in a file name, which with id and suffix may have 255
FIRST_LINE_WIDTH = 40  # characters of output in the table
FAILED = (State.FAILED, State.TIMED_OUT, State.NOT_DELIVERED, State.REFUSED, State.UNKNOWN)
EXPLAINED = (State.REFUSED, State.NOT_DELIVERED, State.UNKNOWN)  # with the message of the service
UNREACHED = (State.OFFLINE, State.NOT_DELIVERED)  # not failures with --skip-offline


class FleetReport:
    """Writes progress to stderr and results to stdout.

    Args:
        output: ``table``, ``text``, ``json`` or ``jsonl``.
        total: number of hosts in the run.
        quiet: no progress, only failed hosts.
        is_terminal: stderr is a terminal, so that one line can be rewritten.
        directory: also receives the output of each host as files; None for no files.
        live: output comes line by line, through `line`.
    """

    def __init__(
        self,
        env: Environment,
        *,
        output: str,
        total: int,
        quiet: bool,
        is_terminal: bool,
        directory: Path | None,
        live: bool = False,
    ) -> None:
        self._env = env
        self._output = output
        self._total = total
        self._quiet = quiet
        self._is_terminal = is_terminal
        self._directory = directory
        self._live = live
        self._status_line = StatusLine(env.stderr)
        self._tenth = 0
        self._stdout_open = True
        self._unwritten = False
        self._unreached: list[Outcome] = []
        self.outcomes: list[Outcome] = []

    def unreached(self, outcome: Outcome) -> None:
        """Report, before anything runs, a selected host that cannot be reached.

        Args:
            outcome: outcome of one host.
        """
        self._unreached.append(outcome)
        self._show(outcome)
        self.message(f"{outcome.host.label} ({outcome.host.instance_id}) is skipped: {outcome.details}")

    def outcome(self, outcome: Outcome) -> None:
        """Report a host that has ended.

        Args:
            outcome: outcome of one host.
        """
        self.outcomes.append(outcome)
        self._show(outcome)
        if outcome.state in FAILED:
            self.message(f"{outcome.host.label} ({outcome.host.instance_id}): {describe(outcome)}")

    def _show(self, outcome: Outcome) -> None:
        if self._directory is not None:
            try:
                _write_files(self._directory, outcome)
            except OSError as error:
                self._failed_to_write(f"--dir {self._directory}", error)
        if self._output == "jsonl":
            self._print(to_json(as_object(outcome)) + "\n")
        elif self._output == "text" and not self._live and outcome.state is not State.OFFLINE:
            self._print(as_text(outcome))

    def exit_status(self, *, skip_offline: bool, interrupted: bool) -> int:
        """Return the exit status of the run, with 1 in place of 0 if a result could not be written.

        Args:
            skip_offline: unreached hosts are not failures.
            interrupted: the user pressed Ctrl-C.
        """
        status = exit_status(self.outcomes, self._unreached, skip_offline=skip_offline, interrupted=interrupted)
        return status or int(self._unwritten)

    def line(self, host: Host, text: str) -> None:
        """Receive a line of live output. The format ``text`` prints it."""
        if self._output == "text":
            self._print(f"{printable(host.label)}: {printable(text)}\n")

    def progress(self, running: int, waiting_outputs: int) -> None:
        """Update the progress line. Without a terminal, print a line after each tenth of the hosts.

        Args:
            running: hosts on which the command runs.
            waiting_outputs: hosts whose output has yet to be read.
        """
        done = len(self.outcomes)
        failed = sum(outcome.state in FAILED for outcome in self.outcomes)
        waiting = self._total - done - running - waiting_outputs
        text = f"{done} of {self._total} done, {running} running, {failed} failed, {max(waiting, 0)} waiting"
        if waiting_outputs:
            text += f", {waiting_outputs} outputs to fetch"
        if self._quiet:
            return
        if self._is_terminal:
            self._error(self._status_line.drawn(text))
        elif self._total and done * 10 // self._total > self._tenth:
            self._tenth = done * 10 // self._total
            self._error(f"aws-runas: {text}\n")

    def message(self, text: str) -> None:
        """Print a line on stderr, above the progress line.

        Args:
            text: without a line end.
        """
        self._error(f"{self._status_line.removed()}aws-runas: {printable(text)}\n")

    def finish(self) -> str:
        """Remove the progress line; return the remaining text for stdout."""
        self._error(self._status_line.removed())
        everything = [*self.outcomes, *self._unreached]
        if self._output == "json":
            return to_json([as_object(one) for one in _sorted(everything)], indent=2) + "\n"
        return table(everything) if self._output == "table" else ""

    def _print(self, text: str) -> None:
        if not self._stdout_open:
            return
        self._error(self._status_line.removed())
        try:
            self._env.stdout.write(_encoded(text))
            self._env.stdout.flush()
        except (BrokenPipeError, ValueError):  # the reader closed the pipe; the run continues
            self._stdout_open = False
        except OSError as error:
            self._stdout_open = False
            self._failed_to_write("standard output", error)

    def _failed_to_write(self, where: str, error: OSError) -> None:
        """Report once that results are missing. The run continues, because the hosts do."""
        if not self._unwritten:
            self.message(
                f"cannot write to {where}: {(error.strerror or str(error)).lower()}; results are missing there"
            )
        self._unwritten = True

    def _error(self, text: str) -> None:
        if not text:
            return
        self._env.stderr.write(text)
        self._env.stderr.flush()


def exit_status(
    outcomes: Sequence[Outcome], unreached: Sequence[Outcome], *, skip_offline: bool, interrupted: bool
) -> int:
    """Return the exit status of a run.

    Args:
        outcomes: outcomes of the hosts that were reached.
        unreached: outcomes of the selected hosts that could not be reached.
        skip_offline: unreached hosts are not failures.
        interrupted: the user pressed Ctrl-C.
    """
    if interrupted:
        return 130
    states = Counter(outcome.state for outcome in outcomes)
    if outcomes and states[State.NOT_DELIVERED] == len(outcomes):
        return TargetError.exit_status
    if outcomes and states[State.REFUSED] == len(outcomes):
        return SessionError.exit_status
    states.update(outcome.state for outcome in unreached)
    fine = (State.SUCCESS, *(UNREACHED if skip_offline else ()))
    return 0 if states.total() == sum(states[state] for state in fine) else 1


def describe(outcome: Outcome) -> str:
    """Describe how a command ended on a host.

    Args:
        outcome: outcome of one host.
    """
    if outcome.state is State.FAILED and outcome.exit_status is not None:
        return f"failed with status {outcome.exit_status}"
    words = {
        State.TIMED_OUT: "did not end within the time limit",
        State.NOT_DELIVERED: "did not accept the command",
        State.NOT_RUN: "was not run, because of --max-errors or an interrupt",
        State.REFUSED: "was refused",
        State.UNKNOWN: "never reported a result",
    }
    text = words.get(outcome.state, outcome.state.value)
    return f"{text}: {outcome.details}" if outcome.details and outcome.state in EXPLAINED else text


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON in which every character that could control a terminal is escaped.

    Args:
        value: value to write.
        indent: spaces per level; None for one line.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(char if char == "\n" or printable(char) == char else json.dumps(char)[1:-1] for char in text)


def as_object(outcome: Outcome) -> dict[str, object]:
    """Return the JSON object of a host; its keys are documented and stable.

    Args:
        outcome: outcome of one host.
    """
    host = outcome.host
    return {
        "name": host.name,
        "id": host.instance_id,
        "account": host.pair.account,
        "profile": host.pair.profile,
        "region": host.pair.region,
        "status": outcome.state.value,
        "exit": outcome.exit_status,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "truncated": outcome.truncated,
        "seconds": round(outcome.seconds, 3),
        "command_id": outcome.command_id,
    }


def as_text(outcome: Outcome) -> str:
    """Return the output of a host, each line prefixed with its name.

    Args:
        outcome: outcome of one host.
    """
    lines = [*_lines(outcome.stdout), *_lines(outcome.stderr)]
    if outcome.truncated:
        missing = f"{outcome.missing} bytes" if outcome.missing else "a part"
        lines.append(f"[{missing} of the output is missing]")
    return "".join(f"{printable(outcome.host.label)}: {printable(line)}\n" for line in lines)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table of all hosts, sorted by name.

    Args:
        outcomes: outcomes of all hosts.
    """
    rows: list[tuple[str, ...]] = [("NAME", "ID", "PROFILE", "REGION", "STATUS", "SECONDS", "OUTPUT")]
    for one in _sorted(outcomes):
        status = one.state.value if one.exit_status in (None, 0) else f"{one.state.value} {one.exit_status}"
        first = (_lines(one.stdout) or _lines(one.stderr) or [_reason(one)])[0][:FIRST_LINE_WIDTH]
        pair = one.host.pair
        cells = (one.host.name or "-", one.host.instance_id, pair.profile, pair.region, status, f"{one.seconds:.1f}")
        rows.append((*(printable(cell) for cell in cells), printable(first)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "".join("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() + "\n" for row in rows)


def _encoded(text: str) -> bytes:
    """Return the bytes of an output. A surrogate is a byte that was not UTF-8, or invalid text of the service."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _lines(text: str) -> list[str]:
    """Split at line ends only. `str.splitlines` also splits at form feeds and similar characters, which are escaped."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _reason(outcome: Outcome) -> str:
    return outcome.details if outcome.state in (*EXPLAINED, State.OFFLINE) else ""


def _sorted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda one: (one.host.label, one.host))


def _write_files(directory: Path, outcome: Outcome) -> None:
    name = file_name(outcome)
    status = outcome.state.value if outcome.exit_status is None else str(outcome.exit_status)
    contents: dict[str, Callable[[], str]] = {
        "out": lambda: outcome.stdout,
        "err": lambda: outcome.stderr,
        "status": lambda: f"{status}\n",
    }
    for suffix, content in contents.items():
        files.write_atomic(directory / f"{name}.{suffix}", _encoded(content()), durable=False)


def file_name(outcome: Outcome) -> str:
    """Return a name for files: the host's name made safe, with its id because names are not unique.

    Args:
        outcome: outcome of one host.
    """
    safe = "".join(char if char.isalnum() or char in "-_." else "-" for char in outcome.host.name).strip(".")
    safe = safe.encode()[:NAME_BYTES].decode(errors="ignore")
    return f"{safe}.{outcome.host.instance_id}" if safe else outcome.host.instance_id
