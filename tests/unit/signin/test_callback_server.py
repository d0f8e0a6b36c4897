"""The driver of the callback, on real sockets."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from aws_runas.errors import ConfigError
from aws_runas.signin.callback import CodeReceived, TimedOut
from aws_runas.signin.callback_server import CallbackServer


@pytest.fixture
def server() -> Iterator[CallbackServer]:
    with CallbackServer("s", timeout=30) as made:
        yield made


def _open(address: str, pages: list[bytes]) -> threading.Thread:
    """Follow an address to its end, as a browser does."""

    def follow() -> None:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=20) as page:
            pages.append(page.read())

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def test_a_browser_that_is_faster_than_the_wait_is_heard(server: CallbackServer) -> None:
    """The redirect may come before `wait` is called: the port listens already."""
    start = server.start_address(f"{server.redirect_uri}?code=c&state=s")
    with socket.create_connection(("127.0.0.1", server.port)) as early:
        early.sendall(f"GET /oauth/callback?code=c&state=s HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert server.wait() == CodeReceived("c")
        pages: list[bytes] = []
        thread = _open(f"http://127.0.0.1:{server.port}/oauth/callback/done", pages)
        server.finish(success=True)
        thread.join()
        assert b"You are signed in" in pages[0]
    assert "state" not in start


def test_the_start_address_leads_through_to_the_last_page(server: CallbackServer) -> None:
    pages: list[bytes] = []
    thread = _open(server.start_address(f"{server.redirect_uri}?code=c&state=s"), pages)
    assert server.wait() == CodeReceived("c")
    server.finish(success=True)
    thread.join()
    assert b"You are signed in" in pages[0]


def test_silence_ends_in_virtual_time() -> None:
    times = iter([0.0, *[601.0] * 10])
    with CallbackServer("s", clock=lambda: next(times)) as server:
        server.start_address("https://idp.example/")
        assert server.wait() == TimedOut(had_wrong_state=False)


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            CallbackServer("s", port=port)
    assert caught.value.code == "redirect-port-unavailable"
    assert caught.value.hint == "choose another port with --redirect-port, or none"
    assert caught.value.message == f"cannot listen on 127.0.0.1:{port} for the sign-in: address already in use"


def test_localhost_listens_on_both_loopback_addresses() -> None:
    with CallbackServer("s", hostname="localhost", timeout=30) as server:
        server.start_address("https://idp.example/")
        assert server.redirect_uri == f"http://localhost:{server.port}/oauth/callback"
        pages: list[bytes] = []
        thread = _open(f"http://localhost:{server.port}/oauth/callback?code=c&state=s", pages)
        assert server.wait() == CodeReceived("c")
        server.finish(success=True)
        thread.join()


class _Pipe:
    """Lines from a pipe, in place of the terminal."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def fileno(self) -> int:
        return self.read_end

    def read_line(self) -> str | None:
        return os.read(self.read_end, 4096).decode() or None


def test_the_answer_may_be_pasted(server: CallbackServer) -> None:
    server.start_address("https://idp.example/")
    pipe = _Pipe()
    refused: list[str] = []

    def refuse() -> None:
        refused.append("line")
        os.write(pipe.write_end, b"http://127.0.0.1:1/oauth/callback?state=s&code=pasted\n")

    os.write(pipe.write_end, b"what is this\n")
    assert server.wait(pipe, refuse) == CodeReceived("pasted")
    assert refused == ["line"]
    os.close(pipe.read_end)
    os.close(pipe.write_end)


def test_the_end_of_the_terminal_does_not_end_the_wait(server: CallbackServer) -> None:
    start = server.start_address(f"{server.redirect_uri}?code=c&state=s")
    pipe = _Pipe()
    os.close(pipe.write_end)
    thread = _open(start, [])
    assert server.wait(pipe) == CodeReceived("c")
    server.finish(success=False)
    thread.join()
    os.close(pipe.read_end)
