"""Start and end a sandbox. The sandbox itself is another process (sandbox.host)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from aws_runas.errors import AwsRunasError
from aws_runas.sandbox.configuration import HOME, environment, write_shell_files
from aws_runas.sandbox.control_client import CallRecord, SessionRecord, ask
from aws_runas.sandbox.options import SandboxOptions

END_TIMEOUT = 3.0  # seconds that the sandbox has to end in order
INSTANCE_IDS = ("i-deadbeef", "i-0123456789abcdef0")  # online, and nothing special; fixtures.py has the rest


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """What the other process said of itself."""

    endpoint: str
    mfa_seed: str


class Sandbox:
    """A running sandbox; a context manager that ends it and removes its files.

    Attributes:
        environ: the whole environment for a program inside the sandbox.
        endpoint: address of every AWS service.
        mfa_seed: base32 seed of the user's MFA device.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        directory: Path,
        running: RunningSandbox,
        environ: dict[str, str],
        token: str,
    ) -> None:
        self._process = process
        self._token = token
        self.directory = directory
        self.endpoint = running.endpoint
        self.mfa_seed = running.mfa_seed
        self.environ = environ
        self.instance_ids = INSTANCE_IDS
        self.config_file = directory / HOME / ".aws" / "config"
        self.credentials_file = directory / HOME / ".aws" / "credentials"

    def control(self, command: str, **order: object) -> object:
        """Ask the sandbox's control address.

        Args:
            command: one of commands.HostCommands.
            order: its JSON object.

        Returns:
            The answer, a JSON value.

        Raises:
            OSError: it answered with an error, or not at all.
        """
        return ask(self.endpoint, self._token, command, **order)

    def mfa_code(self) -> str:
        """Return a new code; it is accepted once."""
        return str(self.control("mfa-code"))

    def sign_in(self, directory: Path) -> None:
        """Sign the user in as ``aws login`` does, into a cache of the caller's own (AWS_LOGIN_CACHE_DIRECTORY)."""
        self.control("sign-in", directory=str(directory))

    @property
    def calls(self) -> list[CallRecord]:
        """Every AWS call so far."""
        return cast(list[CallRecord], self.control("calls"))

    def count(self, action: str) -> int:
        """How often an action was called."""
        return sum(call["action"] == action for call in self.calls)

    def forget_calls(self) -> None:
        """Forget the recorded calls."""
        self.control("forget-calls")

    def sessions(self) -> list[SessionRecord]:
        """Return every session so far."""
        return cast(list[SessionRecord], self.control("sessions"))

    def cut(self, session_id: str | None = None, *, abort: bool = False) -> int:
        """Close the clients' connections with 1000 "Bye", or break them off; returns how many."""
        order = {"abort": abort} | ({} if session_id is None else {"session_id": session_id})
        return cast(int, self.control("cut", **order))

    def agents_leave(self, seconds: float) -> int:
        """Let the agents of all sessions be away for so long; returns how many."""
        return cast(int, self.control("agent-leaves", seconds=seconds))

    def end_sessions(self, output: str = "", session_id: str | None = None) -> int:
        """End sessions as the service does; returns how many."""
        order = {"output": output} | ({} if session_id is None else {"session_id": session_id})
        return cast(int, self.control("end", **order))

    def publish(self, kind: str, form: str = "json", *, to: str = "client") -> int:
        """Send ``start`` or ``pause`` publication in all sessions; returns in how many."""
        return cast(int, self.control("publish", kind=kind, form=form, to=to))

    def set_faults(self, **faults: object) -> None:
        """Change faults (fields of options.Faults) for calls and sessions from now on."""
        self.control("faults", **faults)

    def set_away(self, target: str, *, away: bool) -> None:
        """Disconnect an instance from the service, or let it come back."""
        self.control("away", target=target, away=away)

    def adopt(self, pid: int) -> None:
        """Let the sandbox end that process (SIGHUP, then SIGKILL) should we die without putting things away."""
        self.control("adopt", pid=pid)

    def disown(self, pid: int) -> None:
        """Undo adopt."""
        with contextlib.suppress(OSError):
            self.control("disown", pid=pid)

    def close(self) -> None:
        """End the sandbox and everything in it, and remove its files. Idempotent."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_sandbox(options: SandboxOptions | None = None, *, base: Mapping[str, str] | None = None) -> Sandbox:
    """Start a sandbox and wait until it answers.

    Args:
        base: the environment that programs inside it inherit, without what is AWS's; ours by default.

    Raises:
        AwsRunasError: the port is taken, or the sandbox's extra packages are not installed.
    """
    options = options or SandboxOptions()
    directory = Path(tempfile.mkdtemp(prefix="aws-runas-sandbox-")).resolve()
    token = secrets.token_urlsafe(24)
    hidden = ("AWS_", "MOTO_", "RUNAS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "aws_runas.sandbox.host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=inherited,
    )
    stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    try:
        order = {"directory": str(directory), "options": options.to_json(), "token": token}
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        answer = stdout.readline()
        running = _running(answer, options)
    except BaseException:
        process.kill()
        stdin.close()
        stdout.close()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)
        raise
    base = os.environ if base is None else base
    write_shell_files(directory, base)
    environ = environment(base, directory, running.endpoint, token)
    return Sandbox(process, directory, running, environ, token)


def _running(answer: bytes, options: SandboxOptions) -> RunningSandbox:
    values = json.loads(answer) if answer else {"error": "it ended before it was ready"}
    if "error" not in values:
        return RunningSandbox(**values)
    if values.get("errno") in (errno.EADDRINUSE, errno.EACCES):
        raise AwsRunasError(
            f"the sandbox cannot listen on 127.0.0.1:{options.port}: {values['error'].lower()}",
            code="sandbox-port-taken",
            hint="name another with --port, or leave it out and the system picks one",
        )
    raise AwsRunasError(f"the sandbox did not start: {values['error']}", code="sandbox-start-failed")
