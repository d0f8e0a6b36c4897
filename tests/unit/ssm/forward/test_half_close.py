"""Whether the system shows that a local program has closed its connection, and what then happens when."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aws_runas.ssm.forward.half_close import (
    REMOTE_END_TIMEOUT,
    HalfCloseAction,
    HalfCloseState,
    decide_half_close,
    is_fully_closed,
    open_kernel_socket,
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows it")


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


@linux
def test_half_closed_connection_is_not_fully_closed(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    assert not is_fully_closed(ours)
    program.shutdown(socket.SHUT_WR)
    assert ours.recv(1) == b""
    assert not is_fully_closed(ours)


@linux
def test_close_shows_even_after_shutdown(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    program.shutdown(socket.SHUT_WR)
    program.close()
    assert ours.recv(1) == b""
    assert is_fully_closed(ours)


@linux
def test_close_with_unread_data_of_ours_in_between(ends: tuple[socket.socket, socket.socket]) -> None:
    program, ours = ends
    program.sendall(b"last words")
    program.close()
    assert ours.recv(100) == b"last words"
    assert is_fully_closed(ours)


@linux
def test_descriptor_inherited_by_another_process_still_holds_the_connection() -> None:
    program, ours = connected(socket.AF_INET)
    with ours:
        child = subprocess.Popen(["cat"], stdin=program.fileno(), stdout=subprocess.DEVNULL)
        program.shutdown(socket.SHUT_WR)
        program.close()
        held = is_fully_closed(ours)
        ours.close()
        child.wait(10)
    assert not held


def test_nothing_is_certain_without_a_connection() -> None:
    assert not is_fully_closed(None)
    with socket.socket() as unconnected:
        assert not is_fully_closed(unconnected)


def decide(state: HalfCloseState, now: float, *, program_closed: bool = False) -> HalfCloseAction:
    return decide_half_close(state, now, 60.0, lambda: program_closed)


def test_connection_that_is_open_in_both_directions_waits() -> None:
    assert decide(HalfCloseState(), 1e6, program_closed=True) is HalfCloseAction.WAIT


def test_answer_is_awaited_until_the_timeout_after_the_last_byte() -> None:
    state = HalfCloseState(local_end_at=100.0)
    assert decide(state, 159.0) is HalfCloseAction.WAIT
    assert decide(state, 160.0) is HalfCloseAction.RESET
    answering = HalfCloseState(local_end_at=100.0, last_received=150.0)
    assert decide(answering, 209.0) is HalfCloseAction.WAIT
    assert decide(answering, 210.0) is HalfCloseAction.RESET


def test_bytes_still_queued_are_sent_before_anything_is_closed() -> None:
    state = HalfCloseState(local_end_at=100.0, unsent=True)
    assert decide(state, 1e6, program_closed=True) is HalfCloseAction.WAIT


def test_program_that_is_gone_is_not_waited_for() -> None:
    state = HalfCloseState(local_end_at=100.0)
    assert decide(state, 100.0, program_closed=True) is HalfCloseAction.CLOSE
    assert decide(state, 1e6, program_closed=True) is HalfCloseAction.CLOSE


def test_program_may_send_for_a_moment_after_the_remote_end() -> None:
    state = HalfCloseState(remote_end_at=100.0)
    assert decide(state, 100.0 + REMOTE_END_TIMEOUT / 2, program_closed=True) is HalfCloseAction.WAIT
    assert decide(state, 100.0 + REMOTE_END_TIMEOUT) is HalfCloseAction.CLOSE


@linux
def test_a_closed_program_is_known_though_no_descriptor_is_left() -> None:
    open_kernel_socket()
    program, ours = connected(socket.AF_INET)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        before = is_fully_closed(ours)
        program.close()
        ours.recv(1)
        after = is_fully_closed(ours)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        ours.close()
    assert (before, after) == (False, True)
