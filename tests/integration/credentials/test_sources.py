"""Sources that botocore's resolvers fetch: SSO, web identity, container, instance; each against a server."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.loopback import Quiet, serving
from tests.support.sts_server import ROLE, Sts, running_sts, write_home

LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


@contextmanager
def _serving(answers: dict[str, str]) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A server that answers by path; yields its address and what it was asked."""
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            path = self.path.partition("?")[0]
            asked.append((path, dict(self.headers)))
            body = answers.get(path)
            self.answer(200 if body is not None else 404, (body or "").encode())

        def do_PUT(self) -> None:  # noqa: N802 - the name that http.server calls
            self.do_GET()

    with serving(Handler) as address:
        yield address, asked


def _run(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", "-O", "json", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _key(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["AccessKeyId"])


_SSO = f"""[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Dev
region = us-east-1
[profile over]
role_arn = {ROLE}Over
source_profile = dev
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.example.com/start
sso_registration_scopes = sso:account:access
"""


def _sign_in(home: Path, expires: str = LATER) -> None:
    """Leave what `aws sso login` leaves."""
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
    token = {"startUrl": "https://corp.example.com/start", "accessToken": "sso-token", "expiresAt": expires}
    (cache / f"{name}.json").write_text(json.dumps(token))


def test_sso_credentials_skip_the_session_token_and_are_cached(sts: Sts, tmp_path: Path) -> None:
    environ = write_home(tmp_path, sts.url, more=_SSO)
    _sign_in(tmp_path)
    end = int((time.time() + 3600) * 1000)
    role = {"accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": end}
    with _serving({"/federation/credentials": json.dumps({"roleCredentials": role})}) as (url, asked):
        environ["AWS_ENDPOINT_URL_SSO"] = url
        assert _key(_run(environ, "dev")) == "ASIASSO"
        assert _key(_run(environ, "dev")) == "ASIASSO"
        assert _key(_run(environ, "over")).startswith("ASIAROLE")
        traced = _run(environ, "-v", "-v", "-r", "dev")
    assert [path for path, _ in asked] == ["/federation/credentials"] * 2
    assert "calling sso GetRoleCredentials" in traced.stderr
    assert "sso-token" not in traced.stderr
    assert asked[0][1]["x-amz-sso_bearer_token"] == "sso-token"
    assert sts.actions() == ["AssumeRole"]
    assert sts.calls[0].key_id == "ASIASSO"


@pytest.mark.parametrize("expires", [None, "2020-01-01T00:00:00Z"])
def test_who_is_not_signed_in_to_sso_is_told_how(sts: Sts, tmp_path: Path, expires: str | None) -> None:
    environ = write_home(tmp_path, sts.url, more=_SSO)
    if expires:
        _sign_in(tmp_path, expires)
    done = _run(environ, "dev")
    assert done.returncode == 4
    assert "run: aws-runas login dev" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_web_identity_of_a_profile(sts: Sts, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-token")
    more = f"[profile web]\nrole_arn = {ROLE}Web\nweb_identity_token_file = {tmp_path}/token\nrole_session_name = ci\n"
    environ = write_home(tmp_path, sts.url, more=more)
    assert _key(_run(environ, "web")).startswith("ASIAROLE")
    assert _key(_run(environ, "web")).startswith("ASIAROLE")
    (call,) = sts.calls
    assert call.action == "AssumeRoleWithWebIdentity"
    assert call.parameters["WebIdentityToken"] == "the-token"
    assert call.parameters["RoleSessionName"] == "ci"
    (tmp_path / "token").write_text("another")
    _run(environ, "web")
    assert len(sts.calls) == 2


def test_a_web_identity_of_the_environment_assumes_an_arn(sts: Sts, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-token")
    environ = write_home(tmp_path, sts.url)
    environ |= {"AWS_WEB_IDENTITY_TOKEN_FILE": f"{tmp_path}/token", "AWS_ROLE_ARN": ROLE + "Web"}
    assert _key(_run(environ, ROLE + "Over")).startswith("ASIAROLE")
    assert sts.actions() == ["AssumeRoleWithWebIdentity", "AssumeRole"]


def test_a_web_identity_without_its_file_names_it(sts: Sts, tmp_path: Path) -> None:
    more = f"[profile web]\nrole_arn = {ROLE}Web\nweb_identity_token_file = {tmp_path}/token\n"
    done = _run(write_home(tmp_path, sts.url, more=more), "web")
    assert done.returncode == 4
    assert f"{tmp_path}/token" in done.stderr


_ROLE_DOCUMENT = json.dumps(
    {"AccessKeyId": "ASIABOX", "SecretAccessKey": "s", "Token": "t", "Expiration": LATER, "Code": "Success"}
)


def test_a_container_as_credential_source(sts: Sts, tmp_path: Path) -> None:
    more = f"[profile boxed]\nrole_arn = {ROLE}Boxed\ncredential_source = EcsContainer\n"
    environ = write_home(tmp_path, sts.url, more=more)
    with _serving({"/creds": _ROLE_DOCUMENT}) as (url, asked):
        environ |= {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/creds",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer x",
        }
        assert _key(_run(environ, "boxed")).startswith("ASIAROLE")
    assert asked[0][1]["Authorization"] == "Bearer x"
    assert sts.calls[0].key_id == "ASIABOX"


def test_the_instance_as_credential_source(sts: Sts, tmp_path: Path) -> None:
    more = f"[profile machine]\nrole_arn = {ROLE}Machine\ncredential_source = Ec2InstanceMetadata\n"
    environ = write_home(tmp_path, sts.url, more=more)
    answers = {
        "/latest/api/token": "imds-token",
        "/latest/meta-data/iam/security-credentials/": "instance-role",
        "/latest/meta-data/iam/security-credentials/instance-role": _ROLE_DOCUMENT,
    }
    with _serving(answers) as (url, _):
        environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = url
        assert _key(_run(environ, "machine")).startswith("ASIAROLE")
    assert sts.calls[0].key_id == "ASIABOX"


def test_an_instance_without_role_is_an_error_that_says_where_this_works(sts: Sts, tmp_path: Path) -> None:
    more = f"[profile machine]\nrole_arn = {ROLE}Machine\ncredential_source = Ec2InstanceMetadata\n"
    environ = write_home(tmp_path, sts.url, more=more) | {"AWS_EC2_METADATA_DISABLED": "true"}
    done = _run(environ, "machine")
    assert done.returncode == 4
    assert "AWS_EC2_METADATA_DISABLED is set" in done.stderr
    assert "unset it" in done.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("false", "exit status|command|process"),
        ("echo nonsense", "no JSON"),
        ("/nowhere/program", "/nowhere/program"),
        ("echo '{\"Version\": 2}'", "Version|version"),
        ("echo '{\"Version\": 1}'", "access key id is missing"),
        ("echo 'open", "quot"),
    ],
)
def test_a_process_that_fails_is_an_error_in_words(sts: Sts, tmp_path: Path, command: str, says: str) -> None:
    environ = write_home(tmp_path, sts.url, more=f"[profile process]\ncredential_process = {command}\n")
    done = _run(environ, "process")
    assert done.returncode == (3 if says == "quot" else 4)
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in says.split("|")), done.stderr


