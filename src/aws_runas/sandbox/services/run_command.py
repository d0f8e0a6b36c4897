"""SSM Run Command: runs the script on the instances, with the limits of the service.

Source: AWS Systems Manager API reference, SendCommand and related calls; AWS-RunShellScript.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import (
    Input,
    JsonObject,
    invalid,
    page,
    read_flag,
    read_integer,
    read_object,
    read_text,
    read_texts,
)
from aws_runas.sandbox.services.principals import Key, account_of

MAX_IDS: Final = 50  # instance ids in one SendCommand
PAGE: Final = 50  # rows in one answer
STDOUT_LIMIT: Final = 24_000  # characters of GetCommandInvocation
STDERR_LIMIT: Final = 8_000  # characters of GetCommandInvocation
DETAIL_LIMIT: Final = 2_500  # characters of both streams in ListCommandInvocations
AGENT_SUFFIX: Final = "--output truncated--"  # of the agent, at the end of a stream that it cuts
SERVICE_SUFFIX: Final = "---Output truncated---"  # of the service, in lists
SEPARATOR: Final = "\n----------ERROR-------\n"
SHELL_DOCUMENT, POWERSHELL_DOCUMENT = "AWS-RunShellScript", "AWS-RunPowerShellScript"
DELIVERY_LIMITS: Final = (30, 2_592_000)  # seconds
UNFINISHED: Final = ("Pending", "InProgress")
EXECUTION_LIMITS: Final = (1, 172_800)  # seconds
EXECUTION_DEFAULT: Final = 3600  # seconds
COMMENT_LIMIT: Final = 100  # characters
NOT_RUN_YET: Final = -1  # ResponseCode before the command has ended
POWERSHELL: Final = ["pwsh", "-NoProfile", "-NonInteractive", "-File"]  # closest to the shell on Windows
WORKERS: Final = 32  # scripts that run at the same time

# Every limit and suffix in one place: name -> value. A test measures each at the service.
LIMITS: Final[dict[str, int | str]] = {
    "instance ids of SendCommand": MAX_IDS,
    "rows of an answer": PAGE,
    "characters of stdout": STDOUT_LIMIT,
    "characters of stderr": STDERR_LIMIT,
    "characters of both streams in a list": DETAIL_LIMIT,
    "mark of the agent": AGENT_SUFFIX,
    "mark of the service": SERVICE_SUFFIX,
    "line between the streams": SEPARATOR,
    "characters of a comment": COMMENT_LIMIT,
    "shortest delivery time-out": DELIVERY_LIMITS[0],
    "longest delivery time-out": DELIVERY_LIMITS[1],
    "shortest execution time-out": EXECUTION_LIMITS[0],
    "longest execution time-out": EXECUTION_LIMITS[1],
    "default execution time-out": EXECUTION_DEFAULT,
    "default of MaxErrors": 0,
    "response code before the end": NOT_RUN_YET,
}


@dataclass(frozen=True, slots=True)
class FleetInstance:
    """Instance that can run commands.

    Args:
        home: working directory of the script; None if the instance does not run scripts.
        online: True if its agent accepts commands.
        platform: ``Linux`` or ``Windows``.
        hangs: True if a command never ends there.
    """

    instance_id: str
    home: Path | None
    online: bool = True
    platform: str = "Linux"
    hangs: bool = False


@dataclass(slots=True)
class _Invocation:
    instance: FleetInstance
    status: str = "Pending"
    details: str = "Pending"
    stdout: str = ""
    stderr: str = ""
    exit_status: int = NOT_RUN_YET
    begun: bool = False  # the thread that runs the command also ends the invocation
    process: subprocess.Popen[bytes] | None = None

    def finish(self, status: str, details: str) -> None:
        """Set the final status, once."""
        if self.status in UNFINISHED:
            self.status, self.details = status, details


@dataclass(slots=True)
class _Command:
    command_id: str
    region: str
    owner: str
    document: str
    comment: str
    script: str
    delivery: float
    execution: float
    concurrency: int
    max_errors: int
    sent_at: float
    requested: float
    invocations: dict[str, _Invocation]
    request: Input = field(default_factory=dict)
    cancelled: bool = False
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class RunCommand:
    """Run Command.

    Args:
        find: maps account, region and instance id to the instance, or None if there is none.
        speed: factor by which time-outs are shortened.
        eventual: seconds until a new command is visible.
        rate: calls of List and Get per second for the whole account; None for no limit.
        store: stores a complete stream: request, region, COMMAND/INSTANCE, ``stdout`` or ``stderr``, text.
    """

    def __init__(
        self,
        find: Callable[[str, str, str], FleetInstance | None],
        *,
        speed: float = 1.0,
        eventual: float = 0.0,
        rate: float | None = None,
        store: Callable[[Input, str, str, str, str], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._find = find
        self._speed = speed
        self._eventual = eventual
        self._rate = rate
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self._commands: dict[str, _Command] = {}
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="run-command")
        self._actions: dict[str, Callable[[Input, Key, str], object]] = {
            "SendCommand": self._send,
            "ListCommandInvocations": self._list_invocations,
            "GetCommandInvocation": self._get_invocation,
            "CancelCommand": self._cancel,
            "ListCommands": self._list_commands,
        }

    def call(self, action: str, values: Input, key: Key, region: str) -> Reply:
        """Answer one call.

        Args:
            action: as AWS spells it.
            values: parameters.
            key: the key that signed the request.
            region: the region that the request was signed for.

        Raises:
            LookupError: the action is not one of Run Command.
            ServiceError: the call is refused.
        """
        handler = self._actions.get(action)
        if handler is None:
            raise LookupError(action)
        return json_reply(handler(values, key, region))

    def stop(self) -> None:
        """Kill every script."""
        for command in self._commands.values():
            command.cancelled = True
            for invocation in command.invocations.values():
                _kill(invocation.process)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def execution_of(self, command_id: str) -> float:
        """Return the execution time-out of a command in seconds."""
        return self._commands[command_id].execution

    # --- sending
    def _send(self, values: Input, key: Key, region: str) -> JsonObject:
        ids = list(dict.fromkeys(read_texts(values, "InstanceIds")))
        if not 1 <= len(ids) <= MAX_IDS:
            raise ServiceError("ValidationException", f"InstanceIds: 1 to {MAX_IDS} ids, not {len(ids)}")
        document = read_text(values, "DocumentName")
        if document not in (SHELL_DOCUMENT, POWERSHELL_DOCUMENT):
            raise ServiceError("InvalidDocument", f"Document with name {document} does not exist.")
        found = [self._find(account_of(key.principal.arn), region, instance_id) for instance_id in ids]
        account = account_of(key.principal.arn)
        if unknown := [one for one, instance in zip(ids, found, strict=True) if instance is None]:
            words = f"Instances [[{', '.join(unknown)}]] not in a valid state for account {account}"
            raise ServiceError("InvalidInstanceId", words)
        parameters = read_object(values, "Parameters")
        comment = read_text(values, "Comment")
        if len(comment) > COMMENT_LIMIT:
            raise invalid("Comment", comment, f"Member must have length less than or equal to {COMMENT_LIMIT}")
        least, most = DELIVERY_LIMITS
        delivery = read_integer(values, "TimeoutSeconds", 3600, least=least, most=most)
        command = _Command(
            str(uuid.uuid4()),
            region,
            key.principal.arn,
            document,
            comment,
            "\n".join(read_texts(parameters, "commands")),
            delivery,
            _execution_timeout(parameters),
            _share(values, "MaxConcurrency", "50", len(ids)),
            _share(values, "MaxErrors", "0", len(ids), least=0),
            time.monotonic(),
            time.time(),
            {instance.instance_id: _Invocation(instance) for instance in found if instance is not None},
            values,
        )
        with self._lock:
            self._commands[command.command_id] = command
        threading.Thread(target=self._deliver, args=(command,), name="deliver", daemon=True).start()
        return {"Command": _described(command)}

    def _deliver(self, command: _Command) -> None:
        """Run the command on at most MaxConcurrency instances at a time, until MaxErrors is exceeded."""
        slots = threading.Semaphore(command.concurrency)

        def run(invocation: _Invocation) -> None:
            try:
                self._run(command, invocation)
            finally:
                with command.lock:
                    command.errors += invocation.details in ("Failed", "Execution Timed Out")
                slots.release()

        for invocation in command.invocations.values():
            slots.acquire()
            if command.cancelled:
                invocation.finish("Cancelled", "Cancelled")
                slots.release()
            elif command.errors > command.max_errors:
                invocation.finish("Cancelled", "Terminated")
                slots.release()
            elif not invocation.instance.online:
                slots.release()
                threading.Timer(command.delivery / self._speed, self._undelivered, (invocation,)).start()
            else:
                with contextlib.suppress(RuntimeError):  # the sandbox is ending
                    self._workers.submit(run, invocation)

    @staticmethod
    def _undelivered(invocation: _Invocation) -> None:
        invocation.finish("TimedOut", "Delivery Timed Out")

    def _run(self, command: _Command, invocation: _Invocation) -> None:
        instance = invocation.instance
        if (instance.platform == "Windows") != (command.document == POWERSHELL_DOCUMENT) or instance.home is None:
            invocation.finish("Failed", "InvalidPlatform")
            return
        invocation.begun = True
        if command.cancelled:
            invocation.finish("Cancelled", "Cancelled")
            return
        script = "sleep 100000" if instance.hangs else command.script
        folder = instance.home / f"command-{command.command_id}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        program, name = (["sh"], "_script.sh") if instance.platform != "Windows" else (POWERSHELL, "_script.ps1")
        if shutil.which(program[0]) is None:
            invocation.stderr, invocation.exit_status = f"this machine has no {program[0]}", 127
            invocation.finish("Failed", "Failed")
            return
        file = folder / name
        file.write_text(script, encoding="utf-8")
        environ = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(instance.home), "TMPDIR": str(folder)}
        process = subprocess.Popen(
            [*program, str(file)],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        invocation.process = process
        if command.cancelled:  # during the start of the process, so the cancel call had no process to kill
            _kill(process)
        invocation.status = invocation.details = "InProgress"
        timed_out = False
        try:
            stdout, stderr = process.communicate(timeout=command.execution / self._speed)
        except subprocess.TimeoutExpired:
            _kill(process)
            stdout, stderr = process.communicate()
            timed_out = True
        for name, data in (("stdout", stdout), ("stderr", stderr)):
            if data:  # the agent does not store an empty stream
                folder_name = f"{command.command_id}/{instance.instance_id}"
                self._store(command.request, command.region, folder_name, name, data.decode("utf-8", "replace"))
        invocation.stdout = _cut(stdout.decode("utf-8", "replace"), STDOUT_LIMIT)
        invocation.stderr = _cut(stderr.decode("utf-8", "replace"), STDERR_LIMIT)
        invocation.exit_status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if timed_out:
            invocation.finish("TimedOut", "Execution Timed Out")
        if command.cancelled:
            invocation.finish("Cancelled", "Cancelled")
        result = "Success" if process.returncode == 0 else "Failed"
        invocation.finish(result, result)

    # --- results
    def _check_rate(self) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        with self._lock:
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= self._rate:
                raise ServiceError("ThrottlingException", "Rate exceeded")
            self._recent.append(now)

    def _visible(self, values: Input, key: Key, region: str) -> _Command | None:
        command = self._commands.get(read_text(values, "CommandId"))
        own = command is not None and account_of(command.owner) == account_of(key.principal.arn)
        if command is None or not own or command.region != region:
            raise ServiceError("InvalidCommandId", "The command id does not exist.")
        return command if time.monotonic() >= command.sent_at + self._eventual else None

    def _list_invocations(self, values: Input, key: Key, region: str) -> JsonObject:
        self._check_rate()
        command = self._visible(values, key, region)
        details = read_flag(values, "Details")
        invocations = list(command.invocations.values()) if command else []
        rows = [_row(command, invocation, details=details) for invocation in invocations if command is not None]
        return page("CommandInvocations", rows, values, PAGE)

    def _get_invocation(self, values: Input, key: Key, region: str) -> JsonObject:
        self._check_rate()
        command = self._visible(values, key, region)
        invocation = command.invocations.get(read_text(values, "InstanceId")) if command else None
        if command is None or invocation is None:
            raise ServiceError("InvocationDoesNotExist", "The command ID and managed node ID did not match.")
        final = invocation.status not in UNFINISHED
        return {
            "CommandId": command.command_id,
            "InstanceId": invocation.instance.instance_id,
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputContent": invocation.stdout if final else "",
            "StandardErrorContent": invocation.stderr if final else "",
            "ResponseCode": invocation.exit_status if final else NOT_RUN_YET,
        }

    def _cancel(self, values: Input, key: Key, region: str) -> JsonObject:
        command = self._visible(values, key, region)
        if command is not None:
            command.cancelled = True
            for invocation in command.invocations.values():
                if invocation.process is not None:
                    _kill(invocation.process)
                elif not invocation.begun:
                    invocation.finish("Cancelled", "Cancelled")
        return {}

    def _list_commands(self, values: Input, key: Key, region: str) -> JsonObject:
        self._check_rate()
        wanted, account, now = read_text(values, "CommandId"), account_of(key.principal.arn), time.monotonic()
        commands = [
            _described(command)
            for command in reversed(self._commands.values())
            if command.region == region
            and account_of(command.owner) == account
            and wanted in ("", command.command_id)
            and now >= command.sent_at + self._eventual
        ]
        return page("Commands", commands, values, PAGE)


def _execution_timeout(parameters: Input) -> float:
    """Return the execution time-out in seconds; documents declare it as a string."""
    text = next(iter(read_texts(parameters, "executionTimeout")), str(EXECUTION_DEFAULT))
    shortest, longest = EXECUTION_LIMITS
    if not re.fullmatch(r"[0-9]{1,6}", text) or not shortest <= int(text) <= longest:
        raise ServiceError("InvalidParameters", f"Parameter executionTimeout has value {text}.")
    return float(text)


def _share(values: Input, name: str, default: str, total: int, *, least: int = 1) -> int:
    """Read ``10`` or ``10%`` of `total` instances."""
    text = read_text(values, name) or default
    if not re.fullmatch(r"[0-9]{1,7}|(100|[0-9]{1,2})%", text):
        raise invalid(name, text, "Member must satisfy regular expression pattern")
    number = int(text.rstrip("%"))
    return max(total * number // 100 if text.endswith("%") else number, least)


def _cut(text: str, limit: int) -> str:
    """Truncate a stream as the agent does: to the limit, including the suffix."""
    return text if len(text) <= limit else text[: limit - len(AGENT_SUFFIX)] + AGENT_SUFFIX


def _row(command: _Command, invocation: _Invocation, *, details: bool) -> JsonObject:
    row: JsonObject = {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance.instance_id,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [],
    }
    if details:
        output = invocation.stdout + (SEPARATOR + invocation.stderr if invocation.stderr else "")
        if len(output) > DETAIL_LIMIT:
            output = output[: DETAIL_LIMIT - len(SERVICE_SUFFIX)] + SERVICE_SUFFIX
        final = invocation.status not in (*UNFINISHED, "Cancelled")  # lists may omit output in these states, so ours do
        plugin: JsonObject = {
            "Name": "aws:runShellScript",
            "Status": invocation.status,
            "StatusDetails": invocation.details,
        }
        plugin |= {"ResponseCode": invocation.exit_status if final else NOT_RUN_YET, "Output": output if final else ""}
        row["CommandPlugins"] = [plugin]
    return row


def _described(command: _Command) -> JsonObject:
    running = any(invocation.status in UNFINISHED for invocation in command.invocations.values())
    return {
        "CommandId": command.command_id,
        "DocumentName": command.document,
        "Comment": command.comment,
        "Status": "InProgress" if running else "Success" if not command.errors else "Failed",
        "InstanceIds": list(command.invocations),
        "RequestedDateTime": command.requested,
        "TargetCount": len(command.invocations),
        "ErrorCount": command.errors,
    }


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
