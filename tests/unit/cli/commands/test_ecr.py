"""`ecr login`: what the client is given, for which registries, and what its failure means."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.aws.access import Access
from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from tests.support.sts_server import Sts, running_sts
from tests.unit.cli.test_credential_helper import Ecr
from tests.unit.fast.test_shortcut import Home

OWN = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"  # as the service names it
CLIENT = """#!{python}
import json, os, sys
with open({log!r}, "a") as stream:
    entry = {{"argv": sys.argv[1:], "stdin": sys.stdin.read(), "environ": dict(os.environ)}}
    stream.write(json.dumps(entry) + "\\n")
sys.exit(int(os.environ.get("CLIENT_STATUS", "0")))
"""


class Clients:
    """A PATH with container clients that write down what they are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        folder.mkdir()

    def install(self, *names: str) -> None:
        for name in names:
            (self.folder / name).write_text(CLIENT.format(python=sys.executable, log=str(self.log)))
            (self.folder / name).chmod(0o700)

    def calls(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def arguments(self) -> list[object]:
        return [call["argv"] for call in self.calls()]


@pytest.fixture(scope="module")
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Ecr:
    service = Ecr()
    monkeypatch.setattr(Access, "client", lambda access, *words, **named: service.client(access, *words, **named))
    return service


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return Clients(tmp_path / "bin")


@pytest.fixture
def home(tmp_path: Path, sts: Sts, clients: Clients) -> Home:
    (tmp_path / "home").mkdir()
    found = Home(tmp_path / "home")
    found.environ |= {"AWS_ENDPOINT_URL_STS": sts.url, "PATH": str(clients.folder)}
    return found


def login(home: Home, *words: str, **environ: str) -> tuple[int, str]:
    errors = io.StringIO()
    env = Environment(io.BytesIO(), io.BytesIO(), errors, home.environ | environ, home.path, time.time)
    return app.main(["ecr", "login", *words], env), errors.getvalue()


BASE = ["login", "--username", "AWS", "--password-stdin"]


def test_password_is_on_no_command_line_and_in_no_variable(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    assert login(home, "plainrole", MFA_CODE="123456") == (0, "")
    (call,) = clients.calls()
    assert call["argv"] == [*BASE, OWN]
    assert call["stdin"] == "password1/+="
    assert "password1" not in json.dumps([call["argv"], call["environ"]])
    assert not {"MFA_CODE", "AWS_SECRET_ACCESS_KEY"} & set(call["environ"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("installed", "flags", "expected"),
    [
        (("podman", "nerdctl"), (), [*BASE, OWN]),
        (("docker", "helm"), ("--client", "helm"), ["registry", *BASE, OWN]),
        (("skopeo",), ("--client", "skopeo", "--authfile", "f"), [*BASE, "--authfile", "f", OWN]),
        (("helm",), ("--client=helm", "--authfile=f"), ["registry", *BASE, "--registry-config", "f", OWN]),
    ],
)
def test_each_client_has_its_command_line(
    home: Home, ecr: Ecr, clients: Clients, installed: tuple[str, ...], flags: tuple[str, ...], expected: list[str]
) -> None:
    clients.install(*installed)
    assert login(home, *flags, "plainrole") == (0, "")
    assert clients.arguments() == [expected]


def test_registries_of_one_region_share_a_token(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    registries = ["111111111111", "222222222222.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws"]
    registries += ["333333333333.dkr.ecr.cn-north-1.amazonaws.com.cn", "111111111111"]
    assert login(home, "plainrole", *registries) == (0, "")
    hosts = [arguments[-1] for arguments in clients.arguments()]  # type: ignore[index]
    assert hosts == ["111111111111.dkr.ecr.us-east-1.amazonaws.com", *registries[1:4]]
    assert ecr.asked == [("ecr", "us-east-1", False), ("ecr-public", "us-east-1", False), ("ecr", "cn-north-1", False)]


def test_profile_may_be_left_out(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    assert login(home, "111111111111", AWS_PROFILE="plainrole") == (0, "")
    assert login(home, AWS_PROFILE="plainrole") == (0, "")
    assert login(home, "--profile", "plainrole", "111111111111") == (0, "")
    assert len(clients.calls()) == 3


def test_failure_of_the_client_is_ours(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    status, errors = login(home, "plainrole", CLIENT_STATUS="7")
    assert status == 1
    assert "status 7" in errors
    assert OWN in errors


def test_every_login_has_a_new_token(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    login(home, "plainrole")
    login(home, "plainrole")
    assert [call["stdin"] for call in clients.calls()] == ["password1/+=", "password2/+="]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("plainrole",), 127, "none of docker, podman, finch, nerdctl is installed"),
        (("--client", "skopeo", "plainrole"), 127, "skopeo is not installed"),
        (("--client", "dock", "plainrole"), 2, "'dock'"),
        (("plainrole", "ghcr.io"), 2, "'ghcr.io'"),
        (("ghcr.io",), 2, "'ghcr.io'"),
        (("plainrole", "nobody"), 2, "'nobody'"),
        (("",), 2, "empty"),
        (("nobody",), 127, "installed"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(
    home: Home, ecr: Ecr, words: tuple[str, ...], status: int, text: str
) -> None:
    found, errors = login(home, *words)
    assert found == status
    assert text in errors
    assert ecr.asked == []


def test_file_of_logins_is_refused_where_the_client_has_none(home: Home, ecr: Ecr, clients: Clients) -> None:
    clients.install("docker")
    status, errors = login(home, "--authfile", "f", "plainrole")
    assert status == 2
    assert "DOCKER_CONFIG" in errors
    assert ecr.asked == []
