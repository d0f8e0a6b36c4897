"""Flags behind the profile, and names that no config file can hold: refused before anything is asked for."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment


def run(home: Path, *words: str) -> tuple[int, str]:
    errors = io.StringIO()
    env = Environment(io.BytesIO(), io.BytesIO(), errors, {"HOME": str(home)}, home, time.time)
    return app.main(list(words), env), errors.getvalue()


@pytest.mark.parametrize(
    "words",
    [("ecr", "login", "dev", "--client", "podman"), ("sso", "list", "dev", "-O", "json"), ("login", "dev", "--force"),
     ("logout", "dev", "--all"), ("console", "dev", "s3", "--print"), ("forward", "dev", "--half-close=3", "web:22"),
     ("shell", "dev", "-v"), ("shell", "dev", "--document", "x", "web"), ("ssh", "dev", "--ec2ic", "web"),
     ("cp", "dev", "file", "web:/srv", "-r"), ("cp", "dev", "file", "web:/srv", "--mode=640"),
     ("sessions", "list", "dev", "--all"), ("whoami", "dev", "--region=x"), ("serve", "ecs", "dev", "-p", "9000")],
)  # fmt: skip
def test_a_flag_behind_the_profile_is_named_with_its_place(tmp_path: Path, words: tuple[str, ...]) -> None:
    flag = next(word for word in words if word.startswith("-")).partition("=")[0]
    assert run(tmp_path, *words) == (2, f"aws-runas: unexpected argument '{flag}'; flags go before the profile\n")


def test_a_word_behind_two_dashes_is_no_flag(tmp_path: Path) -> None:
    status, errors = run(tmp_path, "cp", "--", "-odd-name", "also-local")
    assert (status, "unexpected argument" in errors) == (2, False)


@pytest.mark.parametrize("action", ["add", "import"])
def test_keys_for_a_name_that_no_section_can_have_are_not_asked_for(tmp_path: Path, action: str) -> None:
    status, errors = run(tmp_path, "keys", action, "a]\nb")
    assert status == 3
    assert r"'a]\nb' cannot be the name of a section" in errors.replace("\\\\", "\\")


@pytest.mark.parametrize("words", [("--profile=--", "whoami"), ("whoami", "--profile=--"), ("--profile=--", "true")])
def test_two_dashes_as_the_value_of_a_flag_are_its_value(tmp_path: Path, words: tuple[str, ...]) -> None:
    status, errors = run(tmp_path, *words)
    assert (status, errors.partition("\n")[0]) == (3, "aws-runas: profile -- does not exist")
