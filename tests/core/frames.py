"""Frames that tests make by hand, and what a channel's frames say."""

from __future__ import annotations

import json

from tests.core import naive

Frame = bytes | str


def output(number: int, payload: bytes = b"", payload_type: int = 1) -> bytes:
    """A numbered message of the agent."""
    return naive.build("output_stream_data", number, payload, payload_type=payload_type, flags=int(number == 0))


def input_data(number: int, payload: bytes = b"", payload_type: int = 1) -> bytes:
    """A numbered message of the client."""
    return naive.build("input_stream_data", number, payload, payload_type=payload_type, flags=0)


def acknowledgement(number: int, kind: str = "input_stream_data") -> bytes:
    """The peer has a message."""
    return naive.build_acknowledgement(naive.parse(naive.build(kind, number, b"")))


def handshake_request(session_type: str = "Port", **more: object) -> bytes:
    """An agent's first payload; more: another action's type and parameters."""
    actions: list[object] = [
        {"ActionType": "SessionType", "ActionParameters": {"SessionType": session_type, "Properties": {}}}
    ]
    actions += [{"ActionType": name, "ActionParameters": parameters} for name, parameters in more.items()]
    return json.dumps({"AgentVersion": "3.3.0.0", "RequestedClientActions": actions}).encode()


def handshake_complete(message: str = "") -> bytes:
    """An agent's last payload of the handshake."""
    return json.dumps({"HandshakeTimeToComplete": 1, "CustomerMessage": message}).encode()


def kinds(frames: list[Frame]) -> list[tuple[str, int, int]]:
    """Type, number and payload type of each; for acknowledgements the number acknowledged."""
    result = []
    for frame in frames:
        if isinstance(frame, str):
            result.append(("text", 0, 0))
            continue
        message = naive.parse(frame)
        number = message.sequence_number
        if message.message_type == "acknowledge":
            number = naive.parse_acknowledgement(frame)
        result.append((message.message_type, number, message.payload_type))
    return result


def acknowledged(frames: list[Frame]) -> list[int]:
    """The numbers that were acknowledged, in order."""
    return [number for kind, number, _ in kinds(frames) if kind == "acknowledge"]


def numbers(frames: list[Frame]) -> list[int]:
    """The numbers of stream data, in order, resends included."""
    return [number for kind, number, _ in kinds(frames) if kind.endswith("_stream_data")]
