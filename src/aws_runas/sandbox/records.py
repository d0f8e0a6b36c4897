"""What the control address tells about calls and sessions, as JSON objects."""

from __future__ import annotations

from typing import Any, TypedDict


class CallRecord(TypedDict):
    """One AWS call.

    Attributes:
        service, action: as AWS spells them.
        access_key_id, arn: who signed, "" if nobody did.
        region: of the signature.
        error: AWS's code of the answer, "" when it went well.
        time: seconds since 1970, by this machine's clock.
        user_agent: as sent.
        parameters: of the call, without secrets; their types are those of the service.
    """

    service: str
    action: str
    access_key_id: str
    arn: str
    region: str
    error: str
    time: float
    user_agent: str
    parameters: dict[str, Any]


class SessionRecord(TypedDict):
    """One SSM session.

    Attributes:
        session_id: ``USER-RANDOM``.
        target, document, parameters, reason: as in StartSession.
        owner: ARN of who started it.
        ended: whether it is over.
        client_connected, agent_connected: whether each side has a connection now.
        connections: of the client so far.
        undelivered: frames that met an absent side.
    """

    session_id: str
    target: str
    document: str
    parameters: dict[str, list[str]]
    reason: str
    owner: str
    ended: bool
    client_connected: bool
    agent_connected: bool
    connections: int
    undelivered: int
