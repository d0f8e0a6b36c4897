"""The help shows what the original's does, letter by letter, and the manual page is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aws_runas.cli.parsing import help as help_pages
from aws_runas.fast.names import COMMANDS
from tests.contract import cli_reference
from tests.support import requires

FOLDER = Path(__file__).parent


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", *words], capture_output=True, text=True, check=False, timeout=60
    )


def _parts(text: str) -> tuple[str, list[str], list[str]]:
    """Usage line, flags with their help joined, arguments."""
    head, _, rest = text.partition("\nFlags:\n")
    flags, _, arguments = rest.partition("\nArgs:\n")
    joined: list[str] = []
    for line in flags.splitlines():
        if line.startswith(" " * 20) and joined:
            joined[-1] += " " + line
        elif line.strip():
            joined.append(line)
    return (
        head.splitlines()[0],
        [" ".join(each.split()) for each in joined],
        [" ".join(each.split()) for each in arguments.split("\n\n")[0].splitlines()],
    )


@pytest.mark.parametrize("command", ["shell", "forward"])
def test_each_line_of_the_originals_help_is_in_ours_in_its_order(command: str) -> None:
    usage, flags, arguments = _parts((FOLDER / f"{command}-help.txt").read_text())
    ran = _run(command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    our_usage, our_flags, our_arguments = _parts(ran.stdout)
    assert our_usage == usage
    ours = [flag for flag in our_flags if any(flag.startswith(each) for each in flags)]
    assert [flag[: len(each)] for flag, each in zip(ours, flags, strict=True)] == flags
    assert our_arguments == arguments


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--help-long"], ["-E", "-h"]])
def test_the_help_of_the_program_names_every_command(words: list[str]) -> None:
    ran = _run(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in set(COMMANDS.values()):
        assert f"\n  {name} " in ran.stdout


def test_the_long_help_holds_the_flags_of_each_command() -> None:
    everything = _run("--help-long").stdout
    for _, _, parser in help_pages.commands():
        for spelling, _ in help_pages.flags(parser):
            assert spelling.strip() in everything


@pytest.mark.parametrize("command", sorted(set(COMMANDS.values())))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_command_has_help_before_and_after_its_name(command: str, flag: str) -> None:
    from aws_runas.cli.parsing import parser

    assert parser.parse([command, flag]).help == parser.parse([flag, command]).help == "short"
    assert help_pages.page("short", command).startswith(f"usage: aws-runas [<flags>] {command}")


def test_the_version_is_on_stdout() -> None:
    ran = _run("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, _run("-V").stdout, "")
    assert ran.stdout.startswith("aws-runas 4.")


def test_the_manual_page_is_valid_and_can_be_read() -> None:
    mandoc, man = requires.program("mandoc"), requires.program("man", package="man-db")
    page = _run("--help-man")
    assert page.returncode == 0
    lint = subprocess.run(
        [mandoc, "-T", "lint", "-W", "style"], input=page.stdout, capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout) == (0, "")
    shown = subprocess.run([man, "-l", "-"], input=page.stdout, capture_output=True, text=True, check=False, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "ROLE-DURATION" in shown.stdout
    for name in set(COMMANDS.values()):
        assert name in shown.stdout


def test_every_command_and_flag_is_documented() -> None:
    assert cli_reference.REFERENCE.read_text().partition(cli_reference.MARK)[2] == "\n" + cli_reference.tables(), (
        "run: python -m tests.contract.cli_reference"
    )
