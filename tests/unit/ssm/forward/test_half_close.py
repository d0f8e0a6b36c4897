"""Closed whole or by half: what the system knows of the other end."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aws_runas.ssm.forward.half_close import was_closed_whole

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")


def connected(family: int) -> tuple[socket.socket, socket.socket]:
    if family == socket.AF_UNIX:
        return socket.socketpair()
    with socket.socket(family) as listening:
        listening.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        listening.listen()
        program = socket.create_connection(listening.getsockname()[:2])
        ours, _ = listening.accept()
        return program, ours


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6, socket.AF_UNIX], ids=["IPv4", "IPv6", "unix"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    program, ours = connected(request.param)
    with program, ours:
        yield program, ours


def test_half_closed_is_not_closed_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    assert not was_closed_whole(ours)
    program.shutdown(socket.SHUT_WR)
    assert ours.recv(1) == b""
    assert not was_closed_whole(ours)


def test_close_shows_even_after_shutdown(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    program.shutdown(socket.SHUT_WR)
    program.close()
    assert ours.recv(1) == b""
    assert was_closed_whole(ours)


def test_close_with_unread_data_of_ours_in_between(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    program.sendall(b"last words")
    program.close()
    assert ours.recv(100) == b"last words"
    assert was_closed_whole(ours)


def test_descriptor_inherited_by_another_process_still_holds_the_connection() -> None:
    program, ours = connected(socket.AF_INET)
    with ours:
        child = subprocess.Popen(["cat"], stdin=program.fileno(), stdout=subprocess.DEVNULL)
        program.shutdown(socket.SHUT_WR)
        program.close()
        held = was_closed_whole(ours)
        ours.close()
        child.wait(10)
    assert not held


def test_nothing_is_certain_without_a_connection() -> None:
    assert not was_closed_whole(None)
    with socket.socket() as unconnected:
        assert not was_closed_whole(unconnected)
