"""Sessions of the official agent, played from their recordings over a real WebSocket: a judge beside our sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aws_runas.errors import SessionError
from tests.integration.channel.client import ListedService, Recorder, connect
from tests.integration.channel.stream_server import OUTPUT, SIZE, STANDARD_ERROR, Connection, StreamServer, take_apart

VECTORS = Path(__file__).parents[2] / "core" / "vectors"
HANDSHAKE = (6, 9)  # payload types that the client sends on its own


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text().splitlines()]


class Recording:
    """One recorded session, parted by who speaks."""

    def __init__(self, name: str) -> None:
        self.steps: list[tuple[str, bytes]] = []  # who, bytes: without acknowledgements and what the service takes
        self.key: tuple[bytes, bytes] | None = None
        self.context: dict[str, str] = {}
        self.agent_numbers: set[int] = set()
        seen: set[tuple[str, int]] = set()
        for line in lines_of(name):
            if "kms" in line:
                self.key = bytes.fromhex(line["plaintext"]), bytes.fromhex(line["ciphertext_blob"])
                self.context = json.loads(line["context"])
                continue
            data = bytes.fromhex(line["hex"])
            if line["frame"] == "text" or "client" not in (line["from"], line["to"]):
                continue
            message = take_apart(data)
            if message.kind in ("acknowledge", "agent_session_state"):
                if line["from"] == "agent" and message.kind == "acknowledge":
                    self.steps.append(("agent", data))
                continue
            if line["from"] == "client" and (message.kind, message.number) in seen:
                continue  # a resend of the official client
            if line["from"] == "client":
                seen.add((message.kind, message.number))
            if message.kind == "output_stream_data":
                self.agent_numbers.add(message.number)
            self.steps.append((line["from"], data))

    def clear(self, message_payload: bytes, *, of_agent: bool) -> bytes:
        """Decrypt, where the session is encrypted."""
        if self.key is None:
            return message_payload
        half = self.key[0][:32] if of_agent else self.key[0][32:]
        return AESGCM(half).decrypt(message_payload[:12], message_payload[12:], None)

    def output(self, payload_type: int) -> bytes:
        """What the agent sent of one payload type, each message once."""
        parts: dict[int, bytes] = {}
        for who, data in self.steps:
            message = take_apart(data)
            if who == "agent" and message.kind == "output_stream_data" and message.payload_type == payload_type:
                parts[message.number] = self.clear(message.payload, of_agent=True)
        return b"".join(parts[number] for number in sorted(parts))


NAMES = [
    "shell",
    "shell-kms",
    "interactive-command",
    "noninteractive-joined-command",
    "noninteractive-separate-command",
    "ssh",
    "forward-basic",
    "channel-closed-with-output",
]


@pytest.mark.parametrize("name", NAMES)
def test_our_client_takes_the_official_clients_place_in_a_recorded_session(name: str) -> None:
    asyncio.run(play_recording(Recording(name)))


async def play_recording(recording: Recording) -> None:
    said: list[tuple[int, bytes]] = []
    expected: list[tuple[int, bytes]] = []
    wanted: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    done = asyncio.Event()

    async def agent(connection: Connection) -> None:
        sent: set[int] = set()
        for who, data in recording.steps:
            message = take_apart(data)
            if who != "client":
                if message.kind == "channel_closed":  # the agent sees its messages confirmed before it ends a session
                    await connection.until_acknowledged(sent)
                elif message.kind == "output_stream_data":
                    sent.add(message.number)
                await connection.websocket.send(data)
                continue
            clear = message.payload
            if message.payload_type == OUTPUT:
                clear = recording.clear(message.payload, of_agent=False)
            if message.payload_type not in HANDSHAKE:
                wanted.put_nowait((message.payload_type, clear))
            answer = await connection.data()
            assert answer.number == message.number
            if message.payload_type in HANDSHAKE:
                assert answer.payload_type == message.payload_type
                continue
            expected.append((message.payload_type, clear))
            ours = recording.clear(answer.payload, of_agent=False) if answer.payload_type == OUTPUT else answer.payload
            said.append((answer.payload_type, ours))
        done.set()
        await connection.websocket.wait_closed()

    async def user() -> None:
        await recorder.until(lambda: recorder.started is not None)
        while True:
            payload_type, data = await wanted.get()
            if payload_type == SIZE:
                size = json.loads(data)
                channel.send_size(size["cols"], size["rows"])
            elif payload_type == 10:
                channel.send_flag(int.from_bytes(data, "big"))
            else:
                channel.write(data)

    def give_key(key_id: str, context: dict[str, str]) -> tuple[bytes, bytes]:
        assert recording.key is not None
        # A client that acknowledges the challenge binds the key to it; the recorded one did not yet.
        context.pop("aws:ssm:RandomChallenge", None)
        assert context == recording.context
        return recording.key

    service = ListedService(key=give_key, resumes=[("never", "")])
    async with StreamServer(agent) as server:
        session_id = recording.context.get("aws:ssm:SessionId", "me-0123")
        target = recording.context.get("aws:ssm:TargetId", "i-0123456789abcdef0")
        channel, recorder = await connect(server.url(), service, session_id=session_id, target=target)
        typing = asyncio.ensure_future(user())
        try:
            async with asyncio.timeout(100):
                await done.wait()
            if any(take_apart(data).kind == "channel_closed" for _, data in recording.steps):
                await recorder.until(lambda: recorder.ended)
            else:
                await channel.terminate()
        finally:
            typing.cancel()
            await channel.terminate()
        connection = server.connections[0]

    assert said == expected
    assert recorder.output == recording.output(OUTPUT)
    assert recorder.error_output == recording.output(STANDARD_ERROR)
    assert connection.acknowledged >= recording.agent_numbers
    assert connection.opening["TokenValue"] == "token-0"
    assert not [call for call in service.calls if call == "resume"]


async def play(recording: Recording) -> Recorder:
    """Play the far side of a recording to its end; what our side made of it."""

    async def far_side(connection: Connection) -> None:
        for who, data in recording.steps:
            if who != "client":
                await connection.websocket.send(data)
            elif take_apart(data).payload_type == 6:
                await connection.data()
        await connection.websocket.wait_closed()

    async with StreamServer(far_side) as server:
        _, recorder = await connect(server.url(), ListedService(resumes=[("never", "")]))
        await recorder.until(lambda: recorder.ended)
    return recorder


def test_the_exit_status_of_a_recorded_command_is_told() -> None:
    recorder = asyncio.run(play(Recording("noninteractive-separate-command")))
    assert recorder.exit_code == 3
    assert (recorder.output, recorder.error_output) == (b"out\n", b"err\n")
    assert recorder.error is None


def test_the_services_reason_for_a_recorded_end_becomes_an_error() -> None:
    recorder = asyncio.run(play(Recording("channel-closed-with-output")))
    assert recorder.closing_words
    assert recorder.closing_words.strip() in str(recorder.error)


def test_base64_of_a_recorded_kms_key_reaches_the_agent() -> None:
    recording = Recording("shell-kms")
    assert recording.key is not None
    response = next(
        json.loads(take_apart(data).payload)
        for who, data in recording.steps
        if who == "client" and take_apart(data).payload_type == 6
    )
    action = response["ProcessedClientActions"][1]
    assert base64.b64decode(action["ActionResult"]["KMSCipherTextKey"]) == recording.key[1]


def test_a_kms_key_that_may_not_be_used_ends_the_session_and_the_agent_is_told() -> None:
    async def run() -> None:
        recording = Recording("shell-kms")
        answers = []

        async def agent(connection: Connection) -> None:
            await connection.websocket.send(recording.steps[next(_handshake_request(recording))][1])
            answers.append(await connection.data())
            await connection.websocket.wait_closed()

        def refuse(key_id: str, context: dict[str, str]) -> tuple[bytes, bytes]:
            raise SessionError(f"not permitted to use {key_id}", code="data-key-denied")

        service = ListedService(key=refuse, resumes=[("never", "")])
        async with StreamServer(agent) as server:
            _, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.ended)
            await server.connections[0].websocket.wait_closed()
        assert getattr(recorder.error, "code", "") == "data-key-denied"
        response = json.loads(answers[0].payload)
        assert [action["ActionStatus"] for action in response["ProcessedClientActions"]] == [1, 2]

    asyncio.run(run())


def _handshake_request(recording: Recording) -> Iterator[int]:
    for position, (who, data) in enumerate(recording.steps):
        if who == "agent" and take_apart(data).payload_type == 5:
            yield position
