"""A line for the user is written if somebody can read it, and dropped otherwise."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator

import pytest

from aws_runas import notices
from aws_runas.notices import LossyWriter, never_wait, write_notice


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def fill(writer: int) -> None:
    """Fill a pipe, and let it block again."""
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, b"x" * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(writer, fcntl.F_SETFL, flags)


def test_a_line_is_written_completely(pipe: tuple[int, int]) -> None:
    text = "é" * 1000 + "\n"
    write_notice(pipe[1], text)
    assert os.read(pipe[0], 8192) == text.encode()


def test_a_line_to_a_full_pipe_is_dropped(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "NOTICE_TIMEOUT", 0.01)
    fill(pipe[1])
    write_notice(pipe[1], "line\n")
    while len(os.read(pipe[0], 1 << 20)) == 1 << 20:
        pass
    write_notice(pipe[1], "next\n")
    assert os.read(pipe[0], 8192) == b"next\n"


def test_a_line_to_a_closed_descriptor_or_a_gone_reader_is_dropped() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    write_notice(writer, "line\n")
    os.close(writer)
    write_notice(writer, "line\n")


def test_a_log_that_nobody_reads_loses_lines_and_says_how_many_when_somebody_does(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop with the traffic writes it. The first line may wait a little, the others not at all."""
    monkeypatch.setattr(notices, "NOTICE_TIMEOUT", 0.01)
    monkeypatch.setattr(notices, "_never_waits", [])
    writer = LossyWriter(pipe[1])
    writer.write(b"before\n")
    assert os.read(pipe[0], 8192) == b"before\n"
    never_wait()
    fill(pipe[1])
    writer.write(b"one\ntwo\n")
    monkeypatch.setattr(notices, "NOTICE_TIMEOUT", -1)  # would wait without end
    for _ in range(40):
        writer.write(b"more\n")
    while len(os.read(pipe[0], 1 << 20)) == 1 << 20:
        pass
    writer.write(b"after\n" + b"x" * 3000 + b"\n")
    writer.write(b"end\n")
    text = os.read(pipe[0], 8192).decode()
    note, after = text.split("\n", 2)[1:]
    assert note == "aws-runas: 42 lines were dropped here: nobody read standard error"
    assert after == "after\n" + "x" * 3000 + "\nend\n"


def test_a_log_waits_for_its_reader_while_no_traffic_depends_on_it(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_never_waits", [])
    fill(pipe[1])
    thread = threading.Thread(target=LossyWriter(pipe[1]).write, args=(b"line\n",))
    thread.start()
    text = b""
    while not text.endswith(b"line\n"):
        text += os.read(pipe[0], 8192)
    thread.join()
