"""Payloads of messages: payload types, and their JSON (spec 3 and 4)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import field
from struct import Struct

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.errors import RemoteProtocolError

OUTPUT = 1
SIZE = 3
HANDSHAKE_REQUEST = 5
HANDSHAKE_RESPONSE = 6
HANDSHAKE_COMPLETE = 7
CHALLENGE_REQUEST = 8
CHALLENGE_RESPONSE = 9
FLAG = 10
STDERR = 11
EXIT_CODE = 12

DATA_TYPES = frozenset((OUTPUT, STDERR))
ENCRYPTED_TYPES = frozenset((OUTPUT, STDERR, EXIT_CODE))  # once the session is encrypted; spec 7.4
HANDSHAKE_TYPES = frozenset(
    (HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE, CHALLENGE_REQUEST, CHALLENGE_RESPONSE)
)

DISCONNECT_TO_PORT = 1
TERMINATE_SESSION = 2
CONNECT_TO_PORT_ERROR = 3

ACTION_SESSION_TYPE = "SessionType"
ACTION_KMS_ENCRYPTION = "KMSEncryption"
STATUS_SUCCESS = 1
STATUS_FAILED = 2
STATUS_UNSUPPORTED = 3

_TEXT_LIMIT = 16 * 1024  # characters of a text shown to the user; limit 15.7
_ACTIONS_LIMIT = 64  # actions of one handshake; limit 15.8
_SIZE_LIMIT = 0xFFFF  # columns or rows: an unsigned short in the terminal
_FLAG = Struct(">I")
_EXIT_CODE_PREFIX = "EXIT_CODE: "


@dataclass(frozen=True, slots=True)
class RequestedAction:
    """One action that the agent requests from the client before the session starts."""

    action_type: str
    parameters: dict[str, object]


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """Payload type 5 (spec 5.1)."""

    agent_version: str
    actions: list[RequestedAction]


@dataclass(frozen=True, slots=True)
class ProcessedAction:
    """Result of a requested action at the client."""

    action_type: str
    status: int
    result: dict[str, object] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class HandshakeResponse:
    """Payload type 6 (spec 5.2)."""

    client_version: str
    actions: list[ProcessedAction] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HandshakeComplete:
    """Payload type 7 (spec 5.4)."""

    nanoseconds: int
    customer_message: str


def _object(data: bytes, what: str) -> dict[str, object]:
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"{what} is not a JSON object")
    return value


def _text(value: object) -> str:
    """Return a string that can be printed: not too long, no lone surrogates; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return value[:_TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")


def _integer(value: object, what: str, limit: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise RemoteProtocolError(f"{what} is not a number between 0 and {limit}")
    return value


def _bytes(value: object, what: str) -> bytes:
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{what} is missing")
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(f"{what} is not base64") from error


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def decode_acknowledge(payload: bytes) -> int:
    """Return the acknowledged sequence number. Other members are ignored."""
    what = "an acknowledgement"
    value = _object(payload, what).get("AcknowledgedMessageSequenceNumber")
    return _integer(value, f"the sequence number of {what}", 2**63 - 1)


def decode_channel_closed(payload: bytes) -> str:
    """Return the reason from the service, "" if the body cannot be read. The channel is closed in either case."""
    try:
        return _text(_object(payload, CHANNEL_CLOSED_BODY).get("Output"))
    except RemoteProtocolError:
        return ""


CHANNEL_CLOSED_BODY = "the body of channel_closed"


def encode_size(columns: int, rows: int) -> bytes:
    """Return a payload of type 3: the terminal size in characters."""
    return b'{"cols":%d,"rows":%d}' % (columns, rows)


def decode_size(payload: bytes) -> tuple[int, int]:
    """Return columns and rows."""
    size = _object(payload, "a terminal size")
    return _integer(size.get("cols"), "cols", _SIZE_LIMIT), _integer(size.get("rows"), "rows", _SIZE_LIMIT)


def encode_flag(flag: int) -> bytes:
    """Return a payload of type 10: a flag."""
    return _FLAG.pack(flag)


def decode_flag(payload: bytes) -> int:
    """Return DISCONNECT_TO_PORT, TERMINATE_SESSION, CONNECT_TO_PORT_ERROR, or an unknown flag from a newer peer."""
    if len(payload) != _FLAG.size:
        raise RemoteProtocolError(f"a flag of {len(payload)} bytes")
    flag: int = _FLAG.unpack(payload)[0]
    return flag


def encode_exit_code(exit_code: int) -> bytes:
    """Return a payload of type 12: an exit code."""
    return f"{_EXIT_CODE_PREFIX}{exit_code}".encode()


def decode_exit_code(payload: bytes) -> int:
    """Return the number after ``EXIT_CODE: ``."""
    text = payload.decode("ascii", "replace").strip()
    digits = text.removeprefix(_EXIT_CODE_PREFIX.strip()).strip()
    if not digits.removeprefix("-").isdecimal() or len(digits) > 11:
        raise RemoteProtocolError(f"{text[:40]!r} is not an exit code")
    return int(digits)


def encode_handshake_request(request: HandshakeRequest) -> bytes:
    """Return the payload of type 5."""
    actions = [{"ActionType": a.action_type, "ActionParameters": a.parameters} for a in request.actions]
    return _dump({"AgentVersion": request.agent_version, "RequestedClientActions": actions})


def decode_handshake_request(payload: bytes) -> HandshakeRequest:
    """Return a handshake request.

    Raises:
        RemoteProtocolError: the payload has no readable actions.
    """
    what = "the handshake request"
    request = _object(payload, what)
    actions = []
    for item in _list(request.get("RequestedClientActions"), what):
        parameters = item.get("ActionParameters")
        actions.append(
            RequestedAction(_text(item.get("ActionType")), parameters if isinstance(parameters, dict) else {})
        )
    return HandshakeRequest(_text(request.get("AgentVersion")), actions)


def encode_handshake_response(response: HandshakeResponse) -> bytes:
    """Return the payload of type 6."""
    actions = [
        {"ActionType": a.action_type, "ActionStatus": a.status, "ActionResult": a.result, "Error": a.error}
        for a in response.actions
    ]
    return _dump(
        {
            "ClientVersion": response.client_version,
            "ProcessedClientActions": actions,
            "Errors": response.errors or None,
        }
    )


def decode_handshake_response(payload: bytes) -> HandshakeResponse:
    """Return a handshake response.

    Raises:
        RemoteProtocolError: the payload has no readable actions.
    """
    what = "the handshake response"
    response = _object(payload, what)
    actions = []
    for item in _list(response.get("ProcessedClientActions"), what):
        result = item.get("ActionResult")
        actions.append(
            ProcessedAction(
                _text(item.get("ActionType")),
                _integer(item.get("ActionStatus"), "ActionStatus", 255),
                result if isinstance(result, dict) else None,
                _text(item.get("Error")),
            )
        )
    errors = response.get("Errors")
    return HandshakeResponse(
        _text(response.get("ClientVersion")),
        actions,
        [_text(e) for e in errors[:_ACTIONS_LIMIT]] if isinstance(errors, list) else [],
    )


def _list(value: object, what: str) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RemoteProtocolError(f"{what} has no list of actions")
    if len(value) > _ACTIONS_LIMIT:
        raise RemoteProtocolError(f"{what} has {len(value)} actions, more than {_ACTIONS_LIMIT}")
    return value


def encode_handshake_complete(complete: HandshakeComplete) -> bytes:
    """Return the payload of type 7."""
    return _dump({"HandshakeTimeToComplete": complete.nanoseconds, "CustomerMessage": complete.customer_message})


def decode_handshake_complete(payload: bytes) -> HandshakeComplete:
    """Return the completion of a handshake. Its time is not needed, so only a body that is not an object is refused."""
    complete = _object(payload, "the end of the handshake")
    time = complete.get("HandshakeTimeToComplete")
    return HandshakeComplete(
        time if isinstance(time, int) and not isinstance(time, bool) else 0, _text(complete.get("CustomerMessage"))
    )


def encode_challenge(challenge: bytes) -> bytes:
    """Return the payload of types 8 and 9."""
    return _dump({"Challenge": b64encode(challenge).decode()})


def decode_challenge(payload: bytes) -> bytes:
    """Return the encrypted challenge."""
    return _bytes(_object(payload, "the encryption challenge").get("Challenge"), "the encryption challenge")


def session_type_of(action: RequestedAction) -> tuple[str, dict[str, str]]:
    """Return the session type of a SessionType action, and its document properties that are strings."""
    properties = action.parameters.get("Properties")
    kept = {}
    if isinstance(properties, dict):
        kept = {_text(name): _text(value) for name, value in properties.items() if isinstance(value, str)}
    return _text(action.parameters.get("SessionType")), kept


def text_parameter(parameters: dict[str, object], name: str) -> str:
    """Return a string parameter of an action, "" if it is missing or not a string."""
    return _text(parameters.get(name))


def kms_action(ciphertext_blob: bytes, *, acknowledge_challenge: bool) -> ProcessedAction:
    """Return the client's result for a requested KMS encryption action."""
    result: dict[str, object] = {
        "KMSCipherTextKey": b64encode(ciphertext_blob).decode(),
        "KMSCipherTextHash": None,
    }
    if acknowledge_challenge:
        result["ChallengeAcknowledgement"] = True
    return ProcessedAction(ACTION_KMS_ENCRYPTION, STATUS_SUCCESS, result)


def ciphertext_blob_of(result: dict[str, object] | None) -> bytes:
    """Return the encrypted data key from a client's result."""
    return _bytes((result or {}).get("KMSCipherTextKey"), "the encrypted data key")
