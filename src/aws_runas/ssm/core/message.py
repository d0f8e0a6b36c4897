"""Codec of the binary messages of the data channel (spec 2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from hashlib import sha256
from struct import Struct

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.errors import RemoteProtocolError

INPUT_STREAM_DATA = "input_stream_data"
OUTPUT_STREAM_DATA = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"
START_PUBLICATION = "start_publication"
PAUSE_PUBLICATION = "pause_publication"
AGENT_SESSION_STATE = "agent_session_state"

_USUAL_TYPES = {
    name.encode().ljust(32, padding): name
    for name in (INPUT_STREAM_DATA, OUTPUT_STREAM_DATA, ACKNOWLEDGE)
    for padding in (b" ", b"\0")
}
FLAG_SYN = 1
FLAG_SYN_FIN = 3  # flags of messages without a sequence number

HEADER_LENGTH = 116  # bytes, both peers; spec 2.1
SERVICE_HEADER_LENGTH = 112  # bytes, no payload type: messages from the service itself; spec 2.1
MESSAGE_LIMIT = 1024 * 1024  # bytes of one message; limit 15.1

# HeaderLength, MessageType, SchemaVersion, CreatedDate, SequenceNumber, Flags, MessageId, PayloadDigest
_COMMON = Struct(">I32sIQqQ16s32s")
# the same, then PayloadType and PayloadLength
_FULL = Struct(">I32sIQqQ16s32sII")
_WORD = Struct(">I")
_DIGEST = slice(80, 112)
_TYPE = slice(4, 36)
_DATE = slice(40, 48)

_ACK_TYPE = b"acknowledge".ljust(32)
_ACK_HEAD = {
    name: b'{"AcknowledgedMessageType":"%b","AcknowledgedMessageId":"' % name.encode()
    for name in (INPUT_STREAM_DATA, OUTPUT_STREAM_DATA)
}
_ACK_MIDDLE = b'","AcknowledgedMessageSequenceNumber":'
_ACK_TAIL = b',"IsSequentialMessage":true}'
_PLAIN_ACK = re.compile(
    rb"\0\0\0\x74acknowledge(?: {21}|\0{21})"  # header length and type
    rb".{4}(?!.{4}\0{4}).{80}"  # a date whose lower half is not zero; the other fields
    rb'({"AcknowledgedMessageType":"(?:in|out)put_stream_data","AcknowledgedMessageId":"[0-9A-Za-z][0-9A-Za-z-]{35}'
    rb'","AcknowledgedMessageSequenceNumber":(0|[1-9][0-9]{0,17}),"IsSequentialMessage":true})',
    re.DOTALL,
)
_IDS_IN_BATCH = 64
_VERSION_4 = bytes((octet & 0x0F) | 0x40 for octet in range(256))
_VARIANT_1 = bytes((octet & 0x3F) | 0x80 for octet in range(256))


@dataclass(slots=True)
class Message:
    """The fields of one message.

    Args:
        message_type: MessageType without padding.
        sequence_number: signed 64 bits; 0 if messages of this type are not numbered.
        flags: bit 0 SYN, bit 1 FIN.
        payload_type: 1 to 12, 0 if it is absent.
        payload: bytes after the header.
        message_id: 16 bytes in wire order, which differs from the order of the text (spec 2.3).
        created_date: milliseconds since the epoch.
        header_length: 116, or 112 for messages from the service itself.
        padding: byte that fills MessageType up to 32 bytes.
        digest: PayloadDigest as received; `encode_message` computes a new one.
    """

    message_type: str
    sequence_number: int = 0
    flags: int = FLAG_SYN_FIN
    payload_type: int = 0
    payload: bytes = field(default=b"", repr=False)
    message_id: bytes = bytes(16)
    created_date: int = 0
    schema_version: int = 1
    header_length: int = HEADER_LENGTH
    padding: bytes = b" "
    digest: bytes = field(default=b"", repr=False)


def message_type_of(data: bytes) -> str:
    """Return the message type only, "" if there is none. Publication messages are not validated further (spec 8.4)."""
    padded = data[_TYPE]
    usual = _USUAL_TYPES.get(padded)
    if usual is not None:
        return usual
    name = padded.replace(b"\0", b"").strip()
    try:
        return name.decode("ascii")
    except UnicodeDecodeError:
        return ""


def decode_message(data: bytes, *, check_digest: bool = True) -> Message:
    """Decode and validate a message.

    Args:
        check_digest: False for agents: official agents do not check it, and some clients send wrong ones (spec 2.2).

    Raises:
        RemoteProtocolError: the message is invalid: too short or too long, no type, no date, or a wrong digest.

    Source: spec 2.2.
    """
    size = len(data)
    if size > MESSAGE_LIMIT:
        raise RemoteProtocolError(f"a message of {size} bytes, more than {MESSAGE_LIMIT}")
    if size < SERVICE_HEADER_LENGTH + 4:
        raise RemoteProtocolError(f"a message of {size} bytes is too short")
    header_length, raw_type, schema, created, sequence, flags, message_id, digest = _COMMON.unpack_from(data)
    if header_length == HEADER_LENGTH and size >= HEADER_LENGTH + 4:
        (payload_type,) = _WORD.unpack_from(data, 112)
        payload = data[HEADER_LENGTH + 4 :]
    elif header_length == SERVICE_HEADER_LENGTH:
        payload_type = 0
        payload = data[SERVICE_HEADER_LENGTH + 4 :]
    else:
        raise RemoteProtocolError(f"header length {header_length} in a message of {size} bytes")
    message_type = _USUAL_TYPES.get(raw_type) or message_type_of(data)
    if not message_type:
        raise RemoteProtocolError("a message without a type")
    if not created:
        raise RemoteProtocolError(f"{message_type!r} message without a date")
    if check_digest and payload and sha256(payload).digest() != digest:
        raise RemoteProtocolError(f"{message_type!r} message {sequence} has a wrong digest")
    padding = b"\0" if b"\0" in raw_type else b" "
    return Message(
        message_type,
        sequence,
        flags,
        payload_type,
        payload,
        message_id,
        created,
        schema,
        header_length,
        padding,
        digest,
    )


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message. Computes the digest and pads message_type."""
    head = _COMMON.pack(
        message.header_length,
        message.message_type.encode("ascii").ljust(32, message.padding),
        message.schema_version,
        message.created_date,
        message.sequence_number,
        message.flags,
        message.message_id,
        sha256(message.payload).digest(),
    )
    if message.header_length == HEADER_LENGTH:
        head += _WORD.pack(message.payload_type)
    return head + _WORD.pack(len(message.payload)) + message.payload


