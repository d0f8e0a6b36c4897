"""Standard input and output as a connection to a port of the instance, for ssh's ProxyCommand (spec 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aws_runas.errors import SessionError
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.session_start import wait_for_start
from aws_runas.ssm.shutdown import SignalReceived, notice_of_slow_end, run_until_signal
from aws_runas.ssm.terminal.streams import InputStream, OutputStream
from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler, end_uncertain
from aws_runas.ssm.transport.keepalive import AGENT_SILENT_AFTER
from aws_runas.ssm.transport.outbox import Outbox
from aws_runas.ssm.transport.silence_notice import SilenceNotice
from aws_runas.ssm.versions import check_forwarding

if TYPE_CHECKING:
    from aws_runas.ssm.transport.interfaces import OpenChannel

HALF_CLOSE_TIMEOUT: Final = 5.0  # seconds of silence after the end of the input until the connection is closed
STALL_TIMEOUT: Final = 15.0  # seconds within which a port that has sent nothing must accept data
LAST_OUTPUT_TIMEOUT: Final = 10.0  # seconds for a slow reader to read the output that arrived before the end
CONNECT_TO_PORT_ERROR: Final = 3  # flag, spec 4


class SshSession:
    """The connection of one ssh process. Implements SessionHandler.

    Args:
        stdin, stdout: descriptors; only bytes from the remote end are written to stdout.
        say: called with a line for the user.
    """

    def __init__(self, channel: DataChannel, stdin: int, stdout: int, say: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._input = InputStream(stdin, self._typed)
        self._output = OutputStream(stdout, self._congested, self._broken)
        self._outbox = Outbox(channel, congested=self._hold_input)
        self._ending: asyncio.Task[None] | None = None
        self._has_received = False
        self._say = say
        self._silence = SilenceNotice(channel.agent_silent_for, say, "the connection waits")
        self._connected = asyncio.Event()
        self._connected.set()
        self._loss_notice: asyncio.TimerHandle | None = None
        self._is_loss_told = False
        self._sent = 0
        self._last_received = 0.0
        self.started: asyncio.Future[None] = self._loop.create_future()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when there is nothing more to carry; an exception where the session failed."""
        self.over.add_done_callback(_retrieve)
        self.started.add_done_callback(_retrieve)

    def stop(self) -> None:
        """Stop reading input and printing messages."""
        self._input.stop()
        self._silence.close()
        if self._loss_notice is not None:
            self._loss_notice.cancel()
        if self._ending is not None:
            self._ending.cancel()

    async def close(self) -> None:
        """Write the rest of the received output, then stop."""
        self.stop()
        try:
            async with asyncio.timeout(LAST_OUTPUT_TIMEOUT):
                await self._output.drained()
        except TimeoutError:
            pass
        self._output.close()

    # SessionHandler

    def session_started(self, event: SessionStarted) -> None:
        if self.started.done():
            return
        try:
            check_forwarding(event.agent_version, remote_host=False)
        except SessionError as error:
            self.started.set_exception(error)
            return
        self.started.set_result(None)
        self._input.start()

    def data_received(self, data: bytes, payload_type: int) -> None:
        if payload_type == 1:
            self._has_received = True
            self._last_received = self._loop.time()
            self._output.write(data)

    def exit_code_received(self, exit_code: int) -> None:
        pass  # there is no terminal

    def flag_received(self, flag: int) -> None:
        if flag == CONNECT_TO_PORT_ERROR:
            self._fail("the agent cannot connect to the port")

    def writable(self) -> None:
        self._outbox.flush()

    def connection_lost(self, reason: str) -> None:
        self._connected.clear()
        if self._loss_notice is not None:
            self._loss_notice.cancel()
        # The hourly reconnect takes less. A line in the middle of the output of ssh must be worth the disturbance.
        self._loss_notice = self._loop.call_later(AGENT_SILENT_AFTER, self._tell_loss, reason)

    def connection_regained(self, seconds: float) -> None:
        self._connected.set()
        self._last_received = self._loop.time()  # no data could arrive before now
        if self._loss_notice is not None:
            self._loss_notice.cancel()
        if self._is_loss_told:
            self._is_loss_told = False
            self._say(f"connection regained after {seconds:.1f} s")

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - error contains it
        if not self.started.done():
            self.started.set_exception(
                error or SessionError("the session ended before it started", code="session-ended")
            )
        if error is None and not self._has_received:
            self._fail("the session ended before the port sent anything")
        elif not self.over.done():
            if error is None and self._channel.end_may_be_missing():
                error = end_uncertain()
            if error is not None:
                self.over.set_exception(error)
            else:
                self.over.set_result(None)

    # inside

    def _tell_loss(self, reason: str) -> None:
        self._is_loss_told = True
        self._say(f"connection lost ({reason}); resuming the session")

    def _typed(self, data: bytes) -> None:
        if data:
            self._sent += len(data)
            self._outbox.put(data)
            self._silence.message_sent()
        else:
            self._ending = self._loop.create_task(self._end_input())

    def _hold_input(self, hold: bool) -> None:
        if hold:
            self._input.stop()
        else:
            self._input.start()

    async def _end_input(self) -> None:
        """Wait for the last answers after the end of input.

        If EOF is sent to the remote end, answers that are still in transit are lost. Silence counts only while the
        connection works.
        """
        if not await self._delivered():
            self._fail(f"the port accepted no data for {STALL_TIMEOUT:.0f} s")
            return
        self._last_received = max(self._last_received, self._loop.time())
        quiet_for = 0.0
        while quiet_for < HALF_CLOSE_TIMEOUT:
            self._channel.check_connection()
            await asyncio.sleep(HALF_CLOSE_TIMEOUT - quiet_for)
            await self._connected.wait()
            quiet_for = self._loop.time() - self._last_received
        if self._has_received or self._sent:
            self._broken()
        else:
            self._fail(f"the port sent nothing for {HALF_CLOSE_TIMEOUT:.0f} s")

    async def _delivered(self) -> bool:
        """Wait until all input is acknowledged; return False if a port that never answered stops accepting data.

        If the port refused the connection, the agent may neither report that nor acknowledge the data sent to it.
        """
        delivery = asyncio.ensure_future(self._deliver())
        try:
            while not delivery.done():
                queued = self._outbox.queued
                await asyncio.wait([delivery], timeout=STALL_TIMEOUT)
                is_stalled = not delivery.done() and self._outbox.queued == queued
                if is_stalled and self._connected.is_set() and not self._has_received:
                    return False
            return True
        finally:
            delivery.cancel()

    async def _deliver(self) -> None:
        await self._outbox.emptied()
        await self._channel.drained()

    def _fail(self, reason: str) -> None:
        """End with an error that says why there is no connection."""
        if not self.over.done():
            hint = "does something listen on the port, and does it send the first byte, as sshd does?"
            self.over.set_exception(SessionError(reason, code="port-silent", hint=hint))

    def _congested(self, congested: bool) -> None:
        if congested:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def _broken(self) -> None:
        """End without an error: the input has ended, or the reader of the output is gone."""
        if not self.over.done():
            self.over.set_result(None)


