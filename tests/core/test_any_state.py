"""Any bytes in any state: a channel raises nothing, ends at most once, and never spins."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed, DataKeyRequested, DataReceived
from tests.core import naive
from tests.core.frames import acknowledgement, handshake_complete, handshake_request, input_data, output
from tests.core.pair import make_channel
from tests.core.recorded import binary_frames

KMS = {"KMSKeyId": "k", "Challenge": "AAAA"}
PAYLOADS = st.sampled_from(
    [
        handshake_request(),
        handshake_request("Standard_Stream", KMSEncryption=KMS),
        handshake_request("?"),
        handshake_complete("hi"),
        b'{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}]}',
        json.dumps({"ProcessedClientActions": [{"ActionType": "KMSEncryption", "ActionStatus": 1}]}).encode(),
        b'{"Challenge":"AAAA"}',
        b'{"cols":1,"rows":1}',
        b"\0\0\0\2",
        b"EXIT_CODE: 1",
        b"",
    ]
) | st.binary(max_size=60)
NUMBERS = st.integers(0, 6) | st.integers(-(2**63), 2**63 - 1)
FRAMES = st.one_of(
    st.builds(output, NUMBERS, PAYLOADS, st.integers(0, 14)),
    st.builds(input_data, NUMBERS, PAYLOADS, st.integers(0, 14)),
    st.builds(acknowledgement, NUMBERS),
    st.builds(lambda body: naive.build("acknowledge", 0, body), PAYLOADS),
    st.sampled_from(
        [
            naive.build("pause_publication", 0, b"{}", header_length=112, padding=b"\0"),
            naive.build("start_publication", 0, b"text"),
        ]
    ),
    st.sampled_from(binary_frames()),
    st.binary(max_size=200),
)
CLOSED = st.just(naive.build("channel_closed", 0, b'{"Output":"x"}', header_length=112))
DEEDS = st.one_of(
    st.tuples(st.just("receive"), FRAMES),
    st.tuples(st.just("receive"), FRAMES),
    st.tuples(st.just("receive"), FRAMES),
    st.tuples(st.just("receive"), CLOSED | st.text(max_size=50)),
    st.tuples(st.just("send"), st.integers(0, 5000)),
    st.tuples(st.just("size"), st.integers(0, 500)),
    st.tuples(st.just("flag"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.floats(0, 20)),
    st.tuples(st.just("disconnect"), st.none()),
    st.tuples(st.just("connect"), st.none()),
    st.tuples(st.just("key"), st.booleans()),
)
SETTINGS = st.builds(
    ChannelSettings,
    frame_rate=st.sampled_from([None, 5.0, 900.0]),
    window_bytes=st.sampled_from([None, 4096, 256 * 1024]),
    payload_size=st.sampled_from([1, 100, 1024]),
    assume_started_after=st.sampled_from([None, 1.0]),
    kms_key_id=st.sampled_from(["", "k"]),
    handshake=st.booleans(),
)


class Rig:
    """A channel and the rules that hold in every state."""

    def __init__(self, role: Role, settings: ChannelSettings) -> None:
        self.channel: Channel = make_channel(role, settings)
        self.now = 10.0
        self.key_wanted = False
        self.ends = 0
        self.sent: list[bytes | str] = []

    def do(self, verb: str, argument: object) -> None:
        channel = self.channel
        if verb == "receive":
            assert isinstance(argument, bytes | str)
            channel.receive_message(argument, self.now)
        elif verb == "send":
            assert isinstance(argument, int)
            channel.send_data(bytes(min(argument, channel.send_capacity(self.now))), self.now)
        elif verb == "size":
            assert isinstance(argument, int)
            channel.send_size(argument, 25, self.now)
        elif verb == "flag":
            assert isinstance(argument, int)
            channel.send_flag(argument, self.now)
        elif verb == "wait":
            assert isinstance(argument, float)
            self.wait(argument)
        elif verb == "disconnect":
            channel.receive_disconnect(self.now)
        elif verb == "connect":
            channel.connect("token", self.now)
        elif verb == "key" and self.key_wanted:
            self.key_wanted = False
            if argument:
                channel.provide_data_key(bytes(64), b"blob", self.now)
            else:
                channel.refuse_data_key("no", self.now)
        self.settle()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(20_000):
            due = self.channel.next_timer(self.now)
            if due is None or due > end:
                self.now = end
                self.channel.handle_timer(self.now)
                return
            self.now = max(self.now, due)
            self.channel.handle_timer(self.now)
            self.settle()
        raise AssertionError("the channel spins")

    def settle(self) -> None:
        for event in self.channel.events(self.now):
            assert not (self.ends and isinstance(event, DataReceived)), "data after the end"
            self.ends += isinstance(event, ChannelClosed | ChannelFailed)
            self.key_wanted = self.key_wanted or isinstance(event, DataKeyRequested)
        assert self.ends <= 1, "ended twice"
        if self.ends:
            self.key_wanted = False
        for frame in self.channel.messages_to_send(self.now):
            self.sent.append(frame)
            if isinstance(frame, bytes):
                naive.parse(frame)
        due = self.channel.next_timer(self.now)
        assert due is None or due > 0


@settings(max_examples=300)
@given(st.sampled_from(list(Role)), SETTINGS, st.lists(DEEDS, max_size=30))
def test_channel_survives_anything(role: Role, settings: ChannelSettings, deeds: list[tuple[str, object]]) -> None:
    rig = Rig(role, settings)
    rig.do("connect", None)
    for verb, argument in deeds:
        rig.do(verb, argument)
    rig.wait(5.0)


@settings(max_examples=100)
@given(st.sampled_from(list(Role)), SETTINGS, st.lists(DEEDS, max_size=20))
def test_same_seed_and_trace_make_the_same_bytes(
    role: Role, settings: ChannelSettings, deeds: list[tuple[str, object]]
) -> None:
    sent = []
    for _ in range(2):
        rig = Rig(role, settings)
        rig.do("connect", None)
        for verb, argument in deeds:
            rig.do(verb, argument)
        sent.append(rig.sent)
    assert sent[0] == sent[1]


def test_twenty_thousand_damaged_frames_leave_a_channel_that_works() -> None:
    rng = random.Random(7)
    rig = Rig(Role.CLIENT, ChannelSettings())
    rig.do("connect", None)
    frames = binary_frames()
    for _ in range(20_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        rig.channel.receive_message(bytes(frame), rig.now)
        rig.now += 0.001
        rig.settle()
        if rig.ends:
            rig = Rig(Role.CLIENT, ChannelSettings())
            rig.do("connect", None)
