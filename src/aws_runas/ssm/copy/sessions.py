"""The sessions of one copy: a shell session that runs the file server, and more that carry data."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.command.carrier import SessionStarter, not_allowed
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.session import ASSUME_STARTED
from aws_runas.ssm.copy.files import Files
from aws_runas.ssm.copy.port_link import PortLink
from aws_runas.ssm.copy.posix_files import PosixFiles
from aws_runas.ssm.copy.shell_link import ShellLink
from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions, open_data_channel
from aws_runas.ssm.transport.handler import DataChannel, SessionHandler
from aws_runas.ssm.transport.service import SessionService
from aws_runas.ssm.transport.threads import in_thread
from aws_runas.ssm.versions import PORT_SESSIONS, check_forwarding, is_older

PORT_DOCUMENT: Final = "AWS-StartPortForwardingSession"
START_TIMEOUT: Final = 30.0  # seconds for the agent's handshake on a port session
TOKEN_SIZE: Final = 32  # bytes, spec sessions 2


@dataclass(slots=True)
class CopySessions:
    """Opens and closes the sessions of a copy. Every session is known to the guardian.

    Args:
        starter: calls StartSession.
        service: resumes and ends sessions.
        user: whose files these are, through sudo; None for the session's own user.
        via: ``auto``, ``port`` or ``shell``.
        say, debug: take lines for the user.
        agent_version: as the service reports it, "" where it is not known.
        verify: the instance must be able to hash.
        warn_logged: called, in a thread, once before content travels from the instance through a shell session.
    """

    starter: SessionStarter
    service: SessionService
    guardian: Guardian
    stream: StreamOptions
    user: str | None
    via: str
    say: Callable[[str], None]
    debug: Callable[[str], None]
    agent_version: str = ""
    verify: bool = True
    warn_logged: Callable[[], None] | None = None
    carrier: str = "shell"
    _port: int = 0
    _token: bytes = field(default=b"", repr=False)
    _channels: list[tuple[str, SessionChannel]] = field(default_factory=list)
    _primary: Files | None = None
    _primary_used: bool = False

    async def start(self) -> Files:
        """Open the first session and return the operations of its file server.

        Raises:
            AwsRunasError: there is no session, or no file server can run there.
        """
        if self.via == "port":
            check_forwarding(self.agent_version, remote_host=False)
        self._primary = primary = await self._open_shell()
        await primary.call("info")
        if isinstance(primary, PosixFiles):
            if self.via == "port":
                raise SessionError(
                    "--via port needs Python 3.6 on the instance", code="helper-missing", hint="use --via shell"
                )
            return primary
        if self.via == "port" or (self.via == "auto" and not self._is_refused()):
            self._token = os.urandom(TOKEN_SIZE)
            values, _ = await primary.call("listen", {"token": self._token.hex()})
            port = values.get("port")
            self._port = port if isinstance(port, int) and 0 < port < 65536 else 0
        return primary

    async def add_worker(self) -> Files:
        """Open one more session for data; the first call may use the first session.

        Raises:
            AwsRunasError: no session could be opened.
        """
        if self._port:
            try:
                return await self._open_port()
            except AwsRunasError as error:
                if error.code != "session-denied":
                    raise
                self.starter.refusals.add(PORT_DOCUMENT)
                if self.via == "port":
                    raise not_allowed(PORT_DOCUMENT, error) from error
                self._port = 0
        if self.warn_logged is not None:
            warn, self.warn_logged = self.warn_logged, None
            await in_thread(warn)
        if self._primary is not None and not self._primary_used:
            self._primary_used = True
            return self._primary
        return await self._open_shell()

    async def close(self) -> None:
        """End all sessions."""
        ending = [channel.terminate() for _, channel in self._channels]
        await asyncio.gather(*ending, return_exceptions=True)
        for session_id, _ in self._channels:
            self.guardian.release(session_id)
        self._channels.clear()

    def _is_refused(self) -> bool:
        too_old = is_older(self.agent_version, PORT_SESSIONS)
        return too_old or self.starter.refusals.is_refused(PORT_DOCUMENT)

    async def _start_session(self, document: str | None, parameters: dict[str, list[str]] | None) -> StartedSession:
        def start() -> StartedSession:
            started = self.starter.open_session(document, parameters)
            self.guardian.watch(started.session_id)
            return started

        call = asyncio.ensure_future(in_thread(start))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            call.add_done_callback(self._abandon)
            raise

    def _abandon(self, call: asyncio.Future[StartedSession]) -> None:
        """A session that was opened after we left is ended by the guardian, which is not told of its release."""
        if not call.cancelled() and call.exception() is None:
            self.debug(f"session {call.result().session_id} is not used")

    async def _connect(self, started: StartedSession, make: Callable[[DataChannel], SessionHandler]) -> None:
        settings = replace(self.stream.settings, assume_started_after=ASSUME_STARTED)
        options = replace(self.stream, settings=settings)
        channel = await open_data_channel(started, make, service=self.service, options=options)
        self._channels.append((started.session_id, channel))

    async def _open_shell(self) -> Files:
        links: list[ShellLink] = []
        try:
            return await self._open_shell_once(links)
        except SessionError as error:
            if not links or not links[-1].link.may_start_again:
                raise
            self.say(f"the file server did not start ({error.message}); trying again in a second session")
            return await self._open_shell_once(links)

    async def _open_shell_once(self, links: list[ShellLink]) -> Files:
        started = await self._start_session(None, None)
        size = self.stream.settings.payload_size

        def make(channel: DataChannel) -> SessionHandler:
            links.append(ShellLink(channel, size, self.user, self.say, self.debug, verify=self.verify))
            return links[-1].link

        await self._connect(started, make)
        links[-1].link.opened()
        self.debug(f"shell session {started.session_id}")
        return await links[-1].files

    async def _open_port(self) -> Files:
        parameters = {"portNumber": [str(self._port)], "localPortNumber": ["0"]}
        started = await self._start_session(PORT_DOCUMENT, parameters)
        links: list[PortLink] = []

        def make(channel: DataChannel) -> SessionHandler:
            links.append(PortLink(channel, self._token, self.say))
            return links[0]

        await self._connect(started, make)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await links[0].started
        except TimeoutError:
            raise SessionError(
                f"the agent said nothing within {START_TIMEOUT:.0f} s", code="session-start-timeout"
            ) from None
        self.carrier = "port"
        self.debug(f"port session {started.session_id}")
        return links[0].files