def test_settings_that_botocore_refuses_are_an_error_in_words(sts: Sts, tmp_path: Path) -> None:
    environ = write_home(tmp_path, sts.url) | {"AWS_MAX_ATTEMPTS": "many"}
    done = _run(environ, "plainrole")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_shell_started_by_us_can_start_us_again(sts: Sts, tmp_path: Path) -> None:
    environ = write_home(tmp_path, sts.url) | {"AWSRUNAS_PROFILE": "x", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    assert _key(_run(environ, "plainrole")).startswith("ASIAROLE")


def _keys_of_process(**changes: object) -> str:
    document = {"Version": 1, "AccessKeyId": "ASIAP", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": LATER}
    return json.dumps(document | changes)


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"Expiration": "2099-01-01T00:00:00"}, 0, "2099-01-01T00:00:00Z"),  # no zone: UTC
        ({"Expiration": "2020-01-01T00:00:00Z"}, 4, "expired at 2020-01-01T00:00:00Z"),
        ({"Expiration": "soon"}, 4, "the expiration is not a time"),
        ({"SecretAccessKey": None}, 4, "the secret access key is missing"),
    ],
)
def test_an_odd_answer_of_a_process_is_understood_or_an_error_in_words(
    sts: Sts, tmp_path: Path, changes: dict[str, object], status: int, says: str
) -> None:
    more = f"[profile process]\ncredential_process = echo '{_keys_of_process(**changes)}'\n"
    done = _run(write_home(tmp_path, sts.url, more=more), "process")
    assert done.returncode == status
    assert says in (done.stderr or done.stdout)
    assert "Traceback" not in done.stderr


