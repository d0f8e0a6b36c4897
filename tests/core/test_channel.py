"""Channel: it outlives its connections, and its end is told with a reason."""

from __future__ import annotations

import json

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed, PublicationPaused
from tests.core import naive
from tests.core.frames import acknowledgement, numbers, output
from tests.core.pair import PLAIN, START, Pair, connected_client, make_channel


def test_new_connection_resends_everything_unacknowledged_lowest_first() -> None:
    channel = connected_client(ChannelSettings(frame_rate=None, window_bytes=None, handshake=False))
    channel.receive_message(output(0, b"$ "), START)
    channel.send_data(bytes(5 * 1024), START)
    assert numbers(channel.messages_to_send(START)) == [0, 1, 2, 3, 4]
    channel.receive_message(acknowledgement(2), START + 0.02)
    channel.receive_disconnect(START + 0.1)
    assert channel.messages_to_send(START + 0.2) == []
    assert channel.next_timer(START + 0.2) is None
    channel.connect("second", START + 9)
    frames = channel.messages_to_send(START + 9)
    assert isinstance(frames[0], str)
    assert '"TokenValue":"second"' in frames[0]
    assert numbers(frames) == [0, 1, 3, 4]


def test_client_id_stays_and_request_id_changes() -> None:
    channel = make_channel(Role.CLIENT, PLAIN)
    channel.connect("one", START)
    first = json.loads(channel.messages_to_send(START)[0])
    channel.receive_disconnect(START)
    channel.connect("two", START)
    second = json.loads(channel.messages_to_send(START)[0])
    assert first["ClientId"] == second["ClientId"]
    assert first["RequestId"] != second["RequestId"]
    assert list(first) == ["MessageSchemaVersion", "RequestId", "TokenValue", "ClientId", "ClientVersion"]


def test_receiver_keeps_its_place_across_connections() -> None:
    pair = Pair(PLAIN)
    pair.send(pair.agent, b"$ ")
    pair.run(0.1)
    pair.send(pair.client, b"a" * 50_000)
    pair.disconnect()
    pair.now += 3
    pair.connect()
    pair.send(pair.client, b"b" * 5_000)
    pair.run(5)
    assert pair.agent.data() == b"a" * 50_000 + b"b" * 5_000
    assert pair.client.channel.unacknowledged() == 0


def test_service_closes_with_its_own_header() -> None:
    channel = connected_client()
    body = b'{"MessageType":"channel_closed","Output":"bye"}'
    channel.receive_message(naive.build("channel_closed", 0, body, header_length=112, padding=b"\0"), START)
    assert channel.events(START) == [ChannelClosed("bye")]
    channel.receive_message(output(0, b"late"), START)
    assert channel.events(START) == []
    assert channel.send_capacity(START) == 0
    channel.send_data(b"late", START)


def test_close_while_output_is_missing_is_an_error() -> None:
    channel = connected_client()
    channel.receive_message(output(1, b"b"), START)
    channel.receive_message(naive.build("channel_closed", 0, b'{"Output":"bye"}', header_length=112), START)
    (failed,) = channel.events(START)
    assert isinstance(failed, ChannelFailed)
    assert "missing" in failed.reason
    assert "bye" in failed.reason


def test_endless_damage_ends_the_session_with_a_reason() -> None:
    channel = connected_client()
    damaged = output(0, b"good")[:-1] + b"x"
    for _ in range(100):
        channel.receive_message(damaged, START)
    (failed,) = channel.events(START)
    assert isinstance(failed, ChannelFailed)
    assert "wrong digest" in failed.reason
    assert channel.next_timer(START) is None


def test_text_frame_is_taken_for_a_binary_one() -> None:
    channel = connected_client()
    frame = naive.build("pause_publication", 0, b"{}", header_length=112, created_date=1)[:40]
    channel.receive_message(frame.decode("ascii"), START)
    assert channel.events(START) == [PublicationPaused()]
    channel.receive_message("no message at all \ud800", START)
    assert channel.events(START) == []
