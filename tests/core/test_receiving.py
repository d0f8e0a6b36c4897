"""What a client does with what arrives: order, duplicates, acknowledgements, damage."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import (
    ChannelClosed,
    ChannelFailed,
    DataReceived,
    Event,
    ExitCodeReceived,
    FlagReceived,
    SessionStarted,
)
from aws_runas.ssm.core.receiving import MAX_STORED_MESSAGES
from tests.core import naive
from tests.core.frames import acknowledged, acknowledgement, handshake_complete, handshake_request, output
from tests.core.pair import make_channel

START = 50.0


def plain_client(settings: ChannelSettings | None = None) -> Channel:
    channel = make_channel(Role.CLIENT, settings or ChannelSettings())
    channel.connect("token", START)
    channel.messages_to_send(START)
    return channel


def received(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, DataReceived))


def test_receiver_delivers_each_byte_once_and_in_order() -> None:
    channel = plain_client()
    for number in (0, 2, 1, 1, 4, 0, 3):
        channel.receive_message(output(number, b"%d" % number), START)
    assert received(channel.events(START)) == b"01234"


def test_acknowledgements_of_output_wait_a_little_and_leave_together() -> None:
    channel = plain_client()
    for number in range(3):
        channel.receive_message(output(number, b"x"), START + number * 0.001)
    assert channel.messages_to_send(START + 0.007) == []
    due = channel.next_timer(START + 0.007)
    assert due is not None
    assert due == pytest.approx(START + 0.0075)
    channel.handle_timer(due)
    assert acknowledged(channel.messages_to_send(due)) == [0, 1, 2]
    assert channel.messages_to_send(START + 1) == []


def test_message_that_comes_later_than_after_the_delay_takes_the_acknowledgements_along() -> None:
    channel = plain_client()
    for number, at in enumerate((0, 0.0015, 0.003, 0.0045)):
        channel.receive_message(output(number, b"x"), START + at)
    assert channel.messages_to_send(START + 0.0055) == []
    channel.receive_message(output(4, b"x"), START + 0.006)
    assert acknowledged(channel.messages_to_send(START + 0.006)) == [
        0,
        1,
        2,
    ]  # the agent may not have stored the others


def test_acknowledgements_of_a_flood_wait_for_no_further_message() -> None:
    channel = plain_client()
    for number in range(9):
        channel.receive_message(output(number, b"x"), START)
    assert channel.next_timer(START) == pytest.approx(START + 0.005)


def test_acknowledgement_of_what_came_a_moment_ago_does_not_leave_with_the_others() -> None:
    channel = plain_client()
    channel.receive_message(output(0, b"x"), START)
    channel.receive_message(output(1, b"x"), START + 0.0051)  # the agent may not have stored it yet
    assert acknowledged(channel.messages_to_send(START + 0.0051)) == [0]
    assert acknowledged(channel.messages_to_send(START + 0.0130)) == [1]


def test_quiet_download_says_until_when_nothing_leaves() -> None:
    channel = plain_client()
    assert channel.quiet_until() is None  # nothing at all is pending
    channel.receive_message(output(0, b"x"), START)
    assert channel.quiet_until() == channel.next_timer(START) == pytest.approx(START + 0.0075)
    channel.send_data(b"typed", START + 0.001)
    assert channel.quiet_until() is None
    assert channel.messages_to_send(START + 0.001)
    assert channel.quiet_until() is None  # it may have to be sent again
    channel.receive_disconnect(START + 0.002)
    assert channel.quiet_until() is None


def test_handshake_is_acknowledged_at_once() -> None:
    channel = plain_client()
    channel.receive_message(output(0, handshake_request(), 5), START)
    assert acknowledged(channel.messages_to_send(START)) == [0]


def test_receiver_acks_duplicate_below_expected_at_once() -> None:
    channel = plain_client()
    channel.receive_message(output(0, b"x"), START)
    assert acknowledged(channel.messages_to_send(START + 0.01)) == [0]
    channel.receive_message(output(0, b"x"), START + 0.2)
    assert acknowledged(channel.messages_to_send(START + 0.2)) == [0]
    assert received(channel.events(START + 0.2)) == b"x"


def times_acknowledged(channel: Channel, number: int, until: float) -> list[float]:
    """Let timers fire; return when the acknowledgement of a message left, in seconds after START."""
    times = []
    while (due := channel.next_timer(until)) is not None and due <= until:
        channel.handle_timer(due)
        times += [due - START] * acknowledged(channel.messages_to_send(due)).count(number)
    return times


def test_acknowledgement_beside_a_gap_is_repeated_once() -> None:
    channel = plain_client()
    channel.receive_message(output(0, b"x"), START)
    channel.receive_message(output(2, b"z"), START)
    assert times_acknowledged(channel, 2, START + 5) == pytest.approx([0.005, 0.025])


def test_acknowledgements_are_repeated_as_long_as_a_gap_is_open() -> None:
    channel = plain_client()
    for number in (0, 2, 4):
        channel.receive_message(output(number, b"x"), START)
    times_acknowledged(channel, 0, START + 10)
    channel.receive_message(output(5, b"y"), START + 10)  # 1 and 3 are still missing
    assert times_acknowledged(channel, 5, START + 15) == pytest.approx([10.005, 10.025])


def test_retransmission_is_acknowledged_at_once_and_twice_again() -> None:
    """An agent looks at its oldest message every 100 ms and at nothing else: that acknowledgement must arrive."""
    channel = plain_client()
    channel.receive_message(output(1, b"y"), START)
    times_acknowledged(channel, 1, START + 1)
    for late in (2.0, 3.0):  # it fills the gap, then it is a duplicate
        channel.receive_message(output(0, b"x"), START + late)
        assert times_acknowledged(channel, 0, START + late + 0.5) == pytest.approx([late, late + 0.02, late + 0.04])


def test_acknowledgements_that_left_shortly_before_a_cut_are_repeated_on_the_new_connection_the_newest_first() -> None:
    channel = plain_client(ChannelSettings(frame_rate=None))
    channel.receive_message(output(0, b"long ago"), START)
    times_acknowledged(channel, 0, START + 1)
    for number in (1, 2, 3):
        channel.receive_message(output(number, b"x"), START + 2)
    assert times_acknowledged(channel, 3, START + 2.1) == pytest.approx([2.0075])
    channel.receive_disconnect(START + 2.1)
    channel.connect("token", START + 2.5)
    assert acknowledged(channel.messages_to_send(START + 2.5)) == [3, 2, 1]
    assert acknowledged(channel.messages_to_send(START + 9)) == []


def test_acknowledgements_are_sent_once_when_the_loss_is_over() -> None:
    channel = plain_client()
    for number in (1, 0):
        channel.receive_message(output(number, b"x"), START)
    times_acknowledged(channel, 0, START + 5)
    channel.receive_message(output(2, b"y"), START + 5)
    assert times_acknowledged(channel, 2, START + 10) == pytest.approx([5.0075])


def test_acknowledgement_names_the_message_that_came() -> None:
    channel = plain_client()
    frame = output(0, b"x")
    channel.receive_message(frame, START)
    answer = channel.messages_to_send(START + 0.01)[0]
    assert isinstance(answer, bytes)
    assert str(naive.parse(frame).message_id).encode() in answer


def test_message_out_of_order_is_acknowledged_and_kept() -> None:
    channel = plain_client()
    channel.receive_message(output(1, b"b"), START)
    assert acknowledged(channel.messages_to_send(START + 0.01)) == [1]
    assert channel.events(START + 0.01) == []
    channel.receive_message(output(0, b"a"), START)
    assert received(channel.events(START)) == b"ab"


def test_what_cannot_be_kept_is_not_acknowledged() -> None:
    channel = plain_client(ChannelSettings(frame_rate=None))
    for number in range(1, MAX_STORED_MESSAGES + 2):
        channel.receive_message(output(number, b"."), START)
    numbers = acknowledged(channel.messages_to_send(START + 1))
    assert numbers[-1] == MAX_STORED_MESSAGES
    assert len(numbers) == MAX_STORED_MESSAGES
    channel.receive_message(output(0, b"."), START)
    channel.receive_message(output(MAX_STORED_MESSAGES + 1, b"."), START)
    assert len(received(channel.events(START))) == MAX_STORED_MESSAGES + 2


def test_damaged_message_is_neither_acknowledged_nor_counted_and_may_come_again() -> None:
    channel = plain_client()
    good = output(0, b"good")
    channel.receive_message(good[:-1] + b"x", START)
    assert channel.messages_to_send(START + 1) == []
    channel.receive_message(good, START + 1)
    assert received(channel.events(START + 1)) == b"good"


def test_unknown_payload_types_and_foreign_messages_change_nothing() -> None:
    channel = plain_client()
    channel.receive_message(output(0, b"x"), START)
    channel.receive_message(output(1, b"?", 99), START)
    channel.receive_message(naive.build("input_stream_data", 2, b"mine", payload_type=1), START)
    channel.receive_message(naive.build("agent_job", 2, b"mine"), START)
    channel.receive_message(output(2, b"y"), START)
    assert received(channel.events(START)) == b"xy"


def test_standard_error_exit_code_and_flag_are_told_apart() -> None:
    channel = plain_client()
    channel.receive_message(output(0, b"out"), START)
    channel.receive_message(output(1, b"err", 11), START)
    channel.receive_message(output(2, b"EXIT_CODE: 3", 12), START)
    channel.receive_message(output(3, b"\0\0\0\3", 10), START)
    assert channel.events(START)[1:] == [
        DataReceived(b"out", 1),
        DataReceived(b"err", 11),
        ExitCodeReceived(3),
        FlagReceived(3),
    ]


def test_late_copy_of_the_handshake_request_is_acknowledged_but_answered_once() -> None:
    channel = plain_client()
    request = output(0, handshake_request(), 5)
    sent = []
    for _ in range(3):
        channel.receive_message(request, START)
        sent += channel.messages_to_send(START)
    channel.receive_message(output(1, handshake_request(), 5), START)
    sent += channel.messages_to_send(START)
    assert acknowledged(sent) == [0, 0, 0, 1]
    assert len([f for f in sent if isinstance(f, bytes) and naive.parse(f).payload_type == 6]) == 1
    channel.receive_message(output(2, handshake_complete("hello"), 7), START)
    (started,) = channel.events(START)
    assert isinstance(started, SessionStarted)
    assert (started.session_type, started.agent_version, started.customer_message) == ("Port", "3.3.0.0", "hello")


def made(number: int, at: float) -> bytes:
    """Output that the agent made at a time of our clock; its own is a million seconds ahead."""
    return naive.build("output_stream_data", number, b"x", payload_type=1, created_date=int((at + 1_000_000) * 1000))


@dataclass
class After:
    """What comes after a cut at 10.0 and a new connection at 10.5, in seconds from the start.

    Args:
        heard: when the service says start_publication; None if it does not.
        arrivals: of messages: when the agent made it, and when it arrives.
        slept: seconds of the cut that the monotonic clock did not count.
        acknowledged: when the agent acknowledges something.
    """

    closed_at: float
    arrivals: tuple[tuple[float, float], ...] = ()
    heard: float | None = 10.52
    slept: float = 0.0
    acknowledged: float | None = None

    def end(self) -> Event:
        """Return the last event."""
        wall = [START]
        channel = make_channel(Role.CLIENT, ChannelSettings(), wall_clock=lambda: int(wall[0] * 1000))

        def receive(frame: bytes, at: float, slept: float) -> None:
            wall[0] = START + at + slept
            channel.receive_message(frame, START + at)

        channel.connect("token", START)
        receive(made(0, START), 0.02, 0.0)
        receive(made(1, START + 0.5), 0.52, 0.0)
        channel.receive_disconnect(START + 10)
        wall[0] = START + 10.5 + self.slept
        channel.connect("token", START + 10.5)
        if self.heard is not None:
            receive(naive.build("start_publication", 0, b"{}"), self.heard, self.slept)
        if self.acknowledged is not None:
            receive(acknowledgement(0), self.acknowledged, self.slept)
        for number, (made_at, arrives_at) in enumerate(self.arrivals, 2):
            receive(made(number, START + made_at + self.slept), arrives_at, self.slept)
        receive(naive.build("channel_closed", 0, b"{}"), self.closed_at, self.slept)
        return channel.events(START + self.closed_at)[-1]


CERTAIN, UNCERTAIN = ChannelClosed(""), ChannelClosed("", end_may_be_missing=True)
UNLESS_OLD = ChannelClosed("", end_may_be_missing=True, did_not_wait=True)


@pytest.mark.parametrize(
    ("after", "end"),
    [
        (After(12.0), UNCERTAIN),
        (After(12.0, ((9.9, 11.0), (9.9, 11.1))), UNCERTAIN),  # two that were resent
        (After(11.3, ((9.9, 11.0), (9.9, 11.1))), UNLESS_OLD),  # with one unacknowledged, it had waited until 11.9
        (After(11.3, ((9.9, 11.0), (9.9, 11.1)), slept=3.0), UNCERTAIN),  # its dates cannot be compared with ours
        (After(12.0, ((9.9, 11.0), (10.1, 11.1))), UNCERTAIN),  # made while the connection was away
        (After(12.4, ((9.9, 11.0), (10.8, 11.1))), CERTAIN),  # made on the new connection
        (After(12.8, ((9.9, 11.0), (10.8, 11.1)), heard=10.7), UNCERTAIN),  # perhaps before the service had it
        (After(12.8, ((9.9, 11.0), (10.8, 11.1)), heard=None), UNCERTAIN),
        (After(12.4, ((9.9, 11.0), (10.8, 11.1)), slept=3.0), UNCERTAIN),
        (After(13.6, ((9.9, 11.0),)), CERTAIN),  # an agent that had more to resend would have done so
        (After(13.6, acknowledged=10.6), CERTAIN),
        (After(13.0, acknowledged=10.6), UNCERTAIN),
        (After(19.0), UNCERTAIN),  # the agent may have been away all the time
    ],
)
def test_end_just_after_a_cut_is_uncertain_unless_something_proves_it_whole(after: After, end: ChannelClosed) -> None:
    assert after.end() == end


@pytest.mark.parametrize(("later", "fails"), [(-1.0, False), (0.0, False), (0.5, True)])
def test_agent_that_counts_from_zero_again_ends_the_session_loudly(later: float, fails: bool) -> None:
    """It would wait for number 0 for ever, and what it says would be taken for repetitions."""
    channel = plain_client()
    first = made(0, START)
    for frame in (first, made(1, START + 0.1)):
        channel.receive_message(frame, START + 0.2)
    channel.receive_disconnect(START + 1)
    channel.connect("token", START + 2)
    channel.receive_message(first, START + 2)  # a resent one keeps its id and date
    channel.receive_message(made(0, START + 0.1 + later), START + 3)
    events = channel.events(START + 3)
    assert any(isinstance(event, ChannelFailed) for event in events) is fails
    if fails:
        assert events[-1] == ChannelFailed("the agent has started again; what ran in the session is gone")


@pytest.mark.parametrize(
    "case",
    ["late", "late once", "late because nobody read", "in time", "a repetition", "repetitions", "paused", "paused now"],
)
def test_end_behind_what_an_agent_has_resent_is_uncertain_without_a_cut_too(case: str) -> None:
    """The agent's own connection may have been cut: it resends one message in 0.1 s, and ends 2 s after its program."""
    channel = plain_client()
    for number in range(3):
        channel.receive_message(made(number, START + number / 1000), START + 0.02 + number / 1000)
    if case.startswith("late"):
        if "nobody" in case:
            channel.reading_resumed(START + 1)
        channel.receive_message(made(3, START + 0.003), START + 1.01)
        if case != "late once":
            channel.receive_message(made(4, START + 0.004), START + (1.01 if "nobody" in case else 1.11))
    elif case == "in time":
        channel.receive_message(made(3, START + 1), START + 1.02)
    elif "repetition" in case:
        for at in (1.01, 1.11)[: 1 if case == "a repetition" else 2]:
            channel.receive_message(made(2, START + 0.002), START + at)
    elif case.startswith("paused"):
        channel.receive_message(naive.build("pause_publication", 0, b""), START + (3.1 if "now" in case else 1))
    channel.receive_message(naive.build("channel_closed", 0, b"{}"), START + 3.11)
    end = channel.events(START + 3.11)[-1]
    assert isinstance(end, ChannelClosed)
    assert end.end_may_be_missing is (case in ("late", "repetitions", "paused"))
    assert not end.did_not_wait


