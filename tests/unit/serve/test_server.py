"""The server's loop on real sockets: what slow, idle, greedy and rude clients can do to others."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from aws_runas import unix_socket
from aws_runas.serve.http import Request, Response
from aws_runas.serve.server import Answer, Limits, Server
from tests.support.serving import DEADLINE, eventually, fetch, raw, running

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def _hello(_: Request, answer: Answer) -> None:
    answer(Response(200, b"hello"))


@contextlib.contextmanager
def _connected(port: int, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE))
            if data:
                sock.sendall(data)
            sockets.append(sock)
        yield sockets


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine does not allow the open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_idle_connections_do_not_stop_others() -> None:
    with running(_hello) as port, _connected(port, 1000):
        assert fetch(port, "/").body == b"hello"


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_that_send_a_byte_now_and_then_do_not_stop_others() -> None:
    with running(_hello) as port, _connected(port, 1000, REQUEST[:20]) as slow:
        for sock in slow[::10]:
            sock.sendall(REQUEST[20:21])
        assert fetch(port, "/").body == b"hello"


def test_over_the_bound_the_longest_waiting_goes_and_the_newcomer_is_served() -> None:
    with running(_hello, Limits(connections=8)) as port, _connected(port, 20) as idle:
        assert fetch(port, "/").body == b"hello"
        assert idle[0].recv(1) == b""  # closed, not left hanging


def test_a_request_that_takes_too_long_ends_with_a_408() -> None:
    with running(_hello, Limits(request_time=0.2)) as port, _connected(port, 1, REQUEST[:10]) as (slow,):
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert slow.recv(1) == b""


def test_dribbling_bytes_buys_no_time() -> None:
    stop = threading.Event()
    with running(_hello, Limits(request_time=0.5)) as port, _connected(port, 1, b"GET / HTTP/1.1\r\nX: ") as (slow,):

        def dribble() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    slow.sendall(b"a")

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            assert b" 408 " in slow.recv(65536)
        finally:
            stop.set()
            thread.join(DEADLINE)


def test_idle_connections_are_closed_in_the_end() -> None:
    with running(_hello, Limits(idle_time=0.2)) as port, _connected(port, 1, REQUEST) as (sock,):
        assert b"hello" in sock.recv(65536)
        assert sock.recv(1) == b""


def test_a_client_that_does_not_read_holds_up_nobody() -> None:
    big = Response(200, b"x" * 16_000_000)
    with running(lambda _, answer: answer(big), Limits(write_time=0.3)) as port, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or this machine's kernel takes it all for us
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(REQUEST)
        assert len(fetch(port, "/").body) == 16_000_000
        eventually(lambda: _is_reset(deaf), "the end of the deaf one")


def _is_reset(sock: socket.socket) -> bool:
    try:
        sock.sendall(b"x")
    except OSError:
        return True
    return False


def test_requests_sent_ahead_are_answered_one_by_one() -> None:
    with running(_hello) as port:
        received = raw(port, REQUEST * 999 + REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert received.count(b"HTTP/1.1 200 OK") == 1000


def test_a_slow_answer_does_not_hold_up_other_connections() -> None:
    kept: list[Answer] = []

    def handler(request: Request, answer: Answer) -> None:
        if request.path == "/slow":
            kept.append(answer)
        else:
            answer(Response(200, b"fast"))

    slow = REQUEST.replace(b"/ ", b"/slow ", 1)
    with running(handler) as port, _connected(port, 1, slow + REQUEST) as (sock,):
        eventually(lambda: kept, "the slow request")
        assert fetch(port, "/").body == b"fast"
        kept[0](Response(200, b"slow"))
        kept[0](Response(200, b"twice"))  # a second answer is none
        text = b""
        while b"fast" not in text:
            text += sock.recv(65536)
        assert text.index(b"slow") < text.index(b"fast")
        assert b"twice" not in text


def test_an_answer_for_a_client_that_has_gone_is_dropped() -> None:
    kept: list[Answer] = []
    with running(
        lambda request, answer: kept.append(answer) if request.path == "/x" else _hello(request, answer)
    ) as port:
        with _connected(port, 1, REQUEST.replace(b"/ ", b"/x ", 1)):
            eventually(lambda: kept, "the request")
        kept[0](Response(200, b"late"))
        assert fetch(port, "/").body == b"hello"


def test_a_handler_that_fails_costs_one_request() -> None:
    def handler(request: Request, answer: Answer) -> None:
        if request.path == "/bad":
            raise RuntimeError("secret inside")
        answer(Response(200, b"good"))

    with running(handler) as port:
        bad = fetch(port, "/bad")
        assert bad.status == 500
        assert b"secret" not in bad.body
        assert fetch(port, "/").body == b"good"


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\x16\x03\x01\x02\x00" + b"\x01" * 40 + b"\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n" + b"a" * 20000, 431)],
)
def test_what_is_no_request_is_answered_and_cut_off(data: bytes, status: int) -> None:
    with running(_hello) as port:
        assert raw(port, data).startswith(f"HTTP/1.1 {status} ".encode())


def test_connections_are_kept_open_between_requests() -> None:
    with running(_hello) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello"
            own = connection.sock.getsockname()
        assert connection.sock.getsockname() == own
        connection.close()


def test_a_unix_socket_is_served_too(tmp_path: object) -> None:
    path = f"{tmp_path}/s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    seen: list[Request] = []

    def handler(request: Request, answer: Answer) -> None:
        seen.append(request)
        answer(Response(200, b"unix"))

    server = Server([listener], handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(path)
        sock.sendall(REQUEST)
        assert b"unix" in sock.recv(65536)
    server.stop()
    thread.join(DEADLINE)
    assert seen[0].connection.local == ""


def test_rude_clients_of_every_kind_leave_nothing_behind() -> None:
    """Cut, reset, flood, dribble and ask ahead, in an order that a seed decides; a plain client is served all along."""
    kept: list[Answer] = []
    is_over = threading.Event()

    def handler(request: Request, answer: Answer) -> None:
        if request.path == "/later" and not is_over.is_set():
            kept.append(answer)
        else:
            answer(Response(200, b"hello" * (1 if request.path == "/" else 20_000)))

    random = Random(20260801)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([listener], handler, limits=Limits(connections=40))
    thread = threading.Thread(target=server.serve_forever)
    port = listener.getsockname()[1]
    thread.start()
    sockets: list[socket.socket] = []
    try:
        for step in range(400):
            _misbehave(random, port, sockets)
            if kept and random.random() < 0.3:
                kept.pop(random.randrange(len(kept)))(Response(200, b"late"))
            if step % 20 == 0:
                assert fetch(port, "/").body == b"hello"
        for sock in sockets:
            sock.close()
        is_over.set()
        for answer in kept:
            answer(Response(200, b"late"))
        assert fetch(port, "/").body == b"hello"
        eventually(lambda: not server._clients, "an end of all connections")
    finally:
        server.stop()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def _misbehave(random: Random, port: int, sockets: list[socket.socket]) -> None:
    action = random.choice(["open", "open", "part", "ahead", "later", "big", "junk", "reset", "close", "half", "read"])
    if action == "open" or not sockets:
        sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        sockets.append(sock)
        return
    sock = random.choice(sockets)
    with contextlib.suppress(OSError):
        if action == "part":
            sock.sendall(REQUEST[: random.randrange(len(REQUEST))])
        elif action == "ahead":
            sock.sendall(REQUEST * random.randrange(1, 50))
        elif action in ("later", "big"):
            sock.sendall(REQUEST.replace(b"/ ", f"/{action} ".encode(), 1) * random.randrange(1, 4))
        elif action == "junk":
            sock.sendall(random.randbytes(random.randrange(1, 3000)))
        elif action == "half":
            sock.shutdown(socket.SHUT_WR)
        elif action == "read":
            sock.setblocking(False)
            sock.recv(random.randrange(1, 100_000))
        else:
            if action == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            sockets.remove(sock)


def test_a_server_gives_back_its_path_while_it_still_listens(tmp_path: Path) -> None:
    """Later, another server could have taken the file for that of a dead one, and would lose its own."""
    path = str(tmp_path / "s")
    unix = unix_socket.listen(path)
    refused: list[int | None] = []

    def give_back() -> None:
        try:
            unix_socket.listen(path)
        except OSError as error:
            refused.append(error.errno)
        unix.remove_file()

    server = Server([unix.socket], _hello, before_close=give_back)
    server.stop()
    server.serve_forever()
    assert refused == [errno.EADDRINUSE]
    assert not os.path.lexists(path)
