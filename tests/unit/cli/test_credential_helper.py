"""The credential helper: what it answers, for whom, and what it leaves for its next start."""

from __future__ import annotations

import base64
import io
import json
import stat
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws_runas.aws.access import Access
from aws_runas.aws.ecr import RegistryToken
from aws_runas.cli import app
from aws_runas.cli import credential_helper as helper
from aws_runas.cli.credential_helper import registry_profiles
from aws_runas.cli.environment import Environment
from aws_runas.cli.registry_tokens import decode, encode
from aws_runas.config.files import load_files
from aws_runas.errors import ConfigError
from aws_runas.fast import print as fast_print
from aws_runas.fast import registry as fast
from aws_runas.fast import shortcut
from aws_runas.signin import person
from tests.support.sts_server import Sts, running_sts
from tests.unit.fast.test_shortcut import Home

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
SECTION = "[runas-ecr]\n123456789012 = plainrole\n210987654321 = other\npublic.ecr.aws = plainrole\n"


class Ecr:
    """Stands for the service behind each client: counts, and gives numbered passwords."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, bool]] = []
        self.life = 12 * 3600.0

    def client(self, _access: Access, service: str, region: str | None = None, *, fips: bool = False) -> Ecr:
        self.asked.append((service, region, fips))
        return self

    def get_authorization_token(self) -> Mapping[str, Any]:
        text = base64.b64encode(f"AWS:password{len(self.asked)}/+=".encode()).decode()
        expires = datetime.now(UTC) + timedelta(seconds=self.life)
        entry = {"authorizationToken": text, "expiresAt": expires, "proxyEndpoint": f"https://{HOST}"}
        return {"authorizationData": entry if self.asked[-1][0] == "ecr-public" else [entry]}


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Ecr:
    service = Ecr()
    monkeypatch.setattr(Access, "client", lambda access, *words, **named: service.client(access, *words, **named))
    return service


@pytest.fixture(scope="module")
def sts() -> Any:
    with running_sts() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, sts: Sts) -> Home:
    found = Home(tmp_path, SECTION)
    found.environ["AWS_ENDPOINT_URL_STS"] = sts.url
    return found


def ask(home: Home, *words: str, server: str = "", stdin: bytes = b"", **environ: str) -> tuple[int, str, str]:
    output, errors = io.BytesIO(), io.StringIO()
    env = Environment(io.BytesIO(stdin), output, errors, home.environ | environ, home.path, time.time)
    status = helper.main(words, server, env)
    return status, output.getvalue().decode(), errors.getvalue()


def test_get_answers_with_the_address_as_given(home: Home, ecr: Ecr) -> None:
    status, output, errors = ask(home, "get", server=f"https://{HOST}/v2/")
    assert (status, errors) == (0, "")
    expected = {"ServerURL": f"https://{HOST}/v2/", "Username": "AWS", "Secret": "password1/+="}
    assert json.loads(output) == expected
    assert ecr.asked == [("ecr", "eu-west-1", False)]


def test_one_call_serves_many_pulls(home: Home, ecr: Ecr) -> None:
    answers = [ask(home, "get", server=HOST) for _ in range(3)]
    assert [status for status, _, _ in answers] == [0, 0, 0]
    assert len({output for _, output, _ in answers}) == 1
    assert len(ecr.asked) == 1


def test_entry_is_private_and_holds_no_readable_name(home: Home, ecr: Ecr) -> None:
    ask(home, "get", server=HOST)
    cache = home.path / ".aws" / "aws-runas" / "cache"
    entries = [path for path in cache.iterdir() if path.name.startswith(("ecr-", "fast-e-"))]
    assert {path.name.partition("-")[0] for path in entries} == {"ecr", "fast"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in entries} == {0o600}


@pytest.mark.parametrize("life", [12 * 3600.0, 3600.0])
def test_token_near_its_end_is_replaced(home: Home, ecr: Ecr, life: float) -> None:
    ecr.life = life
    ask(home, "get", server=HOST)
    for path in (home.path / ".aws" / "aws-runas" / "cache").glob("ecr-*.json"):
        token = decode(path.read_bytes())
        age = timedelta(seconds=life * 0.91)
        aged = RegistryToken(token.user, token.password, token.endpoint, token.expiration - age, token.issued - age)
        path.write_bytes(encode(aged))
    ask(home, "get", server=HOST)
    assert len(ecr.asked) == 2


def test_credentials_that_change_take_their_token_along(home: Home, ecr: Ecr) -> None:
    ask(home, "get", server=HOST)
    for path in (home.path / ".aws" / "aws-runas" / "cache").glob("role-*.json"):
        path.unlink()  # as after a sign-out
    ask(home, "get", server=HOST)
    assert len(ecr.asked) == 2


def test_fast_start_gives_the_same_answer(home: Home, ecr: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
    _, output, _ = ask(home, "get", server=HOST)
    printed: list[str] = []
    monkeypatch.setattr(fast_print, "write", printed.append)
    fast.answer(HOST, home.environ)
    assert printed == [output]
    fast.answer(f"https://{HOST}/v2/", home.environ)
    assert json.loads(printed[1]) == json.loads(output) | {"ServerURL": f"https://{HOST}/v2/"}
    for server, environ in [
        ("210987654321.dkr.ecr.eu-west-1.amazonaws.com", {}),
        (HOST.replace("eu-west-1", "eu-west-2"), {}),
        ("ghcr.io", {}),
        (HOST, {"AWS_PROFILE": "other"}),
        (HOST, {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}),
        (HOST, {"AWS_ENDPOINT_URL_ECR": "https://ecr.example"}),
        (HOST, {fast.SWITCH: "1"}),
    ]:
        fast.answer(server, home.environ | environ)
    assert len(printed) == 2


def test_sign_out_ends_the_shortcut(home: Home, ecr: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(home, "get", server=HOST)
    kept = home.path / ".aws" / "aws-runas" / "cache" / f"fast-e-{HOST}"
    content = kept.read_bytes()
    shortcut.invalidate(kept.parent)
    assert not kept.exists()
    kept.write_bytes(content)  # as by a process that was in the middle of a start
    kept.chmod(0o600)
    printed: list[str] = []
    monkeypatch.setattr(fast_print, "write", printed.append)
    fast.answer(HOST, home.environ)
    assert printed == []


def test_logout_removes_tokens_of_registries(home: Home, ecr: Ecr) -> None:
    ask(home, "get", server=HOST)
    cache = home.path / ".aws" / "aws-runas" / "cache"
    assert list(cache.glob("ecr-*.json"))
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), home.environ, home.path, time.time)
    assert app.main(["logout", "plainrole"], env) == 0
    assert not list(cache.glob("ecr-*.json"))
    assert not list(cache.glob("fast-*"))


def test_accounts_have_their_profiles(home: Home, ecr: Ecr, sts: Sts) -> None:
    sts.calls.clear()
    ask(home, "get", server="public.ecr.aws")
    assert ecr.asked == [("ecr-public", "us-east-1", False)]
    assert sts.calls[-1].parameters["RoleArn"].endswith("/Plain")
    status, _, errors = ask(home, "get", server=HOST, AWS_PROFILE="role")  # needs a code, and beats the section
    assert status == 1
    assert "an MFA code is needed" in errors
    assert "aws-runas role true" in errors
    assert errors.count("\n") == 1
    status, _, errors = ask(home, "get", server="111111111111.dkr.ecr.eu-west-1.amazonaws.com")
    assert status == 1
    assert "111111111111 = PROFILE" in errors


def test_address_of_a_fips_endpoint_asks_one(home: Home, ecr: Ecr) -> None:
    ask(home, "get", server="123456789012.dkr.ecr-fips.us-east-1.amazonaws.com")
    assert ecr.asked == [("ecr", "us-east-1", True)]


def test_list_names_the_registries_of_the_section(home: Home) -> None:
    status, output, _ = ask(home, "list")
    assert status == 0
    assert json.loads(output) == {
        "https://123456789012.dkr.ecr.us-east-1.amazonaws.com": "AWS",
        "https://210987654321.dkr.ecr.eu-west-1.amazonaws.com": "AWS",
        "https://public.ecr.aws": "AWS",
    }


@pytest.mark.parametrize("action", ["store", "erase"])
def test_store_and_erase_are_refused_or_ignored(home: Home, action: str) -> None:
    status, output, errors = ask(home, action, stdin=b'{"ServerURL":"x","Username":"AWS","Secret":"canary"}')
    assert (status, output) == (1, "")
    assert "RUNAS_ECR_IGNORE_STORE=1" in errors
    assert "canary" not in errors
    assert ask(home, action, stdin=b"x", RUNAS_ECR_IGNORE_STORE="1") == (0, "", "")


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("[runas-ecr]\n12345 = plainrole\n", "'12345'"),
        ("[runas-ecr]\n123456789012 = nobody\n", "'nobody'"),
        ("[runas-ecr]\n123456789012 =\n", "''"),
        ("[runas-ecr]\n123456789012 =\n  a = b\n", "''"),
    ],
)
def test_section_that_makes_no_sense_is_an_error(tmp_path: Path, section: str, named: str) -> None:
    home = Home(tmp_path, section)
    with pytest.raises(ConfigError) as caught:
        registry_profiles(load_files(home.environ, home.path))
    assert caught.value.code == "ecr-section-invalid"
    assert named in caught.value.message
    assert "line" in caught.value.message


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"Version":1}', b"[" * 100_000, b'{"Version":1,"Username":1,"Password":"p"}']
)
def test_damaged_entry_is_a_reason(content: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        decode(content)


def test_repr_of_a_token_holds_no_password() -> None:
    now = datetime.now(UTC)
    assert "canary" not in repr(RegistryToken("AWS", "canary", "", now, now))


SSO = """[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = admin
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
"""


@pytest.mark.parametrize("program", ["helper", "plugin"])
def test_no_sign_in_starts_for_a_client(
    tmp_path: Path, ecr: Ecr, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """There is a terminal, but the client has it: the error names the command to run."""
    home = Home(tmp_path, SSO)
    assert person.may_sign_in.__kwdefaults__ is not None
    monkeypatch.setitem(person.may_sign_in.__kwdefaults__, "terminal", lambda: True)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "KUBERNETES_EXEC_INFO": "{}"}
    if program == "helper":
        home.environ |= nowhere
        status, output, errors = ask(home, "get", server=HOST, AWS_PROFILE="sso")
        assert (status, output) == (1, "")
    else:
        stdout, stderr = io.BytesIO(), io.StringIO()
        env = Environment(io.BytesIO(), stdout, stderr, home.environ | nowhere, home.path, time.time)
        assert app.main(["token", "eks", "sso", "my-cluster"], env) == 4
        assert stdout.getvalue() == b""
        errors = stderr.getvalue()
    assert "needs a sign-in" in errors
    assert "aws-runas login" in errors
    assert ecr.asked == []
