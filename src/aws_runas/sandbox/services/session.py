"""Session at the service: its tokens and cell, the connections of client and agent, and the relay between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import field
from random import Random
from typing import Protocol

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services import service_messages
from aws_runas.sandbox.services.link import Frames, Link, RateMeter
from aws_runas.sandbox.services.tickets import Tickets
from aws_runas.ssm.core.message import AGENT_SESSION_STATE, PAUSE_PUBLICATION, START_PUBLICATION, message_type_of
from aws_runas.ssm.transport.websocket import WebSocket

IDLE_TIMEOUT = 1200.0  # seconds, spec 13.5
NEVER_USED = "Your session timed out due to inactivity."
TERMINATING = b'"Terminating"'


@dataclass(frozen=True, slots=True)
class Plan:
    """Session that a caller of StartSession requests.

    Args:
        session_type, properties: for the agent.
        parameters: the parameters of the document: the command, separate output and so on.
    """

    target: str
    document: str
    session_type: str
    properties: dict[str, str] | None
    parameters: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""


class AgentLink(Protocol):
    """Agent's end of a session: an agent of the sandbox or an external agent."""

    def receive(self, frames: Frames) -> None:
        """Accept frames from the client or the service."""

    def client_writable(self) -> None:
        """Continue to send: the client's connection accepts more again."""

    def stop(self) -> None:
        """Release everything: the session has ended."""


