"""The agent's end of one session: the protocol core in the role AGENT, and the plugin that does the work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from aws_runas.sandbox.agent.machine import Machine, decrypt, newer_client
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.link import Frames
from aws_runas.sandbox.services.session import Session
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.versions import at_least, later_than

DRAIN = 5.0  # seconds that a session's end waits for the client to acknowledge; official agents wait 2
HANDSHAKE_ALWAYS = ("Port", "NonInteractiveCommands")


class Plugin(Protocol):
    """What a session does once it has started. Called on the event loop."""

    def start(self) -> None:
        """Data may flow."""

    def receive(self, data: bytes) -> None:
        """Input of the client."""

    def size(self, columns: int, rows: int) -> None:
        """The client's terminal has this size."""

    def flag(self, flag: int) -> None:
        """1 DisconnectToPort; TerminateSession is not passed on."""

    def writable(self) -> None:
        """AgentSession.capacity is above zero again."""

    def stop(self) -> None:
        """End everything at once."""


class AgentSession:
    """One session. Implements session.AgentLink.

    Args:
        kms_key: encrypt with it; "" for no encryption.
        on_stop: called when nothing of it is left.
    """

    def __init__(
        self, session: Session, machine: Machine, kms_key: str, on_stop: Callable[[AgentSession], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.session = session
        self.machine = machine
        self._on_stop = on_stop
        plan = session.plan
        self._channel = Channel(
            Role.AGENT,
            session_id=session.session_id,
            target=plan.target,
            settings=ChannelSettings(
                frame_rate=machine.agent_rate,
                window_bytes=None,
                agent_version=machine.agent_version,
                session_type=plan.session_type,
                properties=plan.properties,
                kms_key_id=kms_key,
                handshake=plan.session_type in HANDSHAKE_ALWAYS or bool(kms_key),
                customer_message="This session is encrypted using AWS KMS." if kms_key else "",
            ),
            random_bytes=os.urandom,
            wall_clock=lambda: time.time_ns() // 1_000_000,
        )
        self._plugin: Plugin | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn_due = False
        self._held = False  # the plugin waits for the client's connection to take more
        self._ending: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._absence: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Connect to the session."""
        if self.session.plan.session_type == "Port" and not at_least(self.machine.agent_version, "2.3.672.0"):
            self.session.end("Plugin with name Port not found. Step name: Port")
            self._on_stop(self)
            return
        self.session.agent_connected(self)
        self._channel.connect("in-process", self._loop.time())
        if self.session.faults.leave_after is not None:
            self._absence = self._loop.call_later(
                self.session.faults.leave_after, self.leave, self.session.faults.away or 1.0
            )
        self._turn()

    def leave(self, seconds: float) -> None:
        """Lose the connection to the service, and have it again after so long; what was sent meanwhile is lost."""
        if self._stopped or self.session.agent is not self:
            return
        self._channel.receive_disconnect(self._loop.time())
        self.session.agent_gone(self)
        self._absence = self._loop.call_later(seconds, self._come_back)

    def _come_back(self) -> None:
        if not self._stopped and self.session.ended is None:
            self.session.agent_connected(self)
            self._channel.connect("in-process", self._loop.time())
            self._turn()

    # --- AgentLink

    def receive(self, frames: Frames) -> None:
        """Frames of the client or the service."""
        now = self._loop.time()
        receive = self._channel.receive_message
        for frame in frames:
            receive(frame, now)
        self._turn()

    def client_writable(self) -> None:
        """Go on sending."""
        self._turn()

    def stop(self) -> None:
        """The session is over: nothing of it may stay."""
        if self._stopped:
            return
        self._stopped = True
        for timer in (self._timer, self._deadline, self._absence):
            if timer is not None:
                timer.cancel()
        if self._plugin is not None:
            self._plugin.stop()
        self._on_stop(self)

    # --- for plugins

    def capacity(self) -> int:
        """Bytes that write takes now; 0: wait for Plugin.writable."""
        if not self.session.client_writable():
            self._held = True
            return 0
        return 0 if self._ending is not None else self._channel.send_capacity()

    def write(self, data: bytes, payload_type: int = 1) -> None:
        """Send output; at most capacity bytes."""
        self._channel.send_data(data, self._loop.time(), payload_type)
        self._want_turn()

    def send_flag(self, flag: int) -> None:
        """Send ConnectToPortError."""
        self._channel.send_flag(flag, self._loop.time())
        self._want_turn()

    def send_exit_code(self, status: int) -> None:
        """Tell the command's status."""
        self._channel.send_exit_code(status, self._loop.time())
        self._want_turn()

    def pause_reading(self) -> None:
        """The plugin cannot take more: the client feels it."""
        if self.session.client is not None:
            self.session.client.pause_reading()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        if self.session.client is not None:
            self.session.client.resume_reading()

    def finish(self, output: str = "", *, at_once: bool = False) -> None:
        """The work is done: wait until the client has everything, then end the session.

        Args:
            output: the reason, for the client to see.
        """
        if self._ending is not None or self._stopped:
            return
        self._ending = output
        self._deadline = self._loop.call_later(0 if at_once else DRAIN, self._end)
        self._want_turn()

    # --- inside

    def _end(self) -> None:
        if self._ending:
            self.session.end(self._ending)
        else:
            self._channel.send_terminating(self._loop.time())
            self._send()
            self.session.end("")
        self.stop()

    def _want_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Handle what happened, send what is due, set the timer."""
        self._turn_due = False
        if self._stopped:
            return
        data: list[bytes] = []
        for event in self._channel.events():
            if isinstance(event, events.DataReceived):
                data.append(event.data)
                continue
            self._hand_over(data)
            self._handle(event)
            if self._stopped:
                return
        self._hand_over(data)
        if self._held and self._plugin is not None and self.session.client_writable():
            self._held = False
            self._plugin.writable()
        self._send()
        if self._ending is not None and not self._channel.unacknowledged():
            self._end()
            return
        self._schedule()

    def _hand_over(self, data: list[bytes]) -> None:
        if data and self._plugin is not None and self._ending is None:
            self._plugin.receive(data[0] if len(data) == 1 else b"".join(data))
        data.clear()

    def _send(self) -> None:
        if self.session.client_writable():
            frames = self._channel.messages_to_send(self._loop.time())
            if frames:
                self.session.from_agent([frame for frame in frames if isinstance(frame, bytes)])

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._channel.next_timer()
        if when is not None and not self._stopped:
            self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._channel.handle_timer(self._loop.time())
        self._turn()

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.SessionStarted():
                self._plugin = self._make_plugin(event.client_version)
                self._plugin.start()
            case events.DataKeyRequested():
                task = self._loop.create_task(self._decrypt(event))
                task.add_done_callback(lambda done: done.exception())
            case events.SizeReceived(columns, rows) if self._plugin is not None:
                self._plugin.size(columns, rows)
            case events.FlagReceived(2):
                self.finish(at_once=True)
            case events.FlagReceived(flag) if self._plugin is not None:
                self._plugin.flag(flag)
            case events.SendingUnblocked() if self._plugin is not None:
                self._plugin.writable()
            case events.ChannelFailed(reason):
                self._send()
                self._ending = reason
                self._end()
            case events.ChannelClosed():
                self.stop()
            case _:
                pass

    async def _decrypt(self, event: events.DataKeyRequested) -> None:
        try:
            plaintext = await self._loop.run_in_executor(
                None, decrypt, self.machine.moto, event.kms_key_id, event.ciphertext_blob, event.encryption_context
            )
            self._channel.provide_data_key(plaintext, b"", self._loop.time())
        except ServiceError as problem:
            self._channel.refuse_data_key(str(problem), self._loop.time())
        self._turn()

    def _make_plugin(self, client_version: str) -> Plugin:
        from aws_runas.sandbox.agent.command import CommandPlugin
        from aws_runas.sandbox.agent.port import BasicPortPlugin, MuxPortPlugin
        from aws_runas.sandbox.agent.shell import ShellPlugin

        plan, version = self.session.plan, self.machine.agent_version
        match plan.session_type:
            case "Standard_Stream":
                return ShellPlugin(self, None)
            case "InteractiveCommands":
                return ShellPlugin(self, " ".join(plan.parameters["command"]))
            case "NonInteractiveCommands":
                return CommandPlugin(self, plan.parameters)
        properties = plan.properties or {}
        forwarding = properties.get("type") == "LocalPortForwarding"
        if forwarding and later_than(version, "3.0.196.0") and newer_client(client_version):
            return MuxPortPlugin(self, properties)
        return BasicPortPlugin(self, properties)
