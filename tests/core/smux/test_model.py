"""Any order of actions on both ends, with plain byte strings as the oracle."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.core.smux.pair import Pair


class SmuxModel(RuleBasedStateMachine):
    """What was sent on a stream is what arrives on it, and nothing else, whatever else goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(frame_data=50, stream_queue=300, receive_buffer=1_000_000)
        self.sent: dict[tuple[str, int], bytes] = {}
        self.closed: set[tuple[str, int]] = set()
        self.abandoned: set[int] = set()

    def _streams(self, side: str) -> list[int]:
        known = [s for (who, s) in self.sent if who == "client"]
        if side == "server":
            known = [s for s in known if s in self.pair.at_server.opened]
        return [s for s in known if (side, s) not in self.closed and s not in self.abandoned]

    @precondition(lambda self: len(self.sent) < 20)
    @rule()
    def open(self) -> None:
        stream = self.pair.client.open_stream()
        self.sent["client", stream] = b""
        self.sent["server", stream] = b""

    @rule(side=st.sampled_from(["client", "server"]), choice=st.integers(0, 99), data=st.binary(max_size=200))
    def send(self, side: str, choice: int, data: bytes) -> None:
        if streams := self._streams(side):
            stream = streams[choice % len(streams)]
            session = self.pair.client if side == "client" else self.pair.server
            data = data[: session.send_capacity(stream)]
            session.send_data(stream, data)
            self.sent[side, stream] += data

    @rule(side=st.sampled_from(["client", "server"]), choice=st.integers(0, 99))
    def close(self, side: str, choice: int) -> None:
        if streams := self._streams(side):
            stream = streams[choice % len(streams)]
            (self.pair.client if side == "client" else self.pair.server).close_stream(stream)
            self.closed.add((side, stream))

    @rule(choice=st.integers(0, 99))
    def abandon(self, choice: int) -> None:
        if streams := self._streams("client"):
            stream = streams[choice % len(streams)]
            self.pair.client.abandon_stream(stream)
            self.abandoned.add(stream)

    @rule(room=st.integers(9, 300), up=st.booleans())
    def move_some(self, room: int, up: bool) -> None:
        pair = self.pair
        sender, receiver, log = (
            (pair.client, pair.server, pair.at_server) if up else (pair.server, pair.client, pair.at_client)
        )
        data = sender.data_to_send(room)
        assert len(data) <= room
        receiver.receive_data(data)
        log.take()

    @invariant()
    def what_arrived_is_a_prefix_of_what_was_sent(self) -> None:
        for (side, stream), sent in self.sent.items():
            log = self.pair.at_server if side == "client" else self.pair.at_client
            assert sent.startswith(log.data[stream])

    def teardown(self) -> None:
        self.pair.step()
        for (side, stream), sent in self.sent.items():
            if stream in self.abandoned:
                continue
            log = self.pair.at_server if side == "client" else self.pair.at_client
            assert log.data[stream] == sent
            assert (stream in log.finished) == ((side, stream) in self.closed)
        assert self.pair.client.receiving_allowed()


SmuxModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_streams_carry_their_own_bytes_whatever_the_order = SmuxModel.TestCase
