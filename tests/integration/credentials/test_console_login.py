"""Profiles with ``login_session`` against the sandbox's sign-in service: every proof is checked, tokens rotate."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws_runas.aws.access import Access
from aws_runas.aws.credentials import parse_time
from aws_runas.aws.sts import caller_identity
from aws_runas.cli.shortcut import write_shortcut
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.credentials.console_login import CachedLogin, ConsoleLoginProvider, parse_login
from aws_runas.errors import CredentialsError
from aws_runas.sandbox.configuration import LOGIN_SESSION
from aws_runas.sandbox.world import Sandbox
from aws_runas.signin.context import RunContext

PROFILE = "sandbox-login"
NAME = hashlib.sha256(LOGIN_SESSION.encode()).hexdigest() + ".json"


@dataclass
class Login:
    """A login of a test's own: its file, and accesses that read it."""

    sandbox: Sandbox
    directory: Path
    cache: Path
    log: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.directory / NAME

    @property
    def environ(self) -> dict[str, str]:
        own = {"AWS_LOGIN_CACHE_DIRECTORY": str(self.directory), "RUNAS_CACHE_DIR": str(self.cache)}
        return self.sandbox.environ | own

    def read(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.path.read_text())
        return values

    def write(self, values: object) -> None:
        self.path.write_text(values if isinstance(values, str) else json.dumps(values))

    def ends_in(self, seconds: float, **more: object) -> dict[str, Any]:
        """Make the file say that the keys end then."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        values = self.read() | more
        values["accessToken"]["expiresAt"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.write(values)
        return values

    def access(self, name: str = PROFILE, *, refresh: bool = False) -> Access:
        return open_access(
            name,
            Overrides(refresh=refresh),
            RunContext(
                environ=self.environ,
                home=Path(self.sandbox.environ["HOME"]),
                now=time.time,
                warn=self.warnings.append,
                debug=self.log.append,
            ),
            Prompts(lambda _: ""),
        )


@pytest.fixture
def login(sandbox: Sandbox, tmp_path: Path) -> Iterator[Login]:
    directory = tmp_path / "logins"
    sandbox.sign_in(directory)
    yield Login(sandbox, directory, tmp_path / "cache")
    sandbox.set_faults(signin_fails="")


def test_keys_with_more_than_five_minutes_are_used_as_they_are(login: Login) -> None:
    before = login.path.read_bytes()
    found = login.access().provider.credentials()
    assert found.access_key_id == login.read()["accessToken"]["accessKeyId"]
    assert login.path.read_bytes() == before
    assert caller_identity(login.access()).arn == LOGIN_SESSION


def test_keys_with_less_are_renewed_and_written_back_whole(login: Login) -> None:
    before = login.ends_in(299, someNewMember={"kept": [1, 2]})
    login.path.chmod(0o644)
    access = login.access()
    found = access.provider.credentials()
    after = login.read()
    assert found.access_key_id == after["accessToken"]["accessKeyId"] != before["accessToken"]["accessKeyId"]
    assert after["refreshToken"] != before["refreshToken"]
    same = ("clientId", "dpopKey", "idToken", "tokenType", "signInRegion", "someNewMember")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert after["accessToken"]["accountId"] == "123456789012"
    left = parse_time(after["accessToken"]["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=14, seconds=30) < left <= timedelta(minutes=15)
    assert stat.S_IMODE(login.path.stat().st_mode) == 0o600
    assert [path.name for path in login.directory.iterdir()] == [NAME]
    assert caller_identity(access).arn == LOGIN_SESSION
    login.ends_in(0)
    assert login.access().provider.credentials() != found, "the new refresh token is good too"


def test_keys_that_have_ended_are_renewed(login: Login) -> None:
    login.ends_in(-3600)
    assert caller_identity(login.access()).arn == LOGIN_SESSION


def test_a_login_without_region_is_renewed_in_that_of_the_profile(login: Login) -> None:
    values = login.ends_in(-1)
    del values["signInRegion"]
    login.write(values)
    login.access().provider.credentials()
    assert "renewing the login at the sign-in service of us-east-1" in login.log
    login.ends_in(-1, signInRegion="eu-west-1")
    login.access().provider.credentials()
    assert "renewing the login at the sign-in service of eu-west-1" in login.log


def test_refresh_asks_for_new_keys(login: Login) -> None:
    before = login.read()
    assert login.access(refresh=True).provider.credentials().access_key_id != before["accessToken"]["accessKeyId"]


def test_a_role_is_assumed_with_the_login(login: Login) -> None:
    login.ends_in(10)
    assert ":assumed-role/my-role/" in caller_identity(login.access("my-profile-login")).arn


def test_a_running_program_gets_keys_that_were_renewed_meanwhile(login: Login) -> None:
    access = login.access()
    first = access.provider.credentials()
    login.ends_in(200)
    assert access.provider.credentials() != first


TWENTY = """
import os, sys, time
from pathlib import Path
import aws_runas.aws.client, aws_runas.aws.signin
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.signin.context import RunContext
def ask():
    context = RunContext(os.environ, Path.home(), time.time, print)
    access = open_access(sys.argv[1], Overrides(), context, Prompts(str))
    return access.provider.credentials().access_key_id
