"""What programs notice of a forward: their bytes, both ends closing, a port that nobody listens on."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.forward.support import (
    DEADLINE,
    PROFILE,
    TARGET,
    echo,
    forwarding,
    receive_all,
    receive_exactly,
    serving,
    wait_until,
)

UNPACED = ("--rate", "off")


def bytes_of(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def test_bytes_pass_unchanged_both_ways(sandbox: Sandbox) -> None:
    sent = bytes_of(1, 3_000_000) + b"\n"
    with serving(echo) as server, forwarding(sandbox, *UNPACED, PROFILE, f"{TARGET}:{server.port}") as forward:
        with forward.connect() as connection:
            threading.Thread(target=connection.sendall, args=(sent,), daemon=True).start()
            received = receive_exactly(connection, len(sent))
        assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def test_single_newlines_arrive_as_newlines(sandbox: Sandbox) -> None:
    """The official client turns some of them into carriage returns (spec 12)."""
    with (
        serving(echo) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        for data in (b"\n", bytes(1016) + b"\n", b"\n"):
            connection.sendall(data)
            assert receive_exactly(connection, len(data)) == data


def test_two_hundred_connections_at_once_share_one_session(sandbox: Sandbox) -> None:
    with serving(echo) as server:
        words = ("--sessions", "1", *UNPACED, PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words) as forward:
            connections = [forward.connect() for _ in range(200)]
            for number, connection in enumerate(connections):
                connection.sendall(b"%d:" % number + bytes_of(number, 2_000))
            for number, connection in enumerate(connections):
                expected = b"%d:" % number + bytes_of(number, 2_000)
                assert receive_exactly(connection, len(expected)) == expected
            for connection in connections:
                connection.close()
        assert server.accepted == 200


def test_slow_reader_does_not_stop_the_others(sandbox: Sandbox) -> None:
    """Up to the bucket of the session, 4 MiB: that is what smux version 1 forces."""
    sending = threading.Event()

    def send_or_echo(connection: socket.socket) -> None:
        if connection.recv(1) == b"D":
            sending.set()
            connection.sendall(bytes(3_000_000))
        else:
            echo(connection)

    with serving(send_or_echo) as server:
        words = ("--sessions", "1", *UNPACED, PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words) as forward, forward.connect() as slow, forward.connect() as quick:
            slow.sendall(b"D")  # and reads nothing
            assert sending.wait(DEADLINE)
            quick.sendall(b"E")
            for _ in range(50):
                quick.sendall(b"ping")
                assert receive_exactly(quick, 4) == b"ping"
            assert len(receive_exactly(slow, 3_000_000)) == 3_000_000


def test_answer_of_a_slow_server_arrives_after_the_client_has_half_closed(sandbox: Sandbox) -> None:
    answering = threading.Event()

    def answer(connection: socket.socket) -> None:
        assert receive_exactly(connection, 8) == b"question"
        answering.wait(DEADLINE)
        connection.sendall(bytes_of(2, 300_000))

    with (
        serving(answer) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        connection.sendall(b"question")
        connection.shutdown(socket.SHUT_WR)
        threading.Timer(0.5, answering.set).start()
        assert receive_all(connection) == bytes_of(2, 300_000)


def test_server_that_waits_for_the_end_of_its_input_gets_it_and_the_program_a_reset(sandbox: Sandbox) -> None:
    """The server may have had an answer that the agent drops, so the program must not see an ordinary end."""
    received: list[bytes] = []

    def collect(connection: socket.socket) -> None:
        received.append(receive_all(connection))

    with serving(collect) as server:
        words = ("--half-close", "0.5", PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words) as forward, forward.connect() as connection:
            connection.sendall(bytes_of(3, 100_000))
            connection.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionResetError):
                receive_all(connection)
            wait_until(lambda: bool(received), "the server has read to the end")
            forward.wait_for_error("connection 1: reset after 0.5 s of silence after the end of its input")
        assert received == [bytes_of(3, 100_000)]


def test_connection_closed_whole_is_closed_at_the_server_without_waiting(sandbox: Sandbox) -> None:
    received: list[bytes] = []
    ended = threading.Event()

    def collect(connection: socket.socket) -> None:
        received.append(receive_all(connection))
        ended.set()

    with serving(collect) as server:
        words = ("--half-close", "3600", PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words) as forward:
            with forward.connect() as connection:
                connection.sendall(bytes_of(4, 100_000))
            assert ended.wait(DEADLINE)
        assert received == [bytes_of(4, 100_000)]


def test_everything_the_server_sent_before_closing_arrives_and_then_the_end(sandbox: Sandbox) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(bytes_of(5, 500_000))

    with (
        serving(speak) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        assert receive_all(connection) == bytes_of(5, 500_000)


def test_refused_remote_port_closes_its_own_connection_and_says_so(sandbox: Sandbox) -> None:
    with serving(echo) as server:
        words = ("-L", f"0:127.0.0.1:{server.port}", PROFILE, f"{TARGET}:1")
        with forwarding(sandbox, *words, lines=2) as forward:
            port = int(forward.lines[1].split(" -> ")[0].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as good:
                good.sendall(b"before")
                assert receive_exactly(good, 6) == b"before"
                with pytest.raises(ConnectionResetError), forward.connect() as refused:
                    refused.recv(1)
                forward.wait_for_error(f"nothing accepts connections at {TARGET}:1")
                good.sendall(b"after")
                assert receive_exactly(good, 5) == b"after"


def test_refused_connections_and_good_ones_on_one_session_do_not_touch_each_other(sandbox: Sandbox) -> None:
    """The port opens and closes while connections come: each is judged by itself."""
    with serving(echo) as server:
        words = ("--sessions", "1", PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words) as forward, forward.connect() as good:
            good.sendall(b"1")
            assert receive_exactly(good, 1) == b"1"
            server.close()
            for _ in range(3):
                with pytest.raises(ConnectionResetError), forward.connect() as refused:
                    refused.recv(1)
            good.sendall(b"2")
            assert receive_exactly(good, 1) == b"2"


def test_far_end_gone_and_the_program_still_sending_is_told_by_a_reset(sandbox: Sandbox) -> None:
    def send_for_ever(connection: socket.socket) -> None:
        for _ in range(int(DEADLINE / 0.05)):
            connection.sendall(b"more")
            time.sleep(0.05)

    with (
        serving(lambda _: None) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        assert receive_all(connection) == b""
        with pytest.raises(ConnectionError):
            send_for_ever(connection)
