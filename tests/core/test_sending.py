"""What a sender does about loss, lateness, pauses and pace, in virtual time."""

from __future__ import annotations

import itertools

import pytest

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.events import PublicationPaused, PublicationResumed, SendingUnblocked
from aws_runas.ssm.core.sending import CONTROL_LIMIT
from tests.core import naive
from tests.core.frames import acknowledged, acknowledgement, kinds, numbers, output
from tests.core.pair import PLAIN, Frame, Pair, make_channel

START = 50.0
UNPACED = ChannelSettings(frame_rate=None, window_bytes=None, handshake=False)


def started(settings: ChannelSettings = UNPACED, round_trip: float = 0.02) -> Channel:
    """A client whose session runs, and who knows the round trip; numbers go on from 1."""
    channel = make_channel(Role.CLIENT, settings)
    channel.connect("token", START - 10)
    channel.receive_message(output(0, b"$ "), START - 10)
    channel.send_data(b"x", START - 5)
    channel.messages_to_send(START - 5)
    channel.receive_message(acknowledgement(0), START - 5 + round_trip)
    channel.events(START - 5 + round_trip)
    return channel


def send(channel: Channel, count: int, now: float, size: int = 1024) -> list[Frame]:
    """Send so many full messages."""
    channel.send_data(bytes(count * size), now)
    return channel.messages_to_send(now)


def wait(channel: Channel, now: float) -> list[Frame]:
    """Time has passed."""
    channel.handle_timer(now)
    return channel.messages_to_send(now)


def test_data_is_cut_into_payloads_and_numbered() -> None:
    channel = started()
    channel.send_data(b"a" * 2500, START)
    frames = channel.messages_to_send(START)
    assert kinds(frames) == [("input_stream_data", number, 1) for number in (1, 2, 3)]
    assert [len(naive.parse(frame).payload) for frame in frames if isinstance(frame, bytes)] == [1024, 1024, 452]


def test_small_writes_that_wait_leave_in_one_message() -> None:
    channel = started()
    for key in (b"l", b"s", b"\n"):
        channel.send_data(key, START)
    (frame,) = channel.messages_to_send(START)
    assert isinstance(frame, bytes)
    assert naive.parse(frame).payload == b"ls\n"


def test_lone_newline_is_left_alone() -> None:
    channel = started()
    channel.send_data(b"\n", START)
    (frame,) = channel.messages_to_send(START)
    assert isinstance(frame, bytes)
    assert naive.parse(frame).payload == b"\n"


def test_resend_is_the_same_frame() -> None:
    channel = started()
    first = send(channel, 1, START)
    assert wait(channel, START + 1) == first


def test_timeout_follows_the_round_trip_above_a_floor() -> None:
    channel = started(round_trip=0.02)
    send(channel, 1, START)
    due = channel.next_timer(START)
    assert due is not None
    assert 0.03 <= due - START <= 0.07
    assert wait(channel, due - 0.001) == []
    assert numbers(wait(channel, due)) == [1]


def test_all_that_was_lost_is_resent_together_once_the_peer_is_heard() -> None:
    pair = Pair(UNPACED, latency=0.01)
    pair.send(pair.agent, b"$ ")
    pair.send(pair.client, b"x")
    pair.run(5)
    pair.client.filter = lambda _: []
    pair.send(pair.client, bytes(100 * 1024))
    pair.client.filter = lambda frame: [frame]
    began = pair.now
    pair.run(60, lambda: not pair.client.channel.unacknowledged())
    assert pair.now - began < 0.4  # one in each 100 ms, as the official programs do it, takes ten seconds


def test_silence_is_asked_with_more_and_more_and_waited_for_longer_and_longer() -> None:
    channel = started()
    send(channel, 100, START)
    rounds: list[int] = []
    times: list[float] = []
    while len(rounds) < 6:
        due = channel.next_timer(START)
        assert due is not None
        resent = wait(channel, due)
        if resent:
            rounds.append(len(resent))
            times.append(due)
    assert rounds[:3] == [2, 8, 32]
    assert rounds[3] >= 90
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] <= 4.0


def test_overtaken_message_is_resent_without_waiting_for_its_timeout() -> None:
    channel = started()
    send(channel, 5, START)
    for number in (2, 3):
        channel.receive_message(acknowledgement(number), START + 0.02)
    assert channel.messages_to_send(START + 0.02) == []
    channel.receive_message(acknowledgement(4), START + 0.02)
    assert numbers(channel.messages_to_send(START + 0.02)) == [1]


