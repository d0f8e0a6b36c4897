"""The calls of the engine, made through an Access."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Final

from aws_runas.aws import run_command
from aws_runas.aws.access import Access
from aws_runas.aws.errors import aws_code, aws_message
from aws_runas.aws.run_command import stored_output
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.model import FINAL_DETAILS, Host, InstancesGoneError, Invocation
from aws_runas.fleet.wrapper import is_cut, wrap, wrap_powershell

SHELL_DOCUMENT = "AWS-RunShellScript"
POWERSHELL_DOCUMENT = "AWS-RunPowerShellScript"
STORED_ATTEMPTS: Final = 5  # the agent may store an output shortly after it has reported the end
STORED_DELAY: Final = 1.0  # seconds
FIND_ATTEMPTS: Final = 4  # a command becomes visible shortly after it was sent
FIND_DELAY: Final = 2.0  # seconds
CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # AWS accepts requests if the clock is off by less than this


@dataclass(frozen=True, slots=True)
class Script:
    """The script that runs on each host.

    Args:
        text: the user's script, for a shell or PowerShell.
        nonce: nonce in the last line of the wrapper.
        cwd, user: working directory and user; None for those of the agent.
        powershell: the text is PowerShell.
        pack: send long output as gzip.
        output: where the service also stores complete outputs; see `run_command.send_command`.
    """

    text: str
    nonce: str
    cwd: str | None = None
    user: str | None = None
    powershell: bool = False
    pack: bool = True
    output: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AwsCalls:
    """`engine.Calls` for one pair.

    Args:
        delivery, execution: time-outs in seconds.
        comment: shown in the command history, with a number for each call; never contains the command itself.
        sleep: waits for seconds.
    """

    access: Access
    script: Script
    delivery: int
    execution: int
    comment: str
    sleep: Callable[[float], None] = time.sleep
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, hosts: Sequence[Host], max_errors: int) -> str:
        """Send the script to hosts of this pair and return the command id.

        Raises:
            InstancesGoneError: some of the instances do not accept commands any more.
            SessionError: the service refused the command, or it is not known whether it accepted the command.
        """
        began, comment = datetime.now(UTC), f"{self.comment} {next(self._numbers)}"
        try:
            return self._send(hosts, max_errors, comment)
        except AwsRunasError as error:
            if aws_code(error) == run_command.INVALID_INSTANCE:
                words = aws_message(error)
                named = [host.instance_id for host in hosts if host.instance_id in words]
                raise InstancesGoneError("Run Command no longer knows it", named) from error
            sent = self._find(comment, began) if error.code in run_command.UNANSWERED else None
            if sent is None:
                raise
            return sent

    def _find(self, comment: str, began: datetime) -> str | None:
        """Return the id of a command that the service accepted although its reply was lost; None if it lists none."""
        for attempt in range(FIND_ATTEMPTS):
            if attempt:
                self.sleep(FIND_DELAY)
            try:
                found = run_command.list_commands(self.access, comment, began - CLOCK_TOLERANCE)
            except AwsRunasError:
                continue
            if found:
                return found[0].command_id
        return None

    def _send(self, hosts: Sequence[Host], max_errors: int, comment: str) -> str:
        script = self.script
        if script.powershell:
            line = wrap_powershell(script.text, cwd=script.cwd)
        else:
            line = wrap(script.text, script.nonce, cwd=script.cwd, user=script.user, pack=script.pack)
        command = run_command.Command(
            document=POWERSHELL_DOCUMENT if script.powershell else SHELL_DOCUMENT,
            parameters={"commands": [line], "executionTimeout": [str(self.execution)]},
            delivery=self.delivery,
            max_errors=max_errors,
            comment=comment,
            output=script.output,
        )
        return run_command.send_command(self.access, [host.instance_id for host in hosts], command)

    def poll(self, command_id: str) -> list[Invocation]:
        """Return all invocations with the beginning of their output."""
        return [
            Invocation(row.instance_id, _details(row), row.output, row.error, row.exit_status)
            for row in run_command.list_invocations(self.access, command_id)
        ]

    def fetch(self, command_id: str, instance_id: str) -> Invocation:
        """Return one invocation with its output."""
        row = run_command.get_invocation(self.access, command_id, instance_id)
        output, error = row.output, row.error
        if self.script.output and (is_cut(output) or is_cut(error)):
            output, error = self._stored(command_id, instance_id, output, error)
        return Invocation(row.instance_id, _details(row), output, error, row.exit_status, whole=True)

    def _stored(self, command_id: str, instance_id: str, output: str, error: str) -> tuple[str, str]:
        """Return the streams that the agent stored; the truncated ones if they were not stored.

        If the stored streams cannot be read, the output stays truncated, and is reported as such.
        """
        for attempt in range(STORED_ATTEMPTS):
            try:
                whole = stored_output(self.access, self.script.output, command_id, instance_id)
            except AwsRunasError:
                break
            if whole[0] is not None and whole[1] is not None:
                return whole[0], whole[1]
            if attempt + 1 < STORED_ATTEMPTS:
                self.sleep(STORED_DELAY)
        return output, error

    def cancel(self, command_id: str) -> None:
        """Cancel a command."""
        run_command.cancel_command(self.access, command_id)


def _details(row: run_command.InvocationReply) -> str:
    """Return the details of a status, or the status itself if it is final and its details are unknown."""
    return row.details if row.details in FINAL_DETAILS or row.status not in FINAL_DETAILS else row.status
