"""A second, slow and plain implementation of the message codec: struct, json, uuid, nothing shared with ours.

It judges ours in tests, is what the model of the official agent speaks, and is the peer in bench/codec.
"""

from __future__ import annotations

import hashlib
import json
import struct
import uuid
from dataclasses import dataclass


@dataclass
class NaiveMessage:
    """The fields that matter."""

    header_length: int
    message_type: str
    schema_version: int
    created_date: int
    sequence_number: int
    flags: int
    message_id: uuid.UUID
    digest: bytes
    payload_type: int
    payload: bytes


def parse(data: bytes) -> NaiveMessage:
    """Bytes to fields, digest unchecked; raises struct.error or ValueError for what is too short."""
    (header_length,) = struct.unpack(">I", data[0:4])
    least_significant, most_significant = data[64:72], data[72:80]
    payload_type = struct.unpack(">I", data[112:116])[0] if header_length >= 116 else 0
    return NaiveMessage(
        header_length=header_length,
        message_type=data[4:36].replace(b"\0", b"").strip().decode(),
        schema_version=struct.unpack(">I", data[36:40])[0],
        created_date=struct.unpack(">Q", data[40:48])[0],
        sequence_number=struct.unpack(">q", data[48:56])[0],
        flags=struct.unpack(">Q", data[56:64])[0],
        message_id=uuid.UUID(bytes=most_significant + least_significant),
        digest=data[80:112],
        payload_type=payload_type,
        payload=data[header_length + 4 :],
    )


def build(
    message_type: str,
    sequence_number: int,
    payload: bytes,
    *,
    payload_type: int = 0,
    flags: int = 3,
    header_length: int = 116,
    padding: bytes = b" ",
    message_id: uuid.UUID | None = None,
    created_date: int = 1_700_000_000_000,
) -> bytes:
    """Fields to bytes."""
    name = message_type.encode()
    while len(name) < 32:
        name += padding
    identity = (message_id or uuid.uuid4()).bytes
    data = struct.pack(">I", header_length) + name + struct.pack(">I", 1) + struct.pack(">Q", created_date)
    data += struct.pack(">q", sequence_number) + struct.pack(">Q", flags) + identity[8:] + identity[:8]
    data += hashlib.sha256(payload).digest()
    if header_length == 116:
        data += struct.pack(">I", payload_type)
    return data + struct.pack(">I", len(payload)) + payload


def build_acknowledgement(
    message: NaiveMessage, message_id: uuid.UUID | None = None, created_date: int = 1_700_000_000_000
) -> bytes:
    """The answer to a stream data message."""
    payload = {
        "AcknowledgedMessageType": message.message_type,
        "AcknowledgedMessageId": str(message.message_id),
        "AcknowledgedMessageSequenceNumber": message.sequence_number,
        "IsSequentialMessage": True,
    }
    body = json.dumps(payload, separators=(",", ":")).encode()
    return build("acknowledge", 0, body, message_id=message_id, created_date=created_date)


def parse_acknowledgement(data: bytes) -> int:
    """The number acknowledged."""
    number = json.loads(parse(data).payload)["AcknowledgedMessageSequenceNumber"]
    assert isinstance(number, int)
    return number
