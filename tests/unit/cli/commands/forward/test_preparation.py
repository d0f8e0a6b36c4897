"""The beginning of a forward: the session that is started before asyncio is loaded, and addresses bound before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.cli.commands.forward.preparation import FirstSession
from aws_runas.ssm.forward.destination import Destination, LocalAddress
from aws_runas.ssm.forward.listener import bind
from aws_runas.ssm.session_start import SessionStart

DESTINATION = Destination("i-1", 9000)


def started() -> StartedSession:
    return StartedSession("session-1", "wss://127.0.0.1/stream", "token", "i-1")


def test_nothing_slow_is_loaded_before_the_session_is_started() -> None:
    code = (
        "import sys, aws_runas.cli.commands.forward.run; print({'asyncio', 'websockets', 'botocore'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_a_first_session_is_taken_once() -> None:
    starting = SessionStart(started, lambda _: pytest.fail("ended"))
    first = FirstSession(DESTINATION, starting)
    assert first.take() is starting
    assert first.take() is None


@pytest.mark.skipif(os.name != "posix", reason="unix sockets")
def test_an_address_that_was_only_bound_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = bind(LocalAddress(path=str(path)))
    assert path.is_socket()
    listener.release()
    assert not path.exists()
    path.write_text("of somebody else")
    listener.release()
    assert path.read_text() == "of somebody else"
