"""A started SSM session: the reply of StartSession, with a repr that hides its secrets."""

from __future__ import annotations

from dataclasses import field

from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class StartedSession:
    """An SSM session that the service has opened.

    Args:
        session_id: ``USER-RANDOM``.
        stream_url: the WebSocket address, used unchanged.
        token: valid for one connection; sent in the first frame, never shown.
        target: the requested target (``i-...``, ``mi-...``, ``ecs:...``); part of the KMS encryption context.

    Source: AWS API reference, ssm StartSession.
    """

    session_id: str
    stream_url: str
    token: str = field(repr=False)
    target: str
