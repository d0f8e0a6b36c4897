"""Questions on the terminal: a pty takes its place, with the keys already typed."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aws_runas.cli.terminal import prompt
from aws_runas.errors import CredentialsError


@contextmanager
def _typed(keys: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the master of a terminal on which keys were typed."""
    master, slave = os.openpty()
    try:
        monkeypatch.setattr(prompt, "TERMINAL", os.ttyname(slave))
        os.write(master, keys)
        yield master
    finally:
        os.close(slave)
        os.close(master)


def _shown(master: int, end: str) -> str:
    """Return what the terminal shows, up to a text: a pty passes bytes on when its kernel thread runs."""
    shown = ""
    while end not in shown and select.select([master], [], [], 30)[0]:
        shown += os.read(master, 1000).decode()
    return shown


@pytest.mark.parametrize(
    ("keys", "expected"), [(b"y\n", True), (b" YES\n", True), (b"\n", False), (b"no\n", False), (b"\x04", False)]
)
def test_only_y_and_yes_confirm_and_the_end_of_input_declines(
    keys: bytes, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _typed(keys, monkeypatch) as master:
        assert prompt.confirm("remove it?") is expected
        assert "remove it? [y/N] " in _shown(master, "[y/N] ")


def test_a_question_without_a_terminal_is_not_about_an_mfa_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "TERMINAL", "/nowhere/tty")
    with pytest.raises(CredentialsError) as error:
        prompt.confirm("remove it?")
    assert error.value.code == "terminal-missing"
    assert "remove it?" in error.value.message
    assert error.value.hint == "run it in a terminal, or add -y"
