"""Start and end a sandbox. The sandbox is a separate process (sandbox.host)."""

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
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.sandbox.configuration import HOME, environment, write_shell_files
from aws_runas.sandbox.control_client import CallRecord, SessionRecord, ask
from aws_runas.sandbox.options import SandboxOptions

END_TIMEOUT = 3.0  # seconds for an orderly end of the sandbox
INSTANCE_IDS = ("i-deadbeef", "i-0123456789abcdef0")  # online; the others are in fixtures.py


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """Answer of the sandbox process when it is ready."""

    endpoint: str
    mfa_seed: str


class Sandbox:
    """A running sandbox; a context manager that ends it and removes its files.

    Attributes:
        environ: the complete environment for a program inside the sandbox.
        endpoint: address of every AWS service.
        mfa_seed: base32 seed of the user's MFA device.
        directory: private; contains every file of the sandbox.
        instance_ids: two instances that are online.
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
        """Send a command to the sandbox's control address and return its answer, a JSON value.

        Args:
            command: a name in `commands.HostCommands.table`.
            order: parameters of the command.

        Raises:
            OSError: the sandbox answered with an error, or not at all.
        """
        return ask(self.endpoint, self._token, command, **order)

    def mfa_code(self) -> str:
        """Return a new MFA code, which is accepted once."""
        return str(self.control("mfa-code"))

    def sign_in(self, directory: Path) -> None:
        """Sign the user in as ``aws login`` does.

        Args:
            directory: the login cache directory (AWS_LOGIN_CACHE_DIRECTORY).
        """
        self.control("sign-in", directory=str(directory))

    @property
    def calls(self) -> list[CallRecord]:
        """Return every AWS call so far."""
        return cast(list[CallRecord], self.control("calls"))

    def count(self, action: str) -> int:
        """Return how often an action was called."""
        return sum(call["action"] == action for call in self.calls)

    def forget_calls(self) -> None:
        """Delete the recorded calls."""
        self.control("forget-calls")

    def sessions(self) -> list[SessionRecord]:
        """Return every session so far, including those that have ended."""
        return cast(list[SessionRecord], self.control("sessions"))

    def cut(self, session_id: str | None = None, *, abort: bool = False) -> int:
        """Close the clients' connections and return how many there were.

        Args:
            session_id: the id of one session; None for all.
            abort: break the connections instead of closing them with 1000 "Bye".
        """
        order = {"abort": abort} | ({} if session_id is None else {"session_id": session_id})
        return cast(int, self.control("cut", **order))

    def agents_leave(self, seconds: float, session_id: str | None = None, *, waiting: int = 0) -> int:
        """Disconnect agents for some seconds, and return how many there were.

        Args:
            seconds: until they reconnect.
            session_id: the id of one session; None for all.
            waiting: with official manners, each agent stops reading and leaves when this many data messages wait in its
                receive buffer; 0 for the next burst of any size.
        """
        order = {"waiting": waiting} | ({} if session_id is None else {"session_id": session_id})
        return cast(int, self.control("agent-leaves", seconds=seconds, **order))

    def end_sessions(self, output: str = "", session_id: str | None = None) -> int:
        """End sessions as the service does, and return how many there were.

        Args:
            output: the reason, shown to the client.
            session_id: the id of one session; None for all.
        """
        order = {"output": output} | ({} if session_id is None else {"session_id": session_id})
        return cast(int, self.control("end", **order))

    def publish(self, kind: str, form: str = "json", *, to: str = "client") -> int:
        """Send start_publication or pause_publication in all sessions, and return how many there were.

        Args:
            kind: ``start`` or ``pause``.
            form: one of options.PUBLICATION_FORMS.
            to: ``client`` or ``agent``.
        """
        return cast(int, self.control("publish", kind=kind, form=form, to=to))

    def set_faults(self, **faults: object) -> None:
        """Change fields of options.Faults for calls and sessions that begin from now on."""
        self.control("faults", **faults)

    def set_away(self, target: str, *, away: bool) -> None:
        """Disconnect an instance from the service, or connect it again."""
        self.control("away", target=target, away=away)

    def adopt(self, pid: int) -> None:
        """Let the sandbox end a process (SIGHUP, then SIGKILL) if this process dies first."""
        self.control("adopt", pid=pid)

    def disown(self, pid: int) -> None:
        """Undo `adopt`."""
        with contextlib.suppress(OSError):
            self.control("disown", pid=pid)

    def close(self) -> None:
        """End the sandbox and all its processes, and remove its files. Idempotent."""
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
    """Start a sandbox and wait until it is ready.

    Args:
        options: None for the defaults.
        base: environment that programs inside inherit, except AWS settings; None for this process's environment.

    Returns:
        The sandbox; the caller closes it.

    Raises:
        AwsRunasError: the port is in use, or the packages of the extra `sandbox` are not installed.
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
    values = json.loads(answer) if answer else {"error": "the process ended before it was ready"}
    if "error" not in values:
        return RunningSandbox(**values)
    if values.get("errno") in (errno.EADDRINUSE, errno.EACCES):
        raise AwsRunasError(
            f"the sandbox cannot listen on 127.0.0.1:{options.port}: {values['error'].lower()}",
            code="sandbox-port-taken",
            hint="choose another port with --port, or leave --port out to let the system pick one",
        )
    raise AwsRunasError(
        f"the sandbox did not start: {values['error']}",
        code="sandbox-start-failed",
        hint="run it again with -v; if it fails again, report it",
    )
