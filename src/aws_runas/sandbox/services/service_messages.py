"""Messages of the service itself: a header of 112 bytes, padded with NUL, in each observed form (spec 13.4)."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid

from aws_runas.ssm.core.message import CHANNEL_CLOSED, SERVICE_HEADER_LENGTH, Message, encode_message

DIGEST = slice(80, 112)
LENGTH = slice(112, 116)


def _dump(values: dict[str, object]) -> bytes:
    return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


def _encode(message_type: str, payload: bytes, created_date: int, message_id: uuid.UUID) -> bytes:
    swapped = message_id.bytes[8:] + message_id.bytes[:8]
    return encode_message(
        Message(
            message_type,
            payload=payload,
            message_id=swapped,
            created_date=created_date,
            header_length=SERVICE_HEADER_LENGTH,
            padding=b"\0",
        )
    )


def channel_closed(session_id: str, target: str, output: str) -> bytes:
    """Return the message that ends a session.

    Args:
        session_id: the id of the session.
        target: the target of the session.
        output: the reason, often empty.
    """
    message_id, created = uuid.uuid4(), time.time_ns() // 1_000_000
    payload = {
        "CreatedDate": str(created),
        "DestinationId": target,
        "MessageId": str(message_id),
        "MessageType": CHANNEL_CLOSED,
        "Output": output,
        "SchemaVersion": 1,
        "SessionId": session_id,
    }
    return _encode(CHANNEL_CLOSED, _dump(payload), created, message_id)


def publication(message_type: str, session_id: str, form: str) -> bytes:
    """Return a start_publication or pause_publication.

    Args:
        message_type: the type of the message.
        session_id: the id of the session.
        form: one of options.PUBLICATION_FORMS.
    """
    message_id, created = uuid.uuid4(), time.time_ns() // 1_000_000
    values = {
        "CreatedDate": str(created),
        "MessageId": str(message_id),
        "MessageType": message_type,
        "SchemaVersion": 1,
        "SessionId": session_id,
    }
    payload = {"text": message_type.encode(), "empty": b""}.get(form, _dump(values))
    message = bytearray(_encode(message_type, payload, created, message_id))
    if form == "wrong-digest":  # also with the length in the other byte order, according to one report
        message[DIGEST] = hashlib.sha256(os.urandom(8)).digest()
        message[LENGTH] = len(payload).to_bytes(4, "little")
    return bytes(message)
