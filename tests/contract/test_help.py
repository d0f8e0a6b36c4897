"""Help: order, width and style; every flag of the original is listed; the manual page is valid."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from aws_runas.cli.parsing import help as help_pages
from aws_runas.cli.parsing.flags import GROUPS
from aws_runas.cli.parsing.manual import COMMON_VARIABLES, VARIABLES, VERB_VARIABLES, manual
from aws_runas.fast.names import COMMANDS
from tests.contract import cli_reference
from tests.support import requires


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", *words], capture_output=True, text=True, check=False, timeout=60
    )


SEED = Path(__file__).parent
ROOT = SEED.parents[1]
ALL = help_pages.commands()
EXAMPLES = [row for _, module, _ in ALL for row in getattr(module, "EXAMPLES", ())]
SPELLINGS = [
    (left.strip(), "") for _, _, parser in ALL for group in ("", *GROUPS) for left, _ in help_pages.flags(parser, group)
]
SPELLINGS += [(left, "") for _, _, parser in ALL for left, _ in help_pages.arguments(parser)]


def _spellings(text: str) -> list[str]:
    """The flags of a help page, in its order: ``-d, --duration``."""
    found = re.findall(r"^ {2}(-\w, --[\w-]+| {4}--[\w-]+)", text, re.MULTILINE)
    return [each.strip() for each in found]


@pytest.mark.parametrize("command", ["shell", "forward"])
def test_each_flag_of_the_original_help_is_listed(command: str) -> None:
    original = _spellings((SEED / f"{command}-help.txt").read_text())
    assert len(original) >= 17
    ran = _run(command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(original) <= set(_spellings(ran.stdout))


def _sections(text: str) -> list[str]:
    return re.findall(r"^([A-Z][\w ]+):$", text, re.MULTILINE)


def test_the_help_of_the_program_has_its_sections_in_order() -> None:
    text = _run("--help").stdout
    assert text.startswith("usage: aws-runas ")
    assert _sections(text) == [
        "Examples", "Commands", "Credential flags", "SAML and OIDC flags", "Program and output flags", "Question flags",
        "Server flags", "Other flags",
    ]  # fmt: skip
    assert len(re.findall(r"^ {2}(?:eval .*)?aws-runas", text, re.MULTILINE)) >= 2


def test_the_help_of_a_command_begins_with_what_is_its_own() -> None:
    text = _run("forward", "--help").stdout
    assert _sections(text) == [
        "Examples", "Arguments", "Flags", "Credential flags", "SAML and OIDC flags", "Other flags",
    ]  # fmt: skip
    assert _run("help", "fwd").stdout == _run("help", "forward").stdout == text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_split(width: int) -> None:
    names = ["", *dict.fromkeys(COMMANDS.values())]
    wide = {name: help_pages.page("short", name, 10_000).split() for name in names}
    for name in names:
        text = help_pages.page("short", name, width)
        assert text.split() == wide[name]
        # a spelling or an example is one piece, as it is copied from the help
        pieces = [left for left, _ in (*help_pages.EXAMPLES, *EXAMPLES, *SPELLINGS)]
        too_wide = [line.strip() for line in text.splitlines() if len(line) > width]
        assert [line for line in too_wide if line not in pieces and len(line.split()) > 1] == []


def test_a_terminal_decides_on_the_width() -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "aws_runas", "--help"], dimensions=(24, 50), encoding="utf-8", timeout=30
    )
    text = str(child.read()).replace("\r\n", "\n")
    assert text == help_pages.page("short", "", 50)


@pytest.mark.parametrize("name", sorted(set(COMMANDS.values())))
def test_each_description_is_a_sentence_without_a_period(name: str) -> None:
    module, parser = next((module, parser) for each, module, parser in help_pages.commands() if each == name)
    texts = [module.SUMMARY, *(text for _, text in help_pages.arguments(parser))]
    texts += [text for group in ("", *GROUPS) for _, text in help_pages.flags(parser, group)]
    wrong = [text for text in texts if not text[:1].isupper() or text.endswith(".")]
    assert wrong == []


def test_a_percent_sign_is_shown_as_it_is() -> None:
    texts = [text for _, _, parser in ALL for group in ("", *GROUPS) for _, text in help_pages.flags(parser, group)]
    texts += [text for _, _, parser in ALL for _, text in help_pages.arguments(parser)]
    assert any("%s" in text for text in texts)
    assert not any("%%" in text for text in texts)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--help-long"], ["-E", "-h"]])
def test_the_help_of_the_program_names_every_command(words: list[str]) -> None:
    ran = _run(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in set(COMMANDS.values()):
        assert f"\n  {name} " in ran.stdout or f" {name} " in ran.stdout


def test_the_long_help_holds_the_flags_of_each_command() -> None:
    everything = _run("--help-long").stdout
    for _, _, parser in help_pages.commands():
        for spelling, _ in help_pages.flags(parser, ""):
            assert spelling.strip() in everything


@pytest.mark.parametrize("command", sorted(set(COMMANDS.values())))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_command_has_help_before_and_after_its_name(command: str, flag: str) -> None:
    from aws_runas.cli.parsing import parser

    assert parser.parse([command, flag]).help == parser.parse([flag, command]).help == "short"
    assert help_pages.page("short", command).startswith(f"usage: aws-runas [flags] {command}")


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
    assert "--role-duration" in shown.stdout.replace("‐", "-")
    for name in set(COMMANDS.values()):
        assert name in shown.stdout


def test_manual_pages_have_the_sections_in_the_order_of_man_pages_7() -> None:
    order = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "ARGUMENTS",
        "OPTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
    ]
    order += ["EXAMPLES", "SEE ALSO"]
    for name in ("", *sorted(set(COMMANDS.values()) - {"exec"})):
        found = re.findall(r"^\.SH (.+)$", manual(name), re.MULTILINE)
        assert found == [title for title in order if title in found], name
        assert {"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"} <= set(found), (
            name
        )


def test_manual_page_names_every_variable_of_the_configuration_page() -> None:
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    variables = page.partition("## Variables of aws-runas")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in variables.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert len(documented) > 15
    assert documented - {name for names, _ in VARIABLES for name in names.split(", ")} == set()
    known = {names.partition(",")[0] for names, _ in VARIABLES}
    assert {name for names in VERB_VARIABLES.values() for name in names} | set(COMMON_VARIABLES) <= known
    assert set(VERB_VARIABLES) <= set(COMMANDS.values())


def test_every_command_and_flag_is_documented() -> None:
    assert cli_reference.REFERENCE.read_text().partition(cli_reference.MARK)[2] == "\n" + cli_reference.tables(), (
        "run: python -m tests.contract.cli_reference"
    )
