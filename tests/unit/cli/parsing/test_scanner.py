"""Where flags end, and what each word before that means."""

from __future__ import annotations

import pytest

from aws_runas.cli.parsing.scanner import Known, scan
from aws_runas.errors import UsageError

KNOWN = {
    "-E": Known("--env", False),
    "--env": Known("--env", False),
    "-v": Known("--verbose", False),
    "--verbose": Known("--verbose", False),
    "-d": Known("--duration", True),
    "--duration": Known("--duration", True),
}


@pytest.mark.parametrize(
    ("words", "flags", "rest", "ended"),
    [
        ([], [], [], False),
        (["prof", "ls", "-l"], [], ["prof", "ls", "-l"], False),
        (["-E", "prof", "-E"], ["--env"], ["prof", "-E"], False),
        (["-Ev", "prof"], ["--env", "--verbose"], ["prof"], False),
        (["-vv"], ["--verbose", "--verbose"], [], False),
        (["-d", "1h", "prof"], ["--duration=1h"], ["prof"], False),
        (["-d1h", "prof"], ["--duration=1h"], ["prof"], False),
        (["-d=1h", "prof"], ["--duration=1h"], ["prof"], False),
        (["-Ed", "1h"], ["--env", "--duration=1h"], [], False),
        (["--duration", "-x"], ["--duration=-x"], [], False),
        (["--duration=", "p"], ["--duration="], ["p"], False),
        (["--duration=a=b", "p"], ["--duration=a=b"], ["p"], False),
        (["--", "-E"], [], ["-E"], True),
        (["-E", "--", "--", "x"], ["--env"], ["--", "x"], True),
        (["prof", "--", "x"], [], ["prof", "--", "x"], False),
        (["-", "x"], [], ["-", "x"], False),
        ([""], [], [""], False),
    ],
)
def test_flags_end_at_the_first_positional_or_at_two_dashes(
    words: list[str], flags: list[str], rest: list[str], ended: bool
) -> None:
    assert scan(words, KNOWN) == (flags, rest, ended)


def test_a_word_of_the_command_does_not_end_the_flags_and_counts_once() -> None:
    assert scan(["ec2", "-E", "prof", "-v"], KNOWN, ignored=("ec2",)) == (["--env"], ["ec2", "prof", "-v"], False)
    assert scan(["ec2", "ec2", "-v"], KNOWN, ignored=("ec2",)) == ([], ["ec2", "ec2", "-v"], False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--durations", "1h"], "--durations"),
        (["--dur", "1h"], "--dur"),  # flags are not abbreviated
        (["--env=yes"], "'yes'"),
        (["-d"], "-d needs an argument"),
        (["--duration"], "--duration needs an argument"),
        (["-Ezv"], "-z in -Ezv"),
        (["-é"], "-é"),
    ],
)
def test_what_is_no_flag_is_an_error_that_names_it(words: list[str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        scan(words, KNOWN)
    assert named in caught.value.message
