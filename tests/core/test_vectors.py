"""The recorded sessions of the official pair: byte for byte, and each side played against ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.encryption import SessionCipher
from aws_runas.ssm.core.events import (
    ChannelClosed,
    ChannelFailed,
    DataKeyRequested,
    DataReceived,
    Event,
    ExitCodeReceived,
    FlagReceived,
    SizeReceived,
)
from aws_runas.ssm.core.message import (
    AcknowledgeEncoder,
    MessageIds,
    decode_message,
    encode_message,
    read_plain_acknowledgement,
)
from tests.core import naive
from tests.core.pair import make_channel
from tests.core.recorded import NAMES, Frame, Recording, load

STEP = 0.006  # seconds between lines: longer than acknowledgements are held back, shorter than any resend


@pytest.mark.parametrize("name", NAMES)
def test_recorded_frames_survive_decoding_and_encoding_byte_for_byte(name: str) -> None:
    frames = [frame.data for frame in load(name).frames if not frame.is_text]
    assert frames
    for data in frames:
        message = decode_message(data)
        assert encode_message(message) == data
        judge = naive.parse(data)
        assert (message.message_type, message.sequence_number) == (judge.message_type, judge.sequence_number)
        assert (message.payload_type, message.payload) == (judge.payload_type, judge.payload)


@pytest.mark.parametrize("name", NAMES)
def test_recorded_acknowledgements_are_what_ours_would_be(name: str) -> None:
    recording = load(name)
    by_number = {}
    for frame in recording.frames:
        if frame.is_text:
            continue
        message = decode_message(frame.data)
        if message.message_type.endswith("_stream_data"):
            by_number[message.message_type, message.sequence_number] = message
        elif message.message_type == "acknowledge":
            number = read_plain_acknowledgement(frame.data)
            assert number == naive.parse_acknowledgement(frame.data)
            kind = json.loads(message.payload)["AcknowledgedMessageType"]
            encoder = AcknowledgeEncoder(kind, MessageIds(bytes))
            ours = decode_message(encoder.encode(number, by_number[kind, number].message_id, message.created_date))
            assert ours.payload == message.payload
            assert (ours.flags, ours.sequence_number, ours.payload_type) == (3, 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_recorded_handshake_payloads_survive_decoding_and_encoding(name: str) -> None:
    codecs = {
        5: (payloads.decode_handshake_request, payloads.encode_handshake_request),
        6: (payloads.decode_handshake_response, payloads.encode_handshake_response),
        7: (payloads.decode_handshake_complete, payloads.encode_handshake_complete),
        8: (payloads.decode_challenge, payloads.encode_challenge),
        9: (payloads.decode_challenge, payloads.encode_challenge),
    }
    for frame in load(name).frames:
        message = naive.parse(frame.data) if not frame.is_text else None
        if message is not None and message.payload_type in codecs and message.header_length == 116:
            decode, encode = codecs[message.payload_type]
            assert encode(decode(message.payload)) == message.payload  # type: ignore[operator]


def test_recorded_data_key_decrypts_what_both_official_ends_encrypted() -> None:
    recording = load("shell-kms")
    client = SessionCipher(recording.data_key, is_client=True, next_nonce=lambda: bytes(12))
    agent = SessionCipher(recording.data_key, is_client=False, next_nonce=lambda: bytes(12))
    texts = {"client": b"", "agent": b""}
    challenges = []
    for frame in recording.frames:
        message = naive.parse(frame.data) if not frame.is_text else None
        if message is None or not message.message_type.endswith("_stream_data"):
            continue
        inward = client if frame.sender == "agent" else agent
        if message.payload_type == payloads.OUTPUT:
            texts[frame.sender] += inward.decrypt(message.payload)
        elif message.payload_type in (payloads.CHALLENGE_REQUEST, payloads.CHALLENGE_RESPONSE):
            challenges.append(inward.decrypt(payloads.decode_challenge(message.payload)))
    assert texts["client"].startswith(b"echo ")
    assert b"exit" in texts["agent"]
    assert len(challenges) == 2
    assert challenges[0] == challenges[1]


@dataclass
class Player:
    """Feeds one recorded side to ours; what ours sends, in kind and order."""

    recording: Recording
    channel: Channel
    side: str
    now: float = 10.0
    events: list[Event] = field(default_factory=list)
    numbered: list[tuple[int, int, bytes]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)

    def collect(self) -> None:
        for frame in self.channel.messages_to_send(self.now):
            if isinstance(frame, str):
                continue
            message = naive.parse(frame)
            if message.message_type == "acknowledge":
                self.acknowledged.append(naive.parse_acknowledgement(frame))
            elif message.message_type.endswith("_stream_data"):
                item = (message.sequence_number, message.payload_type, message.payload)
                if item not in self.numbered:  # our own timing may call for a resend
                    self.numbered.append(item)
        for event in self.channel.events(self.now):
            self.events.append(event)
            if isinstance(event, DataKeyRequested):
                self.channel.provide_data_key(self.recording.data_key, self.recording.ciphertext_blob, self.now)
                self.collect()

    def play(self) -> None:
        self.channel.connect("token", self.now)
        self.collect()
        for frame in self.recording.frames:
            if frame.receiver == self.side and not frame.is_text:
                self.channel.receive_message(frame.data, self.now)
            elif frame.sender == self.side and not frame.is_text:
                self.act(frame)
            self.collect()
            self.now += STEP
            self.channel.handle_timer(self.now)
            self.collect()

    def act(self, frame: Frame) -> None:
        """Have the application do what the recorded one did."""
        message = naive.parse(frame.data)
        if not message.message_type.endswith("_stream_data"):
            return
        if message.sequence_number < len({n for n, *_ in self.recorded_before(frame)}):
            return  # a resend of the official program
        data = message.payload
        if message.payload_type == payloads.OUTPUT:
            if self.recording.data_key:
                outward = SessionCipher(self.recording.data_key, is_client=self.side != "client", next_nonce=bytes)
                data = outward.decrypt(data)
            self.channel.send_data(data, self.now)
        elif message.payload_type == payloads.STDERR:
            self.channel.send_data(data, self.now, payloads.STDERR)
        elif message.payload_type == payloads.SIZE:
            self.channel.send_size(*payloads.decode_size(data), self.now)
        elif message.payload_type == payloads.FLAG:
            self.channel.send_flag(payloads.decode_flag(data), self.now)
        elif message.payload_type == payloads.EXIT_CODE:
            self.channel.send_exit_code(payloads.decode_exit_code(data), self.now)

    def recorded_before(self, last: Frame | None = None) -> list[tuple[int, int, bytes]]:
        """What the recorded program sent, numbered, each once."""
        items: list[tuple[int, int, bytes]] = []
        for frame in self.recording.frames:
            if frame is last:
                break
            if frame.sender != self.side or frame.is_text:
                continue
            message = naive.parse(frame.data)
            if message.message_type.endswith("_stream_data"):
                item = (message.sequence_number, message.payload_type, message.payload)
                if item not in items:
                    items.append(item)
        return items

    def recorded_acknowledgements(self) -> list[int]:
        """The numbers that it acknowledged, in order, each once."""
        numbers = []
        for frame in self.recording.frames:
            if (
                frame.sender == self.side
                and not frame.is_text
                and naive.parse(frame.data).message_type == "acknowledge"
            ):
                numbers.append(naive.parse_acknowledgement(frame.data))
        return list(dict.fromkeys(numbers))


def plain(items: list[tuple[int, int, bytes]], recording: Recording, side: str) -> list[tuple[int, int, object]]:
    """Encrypted payloads decrypted, handshakes reduced to what must agree."""
    result: list[tuple[int, int, object]] = []
    for number, payload_type, payload in items:
        value: object = payload
        if recording.data_key and payload_type in payloads.ENCRYPTED_TYPES:
            cipher = SessionCipher(recording.data_key, is_client=side != "client", next_nonce=bytes)
            value = cipher.decrypt(payload)
        elif payload_type == payloads.HANDSHAKE_RESPONSE:
            response = payloads.decode_handshake_response(payload)
            value = [(a.action_type, a.status, (a.result or {}).get("KMSCipherTextKey")) for a in response.actions]
        elif payload_type == payloads.HANDSHAKE_REQUEST:
            request = payloads.decode_handshake_request(payload)
            dropped = ("Challenge",)
            value = [
                (a.action_type, {k: v for k, v in a.parameters.items() if k not in dropped}) for a in request.actions
            ]
        elif payload_type in payloads.HANDSHAKE_TYPES:
            value = None  # a challenge, or a time
        result.append((number, payload_type, value))
    return result


def joined(items: list[tuple[int, int, object]]) -> list[tuple[int, object]]:
    """Kinds in order, with stream data that ours may cut elsewhere joined."""
    result: list[tuple[int, object]] = []
    for _, payload_type, value in items:
        last = result[-1] if result else (0, b"")
        if payload_type in payloads.DATA_TYPES and last[0] == payload_type:
            result[-1] = (payload_type, last[1] + value)  # type: ignore[operator]
        else:
            result.append((payload_type, value))
    return result


@pytest.mark.parametrize("name", NAMES)
def test_client_says_to_the_recorded_agent_what_the_recorded_client_said(name: str) -> None:
    recording = load(name)
    player = Player(recording, make_channel(Role.CLIENT, ChannelSettings(client_version="1.2.677.0")), "client")
    player.play()
    ours = plain(player.numbered, recording, "client")
    theirs = plain(player.recorded_before(), recording, "client")
    assert joined(ours) == joined(theirs)
    assert [number for number, *_ in ours] == list(range(len(ours)))
    received = [f for f in recording.frames if f.receiver == "client" and f.sender == "agent" and not f.is_text]
    owed = {naive.parse(f.data).sequence_number for f in received if naive.parse(f.data).message_type[:6] == "output"}
    assert set(player.acknowledged) == owed
    assert list(dict.fromkeys(player.acknowledged)) == sorted(owed)
    assert set(player.recorded_acknowledgements()) <= owed
    assert not [event for event in player.events if isinstance(event, ChannelFailed)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "channel-closed-with-output"])
def test_client_closes_when_the_recorded_service_says_so(name: str) -> None:
    player = Player(load(name), make_channel(Role.CLIENT, ChannelSettings()), "client")
    player.play()
    assert [e for e in player.events if isinstance(e, ChannelClosed)] == [ChannelClosed("")]


def test_client_tells_the_recorded_reason_of_the_service() -> None:
    player = Player(load("channel-closed-with-output"), make_channel(Role.CLIENT, ChannelSettings()), "client")
    player.play()
    assert player.events[-1] == ChannelClosed("Something went wrong")


def test_client_understands_a_recorded_command_with_its_status() -> None:
    player = Player(load("noninteractive-separate-command"), make_channel(Role.CLIENT, ChannelSettings()), "client")
    player.play()
    assert ExitCodeReceived(3) in player.events
    kinds = {e.payload_type for e in player.events if isinstance(e, DataReceived)}
    assert kinds == {payloads.OUTPUT, payloads.STDERR}


def announced(recording: Recording) -> ChannelSettings:
    """Settings of an agent that says what the recorded one said."""
    for frame in recording.frames:
        if frame.is_text or frame.sender != "agent":
            continue
        message = naive.parse(frame.data)
        if message.payload_type != payloads.HANDSHAKE_REQUEST:
            continue
        request = json.loads(message.payload)
        actions = {a["ActionType"]: a["ActionParameters"] for a in request["RequestedClientActions"]}
        kms = actions.get("KMSEncryption", {}).get("KMSKeyId", "")
        return ChannelSettings(
            agent_version=request["AgentVersion"],
            session_type=actions["SessionType"]["SessionType"],
            properties=actions["SessionType"]["Properties"],
            kms_key_id=kms,
        )
    return ChannelSettings(handshake=False)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "shell-kms"])
def test_agent_says_to_the_recorded_client_what_the_recorded_agent_said(name: str) -> None:
    recording = load(name)
    player = Player(recording, make_channel(Role.AGENT, announced(recording)), "agent")
    player.play()
    assert joined(plain(player.numbered, recording, "agent")) == joined(
        plain(player.recorded_before(), recording, "agent")
    )
    sizes = [e for e in player.events if isinstance(e, SizeReceived)]
    flags = [e.flag for e in player.events if isinstance(e, FlagReceived)]
    sent = [naive.parse(f.data) for f in recording.frames if f.sender == "client" and not f.is_text]
    assert len(sizes) == len({m.sequence_number for m in sent if m.payload_type == payloads.SIZE})
    assert flags == [int.from_bytes(m.payload) for m in sent if m.payload_type == payloads.FLAG]
