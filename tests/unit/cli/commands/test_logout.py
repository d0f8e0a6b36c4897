"""``logout`` says what it removed, and nothing else."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.config.sso import SsoSession
from aws_runas.signin.sso_token import TokenFiles
from tests.unit.fast.test_shortcut import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def logout(home: Home, *words: str) -> tuple[int, str]:
    errors = io.StringIO()
    env = Environment(io.BytesIO(), io.BytesIO(), errors, home.environ, home.path, time.time)
    return app.main(["logout", *words], env), errors.getvalue()


@pytest.mark.parametrize("word", ["plainrole", "--all"])
def test_a_cache_that_cannot_be_changed_is_no_success(home: Home, word: str) -> None:
    assert logout(home, word)[0] == 0
    (home.file().parent / "epoch").unlink()
    (home.file().parent / "epoch").mkdir()  # nothing can be written there
    status, errors = logout(home, word)
    assert status == 1
    assert "are still there" in errors
    assert "aws-runas: removed" not in errors


def test_a_token_that_cannot_be_removed_is_no_success(home: Home) -> None:
    config = home.path / ".aws" / "config"
    config.write_text(
        config.read_text()
        + "\n[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n"
    )
    token = TokenFiles(home.path).path(SsoSession("corp", "", ""))
    token.mkdir(parents=True)
    status, errors = logout(home, "--sso-session", "corp")
    assert status == 1
    assert "the token of corp was not removed" in errors
