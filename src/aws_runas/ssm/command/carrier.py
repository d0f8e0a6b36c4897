"""The session that carries a command, and its StartSession call, with remembered refusals and throttling.

Carrier S is the account's shell: every user who may open a session may use it. Carrier N is the document
AWS-StartNonInteractiveCommand. It starts a second earlier and needs a separate permission (spec sessions 0.1).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from aws_runas import files
from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError, UsageError
from aws_runas.ssm.command.bootstrap import list_tools, quote, start_python
from aws_runas.ssm.command.helper import packed_helper
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.shell_helper import plain_script
from aws_runas.ssm.session_start import SessionApi
from aws_runas.ssm.versions import COMMANDS, is_older

DOCUMENT: Final = "AWS-StartNonInteractiveCommand"
DOCUMENT_PACE: Final = 800_000  # bytes per second of the helper's output on carrier N, spec sessions 0.5
MAX_PARAMETER: Final = 65_535  # characters, spec sessions 0.2
THROTTLE_LIMIT: Final = 60.0  # seconds for which throttled calls are repeated, spec sessions 0.1
THROTTLE_DELAYS: Final = (1.0, 15.0)  # seconds, first and longest
THROTTLE_NOTICE: Final = 3.0  # seconds of waiting before the user is told
NOT_CONNECTED_DELAY: Final = 3.0  # seconds between two calls with --wait


class Carrier(Enum):
    """A kind of session that reaches a process on the instance. Its value is the argument of ``--via``."""

    SHELL = "shell"
    DOCUMENT = "document"


class Refusals(Protocol):
    """Documents that were refused to the identity within the last hour."""

    def is_refused(self, document: str) -> bool:
        """Return True if a call for this document would be refused."""
        ...

    def add(self, document: str) -> None:
        """Remember a refusal."""
        ...


def document_command(request: CommandRequest, nonce: str) -> str:
    """Return the value of the parameter ``command`` for carrier N.

    The agent splits it into words without a shell (spec sessions 0.2), so it is ``sh -c`` with one word. All text from
    the user is base64, which has no braces that the document could read as a parameter.
    """
    options = base64.b64encode(request.fields(with_script=False)).decode("ascii")
    script = base64.b64encode(request.script(with_env=True).encode("utf-8", "surrogateescape")).decode("ascii")
    text = (
        f"RUNAS_REQUEST={options};RUNAS_SCRIPT={script};export RUNAS_REQUEST RUNAS_SCRIPT;"
        f"{start_python(packed_helper())};{list_tools()};{plain_script(nonce)}"
    )
    return f"sh -c {quote(text)}"


def choose_carrier(request: CommandRequest, via: str, refusals: Refusals) -> Carrier:
    """Decide how to reach the instance.

    Args:
        via: ``auto``, ``shell`` or ``document``.

    Raises:
        UsageError: the document cannot carry this command.

    Source: spec sessions 1, ``--via auto``.
    """
    size = len(document_command(request, "0" * 16))
    if via == "document":
        if request.wants_input:
            raise UsageError(
                "--via document has no standard input", code="input-not-possible", hint="add -n, or use --via shell"
            )
        if size > MAX_PARAMETER:
            raise UsageError(
                f"the command is too long for --via document: {size} characters of at most {MAX_PARAMETER}",
                code="command-too-long",
                hint="use --via shell",
            )
        return Carrier.DOCUMENT
    # Variables may be secret, and CloudTrail keeps document parameters.
    plain = not request.wants_input and not request.env and size <= MAX_PARAMETER
    return Carrier.DOCUMENT if via == "auto" and plain and not refusals.is_refused(DOCUMENT) else Carrier.SHELL


def carrier_for_agent(carrier: Carrier, via: str, agent_version: str) -> Carrier:
    """Return the carrier that an agent can serve. Old agents merge the streams of a command and send no status.

    Args:
        carrier: the result of choose_carrier.
        via: as for choose_carrier.
        agent_version: as the service reports it, "" if it is not known.

    Raises:
        SessionError: the agent is too old for the requested document.

    Source: spec sessions 0.2, versions.
    """
    if carrier is Carrier.SHELL or not is_older(agent_version, COMMANDS):
        return carrier
    if via == "auto":
        return Carrier.SHELL
    raise SessionError(
        f"the SSM agent {agent_version} on the target does not separate a command's streams: it takes {COMMANDS} or "
        "later",
        code="agent-too-old",
        hint="use --via shell, or update the agent on the instance (AWS-UpdateSSMAgent)",
    )


@dataclass(slots=True)
class SessionStarter:
    """Calls StartSession for one command. `start` blocks; call it in a thread.

    Args:
        api: makes the call.
        target: instance id.
        carrier: the chosen carrier; SHELL afterwards if the document was refused.
        parameters: parameters of the document.
        fallback: use the shell if the document is refused.
        reason: text for the session history.
        wait: seconds to wait for an instance that is not connected, 0 not to wait.
        say: shows a line to the user.
        clock: returns monotonic seconds.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1.
    """

    api: SessionApi
    target: str
    carrier: Carrier
    parameters: dict[str, list[str]]
    refusals: Refusals
    say: Callable[[str], None]
    jitter: Callable[[], float]
    fallback: bool = True
    reason: str | None = None
    wait: float = 0.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def start(self) -> StartedSession:
        """Open the session.

        Raises:
            SessionError: the call was throttled for a minute (start-throttled), or the document is not allowed.
            AwsRunasError: the call failed in another way.
        """
        if self.carrier is Carrier.DOCUMENT:
            try:
                return self.open_session(DOCUMENT, self.parameters)
            except SessionError as error:
                if error.code != "session-denied":
                    raise
                self.refusals.add(DOCUMENT)
                if not self.fallback:
                    raise not_allowed(DOCUMENT, error) from error
            self.carrier = Carrier.SHELL
        return self.open_session()

    def open_session(
        self, document: str | None = None, parameters: dict[str, list[str]] | None = None
    ) -> StartedSession:
        """Call StartSession, and repeat it while it is throttled. Blocks.

        Raises:
            SessionError: the call was throttled for a minute (start-throttled).
            AwsRunasError: the call failed in another way.
        """
        started = self.clock()
        delay, longest = THROTTLE_DELAYS
        told = False
        while True:
            try:
                return self.api.start_session(self.target, document, parameters, self.reason)
            except AwsRunasError as error:
                waited = self.clock() - started
                pause = self._pause(error, waited, delay)
                if pause is None:
                    raise
                if waited + pause > THROTTLE_NOTICE and not told:
                    told = True
                    self.say(_notice(error, self.target))
                self.sleep(pause)
                delay = min(delay * 2, longest)

    def _pause(self, error: AwsRunasError, waited: float, delay: float) -> float | None:
        """Return how long to wait before the next call; None to give up and raise the error itself.

        Raises:
            SessionError: the call was throttled for too long.
        """
        if error.code == "throttled":
            pause = delay * (0.5 + self.jitter() / 2)
            if waited + pause > THROTTLE_LIMIT:
                raise SessionError(
                    f"StartSession was throttled for {waited:.0f} s",
                    code="start-throttled",
                    hint="the limit is shared by the whole account; try again later",
                ) from error
            return pause
        if error.code == "target-not-connected" and waited < self.wait:
            return min(NOT_CONNECTED_DELAY, self.wait - waited)
        return None


def _notice(error: AwsRunasError, target: str) -> str:
    if error.code == "throttled":
        return "StartSession is throttled; waiting"
    return f"{target} is not connected yet; waiting"


def not_allowed(document: str, error: AwsRunasError) -> SessionError:
    """Return the error for a document that the identity may not use."""
    return SessionError(
        f"not permitted to use the document {document}: {error.message}",
        code="document-not-allowed",
        hint=f"needs ssm:StartSession on arn:PARTITION:ssm:REGION::document/{document}; --via shell needs no document",
    )


REMEMBERED: Final = 3600.0  # seconds, spec sessions 0.1


class RefusedDocuments:
    """Implements carrier.Refusals with one empty private file per refusal.

    Args:
        directory: the cache directory; if it cannot be written, nothing is remembered.
        identity: the identity that makes the calls.
        region: the region of the calls.
        now: seconds since the epoch.
    """

    def __init__(self, directory: Path, identity: str, region: str, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._key = f"{identity}\n{region}"
        self._now = now

    def is_refused(self, document: str) -> bool:
        """Return True if the document was refused within the last hour."""
        try:
            refused_at = float(self._path(document).read_text("ascii"))
        except (OSError, ValueError):
            return False
        return 0 <= self._now() - refused_at < REMEMBERED

    def add(self, document: str) -> None:
        """Remember a refusal."""
        with contextlib.suppress(OSError):
            files.make_private_directory(self._directory)
            files.write_atomic(self._path(document), f"{self._now():.0f}".encode("ascii"))

    def _path(self, document: str) -> Path:
        digest = hashlib.sha256(f"{self._key}\n{document}".encode("utf-8", "surrogateescape")).hexdigest()
        return self._directory / f"refused-{digest[:32]}.json"
