"""A client and an agent on a network that a machine commands, against a plain list of what should arrive."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed, DataReceived, SessionStarted
from tests.core import naive
from tests.core.pair import PORT, Frame, make_channel

HANDSHAKE_PATIENCE = 13.0  # it begins at 10, and the agent gives up 15 seconds later


class Conversation(RuleBasedStateMachine):
    """Frames lie in two bags until a rule delivers, repeats, reorders or loses them. The oracle is two byte strings."""

    @initialize(paced=st.booleans(), window=st.sampled_from([None, 4096]), payload=st.sampled_from([7, 1024]))
    def begin(self, paced: bool, window: int | None, payload: int) -> None:
        options = ChannelSettings(
            frame_rate=900.0 if paced else None,
            window_bytes=window,
            payload_size=payload,
            session_type=PORT.session_type,
            properties=PORT.properties,
        )
        self.channels = {role: make_channel(role, options) for role in Role}
        self.bags: dict[Role, list[Frame]] = {role: [] for role in Role}  # by receiver
        self.expected = dict.fromkeys(Role, b"")  # by receiver
        self.received = dict.fromkeys(Role, b"")
        self.started: set[Role] = set()
        self.connected: set[Role] = set()
        self.now = 10.0
        self.byte = 0
        for role in Role:
            self.connect(role)

    def other(self, role: Role) -> Role:
        return Role.AGENT if role is Role.CLIENT else Role.CLIENT

    def collect(self) -> None:
        for role, channel in self.channels.items():
            for event in channel.events(self.now):
                assert not isinstance(event, ChannelClosed | ChannelFailed), event
                if isinstance(event, SessionStarted):
                    self.started.add(role)
                elif isinstance(event, DataReceived):
                    self.received[role] += event.data
            for frame in channel.messages_to_send(self.now):
                if isinstance(frame, bytes) and b"agent_session_state" not in frame[:36]:
                    self.bags[self.other(role)].append(frame)

    def connect(self, role: Role) -> None:
        self.connected.add(role)
        self.channels[role].connect("token", self.now)
        self.collect()

    @rule(role=st.sampled_from(Role), size=st.integers(1, 6000))
    def say(self, role: Role, size: int) -> None:
        channel = self.channels[role]
        data = bytes((self.byte + i) % 251 for i in range(min(size, channel.send_capacity(self.now))))
        self.byte += size
        channel.send_data(data, self.now)
        self.expected[self.other(role)] += data
        self.collect()

    @rule(role=st.sampled_from(Role), index=st.integers(0, 50), keep=st.booleans(), count=st.integers(1, 20))
    def deliver(self, role: Role, index: int, keep: bool, count: int) -> None:
        bag = self.bags[role]
        for _ in range(min(count, len(bag))):
            at = index % len(bag)
            frame = bag[at] if keep else bag.pop(at)
            if role in self.connected:
                self.channels[role].receive_message(frame, self.now)
        self.collect()

    @rule(role=st.sampled_from(Role), index=st.integers(0, 50), count=st.integers(1, 10))
    def lose(self, role: Role, index: int, count: int) -> None:
        bag = self.bags[role]
        for _ in range(min(count, len(bag))):
            bag.pop(index % len(bag))

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        if self.started != set(Role) and self.now > HANDSHAKE_PATIENCE:
            return
        self.now += seconds
        for channel in self.channels.values():
            channel.handle_timer(self.now)
        self.collect()

    @rule(role=st.sampled_from(Role))
    def pause(self, role: Role) -> None:
        self.channels[role].receive_message(naive.build("pause_publication", 0, b"{}"), self.now)
        self.collect()

    @precondition(lambda self: self.connected)
    @rule(role=st.sampled_from(Role))
    def cut(self, role: Role) -> None:
        self.connected.discard(role)
        self.channels[role].receive_disconnect(self.now)
        self.bags[role].clear()

    @rule(role=st.sampled_from(Role))
    def come_back(self, role: Role) -> None:
        if role not in self.connected:
            self.connect(role)

    @invariant()
    def what_came_out_is_the_beginning_of_what_went_in(self) -> None:
        for role in getattr(self, "received", {}):
            assert self.expected[role].startswith(self.received[role])

    def teardown(self) -> None:
        """A network that works again brings everything, and soon."""
        if not hasattr(self, "channels"):
            return
        for role in Role:
            if role not in self.connected:
                self.connect(role)
        deadline = self.now + 14
        while self.now < deadline and not self.complete():
            self.now += 0.005
            for role in Role:
                frames, self.bags[role] = self.bags[role], []
                for frame in frames:
                    self.channels[role].receive_message(frame, self.now)
            for channel in self.channels.values():
                channel.handle_timer(self.now)
            self.collect()
        assert self.complete(), "bytes are missing although the network works"

    def complete(self) -> bool:
        return (
            self.started == set(Role)
            and self.received == self.expected
            and not any(channel.unacknowledged() for channel in self.channels.values())
        )


TestConversation = pytest.mark.slow(Conversation.TestCase)
TestConversation.settings = settings(max_examples=60, stateful_step_count=40, derandomize=True, deadline=None)