def test_needless_resend_raises_the_tolerance() -> None:
    channel = started()
    send(channel, 5, START)
    channel.receive_message(acknowledgement(4), START + 0.02)
    assert numbers(channel.messages_to_send(START + 0.02)) == [1]
    channel.receive_message(acknowledgement(1), START + 0.021)
    channel.receive_message(acknowledgement(1), START + 0.041)  # both copies arrived
    for number in (2, 3, 5):
        channel.receive_message(acknowledgement(number), START + 0.041)
    send(channel, 5, START + 1)
    channel.receive_message(acknowledgement(9), START + 1.02)
    assert channel.messages_to_send(START + 1.02) == []  # three later ones are not enough any more


def test_acknowledgement_of_a_resend_teaches_no_round_trip() -> None:
    channel = started(round_trip=0.02)
    send(channel, 1, START)
    wait(channel, START + 0.5)
    channel.receive_message(acknowledgement(1), START + 3.0)
    send(channel, 1, START + 4)
    due = channel.next_timer(START + 3.0)
    assert due is not None
    assert due < START + 4.1


def test_paced_window_is_bounded_in_bytes() -> None:
    channel = started(ChannelSettings(window_bytes=4 * 1024, handshake=False))
    total = 0
    while capacity := channel.send_capacity(START):
        channel.send_data(bytes(capacity), START)
        total += capacity
        channel.messages_to_send(START)
    assert total == 4 * 1024
    for tick in range(1, 10):  # one message at a time
        channel.messages_to_send(START + tick / 1000)
    assert channel.events(START + 0.01) == []
    channel.receive_message(acknowledgement(1), START + 0.02)
    assert SendingUnblocked() in channel.events(START + 0.02)
    assert channel.send_capacity(START + 0.02) == 1024


def test_more_than_the_capacity_is_refused() -> None:
    channel = started()
    with pytest.raises(LocalProtocolError, match="may be sent"):
        channel.send_data(bytes(channel.send_capacity(START) + 1), START)


def test_control_messages_stay_behind_the_data_and_are_bounded() -> None:
    channel = started()
    channel.send_data(b"bye", START)
    channel.send_flag(2, START)
    assert kinds(channel.messages_to_send(START)) == [("input_stream_data", 1, 1), ("input_stream_data", 2, 10)]
    for _ in range(CONTROL_LIMIT):
        channel.send_flag(1, START)
    with pytest.raises(LocalProtocolError):
        channel.send_flag(1, START)


def test_of_sizes_that_wait_the_last_is_sent() -> None:
    channel = started()
    for columns in (80, 90, 100):
        channel.send_size(columns, 25, START)
    (frame,) = channel.messages_to_send(START)
    assert isinstance(frame, bytes)
    assert naive.parse(frame).payload == b'{"cols":100,"rows":25}'


# publication


def pause(channel: Channel, now: float, frame: bytes | None = None) -> None:
    channel.receive_message(frame or naive.build("pause_publication", 0, b"{}", header_length=112), now)


@pytest.mark.parametrize("message_type", ["pause_publication", "start_publication"])
@pytest.mark.parametrize(
    "body",
    [
        naive.build("TYPE", 0, b'{"SchemaVersion":1}', header_length=112, padding=b"\0"),
        naive.build("TYPE", 0, b'{"SchemaVersion":1}')[:80] + bytes(32) + b"\0\0\0\0\x13\0\0\0" + b"{}",
        naive.build("TYPE", 0, b"", created_date=0)[:116] + b"text",
        naive.build("TYPE", 0, b"")[:60],
    ],
)
def test_publication_messages_are_understood_in_every_form_and_never_acknowledged(
    message_type: str, body: bytes
) -> None:
    channel = started()
    frame = body[:4] + message_type.encode().ljust(32, body[35:36]) + body[36:]
    if message_type == "start_publication":
        pause(channel, START)
        channel.events(START)
    channel.receive_message(frame, START)
    expected = PublicationPaused() if message_type == "pause_publication" else PublicationResumed()
    assert channel.events(START) == [expected]
    assert acknowledged(channel.messages_to_send(START + 1)) == []


def test_paused_sender_sends_no_new_data_but_acknowledges_and_probes() -> None:
    channel = started()
    channel.messages_to_send(START)
    send(channel, 3, START)
    pause(channel, START)
    channel.send_data(b"new", START)
    assert channel.messages_to_send(START) == []
    assert numbers(wait(channel, START + 1)) == [1]
    assert numbers(wait(channel, START + 1.01)) == []
    channel.receive_message(output(0, b"$ "), START + 1.02)  # a copy: not acknowledged yet, it seems
    assert channel.events(START + 1.02)[-1] == PublicationResumed()
    frames = wait(channel, START + 1.03)
    assert acknowledged(frames) == [0]
    assert 4 in numbers(frames)


