"""SDKs that we did not write get credentials from our servers, renew them, and ask a hundred at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from aws_runas.sandbox.world import Sandbox
from aws_runas.serve.http import Request, Response
from aws_runas.serve.server import Answer
from tests.interop import javascript
from tests.support.serving import Command, Reply, eventually, fetch, running

HERE = Path(__file__).parent
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ROLE = "arn:aws:sts::123456789012:assumed-role/my-role/"
KINDS = ("container", "imds v1", "imds v2")

MakeSandbox = Callable[..., Sandbox]


@contextmanager
def _without_version_2(port: int) -> Iterator[str]:
    """An address that passes requests on to the server but for PUT, so that SDKs fall back to version 1."""

    def handler(request: Request, answer: Answer) -> None:
        if request.method == "PUT":
            answer(Response(405))
            return
        reply: Reply = fetch(port, request.path, request.method)
        answer(Response(reply.status, reply.body, reply.headers["content-type"]))

    with running(handler) as own:
        yield f"http://127.0.0.1:{own}/"


@contextmanager
def _served(kind: str, sandbox: Sandbox, profile: str = "my-profile") -> Iterator[tuple[Command, dict[str, str]]]:
    """A server, and the variables of a client of it."""
    words = ["ecs"] if kind == "container" else ["ec2", "--no-v1"] if kind == "imds v2" else ["ec2"]
    with Command(["serve", *words, "-p", "0", profile], sandbox.environ) as server:
        environ = sandbox.environ | server.variables
        if kind == "imds v1":
            with _without_version_2(server.port) as address:
                yield server, environ | {ENDPOINT: address}
        else:
            yield server, environ


def _run(command: list[str], environ: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env=dict(environ), capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _boto(times: int, keys: int) -> list[str]:
    return [sys.executable, str(HERE / "identity.py"), str(times), str(keys)]


def _javascript(times: int, keys: int, parallel: int = 1) -> list[str]:
    return [
        javascript.node(),
        "--no-warnings",
        str(javascript.FOLDER / "identity.mjs"),
        *map(str, (times, keys, parallel)),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_botocore_and_javascript_get_credentials_and_renew_them_before_they_end(
    kind: str, make_sandbox: MakeSandbox
) -> None:
    sandbox = make_sandbox(clock_speed=900)  # an hour lasts four seconds
    with _served(kind, sandbox) as (_, environ), ThreadPoolExecutor(2) as pool:
        for seen in pool.map(lambda command: _run(command, environ), (_boto(3, 2), _javascript(3, 2))):
            assert all(arn.startswith(ROLE) for arn in seen["arns"])
            assert len(seen["keys"]) >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_aws_cli_gets_credentials(kind: str, sandbox: Sandbox) -> None:
    aws = str(Path(sys.executable).parent / "aws")
    with _served(kind, sandbox) as (_, environ):
        assert str(_run([aws, "sts", "get-caller-identity"], environ)["Arn"]).startswith(ROLE)


def test_the_aws_cli_gets_the_new_ones_after_a_refresh(make_sandbox: MakeSandbox) -> None:
    aws = str(Path(sys.executable).parent / "aws")
    sandbox = make_sandbox()
    with _served("container", sandbox) as (server, environ):
        _run([aws, "sts", "get-caller-identity"], environ)
        token = {"Authorization": environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
        assert server.fetch("/refresh", "POST", token).status == 200
        _run([aws, "sts", "get-caller-identity"], environ)
        keys = [call["access_key_id"] for call in sandbox.calls if call["action"] == "GetCallerIdentity"]
        assert len(keys) == len(set(keys)) == 2


def test_the_region_of_the_instance_reaches_the_aws_cli(sandbox: Sandbox) -> None:
    with _served("imds v2", sandbox) as (_, environ):
        environ["AWS_CONFIG_FILE"] = "/dev/null"
        code = (
            "from botocore.utils import InstanceMetadataRegionFetcher as F; import botocore.session as s;"
            "print(F(config={'ec2_metadata_service_endpoint': s.get_session()"
            ".get_config_variable('ec2_metadata_service_endpoint')}).retrieve_region())"
        )
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=60, check=True)
        assert done.stdout.strip() == b"us-east-1"


def test_a_hundred_at_once_cost_one_call_of_sts(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(sts_slow=0.5)  # long enough for all hundred to be waiting
    with _served("container", sandbox) as (server, environ):
        eventually(lambda: server.fetch("/profile").json()["has_credentials"], "the first credentials")
        sandbox.forget_calls()
        uri = (
            environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] + "/my-profile-external"
        )  # nobody has asked for that one yet
        token = {"Authorization": environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}

        def ask(_: int) -> str:
            return str(ContainerMetadataFetcher().retrieve_full_uri(uri, token)["AccessKeyId"])

        with ThreadPoolExecutor(100) as pool:
            assert len(set(pool.map(ask, range(100)))) == 1
        assert (sandbox.count("GetSessionToken"), sandbox.count("AssumeRole")) == (0, 1)
        assert server.process.poll() is None


def test_a_hundred_metadata_clients_at_once_share_one_renewal(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    with _served("imds v2", sandbox) as (_, environ):

        def ask(_: int) -> str:
            fetcher = InstanceMetadataFetcher(timeout=20, config={"ec2_metadata_service_endpoint": environ[ENDPOINT]})
            return str(fetcher.retrieve_iam_role_credentials()["access_key"])

        with ThreadPoolExecutor(100) as pool:
            assert len(set(pool.map(ask, range(100)))) == 1
        assert (sandbox.count("GetSessionToken"), sandbox.count("AssumeRole")) == (1, 1)


def test_a_hundred_clients_of_javascript_at_once(sandbox: Sandbox) -> None:
    with _served("imds v2", sandbox) as (_, environ):
        seen = _run(_javascript(100, 1, 100), environ)
        assert (seen["calls"], len(seen["keys"])) == (100, 1)


def test_a_hundred_clients_through_a_renewal_see_no_error(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(clock_speed=900)
    with _served("container", sandbox) as (_, environ):
        seen = _run(_javascript(100, 2, 100), environ)
        assert len(seen["keys"]) >= 2
        assert all(arn.startswith(ROLE) for arn in seen["arns"])


def test_another_profile_by_its_path_is_what_an_sdk_gets(sandbox: Sandbox) -> None:
    with _served("container", sandbox) as (_, environ):
        environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] += "/my-profile"
        for command in (_boto(1, 1), _javascript(1, 1)):
            assert "assumed-role/my-role/" in str(_run(command, environ)["arns"])