class Session:
    """Session. Use it on the event loop only.

    Args:
        tickets: with the session's id and faults.
        owner: ARN of the caller of StartSession.
        plan: the plan of the session.
        lifetime: converts seconds of the service to seconds of this machine.
        on_end: called once, when the session ends.
    """

    def __init__(
        self,
        tickets: Tickets,
        owner: str,
        plan: Plan,
        lifetime: Callable[[float], float],
        on_end: Callable[[Session], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.tickets = tickets
        self.session_id = tickets.session_id
        self.owner = owner
        self.plan = plan
        self.faults = tickets.faults
        self.started = time.time()
        self.ended: float | None = None
        self.connections = 0
        self.undelivered = 0
        self._lifetime = lifetime
        self._on_end = on_end
        self.client: WebSocket | None = None
        self.client_was_here = asyncio.Event()
        self.agent: AgentLink | None = None
        self._started_client = False
        random = Random(f"{self.faults.seed} {plan.target}")  # noqa: S311 - faults, not secrets
        self._to_agent = Link(self.faults, random, self._deliver_to_agent)
        self._to_client = Link(self.faults, random, self._deliver_to_client)
        self._rate = RateMeter(self.faults.frame_limit) if self.faults.frame_limit else None
        self._last_input = self._loop.time()
        self._timers = [self._loop.call_later(IDLE_TIMEOUT, self.end, NEVER_USED)]
        self._bye: asyncio.TimerHandle | None = None

    # --- the client's connection

    def client_connected(self, websocket: WebSocket) -> None:
        """Accept the connection of a client with a valid token, and close its previous connection."""
        if self.client is not None:
            self.client.close(1000, "Bye")
        self.client = websocket
        self.connections += 1
        if not self.client_was_here.is_set():
            self.client_was_here.set()
            self._start_timers()
        self._last_input = self._loop.time()
        self._publish_to_client(PAUSE_PUBLICATION if self.agent is None else START_PUBLICATION)
        if self.agent is not None:
            self._publish_to_agent(START_PUBLICATION)
        if self.faults.close_after is not None:
            self._bye = self._loop.call_later(self._lifetime(self.faults.close_after), self.cut)

    def _start_timers(self) -> None:
        """Start the timers that count from the client's first connection."""
        self._timers.pop().cancel()
        self._timers.append(self._loop.call_later(self._lifetime(IDLE_TIMEOUT), self._check_idle))
        end_after = self.faults.end_after
        if end_after is not None:
            self._timers.append(self._loop.call_later(self._lifetime(end_after), self.end, self.faults.end_output))

    def client_gone(self, websocket: WebSocket) -> None:
        """Handle the end of the client's connection; the session continues."""
        if self.client is not websocket:
            return
        self.client = None
        self._to_agent.forget()
        self._to_client.forget()
        if self._bye is not None:
            self._bye.cancel()
            self._bye = None
        self._publish_to_agent(PAUSE_PUBLICATION)

    def cut(self, code: int = 1000, reason: str = "Bye", *, abort: bool = False) -> None:
        """Close the client's connection, as the service does about once an hour.

        Args:
            code, reason: the code and reason of the WebSocket close frame.
            abort: break the connection without a close frame.
        """
        if self.client is not None:
            if abort:
                self.client.abort()
            else:
                self.client.close(code, reason)

    # --- the agent's connection

    def agent_connected(self, link: AgentLink) -> None:
        """Accept the connection of an agent."""
        self.agent = link
        self._publish_to_client(START_PUBLICATION)
        if self.client is not None:
            self._publish_to_agent(START_PUBLICATION)

    def agent_gone(self, link: AgentLink) -> None:
        """Handle the end of the agent's connection; the session continues."""
        if self.agent is link:
            self.agent = None
            self._publish_to_client(PAUSE_PUBLICATION)

    # --- the relay

    def from_client(self, frames: Frames) -> None:
        """Relay frames of the client that follow its opening message."""
        self._last_input = self._loop.time()
        if self._rate is not None and self._rate.exceeded(len(frames), self._last_input):
            self._rate = RateMeter(self.faults.frame_limit or 0)
            self._publish_to_agent(PAUSE_PUBLICATION)
            self.cut()
            return
        self._to_agent.carry(frames)

    def _deliver_to_agent(self, frames: Frames) -> None:
        if self.agent is not None:
            self.agent.receive(frames)
            return
        self.undelivered += len(frames)
        if self.faults.pause_undeliverable:
            for _ in frames:
                self._publish_to_client(PAUSE_PUBLICATION)

    def from_agent(self, frames: Frames) -> None:
        """Relay frames of the agent that follow its opening message."""
        if len(frames) <= 2:  # states arrive alone, or right after the opening message
            for frame in frames:
                if isinstance(frame, bytes) and message_type_of(frame) == AGENT_SESSION_STATE:
                    frames = [other for other in frames if other is not frame]
                    if TERMINATING in frame:
                        self._to_client.carry(frames)
                        self.end("")
                        return
        if frames:
            self._to_client.carry(frames)

    def _deliver_to_client(self, frames: Frames) -> None:
        if self.client is None:
            self.undelivered += len(frames)
            for _ in frames if self.faults.pause_undeliverable else ():
                self._publish_to_agent(PAUSE_PUBLICATION)
            return
        for frame in frames:
            self.client.send(frame)
        if self.faults.start_after_output and not self._started_client:
            self._started_client = True
            self._send_to_client(START_PUBLICATION)

    def client_writable(self) -> bool:
        """Return True if the client's connection accepts more; the agent's output waits for it."""
        return self.client is None or self.client.writable

    def writing_resumed(self) -> None:
        """Notify the agent that the client's connection accepts more again."""
        if self.agent is not None:
            self.agent.client_writable()

    # --- messages of the service

    def _publish_to_client(self, message_type: str) -> None:
        if message_type == START_PUBLICATION:
            if self.faults.no_start or self.faults.start_after_output:
                return
            self._started_client = True
        self._send_to_client(message_type)

    def _send_to_client(self, message_type: str) -> None:
        if self.client is not None:
            self.client.send(service_messages.publication(message_type, self.session_id, self.faults.publication))

    def publish(self, message_type: str, form: str, *, to: str) -> None:
        """Send start_publication or pause_publication at any time.

        Args:
            message_type: the type of the message.
            form: one of options.PUBLICATION_FORMS.
            to: ``client`` or ``agent``.
        """
        message = service_messages.publication(message_type, self.session_id, form)
        if to == "agent" and self.agent is not None:
            self.agent.receive([message])
        elif to == "client" and self.client is not None:
            self.client.send(message)

    def _publish_to_agent(self, message_type: str) -> None:
        if self.agent is not None:
            self.agent.receive([service_messages.publication(message_type, self.session_id, self.faults.publication)])

    # --- the end

    def end(self, output: str = "") -> None:
        """End the session and send channel_closed to both sides. Idempotent.

        Args:
            output: the reason, shown to the client.
        """
        if self.ended is not None:
            return
        self.ended = time.time()
        closed = service_messages.channel_closed(self.session_id, self.plan.target, output)
        agent, self.agent = self.agent, None
        if self.client is not None:
            self.client.send(closed)
            self._send_to_client(PAUSE_PUBLICATION)
        if agent is not None:
            agent.receive([service_messages.channel_closed(self.session_id, self.plan.target, "")])
            agent.stop()
        for timer in self._timers:
            timer.cancel()
        self._on_end(self)

    def _check_idle(self) -> None:
        left = self._last_input + self._lifetime(IDLE_TIMEOUT) - self._loop.time()
        if left <= 0:
            self.end(NEVER_USED)
        else:
            self._timers[0] = self._loop.call_later(left, self._check_idle)