def test_what_a_process_says_on_stderr_is_shown(sts: Sts, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho 'touch your key' >&2\ncat <<'END'\n{_keys_of_process()}\nEND\n")
    program.chmod(0o700)
    done = _run(write_home(tmp_path, sts.url, more=f"[profile process]\ncredential_process = {program}\n"), "process")
    assert _key(done) == "ASIAP"
    assert done.stderr == "touch your key\n"


# --- programs that run aws-runas again


def _circle(tmp_path: Path, more: str, sts: Sts) -> dict[str, str]:
    """A home with a program `again ARGUMENTS`, which runs aws-runas and counts."""
    again = tmp_path / "again"
    again.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/count\n[ $(wc -l < {tmp_path}/count) -lt 9 ] || exit 9\n"
        f'exec {sys.executable} -m aws_runas -O json "$@"\n'
    )
    again.chmod(0o700)
    environ = write_home(tmp_path, sts.url, more=more.replace("AGAIN", str(again)))
    if more.startswith("[default]"):
        (tmp_path / ".aws" / "config").write_text(more.replace("AGAIN", str(again)))
        (tmp_path / ".aws" / "credentials").unlink()
    return environ


_CIRCLES = [
    ("[profile p]\ncredential_process = AGAIN p\n", "p", 1, "profile p -> credential_process of profile p"),
    (
        "[profile p]\ncredential_process = AGAIN q\n[profile q]\ncredential_process = AGAIN p\n",
        "p",
        2,
        "profile p -> credential_process of profile q -> credential_process of profile p",
    ),
    (
        f"[profile p]\ncredential_process = AGAIN r\n[profile r]\nrole_arn = {ROLE}R\nsource_profile = p\n",
        "r",
        1,
        "profile p -> credential_process of profile p",
    ),
    ("[default]\ncredential_process = AGAIN\n", "", 1, "profile default -> credential_process of profile default"),
    (
        f"[profile m]\nrole_arn = {ROLE}M\nsource_profile = plain\nmfa_process = AGAIN m\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n",
        "m",
        1,
        "mfa_process of arn:aws:iam::123456789012:mfa/me -> mfa_process of",
    ),
]


@pytest.mark.parametrize(("more", "profile", "count", "circle"), _CIRCLES)
def test_a_process_that_runs_us_for_its_own_profile_ends_at_once(
    sts: Sts, tmp_path: Path, more: str, profile: str, count: int, circle: str
) -> None:
    done = _run(_circle(tmp_path, more, sts), *filter(None, [profile]))
    assert done.returncode == 3
    assert (tmp_path / "count").read_text() == "x\n" * count
    assert circle in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_may_run_us_for_another_profile(sts: Sts, tmp_path: Path) -> None:
    environ = _circle(tmp_path, "[profile p]\ncredential_process = AGAIN plainrole\n", sts)
    assert _key(_run(environ, "p")).startswith("ASIAROLE")


# --- SSO profiles and tokens


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("sso_account_id = 123456789012\n", "sso_account_id"),
        ("sso_role_name = Dev\n", "sso_role_name"),
        ("sso_region = us-east-1\n", "sso_region"),
        ("sso_start_url = https://corp.example.com/start\n", "sso_start_url"),
        ("[sso-session corp]\n", "[sso-session corp]"),
    ],
)
def test_an_sso_profile_that_lacks_a_setting_names_it(sts: Sts, tmp_path: Path, line: str, names: str) -> None:
    more = _SSO.replace(line, "[other corp]\n" if line.startswith("[") else "")
    done = _run(write_home(tmp_path, sts.url, more=more), "dev")
    assert done.returncode == 3
    assert f"add {names}" in done.stderr
    assert "aws-runas login" not in done.stderr


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "{}", '{"accessToken": "t", "expiresAt": null}', '{"accessToken": 5, "expiresAt": "2099"}'],
)
def test_an_sso_token_that_cannot_be_read_asks_to_sign_in(sts: Sts, tmp_path: Path, content: str) -> None:
    environ = write_home(tmp_path, sts.url, more=_SSO)
    _sign_in(tmp_path)
    (path,) = (tmp_path / ".aws" / "sso" / "cache").iterdir()
    path.write_text(content)
    done = _run(environ | {"AWS_ENDPOINT_URL_SSO": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}, "dev")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "run: aws-runas login dev" in done.stderr


def test_a_container_endpoint_that_refuses_names_its_variables(sts: Sts, tmp_path: Path) -> None:
    more = f"[profile boxed]\nrole_arn = {ROLE}Boxed\ncredential_source = EcsContainer\n"
    environ = write_home(tmp_path, sts.url, more=more)
    with _serving({}) as (url, _):
        environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url + "/creds"
        done = _run(environ, "boxed")
    assert done.returncode == 4
    assert "check what answers at AWS_CONTAINER_CREDENTIALS_FULL_URI" in done.stderr
