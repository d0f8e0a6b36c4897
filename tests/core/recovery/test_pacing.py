"""Data messages leave one at a time, and the average rate is kept all the same (spec 14.5)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aws_runas.ssm.core.channel import QUEUE_AHEAD, Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import SendingUnblocked
from aws_runas.ssm.core.recovery.pacing import BURST, LOAN, MIN_SPACING, RESERVE, RESERVE_RATE, DataSpacing, Pacer
from tests.core.frames import acknowledgement, output
from tests.core.naive import build
from tests.core.pair import make_channel

NOW = 50.0


def started_client() -> Channel:
    channel = make_channel(Role.CLIENT, ChannelSettings())
    channel.connect("token", NOW)
    channel.receive_message(output(0, b"$ "), NOW)
    channel.messages_to_send(NOW)
    channel.events(NOW)
    return channel


def departures(channel: Channel, begin: float, until: float) -> list[float]:
    """Return when each data message leaves, a timer at a time."""
    times, now = [], begin
    while True:
        frames = [frame for frame in channel.messages_to_send(now) if isinstance(frame, bytes)]
        times += [now for frame in frames if b"input_stream_data" in frame[:36]]
        due = channel.next_timer(now)
        if due is None or due > until:
            return times
        now = max(now, due)
        channel.handle_timer(now)


def test_spacing_lets_one_message_leave_and_then_waits() -> None:
    spacing = DataSpacing(paced=True)
    assert spacing.allowed(NOW) == 1
    spacing.sent(1, NOW)
    assert spacing.allowed(NOW + MIN_SPACING / 2) == 0
    assert spacing.allowed(spacing.ready_at) == 1


def test_spacing_counts_from_the_end_of_a_late_write() -> None:
    """A process that loses the processor before its write would send the next message right behind it."""
    channel = started_client()
    channel.send_data(bytes(3 * 1024), NOW + 10)
    assert channel.messages_to_send(NOW + 10)
    late = NOW + 10 + 5 * MIN_SPACING
    channel.messages_written(late)
    assert channel.messages_to_send(late + MIN_SPACING / 2) == []
    assert channel.messages_to_send(late + MIN_SPACING)
    channel.messages_written(late + MIN_SPACING)
    channel.messages_written(late + 1.5 * MIN_SPACING)  # of acknowledgements: they are not spaced
    assert channel.messages_to_send(late + 2 * MIN_SPACING)


def test_spacing_without_pace_lets_all_leave() -> None:
    spacing = DataSpacing(paced=False)
    spacing.sent(5, NOW)
    assert spacing.allowed(NOW) > 1000


def test_data_saved_up_in_silence_leaves_one_message_at_a_time() -> None:
    channel = started_client()
    channel.send_data(bytes(5 * 1024), NOW + 10)
    times = departures(channel, NOW + 10, NOW + 10.1)
    assert len(times) == 5
    assert all(later - earlier >= MIN_SPACING - 1e-6 for earlier, later in pairwise(times))
    assert times[-1] - times[0] == pytest.approx(4 * MIN_SPACING)  # saved tokens: as close as the spacing allows


def test_tokens_saved_up_by_a_late_machine_let_no_long_queue_form() -> None:
    """What is written behind the queue, a keystroke beside an upload, would wait for all of it."""
    channel = started_client()
    size = ChannelSettings().payload_size
    assert channel.send_capacity(NOW + 10) <= (QUEUE_AHEAD + 1) * size < BURST * size


def test_late_timer_sends_one_message_and_catches_up_at_the_spacing() -> None:
    channel = started_client()
    channel.send_data(bytes(5 * 1024), NOW + 10)
    times = departures(channel, NOW + 10.05, NOW + 10.1)  # woken 50 ms late
    assert [round((at - times[0]) / MIN_SPACING) for at in times] == [0, 1, 2, 3, 4]


def test_resends_on_a_new_connection_leave_one_at_a_time() -> None:
    channel = started_client()
    channel.send_data(bytes(5 * 1024), NOW + 10)
    departures(channel, NOW + 10, NOW + 10.01)
    channel.receive_disconnect(NOW + 10.01)
    channel.connect("token 2", NOW + 10.02)
    times = departures(channel, NOW + 10.02, NOW + 10.03)
    assert len(times) >= 5
    assert all(later - earlier >= MIN_SPACING - 1e-6 for earlier, later in pairwise(times))


def test_pacer_keeps_its_rate_after_a_burst() -> None:
    pacer = Pacer(900.0)
    assert pacer.available(NOW) == BURST
    pacer.spend(BURST)
    assert pacer.available(NOW) == 0
    assert pacer.available(NOW + 0.01) == 9


def test_owner_is_asked_for_a_batch_when_the_queue_is_empty_and_the_rate_is_kept() -> None:
    channel = started_client()
    size = ChannelSettings().payload_size
    sent = asked = most = 0
    now, queued = NOW + 10, 0
    began = now
    while sent < 200:
        while room := channel.send_capacity(now):
            channel.send_data(bytes(room), now)
            queued += room // size
        asked += 1
        most = max(most, queued)
        unblocked = False
        while not unblocked:
            frames = [frame for frame in channel.messages_to_send(now) if isinstance(frame, bytes)]
            for frame in frames:
                channel.receive_message(acknowledgement(int.from_bytes(frame[48:56], "big")), now)
            sent += len(frames)
            queued -= len(frames)
            due = channel.next_timer(now)
            assert due is not None
            now = max(now, due)
            channel.handle_timer(now)
            unblocked = SendingUnblocked() in channel.events(now)
    assert (sent - BURST) / (now - began) >= 0.99 * 925
    assert most <= QUEUE_AHEAD + 1
    assert asked <= sent / 3


def test_departure_is_announced_while_a_message_waits_for_its_turn_only() -> None:
    channel = started_client()
    channel.send_data(bytes(2 * 1024), NOW + 10)
    assert len(channel.messages_to_send(NOW + 10)) >= 1
    due = channel.next_timer(NOW + 10)
    assert due == channel.next_departure == pytest.approx(NOW + 10 + MIN_SPACING)
    channel.messages_to_send(NOW + 10.001)
    channel.next_timer(NOW + 10.001)
    assert channel.next_departure is None


def sending_client(messages: int) -> Channel:
    """A client that has sent the first of its messages and has the others queued."""
    channel = started_client()
    channel.send_data(bytes(messages * 1024), NOW + 10)
    assert len(channel.messages_to_send(NOW + 10)) > 1  # an acknowledgement, and one message
    return channel


def test_messages_made_ahead_keep_the_spacing_and_count_as_sent() -> None:
    channel = sending_client(5)
    ahead = channel.messages_ahead(NOW + 10, NOW + 10 + 3.5 * MIN_SPACING)
    times = [NOW + 10, *(message.sent_at for message in ahead)]
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([MIN_SPACING] * 3)
    assert channel.messages_ahead(NOW + 10, times[-1]) == []
    for message in ahead:
        channel.departed(message, message.sent_at)
    assert channel.messages_to_send(times[-1] + MIN_SPACING / 2) == []
    assert len(channel.messages_to_send(times[-1] + MIN_SPACING)) == 1


def test_nothing_overtakes_messages_made_ahead_that_are_late() -> None:
    channel = sending_client(5)
    ahead = channel.messages_ahead(NOW + 10, NOW + 10 + 2.5 * MIN_SPACING)
    late = ahead[-1].sent_at + 1  # the loop was busy, and comes to a turn before they have left
    assert channel.messages_to_send(late) == []
    due = channel.next_timer(late)
    assert due is not None
    assert due > late  # not at once: the loop would turn for nothing until they have left
    for message in ahead:
        channel.departed(message, late)
    assert channel.messages_to_send(late + MIN_SPACING / 2) == []
    assert len(channel.messages_to_send(late + MIN_SPACING)) == 1


def test_late_departure_of_a_message_moves_the_next_one() -> None:
    channel = sending_client(5)
    first, *_ = channel.messages_ahead(NOW + 10, NOW + 10 + 3.5 * MIN_SPACING)
    late = NOW + 11
    assert channel.departed(first, late) == pytest.approx(late + MIN_SPACING)
    assert first.sent_at == late  # the round trip is measured from here
    assert channel.messages_to_send(late + MIN_SPACING / 2) == []


def test_messages_made_ahead_are_resent_if_the_connection_is_lost_before_they_leave() -> None:
    channel = sending_client(4)
    ahead = [message.frame for message in channel.messages_ahead(NOW + 10, NOW + 10 + 2.5 * MIN_SPACING)]
    channel.receive_disconnect(NOW + 10)
    channel.connect("token 2", NOW + 10.02)
    resent: list[bytes | str] = []
    for step in range(20):
        resent += channel.messages_to_send(NOW + 10.02 + step * 0.002)
    assert len(ahead) == 2
    assert set(ahead) < set(resent)


def test_nothing_is_made_ahead_while_acknowledgements_are_pending_or_paused_or_without_pace() -> None:
    channel = sending_client(4)
    channel.receive_message(output(1, b"data"), NOW + 10)
    assert channel.messages_ahead(NOW + 10, NOW + 11) == []
    channel = sending_client(4)
    channel.receive_message(build("pause_publication", 0, b"{}"), NOW + 10)
    assert channel.messages_ahead(NOW + 10, NOW + 11) == []
    unpaced = make_channel(Role.CLIENT, ChannelSettings(frame_rate=None))
    unpaced.connect("token", NOW)
    unpaced.receive_message(output(0, b"$ "), NOW)
    unpaced.messages_to_send(NOW + 1)
    unpaced.send_data(bytes(4096), NOW + 1)
    assert unpaced.messages_ahead(NOW + 1, NOW + 2) == []


def test_owner_is_asked_for_more_when_all_that_was_queued_has_left() -> None:
    channel = started_client()
    channel.messages_to_send(NOW + 10)
    while room := channel.send_capacity(NOW + 10):
        channel.send_data(bytes(room), NOW + 10)
    channel.messages_to_send(NOW + 10)
    ahead = channel.messages_ahead(NOW + 10, NOW + 11)
    last = ahead[-1].sent_at
    assert channel.events(last) == []  # a keystroke now is still sent before the data that is asked for
    for message in ahead:
        channel.departed(message, message.sent_at)
    assert channel.events(last) == []
    due = channel.next_timer(last)
    assert due is not None
    assert due < NOW + 10.05  # not only when the next acknowledgement comes
    assert channel.events(due) == [SendingUnblocked()]


def test_agent_that_is_late_keeps_its_pace_by_sending_several_at_once() -> None:
    """Only agents execute messages twice, so only clients space theirs; an agent's pace holds on a busy machine."""
    agent = make_channel(Role.AGENT, ChannelSettings(frame_rate=500, handshake=False))
    agent.connect("token", NOW)
    agent.messages_to_send(NOW)
    agent.send_data(bytes(16 * 1024), NOW)
    agent.messages_to_send(NOW)
    agent.send_data(bytes(16 * 1024), NOW + 1)
    assert len(agent.messages_to_send(NOW + 1)) == 16


