"""The sessions of one copy: a shell session that runs the file server, and further sessions that carry data."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import field, replace
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.command.carrier import SessionStarter, not_allowed
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.session import ASSUME_STARTED
from aws_runas.ssm.copy.files import Files
from aws_runas.ssm.copy.port_link import PortLink
from aws_runas.ssm.copy.posix_files import PosixFiles
from aws_runas.ssm.copy.protocol import Reply
from aws_runas.ssm.copy.shell_link import ServerOptions, ShellLink
from aws_runas.ssm.session_start import SessionStart, connect_started, wait_for_start
from aws_runas.ssm.shutdown import notice_of_slow_end
from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler, SessionService
from aws_runas.ssm.versions import PORT_SESSIONS, is_older

PORT_DOCUMENT: Final = "AWS-StartPortForwardingSession"
TOKEN_SIZE: Final = 32  # bytes, spec sessions 2


@dataclass(slots=True)
class CopySessions:
    """Opens and closes the sessions of a copy. The guardian watches each of them.

    Args:
        starter: calls StartSession.
        service: resumes and ends sessions.
        user: run the file server as this user through sudo; None for the session's own user.
        via: ``auto``, ``port`` or ``shell``.
        say, debug: receive lines for the user.
        agent_version: as the service reports it, "" if it is not known.
        verify: the instance must be able to compute hashes.
        warn_logged: called once, in a thread, before content is sent from the instance through a shell session.
        first: the StartSession call of the first session, if it was already made.
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
    first: SessionStart | None = None
    carrier: str = "shell"
    _listening: asyncio.Task[Reply] | None = None
    _token: bytes = field(default=b"", repr=False)
    _channels: list[tuple[str, SessionChannel]] = field(default_factory=list)
    _primary: Files | None = None
    _primary_used: bool = False
    _without_python: bool = False

    async def start(self) -> Files:
        """Open the first session and return the operations of its file server.

        Raises:
            AwsRunasError: no session could be opened, or no file server can run on the instance.
        """
        self._primary = primary = await self._open_shell()
        if isinstance(primary, PosixFiles):
            await primary.call("info")
            if self.via == "port":
                raise SessionError(
                    "--via port needs Python 3.6 on the instance", code="helper-missing", hint="use --via shell"
                )
        elif self.via == "port" or (self.via == "auto" and not self._is_refused()):
            self._token = os.urandom(TOKEN_SIZE)
            # The first worker awaits the reply, so the first requests of the plan follow at once.
            self._listening = asyncio.ensure_future(primary.call("listen", {"token": self._token.hex()}))
        return primary

    async def add_worker(self, *, small: bool = False) -> Files:
        """Open one more session for data, or use the first session.

        Args:
            small: another session would take more time than it saves.

        Raises:
            AwsRunasError: no session could be opened.
        """
        primary = self._primary
        if small and self.via == "auto" and primary is not None and not self._primary_used:
            self._primary_used = True
            return primary
        if port := await self._find_port():
            try:
                return await self._open_port(port)
            except AwsRunasError as error:
                if error.code != "session-denied":
                    raise
                self.starter.refusals.add(PORT_DOCUMENT)
                if self.via == "port":
                    raise not_allowed(PORT_DOCUMENT, error) from error
                self._listening = None
        if self.warn_logged is not None:
            warn, self.warn_logged = self.warn_logged, None
            await in_thread(warn)
        if primary is not None and not self._primary_used:
            self._primary_used = True
            return primary
        return await self._open_shell()

    async def _find_port(self) -> int:
        """Return the port of the file server's listener, 0 if there is none."""
        if self._listening is None:
            return 0
        values, _ = await asyncio.shield(self._listening)
        port = values.get("port")
        return port if isinstance(port, int) and 0 < port < 65536 else 0

    async def close(self) -> None:
        """End all sessions."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        ending = [channel.terminate() for _, channel in self._channels]
        with notice_of_slow_end(self.say):  # signals are handled by run_until_signal
            await asyncio.gather(*ending, return_exceptions=True)
        for session_id, _ in self._channels:
            self.guardian.release(session_id)
        self._channels.clear()

    def _is_refused(self) -> bool:
        too_old = is_older(self.agent_version, PORT_SESSIONS)
        return too_old or self.starter.refusals.is_refused(PORT_DOCUMENT)

    def _start_session(
        self, document: str | None = None, parameters: dict[str, list[str]] | None = None
    ) -> SessionStart:
        if self.first is not None and document is None:
            starting, self.first = self.first, None
            return starting
        start = self.guardian.watched(lambda: self.starter.open_session(document, parameters))
        starting = SessionStart(start, self.service.terminate_session, self.say)
        starting.begin()
        return starting

    async def _connect(self, starting: SessionStart, make: Callable[[DataChannel], SessionHandler]) -> str:
        """Connect a session and return its id."""
        settings = replace(self.stream.settings, assume_started_after=ASSUME_STARTED)
        options = replace(self.stream, settings=settings)
        channel = await connect_started(starting, make, service=self.service, options=options)
        self._channels.append((channel.started.session_id, channel))
        return channel.started.session_id

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
        size = self.stream.settings.payload_size

        def make(channel: DataChannel) -> SessionHandler:
            self._without_python = self._without_python or (bool(links) and links[-1].link.python_failed)
            options = ServerOptions(size, self.user, self.verify, self._without_python)
            links.append(ShellLink(channel, options, say=self.say, debug=self.debug))
            return links[-1].link

        session_id = await self._connect(self._start_session(), make)
        links[-1].link.opened()
        self.debug(f"shell session {session_id}")
        return await links[-1].files

    async def _open_port(self, port: int) -> Files:
        parameters = {"portNumber": [str(port)], "localPortNumber": ["0"]}
        links: list[PortLink] = []

        def make(channel: DataChannel) -> SessionHandler:
            links.append(PortLink(channel, self._token, self.say))
            return links[0]

        session_id = await self._connect(self._start_session(PORT_DOCUMENT, parameters), make)
        await wait_for_start(links[0].started)
        self.carrier = "port"
        self.debug(f"port session {session_id}")
        return links[0].files
