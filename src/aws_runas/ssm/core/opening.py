"""The first frame of a connection, and what an agent says of its session to the service (spec 1 and 3.4)."""

from __future__ import annotations

import json

from aws_runas.ssm.core.message import AGENT_SESSION_STATE, Message, encode_message

CONNECTED = "Connected"
TERMINATING = "Terminating"


def _dump(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def client_opening(token: str, request_id: str, client_id: str, client_version: str) -> str:
    """OpenDataChannelInput of a client: a text frame that holds a secret."""
    return _dump(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": request_id,
            "TokenValue": token,
            "ClientId": client_id,
            "ClientVersion": client_version,
        }
    )


def agent_opening(token: str, request_id: str, client_id: str, instance_id: str) -> str:
    """The same of an agent."""
    return _dump(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": request_id,
            "TokenValue": token,
            "ClientInstanceId": instance_id,
            "ClientId": client_id,
        }
    )


def session_state(state: str, session_id: str, message_id: bytes, created_date: int) -> bytes:
    """agent_session_state: for the service, never passed on to the client."""
    payload = _dump({"SchemaVersion": 1, "SessionState": state, "SessionId": session_id}).encode()
    return encode_message(
        Message(AGENT_SESSION_STATE, payload=payload, message_id=message_id, created_date=created_date)
    )
