"""What the program does when the shell function asks for exports, and the text of the function."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from aws_runas.cli import app, shell_function
from aws_runas.cli.environment import Environment
from aws_runas.errors import UsageError
from aws_runas.fast.names import FUNCTION_DECLINED, FUNCTION_VERSION

CONFIG = """
[default]
region = eu-west-1
[profile prod]
aws_access_key_id = AKIAPROD
aws_secret_access_key = secret
aws_session_token = token
[profile staging]
"""
BASH = f"{FUNCTION_VERSION}:bash:runas"

# SHA-256 of the functions of each version: a changed function needs a new version, or nobody is told to load it again.
DIGESTS = {"1": "474dabee14806bde56ad81277a3cafa7bf7540d2a2637a43b0352956b6334fba"}


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def run(
    home: Path,
    *words: str,
    function: str = BASH,
    environ: Mapping[str, str] = {},
    stdout: io.BytesIO | None = None,
) -> tuple[int, str, str]:
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "config").write_text(CONFIG)
    out, err = stdout or io.BytesIO(), io.StringIO()
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "SHELL": "/bin/bash", **environ}
    env = Environment(io.BytesIO(), out, err, variables, home, function=function)
    return app.main(words, env), out.getvalue().decode(), err.getvalue()


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["prod"], {}),
        (["--profile", "prod"], {}),
        (["exec", "prod"], {}),
        (["prod"], {"AWS_PROFILE": "staging"}),
        ([], {"AWS_PROFILE": "prod"}),
        (["prod"], {"RUNAS_OUTPUT_FORMAT": "json"}),
        (["prod"], {"SHELL": "/usr/bin/fish"}),
    ],
)
def test_a_profile_is_exported(tmp_path: Path, words: list[str], environ: dict[str, str]) -> None:
    status, printed, errors = run(tmp_path, *words, environ=environ)
    assert (status, errors) == (0, "")
    assert "unset AWS_PROFILE\n" in printed
    assert "export AWS_ACCESS_KEY_ID=AKIAPROD\n" in printed
    assert printed.endswith("export AWSRUNAS_PROFILE=prod\n")


def test_the_format_is_that_of_the_shell_of_the_function(tmp_path: Path) -> None:
    assert "set -gx AWSRUNAS_PROFILE 'prod'\n" in run(tmp_path, "prod", function=f"{FUNCTION_VERSION}:fish:runas")[1]
    printed = run(tmp_path, "prod", function=f"{FUNCTION_VERSION}:powershell:runas")[1]
    assert "$Env:AWSRUNAS_PROFILE = 'prod'\n" in printed


@pytest.mark.parametrize("words", [["-"], ["--unset"], ["exec", "--unset"]])
def test_the_variables_are_removed(tmp_path: Path, words: list[str]) -> None:
    status, printed, errors = run(tmp_path, *words)
    assert (status, errors) == (0, "")
    assert "unset AWS_ACCESS_KEY_ID\n" in printed
    assert "REGION" not in printed


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["prod", "true"], {}),
        (["prod", "no-such-program"], {}),
        (["prod", "--", "true"], {}),
        (["true"], {"AWS_PROFILE": "prod"}),
        (["-O", "json", "prod"], {}),
        (["-w", "prod"], {}),
        (["--write-credentials", "prod"], {}),
        (["whoami", "prod"], {}),
        (["shell", "prod", "i-deadbeef"], {}),
        (["--help"], {}),
        (["-V"], {}),
        (["--ecs", "prod"], {}),
    ],
)
def test_any_other_line_is_declined_and_nothing_happens(
    tmp_path: Path, words: list[str], environ: dict[str, str]
) -> None:
    assert run(tmp_path, *words, environ=environ) == (FUNCTION_DECLINED, "", "")


@pytest.mark.parametrize(
    ("words", "status"), [(["nobody"], 3), (["--nonsense"], 2), (["--profile", "prod", "--unset", "true"], 2)]
)
def test_an_error_is_said_at_once_and_nothing_is_exported(tmp_path: Path, words: list[str], status: int) -> None:
    found, printed, errors = run(tmp_path, *words)
    assert (found, printed) == (status, "")
    assert errors.startswith("aws-runas: ")


@pytest.mark.parametrize("words", [["prod"], ["prod", "true"], ["whoami"]])
def test_a_function_of_another_version_is_told_how_to_load_itself_again(tmp_path: Path, words: list[str]) -> None:
    _, _, errors = run(tmp_path, *words, function="0:zsh:ra")
    assert errors.startswith("aws-runas: note: the function ra in this shell has version 0, this program has version ")
    assert errors.endswith('load it again: eval "$(aws-runas init zsh --name ra)"\n')
    assert run(tmp_path, "-q", *words, function="0:zsh:ra")[2] == ""


@pytest.mark.parametrize("function", ["", "1", ":", "0:tcsh:x", "0:bash:\x1b[2J", "0:bash:$(id)"])
def test_no_note_repeats_what_is_no_name(function: str) -> None:
    assert shell_function.age_note(function) == ""


@pytest.mark.parametrize("words", [["prod"], ["--unset"]])
def test_without_the_function_a_terminal_is_told_that_nothing_was_set(tmp_path: Path, words: list[str]) -> None:
    errors = run(tmp_path, *words, function="", stdout=Terminal())[2]
    assert 'this shell is unchanged; to set the variables with: runas PROFILE, load that function once: eval "$(' in (
        errors
    )
    fish = run(tmp_path, *words, function="", stdout=Terminal(), environ={"SHELL": "/usr/bin/fish"})[2]
    assert "aws-runas init fish | source\n" in fish
    other = run(tmp_path, *words, function="", stdout=Terminal(), environ={"SHELL": "/bin/tcsh"})[2]
    assert "aws-runas init --help" in other


@pytest.mark.parametrize(
    ("words", "environ", "is_terminal"),
    [
        (["prod"], {}, False),
        (["-q", "prod"], {}, True),
        (["-O", "env", "prod"], {}, True),
        (["prod"], {"RUNAS_OUTPUT_FORMAT": "env"}, True),
    ],
)
def test_who_chose_a_format_or_reads_by_a_program_is_not_told(
    tmp_path: Path, words: list[str], environ: dict[str, str], is_terminal: bool
) -> None:
    stdout = Terminal() if is_terminal else io.BytesIO()
    assert "unchanged" not in run(tmp_path, *words, function="", stdout=stdout, environ=environ)[2]


@pytest.mark.parametrize("shell", list(shell_function.FORMATS))
def test_a_function_carries_its_version_and_its_name(shell: str) -> None:
    text = shell_function.text(shell, "ra")
    assert f"{FUNCTION_VERSION}:{shell}:ra" in text
    assert "function ra " in text
    assert "@" not in text.replace("$@", "").replace("@args", "")


@pytest.mark.parametrize("name", ["", "a b", "1a", "x;id", "$(id)", "if", "command", "-x", "a\nb", "é"])
def test_a_name_that_a_shell_cannot_call_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a valid name for a function"):
        shell_function.check_name(name)


def test_a_changed_function_has_another_version() -> None:
    text = "".join(shell_function.text(shell, "runas") for shell in shell_function.FORMATS)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[FUNCTION_VERSION]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no shell given; the shell is one of bash, zsh, fish, powershell"),
        (["tcsh"], "there is no function for the shell 'tcsh'; the shell is one of"),
        (["bash", "zsh"], "unexpected argument 'zsh'; use: aws-runas init bash"),
        (["--name", "a b", "bash"], "'a b' is not a valid name for a function"),
    ],
)
def test_init_says_what_is_wrong(tmp_path: Path, words: list[str], message: str) -> None:
    status, printed, errors = run(tmp_path, "init", *words, function="")
    assert (status, printed) == (2, "")
    assert message in errors
