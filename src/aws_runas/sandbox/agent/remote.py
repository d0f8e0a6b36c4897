"""An agent that is not ours and has connected to the data channel itself."""

from __future__ import annotations

from aws_runas.sandbox.services.link import Frames
from aws_runas.ssm.transport.websocket import WebSocket


class RemoteAgent:
    """Passes frames on."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def receive(self, frames: Frames) -> None:
        """Send what the client or the service has for it."""
        for frame in frames:
            self._websocket.send(frame)

    def client_writable(self) -> None:
        """Frames wait in the WebSocket's own buffer."""

    def stop(self) -> None:
        """The session is over: let the last frame go out, then close."""
        self._websocket.close(1000, "Bye")
