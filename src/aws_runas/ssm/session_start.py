"""StartSession, then the data channel. An exit in between does not leave an orphan.

asyncio and websockets take a tenth of a second to import, and the service takes about as long to answer StartSession.
SessionStart does both at once, so this module imports them only when a channel is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, Self

from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.shutdown import END_NOTICE_AFTER
from aws_runas.ssm.transport.interfaces import SessionService

if TYPE_CHECKING:
    from types import TracebackType

    from aws_runas.aws.session import StartedSession
    from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions
    from aws_runas.ssm.transport.interfaces import DataChannel, OpenChannel, SessionHandler

ABANDON_TIMEOUT: Final = 10.0  # seconds that an exit waits for a session that may have been opened
START_TIMEOUT: Final = 30.0  # seconds for the agent's handshake; the agent itself gives up after 15 + 15
CANCEL_TIMEOUT: Final = 10.0  # seconds to get the id of a session that is no longer needed, and to end it


class SessionApi(Protocol):
    """The part of ssm.api.SsmApi that starts sessions."""

    def start_session(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> StartedSession:
        """Open a session. Blocks until the service answers.

        Args:
            target, document, parameters, reason: as for `SsmApi.start_session`.
        """
        ...


class StartingService(SessionService, SessionApi, Protocol):
    """SessionService that also starts sessions; ssm.api.SsmApi is one."""


class SessionStart:
    """A call of StartSession in its own thread, and the owner of the session until a channel takes it over.

    A signal can raise an exception between any two lines, so the call is made inside the block that ends the session:

        with SessionStart(start, terminate, say) as starting:
            starting.begin()
            ...  # connect_started or `hand_over`

    Args:
        start: makes the call.
        terminate: ends the session with this id at the service.
        say: called with a line for the user if `abandon` takes longer than END_NOTICE_AFTER.
    """

    def __init__(
        self,
        start: Callable[[], StartedSession],
        terminate: Callable[[str], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._start = start
        self._terminate = terminate
        self._say = say
        self._started: StartedSession | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._is_calling = False
        self._is_abandoned = False
        self._is_handed_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_handed_over:
            self.abandon()

    def begin(self) -> None:
        """Make the call. Call it once, inside the ``with`` block."""
        threading.Thread(target=self._run, name="start-session", daemon=True).start()

    def hand_over(self) -> None:
        """Leave the end of the session to its channel, which ends it whatever happens from now on."""
        self._is_handed_over = True

    def result(self) -> StartedSession:
        """Wait for the reply to the call that `begin` has made; blocks.

        Raises:
            AwsRunasError: the call failed.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        if self._started is None:
            raise AssertionError("StartSession neither answered nor failed")
        return self._started

    def abandon(self) -> None:
        """End the session if it was opened; blocks. Call it if the session is not used; only the first call counts.

        No other call can end the session: its id is in the reply to StartSession. A signal ends the wait.
        """
        if self._is_abandoned:
            return
        self._is_abandoned = True
        if not self._is_calling:  # a signal arrived before the thread ran
            return
        if not self._done.wait(END_NOTICE_AFTER):
            self._say("ending the session once AWS has opened it; press Ctrl-C again to exit without waiting")
            self._done.wait(ABANDON_TIMEOUT - END_NOTICE_AFTER)
        if self._started is not None:
            with suppress(AwsRunasError):
                self._terminate(self._started.session_id)

    def _run(self) -> None:
        self._is_calling = True  # before the check, as `abandon` does the opposite: one of them sees the other
        try:
            if not self._is_abandoned:
                self._started = self._start()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()


def channel_opener(
    service: StartingService,
    target: str,
    document: str,
    parameters: Mapping[str, Sequence[str]],
    *,
    options: StreamOptions,
    reason: str | None = None,
) -> OpenChannel:
    """Return a function that opens one session to the same destination per call.

    Args:
        service: the calls that start, resume and end sessions.
        target, document, parameters, reason: as in StartSession.
        options: options of the data channels.
    """
    from aws_runas.ssm.transport.data_channel import open_data_channel

    async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        started = await _start(service, target, document, parameters, reason)
        await open_data_channel(started, make_handler, service=service, options=options)
        return started.session_id

    return open_channel


async def connect_started(
    starting: SessionStart,
    make_handler: Callable[[DataChannel], SessionHandler],
    *,
    service: SessionService,
    options: StreamOptions,
) -> SessionChannel:
    """Connect a session whose StartSession is already running. Its channel owns it from the call of `make_handler` on.

    Args:
        starting: the running call.
        make_handler, service, options: as for `open_data_channel`.
    """
    import asyncio

    from aws_runas.ssm.transport.data_channel import open_data_channel
    from aws_runas.ssm.transport.event_loop import in_thread

    def make(channel: DataChannel) -> SessionHandler:
        starting.hand_over()
        return make_handler(channel)

    try:
        started = await in_thread(starting.result)
    except asyncio.CancelledError:
        await in_thread(starting.abandon)
        raise
    return await open_data_channel(started, make, service=service, options=options)


def started_opener(session_start: SessionStart, service: SessionService, *, options: StreamOptions) -> OpenChannel:
    """Return a function that opens one session whose StartSession is already running.

    Args:
        session_start: the running call.
        service: the calls that resume and end the session.
        options: options of the data channel.
    """

    async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        channel = await connect_started(session_start, make_handler, service=service, options=options)
        return channel.started.session_id

    return open_channel


async def wait_for_start(started: Awaitable[None]) -> None:
    """Wait until the agent has started a session whose channel is open.

    Args:
        started: future that the session handler completes. A timeout cancels it; shield it if others wait for it too.

    Raises:
        SessionError: the agent sent nothing for START_TIMEOUT.
        AwsRunasError: the session could not be started.
    """
    import asyncio

    try:
        async with asyncio.timeout(START_TIMEOUT):
            await started
    except TimeoutError:
        raise SessionError(
            f"the agent on the target sent nothing within {START_TIMEOUT:.0f} s",
            code="session-start-timeout",
            hint="see whether the instance is overloaded, and update its agent",
        ) from None


async def _start(
    service: StartingService,
    target: str,
    document: str,
    parameters: Mapping[str, Sequence[str]],
    reason: str | None,
) -> StartedSession:
    import asyncio

    from aws_runas.ssm.transport.event_loop import in_thread

    call = asyncio.ensure_future(in_thread(service.start_session, target, document, parameters, reason))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        # The service may be opening the session right now.
        with suppress(AwsRunasError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT):
                started = await call
                await in_thread(service.terminate_session, started.session_id)
        raise