def most_in_a_second(sent: list[tuple[float, int]]) -> int:
    return max(sum(count for at, count in sent if begin <= at < begin + 1) for begin, _ in sent)


STEPS = st.tuples(st.floats(0, 0.3), st.integers(0, 60), st.integers(0, 300), st.integers(0, 120))


@given(st.lists(STEPS, min_size=1, max_size=80), st.sampled_from([50.0, 100.0, 925.0]), st.booleans())
@example([(0.0, 0, 0, 0), (0.01, 0, 300, 0), (0.05, 40, 0, 0), (0.1, 0, 0, 0)] * 4, 100.0, True)
def test_bucket_reserve_and_loan_together_never_exceed_the_frames_of_a_second(
    steps: list[tuple[float, int, int, int]], rate: float, prepares_ahead: bool
) -> None:
    """Messages are prepared ahead for when the pacer says that it is ready, as Channel.messages_ahead does."""
    pacer, now, sent = Pacer(rate), NOW, []
    for rest, wanted, repeats, acknowledgements in steps:
        now += rest
        frames = min(pacer.available(now), wanted)
        lent = min(pacer.loan(now), acknowledgements)
        from_reserve = min(max(0, pacer.reserve(now) - lent), repeats)
        pacer.spend(frames + lent + from_reserve, from_reserve=from_reserve, lent=lent)
        sent.append((now, frames + lent + from_reserve))
        until = now + 0.1
        while prepares_ahead and (when := max(now, pacer.ready_at(1))) <= until:
            assert pacer.available(when)
            pacer.spend(1)
            sent.append((when, 1))
            now = when
    assert most_in_a_second(sent) <= rate + BURST


