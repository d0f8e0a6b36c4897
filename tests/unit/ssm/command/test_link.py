"""A command's link with a channel that only takes notes: the idle timer, the pause of carrier N, the sentinel."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import SETTLE_WAIT
from aws_runas.ssm.command.carrier import Carrier
from aws_runas.ssm.command.link import CommandLink, LinkOptions
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.session import CommandRun, RunOptions
from aws_runas.ssm.command.shell_helper import SentinelFilter
from tests.support.quick_loop import QuickLoop

NONCE = "0011223344556677"


class Notes:
    """Implements DataChannel and LinkOwner."""

    def __init__(self) -> None:
        self.sizes = asyncio.Semaphore(0)
        self.written: list[bytes] = []

    def send_capacity(self) -> int:
        return 65536

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def send_message(self, data: bytes) -> None:
        self.written.append(data)

    def check_connection(self) -> None: ...

    def end_may_be_missing(self) -> bool:
        return False

    def agent_silent_for(self) -> float:
        return 0.0

    def send_size(self, columns: int, rows: int) -> None:
        self.sizes.release()

    def send_flag(self, flag: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> None:
        pass

    async def terminate(self) -> None:
        pass

    def output_received(self, stream: int, data: bytes) -> None: ...

    def hold_input(self, hold: bool) -> None: ...

    def input_closed(self) -> None: ...

    def command_started(self, helper: str) -> None: ...

    def debug(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...


def test_a_size_message_keeps_a_silent_session_alive() -> None:
    """The service's idle timer is reset by a Size message; the interval is shortened here."""

    async def run() -> None:
        notes = Notes()
        link = CommandLink(notes, notes, CommandRequest("x"), LinkOptions(Carrier.DOCUMENT, 1024, NONCE, 0.01))
        link.opened()
        async with asyncio.timeout(30):
            await notes.sizes.acquire()
            await notes.sizes.acquire()
        link.session_ended(None, "")
        link.status.exception()

    asyncio.run(run())


def test_the_first_output_of_the_shell_brings_the_first_line_forward() -> None:
    """Line 1 waits for a silent shell as long as the agent's second and more; not for one that has spoken."""
    loop = QuickLoop()

    async def run() -> float:
        written = asyncio.Event()

        class Waiting(Notes):
            def write(self, data: bytes) -> None:
                written.set()

        notes = Waiting()
        link = CommandLink(notes, notes, CommandRequest("x"), LinkOptions(Carrier.SHELL, 1024, NONCE))
        link.opened()
        await asyncio.sleep(1.0)
        link.data_received(b"$ ", 1)
        began = loop.time()
        await written.wait()
        link.session_ended(None, "")
        link.status.exception()
        return loop.time() - began

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(run()) == pytest.approx(SETTLE_WAIT, abs=0.002)


IDLE_LIMIT = 20 * 60.0  # seconds without input after which the service ends a session


@pytest.mark.parametrize("carrier", list(Carrier))
def test_thirty_silent_minutes_end_neither_the_session_nor_the_command(carrier: Carrier) -> None:
    loop = QuickLoop()
    inputs = [0.0]  # when the service saw something from the client

    class Counted(Notes):
        def write(self, data: bytes) -> None:
            inputs.append(loop.time())
            super().write(data)

        def send_size(self, columns: int, rows: int) -> None:
            inputs.append(loop.time())

    def frame(letter: bytes, data: bytes = b"") -> bytes:
        return b"\x1e" + letter + b"0" + base64.b64encode(data) + b"\n"

    async def run() -> int:
        notes = Counted()
        link = CommandLink(notes, notes, CommandRequest("x"), LinkOptions(carrier, 1024, NONCE))
        link.opened()
        if carrier is Carrier.SHELL:
            link.data_received(b"$ ", 1)
            await asyncio.sleep(2)
            nonce = re.search(rb"036([0-9a-f]{16})", notes.written[0])
            assert nonce is not None
            link.data_received(b"\x1e" + nonce[1] + b"\x1e", 1)
        link.data_received(frame(b"h", b"python\x003.11\0uid\x000\0home\0/\0"), 1)
        until = loop.time() + 30 * 60
        while loop.time() < until:
            await asyncio.sleep(15)
            assert not link.status.done(), link.status
            link.data_received(frame(b"t"), 1)
        link.data_received(frame(b"x", b"7"), 1)
        return await link.status

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(run()) == 7
    inputs.append(loop.time())
    assert max(late - early for early, late in pairwise(inputs)) < IDLE_LIMIT / 2


def test_the_end_of_the_session_before_the_status_is_an_error_and_never_success() -> None:
    async def run(*received: bytes) -> str:
        notes = Notes()
        link = CommandLink(notes, notes, CommandRequest("x"), LinkOptions(Carrier.DOCUMENT, 1024, NONCE))
        for data in received:
            link.data_received(data, 1)
        link.session_ended(None, "")
        error = link.status.exception()
        return str(getattr(error, "code", ""))

    hello = b"\x1eh0e30=\n"
    assert asyncio.run(run()) == "status-unknown"
    assert asyncio.run(run(hello)) == "remote-killed"
    assert asyncio.run(run(b"\x1en0dd.\n", b"output")) == "remote-killed"


@given(st.binary(max_size=300), st.integers(0, 255), st.integers(1, 40))
def test_the_sentinel_is_removed_and_nothing_else(data: bytes, status: int, size: int) -> None:
    sentinel = SentinelFilter(NONCE, with_status=True)
    stream = data + f"\x1e{NONCE} {status}\x1e".encode()
    passed = b"".join(sentinel.receive_data(stream[at : at + size]) for at in range(0, len(stream), size))
    assert passed == data
    assert (sentinel.status, sentinel.ended) == (status, True)


@pytest.mark.parametrize("end", [b"", b"\x1e", f"\x1e{NONCE}".encode(), f"\x1e{NONCE} 1".encode()])
def test_without_the_sentinel_everything_is_output(end: bytes) -> None:
    sentinel = SentinelFilter(NONCE, with_status=True)
    assert sentinel.receive_data(b"data" + end) + sentinel.rest() == b"data" + end
    assert not sentinel.ended


def test_a_helper_that_does_not_start_in_a_documents_session_is_not_waited_for() -> None:
    """Its Python may hang. The time of a lost connection does not count."""
    loop = QuickLoop()

    async def run() -> float:
        notes = Notes()
        link = CommandLink(notes, notes, CommandRequest("x"), LinkOptions(Carrier.DOCUMENT, 1024, NONCE))
        link.opened()
        link.connection_lost("cut")
        await asyncio.sleep(300)
        link.connection_regained(300)
        began = loop.time()
        with pytest.raises(SessionError, match="the helper did not start"):
            await link.status
        link.session_ended(None, "")
        return loop.time() - began

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert 20 <= runner.run(run()) <= 30


def test_output_of_the_instance_in_a_message_cannot_steer_the_terminal() -> None:
    async def run(messages: int) -> None:
        CommandRun(RunOptions(messages=messages), CommandRequest("x")).say("its last output: \x1b[2J\x11\n")

    reader, writer = os.pipe()
    try:
        asyncio.run(run(writer))
        assert os.read(reader, 1000) == b"aws-runas: its last output: \\x1b[2J\\x11\\n\n"
    finally:
        os.close(reader)
        os.close(writer)
