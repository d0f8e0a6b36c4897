"""The table behind the completion of all four shells."""

from __future__ import annotations

import re

import pytest

from aws_runas.cli.completion import bash, fish, powershell, zsh
from aws_runas.cli.completion.table import VALUES, table

TABLE = table()
FLAGS = [flag for command in TABLE.commands for flag in command.flags]


def test_known_values_belong_to_a_flag_that_exists() -> None:
    assert VALUES.keys() - {name for flag in FLAGS for name in flag.spellings} == set()


@pytest.mark.parametrize(
    ("command", "flag", "values"),
    [
        ("run", "--via", ("auto", "shell", "document")),
        ("fleet", "--via", ("command", "sessions")),
        ("cp", "--progress", ("auto", "bar", "plain", "json", "none")),
        ("tunnels", "--start", ("login", "demand")),
        ("shell", "--rate", ("off",)),
        ("shell", "--reason", ()),
    ],
)
def test_the_values_of_a_flag_are_those_of_its_command(command: str, flag: str, values: tuple[str, ...]) -> None:
    found = next(each for each in TABLE.commands if each.names[0] == command)
    assert [each.values for each in found.flags if flag in each.spellings] == [values]


@pytest.mark.parametrize("shell", [bash, zsh, fish, powershell])
def test_a_key_press_asks_for_names_of_this_machine_only(shell: object) -> None:
    script = shell.script(TABLE)  # type: ignore[attr-defined]
    asked = set(re.findall(r"completion (--[a-z]+|\"?\$\w+(?:\[1\])?\"?) 2>", script))
    assert asked <= {"--profiles", "--tunnels", '"$1"', "$1", "$argv[1]"}
    assert script.count("--profile") > 1
