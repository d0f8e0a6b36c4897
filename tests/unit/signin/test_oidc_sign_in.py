"""Sign-in at an OpenID provider that is strict about its clients, or away for a moment: no network, virtual time."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

from aws_runas.aws.http import HttpAnswer
from aws_runas.errors import CredentialsError
from aws_runas.signin.context import SignInContext, SignInOptions
from aws_runas.signin.oidc_device import DEVICE_GRANT
from aws_runas.signin.oidc_sign_in import OidcSignIn

NOW = 1_800_000_000.0
ISSUER = "https://idp.example"
ENDPOINTS = {"authorization": "authorize", "token": "token", "device_authorization": "device"}
BOTH = ("client_secret_basic", "client_secret_post")


@dataclass
class StrictProvider:
    """A provider that takes the client's secret in one way only, as each client is registered at some providers.

    Args:
        accepts: the way.
        failures: what happens to the first polls: a status, or "gone" for no connection.
        seen: grant and way of each request to the token endpoint.
    """

    accepts: str
    failures: list[int | str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    clock: float = 0.0

    def send(self, method: str, url: str, *, form: str | None = None, headers: Mapping[str, str]) -> HttpAnswer:
        if method == "GET":
            addresses = {f"{name}_endpoint": f"{ISSUER}/{path}" for name, path in ENDPOINTS.items()}
            return self.answer(200, issuer=ISSUER, token_endpoint_auth_methods_supported=BOTH, **addresses)
        values = {name: value[0] for name, value in parse_qs(form or "").items()}
        header = base64.b64encode(b"client:secret").decode()
        if headers.get("Authorization") == f"Basic {header}":
            way = "client_secret_basic"
        else:
            way = "client_secret_post" if values.get("client_secret") == "secret" else ""
        if url.endswith("/token"):
            self.seen.append((values["grant_type"], way))
            failure = self.failures.pop(0) if self.failures else 0
            if failure == "gone":
                raise CredentialsError("no connection", code="endpoint-unreachable")
            if failure:
                return self.answer(int(failure))
        if way != self.accepts:
            return self.answer(401, error="invalid_client")
        if url.endswith("/device"):
            return self.answer(200, device_code="d", user_code="ABCD", verification_uri=f"{ISSUER}/d", interval=5)
        return self.answer(200, id_token=id_token())

    @staticmethod
    def answer(status: int, **document: Any) -> HttpAnswer:
        return HttpAnswer(status, {}, json.dumps(document).encode())

    def sleep(self, seconds: float) -> None:
        self.clock += seconds


def id_token() -> str:
    claims = json.dumps({"iss": ISSUER, "aud": "client", "sub": "jane", "exp": NOW + 900}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def sign_in(provider: StrictProvider, home: Path, *scopes: str, flow: str = "device", port: int = 0) -> OidcSignIn:
    source = SimpleNamespace(
        issuer=None, url=ISSUER, client_id="client", scopes=("openid", *scopes), flow=flow, method="browser",
        label="idp.example", username=None, redirect_uri="http://127.0.0.1/",
    )  # fmt: skip
    context = SignInContext(
        cache=home,
        home=home,
        environ={"SSH_TTY": "/dev/pts/1"},
        options=SignInOptions(redirect_port=port),
        now=lambda: NOW + provider.clock,
        clock=lambda: provider.clock,
        sleep=provider.sleep,
    )
    kept: Any = SimpleNamespace(read=lambda: "refresh", write=lambda _: None)
    everything: Any = None  # a device code and a refresh use neither a window nor forms
    http: Any = provider
    return OidcSignIn(source, context, http, everything, everything, everything, "secret", kept, "login")  # type: ignore[arg-type]


@pytest.mark.parametrize("accepts", BOTH)
def test_a_client_is_known_in_whichever_way_it_is_registered(tmp_path: Path, accepts: str) -> None:
    provider = StrictProvider(accepts)
    assert sign_in(provider, tmp_path, "offline_access").refresh() is not None
    assert provider.seen == [("refresh_token", way) for way in BOTH[: BOTH.index(accepts) + 1]]
    assert sign_in(provider, tmp_path).sign_in().subject == "jane"


def test_a_secret_that_is_wrong_in_both_ways_is_an_error_with_a_hint(tmp_path: Path) -> None:
    provider = StrictProvider("tls_client_auth")
    with pytest.raises(CredentialsError, match="invalid_client"):
        sign_in(provider, tmp_path).sign_in()
    assert provider.seen == []


def test_a_device_code_survives_a_provider_that_is_away_for_a_moment(tmp_path: Path) -> None:
    provider = StrictProvider("client_secret_basic", failures=["gone", 503, 429, 408])
    assert sign_in(provider, tmp_path).sign_in().subject == "jane"
    assert provider.seen == [(DEVICE_GRANT, "client_secret_basic")] * 5
    assert provider.clock == 5 + 5 + 5 + 10 + 10  # slower once it said that it is asked too often


def test_a_device_code_is_given_up_when_it_has_expired(tmp_path: Path) -> None:
    provider = StrictProvider("client_secret_basic", failures=["gone"] * 1000)
    with pytest.raises(CredentialsError) as caught:
        sign_in(provider, tmp_path).sign_in()
    assert (caught.value.code, provider.clock) == ("login-timeout", 600.0)


@pytest.mark.parametrize(("port", "device"), [(0, True), (8400, False)])
def test_over_ssh_a_named_port_of_the_callback_is_used(tmp_path: Path, port: int, device: bool) -> None:
    provider = StrictProvider("client_secret_basic")
    flow = sign_in(provider, tmp_path, flow="auto", port=port)
    assert flow._uses_device(flow.provider()) is device
