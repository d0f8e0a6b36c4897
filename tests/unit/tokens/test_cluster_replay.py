"""Tokens of clusters, replayed against the sandbox's STS as a cluster does; time is virtual."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

import pytest

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.calls import CallLog
from aws_runas.sandbox.services.gateway import Gateway
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import Key, Principal, TemporaryKeys
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sts import Sts
from aws_runas.sandbox.state import SandboxState
from aws_runas.tokens.cluster import LIFETIME, cluster_token, exec_credential
from tests.support.iam_authenticator import Refused, verify

ENDPOINT = "https://sts.eu-west-1.amazonaws.com"
HOSTS = {"sts.eu-west-1.amazonaws.com"}
ARN = "arn:aws:sts::123456789012:assumed-role/my-role/me"


class NoUsers:
    """moto without users: every key is temporary."""

    def user_key(self, access_key_id: str) -> None:
        return None


class Service:
    """STS at a time that the test sets."""

    def __init__(self) -> None:
        self.keys = TemporaryKeys()
        self.now = time.time()
        end = self.now + 3600
        self.key: Key = self.keys.issue(Principal(ARN, "AROA:me", role_name="my-role"), end, self.now)

    def get(self, address: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(address)
        state = SandboxState(SandboxOptions(clock_offset=self.now - time.time()))
        log = CallLog()
        gateway = Gateway(cast(Moto, NoUsers()), cast(Sts, None), self.keys, state=state, own={}, log=log)
        request = Request("GET", parts.path, parts.query, {"host": parts.netloc, **headers}, b"")
        reply = gateway.handle(request)
        secrets = (self.key.session_token or "?", "Signature=")
        assert not any(secret in json.dumps(log.records()) for secret in secrets)
        return reply.status, reply.body

    def token(self, cluster: str = "my-cluster") -> str:
        values = {
            "key": self.key.access_key_id,
            "secret": self.key.secret_access_key,
            "token": self.key.session_token or "",
        }
        return cluster_token(cluster, ENDPOINT, "eu-west-1", values, now=self.now)


@pytest.fixture
def service() -> Service:
    return Service()


def test_token_stands_for_the_role(service: Service) -> None:
    assert verify(service.token(), "my-cluster", HOSTS, service.get, service.now) == ARN


def test_token_lives_as_long_as_the_credential_says(service: Service) -> None:
    """The address says 60 seconds; STS and clusters do not look at that."""
    token, made = service.token(), service.now
    document = json.loads(exec_credential(token, "v1", made, None))
    end = datetime.fromisoformat(document["status"]["expirationTimestamp"]).timestamp()
    assert end == int(made) + LIFETIME
    service.now = end
    assert verify(token, "my-cluster", HOSTS, service.get, service.now) == ARN
    service.now = made + 15 * 60 + 2
    with pytest.raises(Refused, match="expired"):
        verify(token, "my-cluster", HOSTS, service.get, service.now)
    with pytest.raises(Refused, match="403"):  # a cluster whose clock is behind still gets no answer
        verify(token, "my-cluster", HOSTS, service.get, made)


def test_token_of_one_cluster_opens_no_other(service: Service) -> None:
    with pytest.raises(Refused, match="403"):
        verify(service.token("my-cluster"), "other-cluster", HOSTS, service.get, service.now)


def test_token_dies_with_its_credentials(service: Service) -> None:
    service.now += 3599
    token = service.token()
    service.now += 2
    with pytest.raises(Refused, match="403"):
        verify(token, "my-cluster", HOSTS, service.get, service.now)


def _changed(change: Callable[[str], str]) -> Callable[[str], str]:
    def apply(token: str) -> str:
        text = token.removeprefix("k8s-aws-v1.")
        address = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        assert change(address) != address
        return "k8s-aws-v1." + base64.urlsafe_b64encode(change(address).encode()).decode().rstrip("=")

    return apply


@pytest.mark.parametrize(
    "change",
    [
        _changed(lambda address: address.replace("sts.eu-west-1", "evil")),
        _changed(lambda address: address.replace("GetCallerIdentity", "GetSessionToken")),
        _changed(lambda address: address.replace("x-k8s-aws-id", "x-other")),
        _changed(lambda address: address.replace("X-Amz-Expires=60", "X-Amz-Expires=600")),
        _changed(lambda address: address + "&Action=GetCallerIdentity"),
        _changed(lambda address: address[:-1] + ("0" if address[-1] != "0" else "1")),
        lambda token: token + "=",
        lambda token: token.removeprefix("k8s-aws-v1."),
    ],
)
def test_changed_token_opens_nothing(service: Service, change: Callable[[str], str]) -> None:
    with pytest.raises(Refused):
        verify(change(service.token()), "my-cluster", HOSTS, service.get, service.now)
