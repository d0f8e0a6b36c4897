"""Admission to the data channel: checks address, signature and the token in the first frame, then starts the relay."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from websockets.http11 import Request as WebSocketRequest

from aws_runas.sandbox.services import signature
from aws_runas.sandbox.services.errors import Reply, ServiceError
from aws_runas.sandbox.services.gateway import Gateway
from aws_runas.sandbox.services.link import Frames
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.session import Session
from aws_runas.sandbox.services.ssm import SsmService
from aws_runas.sandbox.services.tickets import read_opening
from aws_runas.ssm.transport.websocket import Closed, WebSocket, WebSocketOwner, server_websocket

PATH = re.compile(r"/v1/data-channel/([^/]+)")
OPENING_TIMEOUT = 15.0  # seconds for the first frame


class DataChannels:
    """Admission of clients and agents to sessions.

    Args:
        service: provides the sessions.
        gateway: checks signatures and permissions.
        external_agents: instances with an external agent.
    """

    def __init__(self, service: SsmService, gateway: Gateway, external_agents: tuple[str, ...]) -> None:
        self._service = service
        self._gateway = gateway
        self._external_agents = external_agents

    def upgrade(self, request: Request, data: bytes, transport: asyncio.Transport) -> None:
        """Take over a connection that requests a WebSocket.

        Args:
            request: the upgrade request.
            data: every byte read so far, including the request.
            transport: the transport of the connection.
        """
        verdict = self._judge(request)
        connection: list[WebSocket] = []

        def admit(_request: WebSocketRequest) -> WebSocketOwner | tuple[int, str]:
            return verdict if isinstance(verdict, tuple) else Arrival(verdict, connection[0])

        websocket = server_websocket(admit)
        connection.append(websocket)
        transport.set_protocol(websocket)
        websocket.connection_made(transport)
        websocket.data_received(data)

    def _judge(self, request: Request) -> Session | tuple[int, str]:
        match = PATH.fullmatch(request.path)
        session = self._service.sessions.get(match[1]) if match else None
        if session is None:
            return 404, "no such session\n"
        if session.ended is not None:
            return 410, "the session is over\n"
        is_agent = "role=" not in request.query
        if session.faults.new_cell and not is_agent and not session.tickets.serves_cell(request.query):
            return 404, "this cell does not hold the session\n"
        try:
            self._check_signature(request, session)
        except ServiceError as problem:
            return 403, f"{problem.code}: {problem.message}\n"
        return session

    def _check_signature(self, request: Request, session: Session) -> None:
        rule = session.faults.signature
        if session.faults.presign and "role=" in request.query:
            if not session.tickets.is_presigned(request.query) or "authorization" in request.headers:
                raise ServiceError("SignatureDoesNotMatch", "the address is signed: use it as it is, and once", 403)
            return
        signed = signature.read(request)
        if signed is None:
            if rule == "required":
                raise ServiceError("MissingAuthenticationToken", "Missing Authentication Token", 403)
            return
        if rule == "refused":
            raise ServiceError("AccessDenied", "ssmmessages:OpenDataChannel is not allowed", 403)
        if signed.service != "ssmmessages":
            raise ServiceError("InvalidSignatureException", "Credential should be scoped to service ssmmessages.", 403)
        key = self._gateway.authenticate(request, signed, any_query_form=True)
        self._gateway.authorize("ssmmessages:OpenDataChannel", key, None)

    def create(self, request: Request) -> Reply:
        """Answer CreateDataChannel: issue a token to an external agent for a session of its own instance."""
        try:
            signed = signature.read(request)
            if signed is None:
                raise ServiceError("MissingAuthenticationToken", "Missing Authentication Token", 403)
            key = self._gateway.authenticate(request, signed, any_query_form=True)
            self._gateway.authorize("ssmmessages:CreateDataChannel", key, None)
        except ServiceError as problem:
            return Reply(403, f"{problem.code}: {problem.message}\n".encode())
        match = PATH.fullmatch(request.path)
        session = self._service.sessions.get(match[1]) if match else None
        if session is None or session.ended is not None:
            return Reply(404, b"Session is already terminated")
        if session.plan.target not in self._external_agents:
            return Reply(403, b"AccessDenied: the agent of this instance is not external\n")
        body = (
            "<CreateDataChannelOutput><MessageSchemaVersion>1.0</MessageSchemaVersion>"
            f"<TokenValue>{session.tickets.new_agent_token()}</TokenValue></CreateDataChannelOutput>"
        )
        return Reply(201, body.encode(), {"Content-Type": "application/xml"})


class Arrival:
    """WebSocket connection from its handshake to its end: first the token, then frames for the relay."""

    def __init__(self, session: Session, websocket: WebSocket) -> None:
        self._session = session
        self._websocket = websocket
        self._agent: RemoteAgent | None = None
        self._take: Callable[[Frames], None] = self._opening
        self._waiting = asyncio.get_running_loop().call_later(OPENING_TIMEOUT, websocket.close, 1000, "Bye")

    def messages_received(self, messages: list[bytes | str]) -> None:
        """Accept the frames of one read."""
        self._take(messages)

    def _opening(self, messages: Frames) -> None:
        self._waiting.cancel()
        self._take = self._ignore
        try:
            token, is_agent = read_opening(messages[0])
        except ValueError:
            self._websocket.close(1003, "the first frame is not an opening message")
            return
        role = self._session.tickets.redeem(token)
        if role is None or self._session.ended is not None or (role == "agent") is not is_agent:
            self._websocket.close(1008, "the token is not valid")
            return
        if role == "agent":
            self._agent = RemoteAgent(self._websocket)
            self._take = self._session.from_agent
            self._session.agent_connected(self._agent)
        else:
            self._take = self._session.from_client
            self._session.client_connected(self._websocket)
        if messages[1:]:
            self._take(messages[1:])

    def _ignore(self, messages: Frames) -> None:
        """Drop frames while the connection is being closed."""

    def writing_resumed(self) -> None:
        """Notify the agent that the client accepts more."""
        if self._agent is None:
            self._session.writing_resumed()

    def connection_closed(self, closed: Closed) -> None:  # noqa: ARG002
        """Notify the session that the connection has ended."""
        self._waiting.cancel()
        if self._agent is not None:
            self._session.agent_gone(self._agent)
        else:
            self._session.client_gone(self._websocket)


class RemoteAgent:
    """External agent that has connected to the data channel. Implements session.AgentLink."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def receive(self, frames: Frames) -> None:
        """Send frames of the client or the service to the agent."""
        for frame in frames:
            self._websocket.send(frame)

    def client_writable(self) -> None:
        """Do nothing: frames wait in the buffer of the WebSocket."""

    def stop(self) -> None:
        """Send the last frames, then close."""
        self._websocket.close(1000, "Bye")
