"""Standard input and output as one connection to a port of the instance: what ssh wants of a ProxyCommand (spec 10)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aws_runas.errors import SessionError
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.forward.session import START_TIMEOUT, OpenChannel
from aws_runas.ssm.shutdown import ShutdownWatcher
from aws_runas.ssm.terminal.streams import InputStream, OutputStream
from aws_runas.ssm.transport.handler import DataChannel, SessionHandler

HALF_CLOSE_TIMEOUT: Final = 5.0  # seconds of silence after the end of the input until the connection is closed
QUEUE: Final = 64 * 1024  # bytes of input waiting for the channel
LAST_OUTPUT: Final = 10.0  # seconds for a slow reader to take what came before the end


class SshSession:
    """Implements SessionHandler.

    Args:
        stdin, stdout: descriptors; nothing but the far side's bytes goes to stdout.
    """

    def __init__(self, channel: DataChannel, stdin: int, stdout: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._input = InputStream(stdin, self._typed)
        self._output = OutputStream(stdout, self._congested, self._broken)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._input_ended = False
        self._last_received = 0.0
        self.started: asyncio.Future[None] = self._loop.create_future()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when there is nothing more to carry; an exception where the session failed."""
        self.over.add_done_callback(_looked_at)
        self.started.add_done_callback(_looked_at)

    async def close(self) -> None:
        """Let the reader have what came, then stop."""
        self._input.stop()
        try:
            async with asyncio.timeout(LAST_OUTPUT):
                await self._output.drained()
        except TimeoutError:
            pass
        self._output.close()

    # SessionHandler

    def session_started(self, event: SessionStarted) -> None:  # noqa: ARG002 - any agent will do
        if not self.started.done():
            self.started.set_result(None)
            self._input.start()

    def data_received(self, data: bytes, payload_type: int) -> None:
        if payload_type == 1:
            self._last_received = self._loop.time()
            self._output.write(data)

    def exit_code_received(self, exit_code: int) -> None:
        pass  # there is none

    def flag_received(self, flag: int) -> None:
        pass  # nor is there a second connection to fail

    def writable(self) -> None:
        self._pump()

    def connection_lost(self, reason: str) -> None:
        pass  # it comes back, and ssh is patient

    def connection_regained(self, seconds: float) -> None:
        pass

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - error says it
        if not self.started.done():
            self.started.set_exception(error or SessionError("the session ended before it began", code="session-ended"))
        if not self.over.done():
            if error is not None:
                self.over.set_exception(error)
            else:
                self.over.set_result(None)

    # inside

    def _typed(self, data: bytes) -> None:
        if not data:
            self._input_ended = True
        else:
            self._queue.append(data)
            self._queued += len(data)
            if self._queued >= QUEUE:
                self._input.stop()
        self._pump()

    def _pump(self) -> None:
        while self._queue and (room := self._channel.send_capacity()):
            data = self._queue.popleft()
            if len(data) > room:
                self._queue.appendleft(data[room:])
                data = data[:room]
            self._queued -= len(data)
            self._channel.write(data)
        if self._input_ended:
            if not self._queue:
                self._input_ended = False
                self._ending = self._loop.create_task(self._wait_for_answers())
        elif self._queued < QUEUE // 2:
            self._input.start()

    async def _wait_for_answers(self) -> None:
        """Input has ended, and the far side cannot be told without cutting off its answers: give those their time."""
        await self._channel.drained()
        self._last_received = max(self._last_received, self._loop.time())
        quiet_for = 0.0
        while quiet_for < HALF_CLOSE_TIMEOUT:
            await asyncio.sleep(HALF_CLOSE_TIMEOUT - quiet_for)
            quiet_for = self._loop.time() - self._last_received
        self._broken()

    def _congested(self, congested: bool) -> None:
        if congested:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def _broken(self) -> None:
        """Nobody reads any more, or nothing more is to come."""
        if not self.over.done():
            self.over.set_result(None)


async def run_ssh(open_channel: OpenChannel, *, stdin: int, stdout: int) -> int:
    """Carry stdin and stdout until one of them, or the session, has ended.

    Returns:
        0, or 128 and the number of the signal that told us to leave.

    Raises:
        AwsRunasError: the session could not be opened, or failed.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()
    departure = ShutdownWatcher(lambda number: told.set_result(128 + number))
    sessions: list[SshSession] = []
    channels: list[DataChannel] = []

    def make(channel: DataChannel) -> SessionHandler:
        channels.append(channel)
        sessions.append(SshSession(channel, stdin, stdout))
        return sessions[0]

    opening = asyncio.ensure_future(_open(open_channel, make, sessions))
    try:
        await _either(opening, told)
        if told.done():
            return told.result()
        opening.result()
        await _either(sessions[0].over, told)
        if told.done():
            return told.result()
        await sessions[0].close()
        sessions[0].over.result()
        return 0
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        for channel in channels:
            await channel.terminate()
        departure.close()


async def _either(one: asyncio.Future[None], other: asyncio.Future[int]) -> None:
    waited: list[asyncio.Future[None] | asyncio.Future[int]] = [one, other]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)


async def _open(
    open_channel: OpenChannel, make: Callable[[DataChannel], SessionHandler], sessions: list[SshSession]
) -> None:
    await open_channel(make)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await sessions[0].started
    except TimeoutError:
        raise SessionError(
            f"the agent on the target said nothing within {START_TIMEOUT:.0f} s", code="session-start-timeout"
        ) from None


def _looked_at(future: asyncio.Future[None]) -> None:
    """Its error counts where it is asked for; elsewhere it is no news."""
    if not future.cancelled():
        future.exception()
