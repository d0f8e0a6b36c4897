"""A forward that is left running: cuts, sessions that end, agents of other times, sessions added and closed."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.sandbox.world import Sandbox
from aws_runas.signin.context import RunContext
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import (
    DEADLINE,
    PROFILE,
    TARGET,
    Forwarded,
    echo,
    forwarding,
    receive_all,
    receive_exactly,
    serving,
    wait_until,
)
from tests.integration.forward.test_listening import answers, failure


def terminate_all(sandbox: Sandbox) -> None:
    """End every session at the service, as an administrator would."""
    for session_id in active_sessions(sandbox):
        _client(sandbox).terminate_session(SessionId=session_id)


def active_sessions(sandbox: Sandbox) -> list[str]:
    return [each["SessionId"] for each in _client(sandbox).describe_sessions(State="Active")["Sessions"]]


def _client(sandbox: Sandbox) -> Any:
    access = open_access(
        "my-profile",
        Overrides(),
        RunContext(environ=sandbox.environ, home=Path(sandbox.environ["HOME"]), now=time.time, warn=lambda _: None),
        Prompts(lambda _: ""),
    )
    return access.client("ssm")


@pytest.mark.slow
def test_cut_connections_are_resumed_without_losing_or_repeating_a_byte(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(close_after=0.4, new_cell=True)
    sent = random.Random(7).randbytes(400_000)
    with serving(echo) as server:
        with forwarding(sandbox, "--events", PROFILE, f"{TARGET}:{server.port}") as forward:
            listening = forward.event("listening")
            with socket.create_connection(("127.0.0.1", listening["port"]), 60) as connection:
                threading.Thread(target=connection.sendall, args=(sent,), daemon=True).start()
                received = receive_exactly(connection, len(sent))
            assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
            assert forward.event("connection_regained")
        assert server.accepted == 1


def test_a_line_on_stderr_tells_that_the_connection_was_lost_and_one_that_it_is_back(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    with forwarding(sandbox, PROFILE, f"{TARGET}:9000") as forward:
        sandbox.cut()
        forward.wait_for_error("connection lost (closed with code 1000 (Bye)); resuming")
        forward.wait_for_error("resumed after")


def test_session_that_is_gone_is_replaced_behind_the_same_listener(sandbox: Sandbox) -> None:
    with serving(echo) as server, forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward:
        with forward.connect() as connection:
            assert answers(connection)
            terminate_all(sandbox)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        with forward.connect() as connection:
            assert answers(connection)
        forward.wait_for_error("is over")


def test_idle_session_that_the_service_ended_is_replaced_when_somebody_connects(sandbox: Sandbox) -> None:
    with serving(echo) as server, forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward:
        terminate_all(sandbox)
        forward.wait_for_error("the next connection opens a new one")
        before = sandbox.count("StartSession")
        with forward.connect() as connection:
            assert answers(connection)
        assert sandbox.count("StartSession") == before + 1


@pytest.mark.slow
def test_connections_wait_while_a_new_session_is_being_opened(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(start_slow=1.0)
    with serving(echo) as server, forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward:
        terminate_all(sandbox)
        forward.wait_for_error("is over")
        connections = [forward.connect() for _ in range(10)]
        for connection in connections:
            with connection:
                assert answers(connection)


@pytest.mark.slow
def test_agents_without_smux_serve_one_connection_after_the_other(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_version="3.0.196.0")
    with serving(echo) as server:
        with forwarding(sandbox, "--sessions", "1", PROFILE, f"{TARGET}:{server.port}") as forward:
            first, second = forward.connect(), forward.connect()
            second.sendall(b"later")
            assert answers(first)
            assert server.accepted == 1
            first.close()
            assert receive_exactly(second, 5) == b"later"
            second.close()
            for _ in range(3):
                with forward.connect() as connection:
                    assert answers(connection)
        assert server.accepted == 5


def test_agents_without_smux_get_a_session_for_each_connection_where_there_may_be_more(
    make_sandbox: MakeSandbox,
) -> None:
    sandbox = make_sandbox(agent_version="3.0.100.0")
    with serving(echo) as server, forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward:
        connections = [forward.connect() for _ in range(3)]
        for connection in connections:
            assert answers(connection)
        for connection in connections:
            connection.close()
        assert sandbox.count("StartSession") == 3


@pytest.mark.slow
def test_no_byte_of_one_connection_reaches_the_next(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_version="3.0.196.0")

    def flood(connection: socket.socket) -> None:
        mark = connection.recv(1)
        connection.sendall(mark * 200_000)

    with (
        serving(flood) as server,
        forwarding(sandbox, "--sessions", "1", PROFILE, f"{TARGET}:{server.port}") as forward,
    ):
        for mark in b"abcd":
            with forward.connect() as connection:
                connection.sendall(bytes([mark]))
                assert set(receive_exactly(connection, 10_000)) == {mark}


def test_agents_too_old_for_forwarding_get_an_error_that_says_so(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_version="2.3.600.0")
    result = failure(sandbox, PROFILE, f"{TARGET}:9000")
    assert result.returncode == 6
    assert "2.3.600.0" in result.stderr
    assert "2.3.672.0" in result.stderr
    assert active_sessions(sandbox) == []


def test_agents_too_old_for_other_hosts_get_an_error_that_says_so(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_version="3.1.1373.0")
    result = failure(sandbox, "-L", "0:db.internal:5432", PROFILE, TARGET)
    assert result.returncode == 6
    assert "3.1.1374.0" in result.stderr
    assert active_sessions(sandbox) == []


def test_more_sessions_are_opened_when_connections_queue_behind_a_busy_one(sandbox: Sandbox) -> None:
    stop = threading.Event()

    def swallow(connection: socket.socket) -> None:
        receive_all(connection)

    def pour(connection: socket.socket) -> None:
        try:
            while not stop.is_set():
                connection.sendall(bytes(65_536))
        except OSError:
            pass

    with serving(swallow) as server:
        forward = Forwarded(sandbox, "--events", PROFILE, f"{TARGET}:{server.port}")
        try:
            port = forward.event("listening")["port"]
            connections = []
            for _ in range(3):
                connections.append(socket.create_connection(("127.0.0.1", port), 30))
                threading.Thread(target=pour, args=(connections[-1],), daemon=True).start()
            second = forward.event("session_opened")
            assert second["sessions"] == 2
            connections.append(socket.create_connection(("127.0.0.1", port), 30))
            while forward.event("connection_opened")["session"] != second["session"]:
                pass
            stop.set()
            for connection in connections:
                connection.close()
        finally:
            stop.set()
            forward.stop()


def test_fixed_number_of_sessions_is_opened_and_shared_evenly(sandbox: Sandbox) -> None:
    with serving(echo) as server:
        words = ("--events", "--sessions", "3", PROFILE, f"{TARGET}:{server.port}")
        forward = Forwarded(sandbox, *words)
        try:
            port = forward.event("listening")["port"]
            while forward.event("session_opened")["sessions"] < 3:
                pass
            connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(6)]
            used = [forward.event("connection_opened")["session"] for _ in connections]
            assert sorted(used.count(session) for session in set(used)) == [2, 2, 2]
            for connection in connections:
                assert answers(connection)
                connection.close()
        finally:
            forward.stop()


def test_uploads_after_downloads_use_a_session_each(sandbox: Sandbox) -> None:
    """Saturation is still measured when the downloads have just ended."""
    count = 4

    def serve(connection: socket.socket) -> None:
        if receive_exactly(connection, 1) == b"D":
            connection.sendall(bytes(150_000))
        receive_all(connection)

    with serving(serve) as server:
        words = ("--events", "--sessions", str(count), PROFILE, f"{TARGET}:{server.port}")
        forward = Forwarded(sandbox, *words)
        try:
            port = forward.event("listening")["port"]
            while forward.event("session_opened")["sessions"] < count:
                pass
            downloads = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(count)]
            assert len({forward.event("connection_opened")["session"] for _ in downloads}) == count
            for connection in downloads:
                connection.sendall(b"D")
            for connection in downloads:
                assert len(receive_exactly(connection, 150_000)) == 150_000
                connection.close()
            uploads = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(count)]
            assert len({forward.event("connection_opened")["session"] for _ in uploads}) == count
            for connection in uploads:
                connection.close()
        finally:
            forward.stop()


@pytest.mark.slow
def test_eight_uploads_that_follow_eight_downloads_are_carried_by_eight_sessions_each_time(sandbox: Sandbox) -> None:
    """Twenty times in one forward, and every time the sessions are told by the bytes that they carried."""
    count, size = 8, 40_000

    def serve(connection: socket.socket) -> None:
        if receive_exactly(connection, 1) == b"D":
            connection.sendall(bytes(size))
        else:
            connection.sendall(b"%d" % len(receive_exactly(connection, size)))
        receive_all(connection)

    def transfer(port: int, question: bytes) -> list[socket.socket]:
        """Open all connections, and begin on each as soon as it is there, as tools do."""
        connections = []
        for _ in range(count):
            connections.append(socket.create_connection(("127.0.0.1", port), DEADLINE))
            connections[-1].sendall(question)
        return connections

    def carried(forward: Forwarded) -> dict[str, tuple[int, int]]:
        """Bytes sent and received by session, once all connections are closed."""
        sessions, total, closed = dict[int, str](), dict[str, tuple[int, int]](), 0
        while closed < count:
            event = forward.event("connection_opened", "connection_closed")
            if event["event"] == "connection_opened":
                sessions[event["connection"]] = event["session"]
                continue
            closed += 1
            session = sessions[event["connection"]]
            sent, received = total.get(session, (0, 0))
            total[session] = (sent + event["sent"], received + event["received"])
        return total

    with serving(serve) as server:
        forward = Forwarded(sandbox, "--events", "--sessions", str(count), PROFILE, f"{TARGET}:{server.port}")
        try:
            port = forward.event("listening")["port"]
            while forward.event("session_opened")["sessions"] < count:
                pass
            for _ in range(20):
                for connection in transfer(port, b"D"):
                    with connection:
                        assert len(receive_exactly(connection, size)) == size
                assert list(carried(forward).values()) == [(1, size)] * count
                for connection in transfer(port, b"U" + bytes(size)):
                    with connection:
                        assert receive_exactly(connection, 5) == b"%d" % size
                assert list(carried(forward).values()) == [(1 + size, 5)] * count
        finally:
            forward.stop()


@pytest.mark.slow
def test_failing_replacement_is_reported_and_tried_again(make_sandbox: MakeSandbox) -> None:
    """The instance goes away and comes back: the forward is there all the time."""
    sandbox = make_sandbox(end_after=1.5)
    with serving(echo) as server, forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward:
        for _ in range(2):
            with forward.connect() as connection:
                assert answers(connection)
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        wait_until(lambda: forward.errors.count("is over") >= 2, "both ends were told")


def test_stalled_reader_holds_up_only_its_own_session(sandbox: Sandbox) -> None:
    """Beyond the 4 MiB of its session everything on it stands; the next connection goes to another one."""

    def send_or_echo(connection: socket.socket) -> None:
        if connection.recv(1) == b"D":
            connection.sendall(bytes(20_000_000))
        else:
            echo(connection)

    with serving(send_or_echo) as server:
        forward = Forwarded(sandbox, "--events", "--rate", "off", PROFILE, f"{TARGET}:{server.port}")
        try:
            port = forward.event("listening")["port"]
            with socket.create_connection(("127.0.0.1", port), 30) as stalled:
                stalled.sendall(b"D")  # and reads nothing
                first = forward.event("connection_opened")["session"]
                others = []
                while True:  # until the stall shows
                    others.append(socket.create_connection(("127.0.0.1", port), 30))
                    if forward.event("connection_opened")["session"] != first:
                        break
                    time.sleep(0.1)
                others[-1].sendall(b"E")
                assert answers(others[-1])
                assert len(receive_exactly(stalled, 20_000_000)) == 20_000_000
                for connection in others:
                    connection.close()
        finally:
            forward.stop()


@pytest.mark.slow
def test_agent_that_was_killed_is_reported_and_new_connections_use_another_session(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_manners="kind")  # which leaves at once, not in the next burst
    with (
        serving(echo) as server,
        forwarding(sandbox, "--sessions", "1", PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as stuck,
    ):
        assert answers(stuck)
        assert sandbox.agents_leave(3600) >= 1
        stuck.sendall(b"lost")
        forward.wait_for_error("the agent has not answered for 5 s; new connections use another session")
        with forward.connect() as connection:
            assert answers(connection)


@pytest.mark.slow
def test_connections_of_an_agent_that_comes_back_continue(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_manners="kind")  # which leaves at once, not in the next burst
    with (
        serving(echo) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        assert answers(connection)
        assert sandbox.agents_leave(7) >= 1
        connection.sendall(b"kept")
        forward.wait_for_error("has not answered")
        forward.wait_for_error("the agent answers again after")
        assert receive_exactly(connection, 4) == b"kept"
