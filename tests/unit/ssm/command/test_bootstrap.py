"""What the bootstrap makes of an instance's Python that does not start, and of a session that ends early."""

from __future__ import annotations

import pytest

from aws_runas.ssm.command.bootstrap import Bootstrap, BootstrapState, load_helper

NONCE = "0123456789abcdef"
MARKER = b"\x1e" + NONCE.encode() + b"\x1e"


def _loading(*output: bytes) -> Bootstrap:
    """A bootstrap whose marker has come, and then the output."""
    bootstrap = Bootstrap(lambda: NONCE, 1024, 0.0)
    bootstrap.handle_timer(2.0)
    for data in (b"$ " + MARKER, *output):
        bootstrap.receive_data(data, 2.1)
    assert bootstrap.state is BootstrapState.LOADING
    return bootstrap


@pytest.mark.parametrize("output", [b"Fatal Python error: init_fs_encoding\r\n", b"Python 3.11.0\r\n", b"bus error"])
def test_words_in_the_helpers_place_mean_that_python_does_not_start(output: bytes) -> None:
    assert _loading(output).python_failed


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\r\n",
        b"runas: the helper is damaged\r\n",
        b"Traceback (most recent call last):\r\nzlib.error: Error -3 while decompressing data\r\n",
        b"Traceback (most recent call last):\r\nbinascii.Error: Incorrect padding\r\n",
    ],
)
def test_silence_and_damage_on_the_way_say_nothing_about_python(output: bytes) -> None:
    assert not _loading(output).python_failed


def test_before_the_marker_nothing_is_known_about_python() -> None:
    bootstrap = Bootstrap(lambda: NONCE, 1024, 0.0)
    bootstrap.receive_data(b"welcome\r\n", 0.1)
    assert not bootstrap.python_failed


def test_without_python_the_tools_are_asked_for_at_once() -> None:
    bootstrap = Bootstrap(lambda: NONCE, 1024, 0.0, without_python=True)
    (text,) = load_helper(bootstrap)
    assert "python" not in text
    assert "stty" in text


def test_a_session_that_ends_early_is_described_by_its_last_output() -> None:
    bootstrap = Bootstrap(lambda: NONCE, 1024, 0.0)
    bootstrap.receive_data(b"no entry\r\n", 0.1)
    failure = bootstrap.session_ended()
    assert (failure.reason, failure.output) == ("the session ended", b"no entry\r\n")
