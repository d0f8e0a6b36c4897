"""A started SSM session: the reply of StartSession, without its secrets in any repr."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A session that the service has opened for us.

    Args:
        session_id: ``USER-RANDOM``.
        stream_url: the WebSocket address, to be dialled byte for byte.
        token: good for one connection; sent in the first frame, never shown.
        target: what was asked for (``i-...``, ``mi-...``, ``ecs:...``); part of the KMS encryption context.

    Source: AWS API reference, ssm StartSession.
    """

    session_id: str
    stream_url: str
    token: str = field(repr=False)
    target: str