gate, answers = os.pipe(), os.pipe()
for _ in range(20):
    if os.fork() == 0:
        os.close(gate[1])
        os.read(gate[0], 1)
        try:
            os.write(answers[1], (ask() + "\\n").encode())
        finally:
            os._exit(0)
os.close(gate[1]), os.close(answers[1])
for _ in range(20):
    os.wait()
print(os.read(answers[0], 65536).decode())
"""


def test_twenty_processes_make_one_renewal(login: Login) -> None:
    before, calls = login.ends_in(0), login.sandbox.count("CreateOAuth2Token")
    done = subprocess.run(
        [sys.executable, "-c", TWENTY, PROFILE], env=login.environ, capture_output=True, text=True, timeout=60
    )
    keys = done.stdout.split()
    assert (len(keys), len(set(keys))) == (20, 1), done.stderr
    assert login.sandbox.count("CreateOAuth2Token") == calls + 1
    assert keys[0] == login.read()["accessToken"]["accessKeyId"] != before["accessToken"]["accessKeyId"]


def run_login(login: Login, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", "login", *words, PROFILE],
        env=login.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )


def test_the_verb_login_renews_and_names_aws_login_where_that_is_needed(login: Login) -> None:
    login.ends_in(60)
    before, calls = login.read(), login.sandbox.count("CreateOAuth2Token")
    done = run_login(login)
    assert (done.returncode, f"signed in as {PROFILE} until" in done.stderr) == (0, True), done.stderr
    assert login.sandbox.count("CreateOAuth2Token") == calls + 1
    assert login.read()["accessToken"] != before["accessToken"]
    forced = run_login(login, "--force", "-O", "json")
    assert (forced.returncode, json.loads(forced.stdout)["Profile"]) == (0, PROFILE)
    login.ends_in(0)
    login.sandbox.set_faults(signin_fails="TOKEN_EXPIRED")
    refused = run_login(login)
    assert (refused.returncode, "aws login" in refused.stderr, refused.stdout) == (4, True, "")
    login.path.unlink()
    missing = run_login(login)
    assert (missing.returncode, "aws login" in missing.stderr) == (4, True)


def test_it_works_as_installed_without_awscrt(login: Login) -> None:
    login.ends_in(0)
    program = (
        "import sys; sys.modules['awscrt'] = None\n"
        "from aws_runas.__main__ import main\n"
        f"sys.argv[1:] = ['-O', 'json', '{PROFILE}']; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=login.environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AccessKeyId"] == login.read()["accessToken"]["accessKeyId"]


@pytest.mark.parametrize("part", [0, 1, 200])
def test_a_file_that_is_half_written_is_read_again(login: Login, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    whole = login.path.read_text()
    login.write(whole[:part])
    waits: list[float] = []

    def finish(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            login.write(whole)

    monkeypatch.setattr(time, "sleep", finish)
    found = login.access().provider.credentials()
    assert found.access_key_id == login.read()["accessToken"]["accessKeyId"]
    assert waits == [0.02] * 4


def _needed(call: Callable[[], object]) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        call()
    assert caught.value.code == "login-needed"
    assert f"aws login --profile {PROFILE}" in (caught.value.hint or "")
    return caught.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("TOKEN_EXPIRED", "the session has ended"),
        ("USER_CREDENTIALS_CHANGED", "were changed"),
        ("AUTHCODE_EXPIRED", "not completed in time"),
        ("INSUFFICIENT_PERMISSIONS", "signin:CreateOAuth2Token"),
        ("SOMETHING_NEW\x1b[31m", "SOMETHING_NEW"),
    ],
)
def test_a_refusal_says_why_and_names_the_command(login: Login, error: str, reason: str) -> None:
    login.ends_in(-1)
    login.sandbox.set_faults(signin_fails=error)
    assert reason in _needed(login.access().provider.credentials).message


def test_keys_that_are_valid_bridge_trouble_at_the_service(login: Login) -> None:
    login.sandbox.set_faults(signin_fails="server_error")
    before = login.ends_in(120)
    found = login.access().provider.credentials()
    assert found.access_key_id == before["accessToken"]["accessKeyId"]
    assert any("its keys are used until" in line for line in login.log)
    login.ends_in(-1)
    with pytest.raises(CredentialsError) as caught:
        login.access().provider.credentials()
    assert caught.value.code == "aws-error"


def test_a_refresh_token_that_another_tool_used_up_meanwhile_is_no_error(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The AWS CLI takes no lock."""
    login.ends_in(0)
    provider = login.access().provider
    assert isinstance(provider, ConsoleLoginProvider)
    ask = provider._ask

    def late(found: CachedLogin) -> CachedLogin:
        login.write(dict(ask(found).values))
        return ask(found)

    monkeypatch.setattr(provider, "_ask", late)
    assert provider.credentials().access_key_id == login.read()["accessToken"]["accessKeyId"]