async def run_ssh(open_channel: OpenChannel, *, stdin: int, stdout: int, say: Callable[[str], None]) -> int:
    """Relay stdin and stdout until one of them, or the session, ends.

    Args:
        open_channel: opens the session.
        stdin, stdout: descriptors; the caller closes them.
        say: called with a line for the user when the agent or the connection is lost or back.

    Returns:
        0, or 128 plus the number of the signal that ended the session.

    Raises:
        AwsRunasError: the session could not be opened, or failed.
    """
    try:
        # With ControlPersist and with -f, ssh changes the parent of its ProxyCommand.
        await run_until_signal(_carry(open_channel, stdin, stdout, say), watch_parent=False, say=say)
    except SignalReceived as ended:
        return ended.exit_status
    return 0


async def _carry(open_channel: OpenChannel, stdin: int, stdout: int, say: Callable[[str], None]) -> None:
    sessions: list[SshSession] = []
    channels: list[DataChannel] = []

    def make(channel: DataChannel) -> SessionHandler:
        channels.append(channel)
        sessions.append(SshSession(channel, stdin, stdout, say))
        return sessions[0]

    try:
        await _open(open_channel, make, sessions)
        await asyncio.wait([sessions[0].over])
        await sessions[0].close()
        sessions[0].over.result()
    finally:
        for session in sessions:
            session.stop()
        with notice_of_slow_end(say):
            for channel in channels:
                await channel.terminate()


async def _open(
    open_channel: OpenChannel, make: Callable[[DataChannel], SessionHandler], sessions: list[SshSession]
) -> None:
    await open_channel(make)
    await wait_for_start(sessions[0].started)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Mark the error of the future as retrieved, even if nothing awaits the future."""
    if not future.cancelled():
        future.exception()
