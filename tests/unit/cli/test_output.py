"""What reaches the two streams."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result, emit, render_error
from aws_runas.errors import ConfigError, UsageError


class _Broken(io.BytesIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _data: object) -> int:
        raise self._error


def _environment(stdout: BinaryIO) -> Environment:
    return Environment(io.BytesIO(), stdout, io.StringIO(), {}, Path("/nowhere"), lambda: 0.0)


def test_an_error_of_the_command_line_is_one_line() -> None:
    error = UsageError("unknown flag --x", code="flag-unknown", hint="did you mean --y?")
    assert render_error(error) == "aws-runas: unknown flag --x; did you mean --y?\n"


def test_another_error_has_its_way_out_on_a_second_line() -> None:
    error = ConfigError("profile x does not exist", code="profile-not-found", hint="did you mean y?")
    assert render_error(error).splitlines() == ["aws-runas: profile x does not exist", "aws-runas: did you mean y?"]


def test_a_value_in_a_message_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in render_error(UsageError("no \x1b[2J\r\nprofile", code="usage"))
    assert render_error(UsageError("a\nb", code="usage")).count("\n") == 1


def test_results_go_to_stdout_and_remarks_to_stderr() -> None:
    stdout = io.BytesIO()
    env = _environment(stdout)
    assert emit(Result(3, "größe\n", "remark\n"), env) == 3
    assert stdout.getvalue() == "größe\n".encode()
    assert isinstance(env.stderr, io.StringIO)
    assert env.stderr.getvalue() == "remark\n"


@pytest.mark.parametrize(
    ("error", "said"), [(OSError(28, "No space left on device"), "no space left"), (BrokenPipeError(), "")]
)
def test_an_output_that_cannot_be_written_is_not_a_success(error: OSError, said: str) -> None:
    env = _environment(_Broken(error))
    assert emit(Result(0, "text"), env) == 1
    assert isinstance(env.stderr, io.StringIO)
    assert said in env.stderr.getvalue()
    assert bool(said) == bool(env.stderr.getvalue())
