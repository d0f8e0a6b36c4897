"""No secret is in the debug log, whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.credentials import printing
from aws_runas.fast import shortcut as fast
from tests.support.sts_server import Sts, running_sts, write_home

SECRETS = ("secret-key-of-user", "secret-key-of-plain", "secret-made", "token-made", "731905", "000000", "ext-secret")


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


def _log(environ: dict[str, str], *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "aws_runas", "-v", "-v", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_the_trace_tells_of_calls_and_of_no_secret(sts: Sts, tmp_path: Path) -> None:
    environ = write_home(tmp_path, sts.url)
    sts.codes = {"731905"}
    status, log = _log(environ, "-o", "731905", "-O", "json", "chained")
    assert status == 0
    for action in ("GetSessionToken", "AssumeRole"):
        assert f"calling sts {action}" in log
        assert f"answer sts {action} 200" in log
    assert "mfa_serial = arn:aws:iam::123456789012:mfa/me ([profile user] in " in log
    _check(log)


def test_errors_tell_no_secret(sts: Sts, tmp_path: Path) -> None:
    environ = write_home(tmp_path, sts.url)
    for action, code in (("AssumeRole", "AccessDenied"), ("GetSessionToken", "SignatureDoesNotMatch")):
        sts.errors = {action: (403, code, "refused. The Canonical String was 'x-amz-security-token:token-made-1'")}
        sts.codes = {"731905"}
        status, log = _log(environ, "-r", "-o", "731905", "-O", "json", "role")
        assert status == 4
        _check(log)


def test_a_refused_code_is_not_told(sts: Sts, tmp_path: Path) -> None:
    status, log = _log(write_home(tmp_path, sts.url), "-o", "000000", "role")
    assert status == 4
    _check(log)


def test_reprs_tell_no_secret(tmp_path: Path) -> None:
    from aws_runas.config.resolve import Overrides, load_files, resolve

    environ = write_home(tmp_path, "http://127.0.0.1:1")
    files = load_files(environ, tmp_path)
    profile = resolve(files, "role", Overrides(otp="731905"), environ)
    credentials = Credentials("ASIAX", "secret-made", "token-made")
    for value in (files, profile, profile.source, Overrides(otp="731905"), credentials, printing, fast):
        _check(repr(value))
        _check(str(value))


def _check(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text