@pytest.mark.parametrize(
    ("acknowledged_late", "closed_at", "certain"), [(0.0, 2.0, True), (0.0, 2.9, False), (2.0, 2.0, False)]
)
def test_clocks_are_compared_by_acknowledgements_where_no_message_has_come_in_time(
    acknowledged_late: float, closed_at: float, certain: bool
) -> None:
    """A short session on a busy machine: each message is late, so none tells how far the clocks are apart.

    Args:
        acknowledged_late: seconds by which the date of an acknowledgement lies before our message: it proves nothing.
        closed_at: seconds after the start; the last message was made at 1.0.
        certain: an agent that had to wait for an acknowledgement would have ended the session at 3.0.
    """
    wall = [START]
    channel = make_channel(Role.CLIENT, ChannelSettings(), wall_clock=lambda: int(wall[0] * 1000))
    channel.connect("token", START)
    channel.messages_to_send(START)
    channel.receive_message(made(0, START), START + 0.2)
    channel.send_size(80, 24, START + 0.25)
    sent = [frame for frame in channel.messages_to_send(START + 0.25) if isinstance(frame, bytes)]
    (size,) = (frame for frame in sent if naive.parse(frame).payload_type == 3)
    date = int((START + 0.26 - acknowledged_late + 1_000_000) * 1000)
    frame = naive.build_acknowledgement(naive.parse(size), created_date=date)
    channel.receive_message(frame, START + 0.27)
    for number, late in ((1, 0.4), (2, 0.6)):
        channel.receive_message(made(number, START + number / 2), START + number / 2 + late)
    wall[0] = START + closed_at
    channel.receive_message(naive.build("channel_closed", 0, b"{}"), START + closed_at)
    assert channel.events(START + closed_at)[-1] == ChannelClosed("", end_may_be_missing=True, did_not_wait=certain)


def test_end_without_a_cut_is_certain_although_all_came_at_once() -> None:
    channel = plain_client()
    channel.receive_message(made(0, START), START)
    channel.receive_message(naive.build("channel_closed", 0, b"{}"), START)
    assert channel.events(START)[-1] == ChannelClosed("")
