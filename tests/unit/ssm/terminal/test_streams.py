"""Standard output on the event loop: what happens when its reader goes away."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os

import pytest

from aws_runas.ssm.terminal.streams import OutputStream

SMALLEST_PIPE = 4096


@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_a_reader_that_goes_away_is_told_once_and_nothing_is_written_again(pieces: int) -> None:
    """With one piece waiting, the writer stayed registered: the loop called it for ever, each time with an error."""

    async def write() -> tuple[int, OSError | None, list[str]]:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
        os.set_blocking(writer, False)
        loop = asyncio.get_running_loop()
        problems: list[str] = []
        loop.set_exception_handler(lambda _loop, context: problems.append(str(context)))
        gone = asyncio.Event()
        told: list[int] = []

        def broken() -> None:
            told.append(1)
            gone.set()

        stream = OutputStream(writer, lambda _: None, broken)
        stream.write(b"a" * SMALLEST_PIPE)
        for _ in range(pieces):
            stream.write(b"b" * 100)
        os.close(reader)
        async with asyncio.timeout(30):
            await gone.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        registered = loop.remove_writer(writer)
        stream.write(b"more")
        os.close(writer)
        assert not registered
        return len(told), stream.error, problems

    told, error, problems = asyncio.run(write())
    assert problems == []
    assert told == 1
    assert error is not None
    assert error.errno == errno.EPIPE
