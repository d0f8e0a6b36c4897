"""A client and a server of ours, and each of them against what the official pair sent."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.smux import frame
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamUnblocked
from tests.core.smux.pair import Log, Pair, recorded


def test_client_numbers_its_streams_as_the_official_one_does() -> None:
    client = SmuxSession(Side.CLIENT)
    assert [client.open_stream() for _ in range(3)] == [3, 5, 7]


def test_client_sends_what_the_official_client_sent() -> None:
    client = SmuxSession(Side.CLIENT)
    first = client.open_stream()
    sent = client.data_to_send(1024)
    client.send_data(first, b"Ehello\n")
    sent += client.data_to_send(1024)
    second = client.open_stream()
    sent += client.data_to_send(1024)
    client.send_data(second, b"E" + bytes(range(256)) * 12)
    sent += client.data_to_send(4096)
    client.close_stream(second)
    client.close_stream(first)
    sent += client.data_to_send(1024)
    assert sent == recorded("forward-mux", "client")


def test_server_understands_the_official_client() -> None:
    log = Log(SmuxSession(Side.SERVER))
    for byte in recorded("forward-mux", "client"):
        log.session.receive_data(bytes([byte]))
        log.take()
    assert log.opened == [3, 5]
    assert log.data == {3: b"Ehello\n", 5: b"E" + bytes(range(256)) * 12}
    assert log.finished == [5, 3]


def test_client_understands_the_official_server() -> None:
    client = SmuxSession(Side.CLIENT)
    log = Log(client)
    streams = [client.open_stream(), client.open_stream()]
    client.data_to_send(1024)
    client.receive_data(recorded("forward-mux", "agent"))
    log.take()
    assert log.data == {3: b"hello\n", 5: bytes(range(256)) * 12}
    assert log.finished == streams
    assert client.open_streams() == 2, "our own ends are still open"
    for stream in streams:
        client.close_stream(stream)
    assert (
        client.data_to_send(1024) == recorded("forward-mux", "client")[-8:] + recorded("forward-mux", "client")[-16:-8]
    )
    assert client.open_streams() == 0


def test_each_end_closes_on_its_own_and_the_last_bytes_arrive() -> None:
    pair = Pair()
    stream = pair.client.open_stream()
    pair.client.send_data(stream, b"question")
    pair.client.close_stream(stream)
    pair.step()
    assert pair.at_server.data[stream] == b"question"
    assert pair.at_server.finished == [stream]
    pair.server.send_data(stream, b"answer")
    pair.server.close_stream(stream)
    pair.step()
    assert pair.at_client.data[stream] == b"answer"
    assert pair.at_client.finished == [stream]
    assert pair.client.open_streams() == pair.server.open_streams() == 0


def test_fin_waits_for_the_data_before_it() -> None:
    pair = Pair(frame_data=100)
    stream = pair.client.open_stream()
    pair.client.send_data(stream, bytes(1000))
    pair.client.close_stream(stream)
    first = pair.client.data_to_send(8 + 108)
    assert first[-8:] != frame.encode(frame.FIN, stream)
    pair.server.receive_data(first)
    pair.at_server.take()
    pair.step()
    assert len(pair.at_server.data[stream]) == 1000
    assert pair.at_server.finished == [stream]


def test_quiet_stream_goes_before_the_rest_of_an_upload() -> None:
    pair = Pair()
    bulk, key = pair.client.open_stream(), pair.client.open_stream()
    pair.client.send_data(bulk, bytes(60_000))
    pair.client.data_to_send(3 * 1024)
    pair.client.send_data(key, b"x")
    following = pair.client.data_to_send(1024)
    assert following.startswith(frame.encode(frame.PSH, key, b"x"))


def test_busy_streams_share_the_channel_evenly() -> None:
    pair = Pair(stream_queue=1 << 20)
    streams = [pair.client.open_stream() for _ in range(10)]
    for stream in streams:
        pair.client.send_data(stream, bytes(100_000))
    pair.server.receive_data(pair.client.data_to_send(200_000))
    pair.at_server.take()
    received = [len(pair.at_server.data[stream]) for stream in streams]
    assert max(received) - min(received) <= 1016


def test_streams_that_come_back_with_little_do_not_starve_an_upload() -> None:
    pair = Pair()
    bulk = pair.client.open_stream()
    small = [pair.client.open_stream() for _ in range(5)]
    pair.client.send_data(bulk, bytes(60_000))
    for _ in range(20):
        for stream in small:
            pair.client.send_data(stream, b"k")
        pair.server.receive_data(pair.client.data_to_send(1024))
        pair.at_server.take()
    assert len(pair.at_server.data[bulk]) > 10 * 500


def test_bucket_stops_the_whole_session_until_readers_have_taken_enough() -> None:
    pair = Pair(receive_buffer=10_000, stream_queue=1 << 20)
    slow, quick = pair.client.open_stream(), pair.client.open_stream()
    pair.at_server.hold = True
    pair.client.send_data(slow, bytes(9_999))
    pair.step()
    assert pair.server.receiving_allowed()
    pair.client.send_data(quick, b"1")
    pair.step()
    assert not pair.server.receiving_allowed()
    pair.server.data_delivered(slow, 1)
    assert pair.server.receiving_allowed()


def test_abandoned_stream_gives_its_place_in_the_bucket_back() -> None:
    pair = Pair(receive_buffer=1_000)
    stream = pair.client.open_stream()
    pair.at_server.hold = True
    pair.client.send_data(stream, bytes(1_000))
    pair.step()
    assert not pair.server.receiving_allowed()
    pair.server.abandon_stream(stream)
    assert pair.server.receiving_allowed()
    pair.server.data_delivered(stream, 1_000)  # a reader that comes too late changes nothing
    pair.client.send_data(stream, bytes(1_000))
    pair.step()
    assert pair.server.receiving_allowed()
    assert pair.at_client.finished == [stream]


def test_abandoning_a_stream_nobody_has_heard_of_sends_nothing() -> None:
    client = SmuxSession(Side.CLIENT)
    client.abandon_stream(client.open_stream())
    assert client.data_to_send(1024) == b""
    assert not client.wants_to_send()


def test_sender_hears_when_its_stream_has_room_again() -> None:
    client = SmuxSession(Side.CLIENT, stream_queue=1_000, frame_data=100)
    stream = client.open_stream()
    client.send_data(stream, bytes(1_000))
    assert client.send_capacity(stream) == 0
    client.data_to_send(8 + 108 * 4)
    assert client.events() == []
    client.data_to_send(108)
    assert client.events() == [StreamUnblocked(stream)]
    assert client.send_capacity(stream) == 500


@pytest.mark.parametrize("room", [0, 1, 7])
def test_room_below_a_header_gives_nothing_and_loses_nothing(room: int) -> None:
    pair = Pair()
    stream = pair.client.open_stream()
    pair.client.send_data(stream, b"abc")
    assert pair.client.data_to_send(room) == b""
    pair.step()
    assert pair.at_server.data[stream] == b"abc"


@pytest.mark.parametrize("room", [8, 9, 16, 17])
def test_little_room_still_moves_on(room: int) -> None:
    pair = Pair()
    stream = pair.client.open_stream()
    sent = pair.client.data_to_send(room)
    pair.client.send_data(stream, b"abc")
    sent += b"".join(iter(lambda: pair.client.data_to_send(max(room, 9)), b""))
    pair.server.receive_data(sent)
    pair.at_server.take()
    assert pair.at_server.data[stream] == b"abc"


def test_session_takes_no_more_streams_than_it_may() -> None:
    pair = Pair()
    server = SmuxSession(Side.SERVER, max_streams=2)
    for _ in range(3):
        pair.client.open_stream()
    server.receive_data(pair.client.data_to_send(1024))
    pair.client.receive_data(server.data_to_send(1024))
    pair.at_client.take()
    assert pair.at_client.finished == [7]
    assert server.open_streams() == 2


def test_client_refuses_streams_that_the_server_opens() -> None:
    client = SmuxSession(Side.CLIENT)
    client.receive_data(frame.encode(frame.SYN, 2))
    assert client.events() == []
    assert client.data_to_send(1024) == frame.encode(frame.FIN, 2)


def test_data_and_fin_of_unknown_streams_are_ignored() -> None:
    client = SmuxSession(Side.CLIENT)
    client.receive_data(frame.encode(frame.PSH, 9, b"late") + frame.encode(frame.FIN, 9))
    assert client.events() == []
    assert client.receiving_allowed()


def test_second_syn_of_an_open_stream_is_ignored() -> None:
    server = SmuxSession(Side.SERVER)
    server.receive_data(frame.encode(frame.SYN, 3) * 2)
    assert len(server.events()) == 1


def test_nop_is_heard_and_means_nothing_and_ours_is_sent_once() -> None:
    client = SmuxSession(Side.CLIENT)
    client.receive_data(frame.KEEPALIVE)
    assert client.events() == []
    client.send_keepalive()
    client.send_keepalive()
    assert client.data_to_send(1024) == bytes.fromhex("0103000000000000")


def test_failed_session_takes_nothing_more() -> None:
    client = SmuxSession(Side.CLIENT)
    with pytest.raises(RemoteProtocolError):
        client.receive_data(b"\x07")
    with pytest.raises(LocalProtocolError):
        client.receive_data(frame.KEEPALIVE)


def test_closed_stream_takes_no_more_data() -> None:
    client = SmuxSession(Side.CLIENT)
    stream = client.open_stream()
    client.close_stream(stream)
    assert client.send_capacity(stream) == 0
    with pytest.raises(LocalProtocolError):
        client.send_data(stream, b"x")
