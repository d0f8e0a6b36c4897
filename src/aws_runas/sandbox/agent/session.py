"""Agent's end of a session: the protocol core in the role AGENT, and the plugin that does the work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence

from aws_runas.sandbox.agent.command import CommandPlugin
from aws_runas.sandbox.agent.machine import Machine, decrypt, newer_client
from aws_runas.sandbox.agent.plugin import Plugin
from aws_runas.sandbox.agent.port import BasicPortPlugin, MuxPortPlugin
from aws_runas.sandbox.agent.reading import ChannelReader, read_after_cut
from aws_runas.sandbox.agent.shell import ShellPlugin
from aws_runas.sandbox.agent.words import split_words
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.link import Frames
from aws_runas.sandbox.services.session import Session
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.encryption import SessionCipher, counting_nonces
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import Event
from aws_runas.ssm.core.message import Message
from aws_runas.ssm.core.payloads import OUTPUT
from aws_runas.ssm.transport.driver import ChannelDriver
from aws_runas.ssm.versions import WAITS_AT_THE_END, at_least, later_than

OFFICIAL_DRAIN_TIMEOUT = 2.0  # seconds that official agents wait for the client's last acknowledgements
KIND_DRAIN_TIMEOUT = 5.0
HANDSHAKE_ALWAYS = ("Port", "NonInteractiveCommands")


class _Relay:
    """Connection of the agent to the service, which is in the same process. Implements driver.Link."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.broken = False  # written frames are lost, but the agent does not know it yet

    @property
    def writable(self) -> bool:
        return self._session.client_writable()

    def send_message(self, message: bytes) -> None:
        self.send_messages((message,))

    def send_messages(self, messages: Sequence[bytes | str]) -> None:
        if self.broken:
            return
        # The opening message is a text frame, which this service does not need.
        self._session.from_agent([message for message in messages if isinstance(message, bytes)])

    def send_spaced(self, messages: Sequence[bytes], seconds: float) -> bool:  # noqa: ARG002 - no network in between
        return False

    def stop_spacing(self) -> None:
        """Do nothing: nothing was spaced."""

    def pause_reading(self) -> None:
        if self._session.client is not None:
            self._session.client.pause_reading()

    def resume_reading(self) -> None:
        if self._session.client is not None:
            self._session.client.resume_reading()