def test_loan_is_repaid_before_there_is_another() -> None:
    pacer = Pacer(925.0)
    pacer.available(NOW)
    pacer.spend(LOAN, lent=LOAN)
    assert pacer.available(NOW) == BURST  # took no token
    assert pacer.loan(NOW) == 0
    now, spent = NOW, 0
    while not pacer.loan(now):
        now += 0.01
        tokens = pacer.available(now)
        pacer.spend(tokens)
        spent += tokens
    assert now - NOW == pytest.approx(1.0, abs=0.02)  # not within the same second
    assert spent == pytest.approx(BURST + 925 - LOAN, abs=15)


def test_loan_of_an_idle_channel_is_repaid_by_what_the_bucket_cannot_hold() -> None:
    pacer = Pacer(925.0)
    pacer.available(NOW)
    pacer.spend(50, lent=50)
    pacer.available(NOW + 2)
    assert pacer.loan(NOW + 2) == LOAN


def test_reserve_is_used_up_and_comes_back() -> None:
    pacer = Pacer(925.0)
    pacer.available(NOW)
    assert pacer.reserve(NOW) == RESERVE
    pacer.spend(RESERVE, from_reserve=RESERVE)
    assert pacer.available(NOW) == BURST  # took no token
    assert pacer.reserve(NOW) == 0
    later = NOW + 2
    pacer.available(later)
    assert pacer.reserve(later) == 2 * RESERVE_RATE


def test_no_reserve_while_the_rate_is_halved() -> None:
    pacer = Pacer(925.0)
    pacer.available(NOW)
    pacer.spend(BURST)
    pacer.slow_down_if_saturated(NOW)
    assert pacer.reserve(NOW) == 0


def test_bucket_waits_while_the_second_is_full_and_says_until_when() -> None:
    pacer, now = Pacer(925.0), NOW
    pacer.available(NOW)
    pacer.spend(RESERVE, from_reserve=RESERVE)
    while pacer.available(now):
        pacer.spend(1)
        now += 1 / 925
    assert now < NOW + 1
    ready = pacer.ready_at(1)
    assert ready > NOW + 1
    assert pacer.available(ready - 1 / 64) == 0
    assert pacer.available(ready) > 0
