"""How much may be unacknowledged, and how fast it leaves."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.receiving import MAX_PENDING_ACKNOWLEDGEMENTS, MAX_STORED_BYTES
from aws_runas.ssm.core.recovery.pacing import BURST, DataShare, Pacer
from aws_runas.ssm.core.recovery.rto import MAX_RTO, RttEstimator
from aws_runas.ssm.core.recovery.window import MAX_WINDOW, MIN_WINDOW, WINDOW_FLOOR, DeliveryWindow
from aws_runas.ssm.core.sending import MAX_DISTANCE
from tests.core import naive
from tests.core.frames import acknowledged, acknowledgement, numbers, output
from tests.core.pair import PLAIN, make_channel
from tests.core.path import Path, Upload

START = 50.0


class Flow:
    """A sender that keeps a window full on a path that delivers so many messages a second."""

    def __init__(self, rate: float, least: float) -> None:
        self.window = DeliveryWindow()
        self.path = RttEstimator()
        self.rate = rate
        self.least = least
        self.now = 10.0
        self.order = 0
        self.flight = 1

    def run(self, seconds: float) -> int:
        """Returns the window at the end."""
        end = self.now + seconds
        while self.now < end:
            self.now += 1 / self.rate
            self.order += 1
            # what waits at the peer waits its turn; a smaller window takes a while to show
            self.flight = (
                max(self.flight - 1, self.window.size)
                if self.flight > self.window.size
                else min(self.flight + 1, self.window.size)
            )
            round_trip = max(self.least, self.flight / self.rate)
            self.path.sample(round_trip, self.now)
            self.window.was_saturated = True
            self.window.acknowledged(self.order, self.order + self.flight, round_trip, self.path, self.now)
        return self.window.size


def test_window_grows_to_what_a_long_path_holds() -> None:
    assert Flow(rate=20_000, least=0.05).run(5) >= 20_000 * 0.05


def test_window_grows_where_all_acknowledgements_of_a_round_come_in_one_read() -> None:
    window, path = DeliveryWindow(), RttEstimator()
    now, order = 10.0, 0
    for _ in range(8):
        burst, window.was_saturated = window.size, True  # all that may leave leaves at once
        now += 0.04
        for number in range(order, order + burst):
            path.sample(0.04, now)
            window.acknowledged(number, order + burst, 0.04, path, now)
        order += burst
    assert window.size > 10 * WINDOW_FLOOR


def test_window_leaves_little_waiting_at_the_peer_of_a_short_path() -> None:
    limit = Flow(rate=20_000, least=0.0005).run(5)
    assert limit / 20_000 < 0.025


def test_window_does_not_creep_up_in_the_course_of_minutes() -> None:
    flow = Flow(rate=2_000, least=0.04)
    assert flow.run(20) / 2_000 < 0.08
    assert flow.run(300) / 2_000 < 0.08


def test_window_stays_below_the_store_of_the_official_client() -> None:
    assert Flow(rate=50_000, least=0.2).run(2) == MAX_WINDOW


def test_window_of_a_slow_path_goes_below_the_floor() -> None:
    limit = Flow(rate=100, least=0.04).run(60)
    assert MIN_WINDOW <= limit < WINDOW_FLOOR / 2


def test_window_that_was_not_full_is_not_judged() -> None:
    flow = Flow(rate=100, least=0.001)
    for _ in range(1000):
        flow.order += 1
        flow.now += 0.1
        flow.path.sample(0.001, flow.now)
        flow.window.acknowledged(flow.order, flow.order + 1, 0.001, flow.path, flow.now)
    assert flow.window.size == WINDOW_FLOOR


def test_smallest_round_trip_is_forgotten_when_the_path_has_changed() -> None:
    path = RttEstimator()
    path.sample(0.001, 0.0)
    for second in range(1, 60):
        path.sample(0.1, float(second))
    assert path.min_rtt == 0.1


def test_timeout_is_bounded_whatever_is_measured() -> None:
    path = RttEstimator()
    path.sample(8 * 3600.0, 0.0)  # the machine slept
    assert path.rto() == MAX_RTO
    for _ in range(100):
        path.back_off()
    assert path.rto(transmissions=1000) == MAX_RTO


@pytest.mark.parametrize("path", [Path(0.02), Path(0.0002, stall=0.05), Path(0.0002, drop=0.05)])
def test_upload_over_a_path_repeats_little_in_vain(path: Path) -> None:
    upload = Upload(path)
    upload.run(3_000_000)
    assert upload.client._sender.flight.spurious_retransmissions <= 20


def client(settings: ChannelSettings = PLAIN) -> Channel:
    channel = make_channel(Role.CLIENT, settings)
    channel.connect("token", START)
    channel.receive_message(output(0, b"$ "), START)
    channel.messages_to_send(START + 0.1)
    channel.events(START + 0.1)
    return channel


def test_distance_from_the_oldest_gap_is_bounded() -> None:
    channel = client(ChannelSettings(frame_rate=None, window_bytes=None, payload_size=1, handshake=False))
    now = START + 0.2
    sent = 0
    for _ in range(100_000):
        capacity = channel.send_capacity(START)
        if not capacity:
            break
        channel.send_data(bytes(capacity), now)
        for number in numbers(channel.messages_to_send(now)):
            sent = max(sent, number)
            if number:  # all but the first arrive
                channel.receive_message(acknowledgement(number), now + 0.001)
        now += 0.002
    assert sent == MAX_DISTANCE - 1
    channel.receive_message(acknowledgement(0), now)
    assert channel.send_capacity(now) > 0


def test_bytes_out_of_order_are_bounded() -> None:
    channel = client(ChannelSettings(frame_rate=None, handshake=False))
    big = bytes(512 * 1024)
    for number in range(2, 40):
        channel.receive_message(output(number, big), START + 1)
    assert len(acknowledged(channel.messages_to_send(START + 2))) == MAX_STORED_BYTES // len(big)


def test_acknowledgements_owed_are_bounded() -> None:
    channel = client()
    frame = output(0, b"$ ")
    for _ in range(MAX_PENDING_ACKNOWLEDGEMENTS + 10):
        channel.receive_message(frame, START + 1)
    channel.receive_message(output(1, b"not now"), START + 1)
    assert channel.events(START + 1) == []
    channel.messages_to_send(START + 2)
    channel.receive_message(output(1, b"now"), START + 2)
    assert len(channel.events(START + 2)) == 1


def test_pacer_gives_its_rate_and_no_more() -> None:
    pacer = Pacer(900.0)
    given, now = 0, 0.0
    while now < 10:
        frames = pacer.available(now)
        pacer.spend(frames)
        given += frames
        now += 0.0007
    assert 9000 <= given <= 9000 + BURST + 1


def test_pacer_halves_no_further_than_an_eighth_and_once_a_second() -> None:
    pacer = Pacer(800.0)
    now = 0.0
    for _ in range(100):
        pacer.spend(pacer.available(now))
        pacer.slow_down_if_saturated(now)
        now += 0.01
    assert pacer.rate > 390
    for _ in range(20):
        now += 1.0
        pacer.spend(pacer.available(now))
        pacer.slow_down_if_saturated(now)
    assert 100 <= pacer.rate < 130


def test_pacer_without_limit_never_waits() -> None:
    pacer = Pacer(None)
    assert pacer.available(0.0) > 1_000_000
    pacer.slow_down_if_saturated(0.0)
    assert not pacer.limited
    assert pacer.ready_at(10) == 0.0


def test_idle_sender_is_not_slowed_by_a_cut() -> None:
    pacer = Pacer(900.0)
    pacer.available(0.0)
    pacer.slow_down_if_saturated(1.0)
    assert pacer.rate == 900.0


def test_data_gets_a_share_beside_acknowledgements() -> None:
    share = DataShare()
    assert share.take(5) == 0
    share.acknowledged(6)
    assert share.take(5) == 2
    share.acknowledged(1000)
    assert share.take(100) == 8


@pytest.mark.parametrize(
    "settings",
    [{"payload_size": 0}, {"payload_size": 70_000}, {"frame_rate": 0.5}, {"window_bytes": 100}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        ChannelSettings(**settings)  # type: ignore[arg-type]


def test_only_stream_data_may_be_sent_as_such() -> None:
    with pytest.raises(LocalProtocolError):
        client().send_data(b"x", START, payload_type=10)


def test_agent_reports_that_it_terminates_and_a_closed_client_sends_nothing() -> None:
    agent = make_channel(Role.AGENT, PLAIN)
    agent.connect("token", START)
    agent.messages_to_send(START)
    agent.send_terminating(START)
    (frame,) = agent.messages_to_send(START)
    assert isinstance(frame, bytes)
    assert b'"SessionState":"Terminating"' in frame
    channel = client()
    channel.receive_message(naive.build("channel_closed", 0, b"{}", header_length=112), START)
    channel.send_size(1, 2, START)
    channel.send_flag(2, START)
    channel.send_exit_code(1, START)
    channel.connect("again", START)
    channel.handle_timer(START + 100)
    assert channel.messages_to_send(START + 100) == []
    assert channel.next_timer(START + 100) is None


def test_acknowledgements_in_the_same_instant_do_not_divide_by_zero() -> None:
    window, path = DeliveryWindow(), RttEstimator()
    path.sample(0.0, 10.0)
    window.was_saturated = True
    for sequence in range(1, 40):
        window.acknowledged(sequence, 1000, 0.5, path, 0.0)
    assert MIN_WINDOW <= window.size <= MAX_WINDOW
