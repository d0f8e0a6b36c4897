"""A session that was opened and is not used is ended at the service."""

from __future__ import annotations

import threading

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.errors import SessionError
from aws_runas.ssm.session_start import SessionStart

OPENED = StartedSession("session-1", "wss://stream.example", "token", "i-deadbeef")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ImportError])
def test_a_block_that_raises_ends_the_session(error: type[BaseException]) -> None:
    ended: list[str] = []
    starting = SessionStart(lambda: OPENED, ended.append)
    starting.begin()
    with pytest.raises(error), starting:
        raise error
    assert ended == ["session-1"]


def test_session_that_opens_late_is_waited_for_with_a_notice_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.ssm.session_start.END_NOTICE_AFTER", 0.01)
    ended: list[str] = []
    notices: list[str] = []
    opened = threading.Event()

    def open_late() -> StartedSession:
        assert opened.wait(30)
        return OPENED

    def answer(text: str) -> None:
        notices.append(text)
        opened.set()

    with SessionStart(open_late, ended.append, answer) as starting:
        starting.begin()
    assert ended == ["session-1"]
    assert "Ctrl-C again" in notices[0]


def test_a_session_that_was_handed_over_is_kept() -> None:
    ended: list[str] = []
    with SessionStart(lambda: OPENED, ended.append) as starting:
        starting.begin()
        assert starting.result() is OPENED
        starting.hand_over()
    assert ended == []


def test_a_session_that_nobody_took_over_is_ended() -> None:
    ended: list[str] = []
    with SessionStart(lambda: OPENED, ended.append) as starting:
        starting.begin()
    starting.abandon()
    assert ended == ["session-1"]


def test_a_session_that_was_not_opened_is_not_ended() -> None:
    def refuse() -> StartedSession:
        raise SessionError("refused", code="session-refused")

    starting = SessionStart(refuse, lambda _: pytest.fail("ended"))
    starting.begin()
    with pytest.raises(SessionError), starting:
        starting.result()