@pytest.mark.parametrize("what", ["start", "acknowledgement", "output", "connection"])
def test_pause_ends_with_any_sign_of_the_peer(what: str) -> None:
    channel = started()
    send(channel, 1, START)
    pause(channel, START)
    channel.send_data(b"new", START)
    now = START + 0.01
    if what == "start":
        channel.receive_message(naive.build("start_publication", 0, b"{}"), now)
    elif what == "acknowledgement":
        channel.receive_message(acknowledgement(1), now)
    elif what == "output":
        channel.receive_message(output(1, b"!"), now)
    else:
        channel.receive_disconnect(now)
        channel.connect("token", now)
    assert 2 in numbers(channel.messages_to_send(now))


def test_pause_with_nothing_on_its_way_is_probed_with_something_new() -> None:
    channel = started()
    channel.messages_to_send(START)
    pause(channel, START)
    channel.send_data(bytes(5000), START)
    assert channel.messages_to_send(START) == []
    due = channel.next_timer(START)
    assert due is not None
    assert numbers(wait(channel, due)) == [1]
    assert wait(channel, due + 0.001) == []
    channel.receive_message(acknowledgement(1), due + 0.02)
    assert numbers(channel.messages_to_send(due + 0.02)) == [2, 3, 4, 5]


# pace


def test_no_second_ever_sees_a_thousand_frames() -> None:
    pair = Pair(PLAIN)
    pair.send(pair.agent, b"$ ")
    pair.run(1)
    times: list[float] = []
    pair.client.filter = lambda frame: (times.append(pair.now), [frame])[1]  # type: ignore[func-returns-value]
    pair.send(pair.client, bytes(3_000_000))
    busiest = max(sum(1 for t in times if at <= t < at + 1) for at in times[::50])
    assert busiest <= 965
    assert times[-1] - times[0] < 3.16  # 900 a second would need 3.18 s


def test_echo_of_a_byte_costs_the_client_two_frames() -> None:
    pair = Pair(PLAIN)
    pair.send(pair.agent, b"$ ")
    pair.run(1)
    frames: list[Frame] = []
    pair.client.filter = lambda frame: (frames.append(frame), [frame])[1]  # type: ignore[func-returns-value]
    for _ in range(30):
        for end in (pair.client, pair.agent):
            pair.send(end, b"x")
            pair.run(0.1)
    pair.run(1)
    sent = [kind for kind, _, _ in kinds(frames)]
    assert sent.count("input_stream_data") == sent.count("acknowledge") == 30
    assert len(sent) == 60


def test_acknowledgements_are_first_in_line() -> None:
    channel = started(ChannelSettings(frame_rate=10.0, handshake=False))
    for step in range(150):  # until the tokens of the burst are used up
        now = START + step / 1000
        while capacity := channel.send_capacity(now):
            channel.send_data(bytes(capacity), now)
        channel.messages_to_send(now)
    channel.receive_message(output(1, b"x"), START + 0.15)
    frames = wait(channel, START + 0.25)
    assert kinds(frames) == [("acknowledge", 1, 0)]


def test_pause_while_sending_halves_the_rate_and_it_rises_again() -> None:
    pair = Pair(PLAIN)
    pair.send(pair.agent, b"$ ")
    pair.run(1)

    def seconds_for(size: int) -> float:
        began = pair.now
        pair.send(pair.client, bytes(size))
        return pair.now - began

    before = seconds_for(1_000_000)
    pause(pair.client.channel, pair.now)
    pair.client.channel.receive_message(naive.build("start_publication", 0, b"{}"), pair.now)
    after = seconds_for(1_000_000)
    assert after > 1.6 * before
    pair.run(60)
    assert seconds_for(1_000_000) < 1.1 * before


def test_byte_beside_a_paced_upload_waits_little() -> None:
    pair = Pair(PLAIN, latency=0.0005)
    pair.send(pair.agent, b"$ ")
    pair.run(1)
    waits: list[float] = []
    for _ in range(50):
        began = pair.now
        while capacity := pair.client.channel.send_capacity(START):
            pair.client.channel.send_data(bytes(capacity), pair.now)
            pair.exchange()
        while not pair.client.channel.send_capacity(pair.now):
            assert pair.step(pair.now + 1)
        pair.client.channel.send_data(b"E", pair.now)
        typed = pair.now
        pair.exchange()
        pair.run(1, lambda: pair.agent.data().endswith(b"E"))
        waits.append(pair.now - typed)
        pair.agent.events.clear()
        assert pair.now > began
    assert sorted(waits)[25] < 0.015
    assert max(waits) < 0.05