class AgentSession:
    """Session of an agent. Implements session.AgentLink, plugin.PluginHost and driver.ChannelOwner.

    Args:
        session: at the service.
        machine: the instance.
        kms_key: the key that encrypts the session; "" for no encryption.
        on_stop: called once everything is released.
    """

    def __init__(
        self, session: Session, machine: Machine, kms_key: str, on_stop: Callable[[AgentSession], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.session = session
        self.machine = machine
        self._on_stop = on_stop
        self._cipher: SessionCipher | None = None  # only for an encrypted session, set with the data key
        plan = session.plan
        channel = Channel(
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
        self._channel = channel
        self._driver = ChannelDriver(channel, self)
        self._link = _Relay(session)
        one_by_one = machine.official and (plan.session_type != "Port" or machine.paced)
        self._reader = ChannelReader(self._driver.messages_received, one_by_one=one_by_one)
        self._plugin: Plugin | None = None
        self._decrypting: asyncio.Task[None] | None = None
        self._held = False  # the plugin waits until the client's connection accepts more
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
        self._driver.connect(self._link, "in-process")
        if self.session.faults.leave_after is not None:
            self._absence = self._loop.call_later(
                self.session.faults.leave_after, self.leave, self.session.faults.away or 1.0
            )

    def leave(self, seconds: float, waiting: int = 0) -> None:
        """Lose the connection to the service, and reconnect later. Data that is sent in between is lost.

        Args:
            seconds: until the agent reconnects.
            waiting: with official manners, stop reading data and lose the connection when this many messages wait;
                0 to lose it at the next burst.
        """
        if self._stopped or self.session.agent is not self:
            return
        if self.machine.official and waiting:
            self._reader.cut_with(waiting, lambda frames: self._cut(frames, seconds))
        elif self.machine.official:
            self._reader.cut_at_next_burst(lambda frames: self._cut(frames, seconds))
        else:
            self._disconnect(seconds)

    def _cut(self, frames: Frames, seconds: float) -> None:
        """Lose the connection with messages in the receive buffer, as official agents do (trap 12.16)."""
        if self._stopped or self.session.agent is not self:
            return
        self._link.broken = True
        read_after_cut(
            frames,
            expected=lambda: self._channel.expected,
            process=self._driver.messages_received,
            execute=self._execute_uncounted,
        )
        self._disconnect(seconds)

    def _execute_uncounted(self, message: Message) -> None:
        if self._plugin is None or message.payload_type != OUTPUT:
            return
        with contextlib.suppress(RemoteProtocolError):  # the channel ends the session when the message arrives again
            self._plugin.receive(self._cipher.decrypt(message.payload) if self._cipher else message.payload)

    def _disconnect(self, seconds: float) -> None:
        self._driver.disconnect()
        self._link.broken = False
        self.session.agent_gone(self)
        self._absence = self._loop.call_later(seconds, self._come_back)

    def _come_back(self) -> None:
        if not self._stopped and self.session.ended is None:
            self.session.agent_connected(self)
            self._driver.connect(self._link, "in-process")

    # --- AgentLink

    def receive(self, frames: Frames) -> None:
        """Accept frames from the client or the service."""
        self._reader.receive(frames)

    def client_writable(self) -> None:
        """Continue to send."""
        self._driver.writing_resumed()

    def stop(self) -> None:
        """End the session's processes and connections."""
        if self._stopped:
            return
        self._stopped = True
        self._reader.close()
        for timer in (self._deadline, self._absence, self._decrypting):
            if timer is not None:
                timer.cancel()
        self._driver.disconnect()  # nothing is written after this
        self._driver.stop()
        if self._plugin is not None:
            self._plugin.stop()
        self._on_stop(self)

    # --- for plugins

    def capacity(self) -> int:
        """Return how many bytes `write` accepts now. At 0, wait for `Plugin.writable`."""
        if not self.session.client_writable():
            self._held = True
            return 0
        return 0 if self._ending is not None else self._driver.send_capacity()

    def write(self, data: bytes, payload_type: int = 1) -> None:
        """Send output, at most `capacity` bytes."""
        self._driver.send_data(data, payload_type)

    def send_flag(self, flag: int) -> None:
        """Send ConnectToPortError."""
        self._driver.send_flag(flag)

    def send_exit_code(self, status: int) -> None:
        """Send the command's exit status."""
        self._driver.send_exit_code(status)

    def is_paused(self) -> bool:
        """Return True if the service has paused the agent's output."""
        return self._reader.paused

    def block_reader(self) -> None:
        """Stop reading from the client: no acknowledgement, no signal, no end of the session until `unblock_reader`."""
        self._reader.block()

    def unblock_reader(self) -> None:
        """Undo `block_reader`."""
        self._reader.unblock()

    def pause_reading(self) -> None:
        """Stop reading from the client, because the plugin accepts no data now."""
        self._driver.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._driver.resume_reading()

    def finish(self, output: str = "", *, at_once: bool = False) -> None:
        """End the session after the client has acknowledged all output.

        Args:
            output: the reason, shown to the client.
            at_once: end without waiting for acknowledgements.
        """
        if self._ending is not None or self._stopped:
            return
        self._ending = output
        patience = OFFICIAL_DRAIN_TIMEOUT if self.machine.official else KIND_DRAIN_TIMEOUT
        at_once = at_once or not at_least(self.machine.agent_version, WAITS_AT_THE_END)
        self._deadline = self._loop.call_later(0 if at_once else patience, self._end)
        self._driver.want_turn()

    # --- inside

    def _end(self) -> None:
        if self._ending:
            self.session.end(self._ending)
        else:
            self._driver.send_terminating()
            self._driver.stop()  # writes the message
            self.session.end("")
        self.stop()

    # driver.ChannelOwner

    def events_received(self, received: list[Event]) -> None:
        """Handle events. Data that arrived together goes to the plugin together."""
        data: list[bytes] = []
        for event in received:
            if isinstance(event, events.DataReceived):
                data.append(event.data)
                continue
            self._hand_over(data)
            self._handle(event)
            if self._stopped:
                return
        self._hand_over(data)

    def turn_ended(self, now: float) -> None:  # noqa: ARG002 - driver.ChannelOwner
        """Continue output that waited for the client's connection, and end a session that has nothing left to send."""
        if self._held and self._plugin is not None and self.session.client_writable():
            self._held = False
            self._plugin.writable()
        if self._ending is not None and not self._driver.unacknowledged():
            self._end()

    def _hand_over(self, data: list[bytes]) -> None:
        if data and self._plugin is not None and self._ending is None:
            self._plugin.receive(data[0] if len(data) == 1 else b"".join(data))
        data.clear()

    def _handle(self, event: Event) -> None:
        match event:
            case events.SessionStarted():
                self._plugin = self._make_plugin(event.client_version)
                self._plugin.start()
            case events.DataKeyRequested():
                self._decrypting = self._loop.create_task(self._decrypt(event))
            case events.SizeReceived(columns, rows) if self._plugin is not None:
                self._plugin.size(columns, rows)
            case events.FlagReceived(2):
                self.finish(at_once=True)
            case events.FlagReceived(flag) if self._plugin is not None:
                self._plugin.flag(flag)
            case events.SendingUnblocked() if self._plugin is not None:
                self._plugin.writable()
            case events.ChannelFailed(reason):
                self._driver.stop()  # writes the last messages for the client
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
            self._cipher = SessionCipher(plaintext, is_client=False, next_nonce=counting_nonces(os.urandom))
            self._driver.provide_data_key(plaintext, b"")
        except (ServiceError, LocalProtocolError) as problem:
            self._driver.refuse_data_key(str(problem))

    def _make_plugin(self, client_version: str) -> Plugin:
        plan, version = self.session.plan, self.machine.agent_version
        match plan.session_type:
            case "Standard_Stream":
                profile = self.machine.options.shell_profile
                return ShellPlugin(self, ["sh"], f"{profile}\n".encode() if profile else b"")
            case "InteractiveCommands":
                return ShellPlugin(self, self._interactive_words(" ".join(plan.parameters["command"])))
            case "NonInteractiveCommands":
                return CommandPlugin(self, plan.parameters)
        properties = plan.properties or {}
        forwarding = properties.get("type") == "LocalPortForwarding"
        if forwarding and later_than(version, "3.0.196.0") and newer_client(client_version):
            return MuxPortPlugin(self, properties)
        return BasicPortPlugin(self, properties)

    def _interactive_words(self, command: str) -> list[str]:
        """Return the words of an interactive command: its own in a container, those of a shell on an instance."""
        if self.machine.official and self.session.plan.target.startswith("ecs:"):
            try:
                return split_words(command) or [""]
            except ValueError:
                return [command]  # the program will not be found
        return ["sh", "-c", command]