def test_who_has_not_signed_in_is_told_how(login: Login) -> None:
    login.path.unlink()
    assert "nobody has signed in" in _needed(login.access().provider.credentials).message


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda values: {key: value for key, value in values.items() if key != name}


ODD: dict[str, Callable[[dict[str, Any]], object]] = {
    "no object": lambda values: [values],
    "no token": _without("accessToken"),
    "token is text": lambda values: values | {"accessToken": "x"},
    "no refresh token": _without("refreshToken"),
    "refresh token is a list": lambda values: values | {"refreshToken": [1]},
    "no client": _without("clientId"),
    "no key": _without("dpopKey"),
    "another key": lambda values: (
        values | {"dpopKey": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----"}
    ),
    "key of another curve": lambda values: values | {"dpopKey": _key_on_another_curve()},
    "no keys": lambda values: values | {"accessToken": {"expiresAt": "2020-01-01T00:00:00Z"}},
    "no end": lambda values: values | {"accessToken": _without("expiresAt")(values["accessToken"])},
    "odd end": lambda values: values | {"accessToken": values["accessToken"] | {"expiresAt": "soon"}},
}


def _key_on_another_curve() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.mark.parametrize("case", list(ODD))
def test_an_odd_file_needs_a_login(login: Login, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    login.write(ODD[case](login.ends_in(-1)))
    error = _needed(login.access().provider.credentials)
    assert login.sandbox.environ["HOME"] not in error.message


def test_a_cache_that_others_can_change_is_not_written_to(login: Login) -> None:
    before = login.ends_in(-1)
    login.directory.chmod(0o777)
    with pytest.raises(CredentialsError) as caught:
        login.access().provider.credentials()
    assert caught.value.code == "source-failed"
    assert login.read() == before, "and the refresh token is not used up"


def test_errors_and_logs_hold_no_secret(login: Login) -> None:
    values = login.ends_in(-1)
    login.sandbox.set_faults(signin_fails="TOKEN_EXPIRED")
    environ = login.environ | {"RUNAS_VERBOSE": "1"}
    words = [sys.executable, "-m", "aws_runas", "-v", "-v", PROFILE]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert f"aws login --profile {PROFILE}" in done.stderr
    assert "Traceback" not in done.stderr
    token = values["accessToken"]
    secrets = [
        token["secretAccessKey"],
        token["sessionToken"],
        values["refreshToken"],
        *values["dpopKey"].split("\n")[1:3],
    ]
    assert [secret for secret in secrets if secret in done.stdout + done.stderr] == []
    assert values["refreshToken"] not in repr(parse_login(values))


def test_a_shortcut_ends_five_minutes_before_the_keys(login: Login) -> None:
    from aws_runas.fast import shortcut as fast

    environ = {key: value for key, value in login.environ.items() if not key.startswith("RUNAS_SANDBOX")}
    access = login.access()
    found = access.provider.credentials()
    login.cache.mkdir(mode=0o700)
    write_shortcut(PROFILE, access.profile, found, environ, before=fast.header(environ))
    (path,) = login.cache.glob("fast-*")
    assert found.expiration is not None
    assert f"until {int(found.expiration.timestamp()) - 300}" in path.read_text().splitlines()
    assert os.fsencode(found.secret_access_key) in path.read_bytes()