def message_id_text(wire: bytes) -> bytes:
    """Return the usual text of a MessageId; on the wire its two halves are swapped (spec 2.3)."""
    digits = wire.hex().encode()
    return b"%b-%b-%b-%b-%b" % (digits[16:24], digits[24:28], digits[28:32], digits[:4], digits[4:16])


class MessageIds:
    """Creates version 4 UUIDs in wire order, in batches: reading 16 random bytes at a time would dominate the cost."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._ids: list[bytes] = []

    def take(self) -> bytes:
        """Return a new id of 16 bytes."""
        if not self._ids:
            batch = bytearray(self._random_bytes(16 * _IDS_IN_BATCH))
            batch[14::16] = batch[14::16].translate(_VERSION_4)  # uuid byte 6 is at wire byte 14
            batch[0::16] = batch[0::16].translate(_VARIANT_1)  # uuid byte 8 at wire byte 0
            whole = bytes(batch)
            self._ids = [whole[at : at + 16] for at in range(0, len(whole), 16)]
        return self._ids.pop()

    def take_text(self) -> str:
        """Return a new id as text, for JSON."""
        return message_id_text(self.take()).decode()


class DataEncoder:
    """Encodes the numbered messages of one direction. Hot path of an upload.

    Args:
        message_type: input_stream_data for a client, output_stream_data for an agent.
    """

    def __init__(self, message_type: str, ids: MessageIds) -> None:
        self._type = message_type.encode().ljust(32)
        self._ids = ids

    def encode(self, sequence_number: int, flags: int, payload_type: int, payload: bytes, created_date: int) -> bytes:
        """Return one encoded message.

        Args:
            sequence_number: counts from 0.
            flags: 1 SYN, 2 FIN.
            payload_type: see spec 4.
            payload: at most 65,536 bytes.
            created_date: milliseconds since the epoch.
        """
        head = _FULL.pack(
            HEADER_LENGTH,
            self._type,
            1,
            created_date,
            sequence_number,
            flags,
            self._ids.take(),
            sha256(payload).digest(),
            payload_type,
            len(payload),
        )
        return head + payload


class AcknowledgeEncoder:
    """Encodes acknowledgements by formatting bytes. Hot path of a download.

    Args:
        acknowledged_type: message type of the acknowledged messages.
    """

    def __init__(self, acknowledged_type: str, ids: MessageIds) -> None:
        self._form = _ACK_HEAD[acknowledged_type] + b"%b" + _ACK_MIDDLE + b"%d" + _ACK_TAIL
        self._ids = ids

    def encode(self, sequence_number: int, message_id: bytes, created_date: int) -> bytes:
        """Return the acknowledgement of a message.

        Args:
            sequence_number: sequence number of the acknowledged message.
            message_id: id of the acknowledged message, in wire order.
            created_date: milliseconds since the epoch.
        """
        payload = self._form % (message_id_text(message_id), sequence_number)
        head = _FULL.pack(
            HEADER_LENGTH,
            _ACK_TYPE,
            1,
            created_date,
            0,
            FLAG_SYN_FIN,
            self._ids.take(),
            sha256(payload).digest(),
            0,
            len(payload),
        )
        return head + payload


def date_of(data: bytes) -> int:
    """Return the CreatedDate of an encoded message, in milliseconds since the epoch by the sender's clock.

    Args:
        data: message with a complete header.
    """
    return int.from_bytes(data[_DATE])


def read_plain_acknowledgement(data: bytes) -> int | None:
    """Return the acknowledged sequence number of a message in the usual form, None for any other message.

    Accepts nothing that decode_message and decode_acknowledge would refuse. This is half of the work of an upload.
    """
    match = _PLAIN_ACK.fullmatch(data)
    if match is None:
        return None  # not an acknowledgement, or perhaps without a date: the full decoder decides
    payload, number = match.groups()
    return int(number) if sha256(payload).digest() == data[_DIGEST] else None
