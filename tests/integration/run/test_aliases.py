"""What names no program may name an alias or a function of the user's shell."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.run.conftest import PROFILE, run
from tests.support import requires

POSIX = """
case $- in *i*) ;; *) return;; esac
alias show='printf "<%s>"'
func() { printf '[%s]' "$@"; echo "$AWSRUNAS_PROFILE"; return 7; }
"""
FISH = """
alias show='printf "<%s>"'
function func; printf '[%s]' $argv; echo "$AWSRUNAS_PROFILE"; return 7; end
"""
WORDS = ["a b", "it's", 'd"q', "", "$HOME", "*", "back\\slash", "-n", "--", "!x", "new\nline", "ü"]


@pytest.fixture(params=["bash", "zsh", "fish"])
def with_shell(request: pytest.FixtureRequest, each_way: dict[str, str]) -> dict[str, str]:
    """The variables of somebody whose shell has an alias and a function."""
    home = Path(each_way["HOME"])
    (home / ".bashrc").write_text(POSIX)
    (home / ".zshrc").write_text(POSIX)
    fish = home / ".config" / "fish"
    fish.mkdir(parents=True, exist_ok=True)
    (fish / "config.fish").write_text(FISH)
    outside = {name: value for name, value in each_way.items() if not name.startswith("XDG_")}
    return outside | {"SHELL": requires.program(request.param), "TERM": "dumb"}


@pytest.mark.parametrize("mode", [[], ["-E"]])
def test_an_alias_gets_its_arguments_as_they_are(with_shell: dict[str, str], mode: list[str]) -> None:
    ran = run([*mode, PROFILE, "show", *WORDS], with_shell)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.decode() == "".join(f"<{word}>" for word in WORDS)


@pytest.mark.parametrize("mode", [[], ["-E"]])
def test_a_function_has_the_environment_and_gives_its_status(with_shell: dict[str, str], mode: list[str]) -> None:
    ran = run([*mode, PROFILE, "func", "-x", "y z"], with_shell)
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, f"[-x][y z]{PROFILE}\n".encode(), b"")


def test_what_is_neither_is_127(with_shell: dict[str, str]) -> None:
    ran = run([PROFILE, "no-such-thing", "word"], with_shell)
    shell = Path(with_shell["SHELL"]).name
    message = f"aws-runas: program 'no-such-thing' was not found in PATH, nor as an alias or function of {shell}\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (127, b"", message.encode())


def test_a_plain_posix_shell_does_not_complain_that_it_has_no_terminal(each_way: dict[str, str]) -> None:
    ran = run([PROFILE, "no-such-thing"], each_way | {"SHELL": requires.program("dash")})
    message = "aws-runas: program 'no-such-thing' was not found in PATH, nor as an alias or function of dash\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (127, b"", message.encode())


def test_a_word_of_the_shells_grammar_or_with_its_quotes_is_not_handed_to_it(with_shell: dict[str, str]) -> None:
    for word in ("if", "a;b", "$(reboot)", "`x`", "a b", "-c"):
        ran = run([PROFILE, "--", word, "y"], with_shell)
        assert (ran.returncode, ran.stdout) == (127, b""), word


def test_an_alias_works_on_a_terminal_and_gives_it_back(with_shell: dict[str, str]) -> None:
    bash = pexpect.spawn(
        requires.program("bash"),
        ["--norc", "--noprofile", "-i"],
        env=with_shell | {"PS1": "> "},
        timeout=30,
        encoding="utf-8",
    )
    bash.setecho(False)
    bash.sendline(f"{sys.executable} {' '.join(AWS_RUNAS[1:])} {PROFILE} show one 'two three'")
    bash.expect_exact("<one><two three>")
    bash.sendline("echo status=$?")
    bash.expect_exact("status=0")
    bash.close(force=True)
