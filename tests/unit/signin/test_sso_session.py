"""A session of Identity Center whose service refuses, forgets and delays: in virtual time, without a network."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aws_runas.config.sso import SsoSession
from aws_runas.errors import CredentialsError
from aws_runas.signin.browser import find_browser
from aws_runas.signin.context import SignInContext, SignInOptions
from aws_runas.signin.sso_flows import SsoFlows
from aws_runas.signin.sso_session import SsoTokens
from aws_runas.signin.sso_token import SsoToken, TokenFiles, make_token, write_time

NOW = 1_800_000_000.0
SESSION = SsoSession("corp", "https://corp.awsapps.com/start", "us-east-1", flow="device")
Reply = dict[str, Any] | str


@dataclass
class World:
    """The service, the clock and the user's home.

    Args:
        replies: of each call by its name, in turn; a text is the name of an error. The last one is repeated.
        calls: what was called, and when.
    """

    home: Path
    replies: dict[str, list[Reply]]
    calls: list[tuple[str, float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.meta = SimpleNamespace(endpoint_url="http://127.0.0.1:9")
        self.files = TokenFiles(self.home)

    def _call(self, name: str) -> Any:
        left = self.replies[name]
        reply = left.pop(0) if len(left) > 1 else left[0]
        self.calls.append((name, self.clock))
        if reply == "unreachable":
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9", error="refused")
        if isinstance(reply, str):
            raise ClientError({"Error": {"Code": reply, "Message": reply}}, name)
        return reply

    def register_client(self, **_: object) -> Any:
        return self._call("register")

    def start_device_authorization(self, **_: object) -> Any:
        return self._call("start")

    def create_token(self, **_: object) -> Any:
        return self._call("token")

    def times(self, name: str) -> list[float]:
        return [moment for called, moment in self.calls if called == name]

    def _sleep(self, seconds: float) -> None:
        self.clock += seconds

    def tokens(self, *, explicit: bool = True) -> SsoTokens:
        context = SignInContext(
            cache=self.home / "cache", home=self.home, environ={"RUNAS_LOGIN": "always" if explicit else "never"},
            say=self.lines.append, options=SignInOptions(no_browser=True), explicit=explicit, terminal=lambda: None,
            now=lambda: NOW + self.clock, clock=lambda: self.clock, sleep=self._sleep,
        )  # fmt: skip
        return SsoTokens(SESSION, lambda: self, context)

    def keep(self, ends_in: float) -> SsoToken:
        token = make_token(SESSION, "before", NOW + ends_in, "refresh", registration=None)
        more = {"clientId": "c", "clientSecret": "s", "registrationExpiresAt": write_time(NOW + 86400)}
        kept = SsoToken("before", token.expires, dict(token.members) | more)
        self.files.write(SESSION, kept)
        return kept


REGISTERED = {"clientId": "c", "clientSecret": "s", "clientSecretExpiresAt": NOW + 86400}
STARTED = {"deviceCode": "d", "userCode": "ABCD", "verificationUri": "https://d.example/", "expiresIn": 600}
TOKEN = {"accessToken": "new", "expiresIn": 3600, "refreshToken": "r"}
PENDING, SLOWER = "AuthorizationPendingException", "SlowDownException"

New = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> New:
    def make(**replies: list[Reply]) -> World:
        usual: dict[str, list[Reply]] = {"register": [REGISTERED], "start": [STARTED], "token": [TOKEN]}
        return World(tmp_path, usual | replies)

    return make


@pytest.mark.parametrize("error", ["InvalidClientException", "UnauthorizedClientException"])
def test_a_registration_that_the_service_forgot_is_made_again(world: New, error: str) -> None:
    there = world()
    there.tokens().token()
    there.files.remove(SESSION)
    there.replies["start"] = [error, STARTED]
    assert there.tokens().token().access_token == "new"
    assert len(there.times("register")) == 2
    there.files.remove(SESSION)
    there.replies["start"] = [error]
    with pytest.raises(CredentialsError):
        there.tokens().token()
    assert len(there.times("start")) == 5  # twice, and no more


def test_a_service_that_says_slow_down_for_ever_is_asked_less_and_less(world: New) -> None:
    there = world(token=[SLOWER])
    with pytest.raises(CredentialsError) as caught:
        there.tokens().token()
    assert caught.value.code == "login-timeout"
    moments = there.times("token")
    assert [after - before for before, after in itertools.pairwise(moments)] == [
        10.0 + 5.0 * index for index in range(len(moments) - 1)
    ]
    assert moments[-1] < 600


@pytest.mark.parametrize("interval", [0, 0.001, 1e9])
def test_an_odd_interval_is_no_flood_and_no_endless_wait(world: New, interval: float) -> None:
    there = world(start=[STARTED | {"interval": interval}], token=[PENDING])
    with pytest.raises(CredentialsError) as caught:
        there.tokens().token()
    assert (caught.value.code, there.clock) == ("login-timeout", 600.0)
    assert len(there.times("token")) <= 600


def test_a_network_that_is_gone_for_a_moment_costs_no_new_code(world: New) -> None:
    there = world(token=[PENDING, "unreachable", "TooManyRequestsException", TOKEN])
    assert there.tokens().token().access_token == "new"
    assert (len(there.times("start")), len(there.times("token"))) == (1, 4)


REFUSALS = [
    "InvalidGrantException", "UnauthorizedClientException", "InvalidClientException", "ExpiredTokenException",
    "AccessDeniedException", "InvalidRequestException", "InvalidScopeException", "UnsupportedGrantTypeException",
]  # fmt: skip


@pytest.mark.parametrize("error", REFUSALS)
def test_whatever_refuses_a_refresh_a_person_can_sign_in(world: New, error: str) -> None:
    there = world(token=[error, TOKEN])
    there.keep(-60)
    assert there.tokens().token().access_token == "new"
    assert len(there.times("start")) == 1


@pytest.mark.parametrize("error", REFUSALS)
def test_whatever_refuses_a_refresh_where_nobody_is_a_sign_in_is_needed(world: New, error: str) -> None:
    there = world(token=[error])
    there.keep(-60)
    with pytest.raises(CredentialsError) as caught:
        there.tokens(explicit=False).token()
    assert caught.value.code == "login-needed"
    there.keep(60)  # valid for a minute: it is used
    assert there.tokens(explicit=False).token().access_token == "before"


@pytest.mark.parametrize("error", ["unreachable", "InternalServerException", "TooManyRequestsException"])
def test_a_service_that_is_down_is_no_reason_to_sign_in(world: New, error: str) -> None:
    there = world(token=[error])
    there.keep(-60)
    with pytest.raises(CredentialsError) as caught:
        there.tokens().token()
    assert caught.value.code not in ("login-needed", "login-denied")
    assert there.times("start") == []
    assert json.loads(there.files.path(SESSION).read_text())["refreshToken"] == "refresh"


def test_the_address_of_the_browser_is_spelled_as_that_of_the_aws_cli(world: New) -> None:
    """Source: awscli.botocore.utils.SSOTokenFetcherAuth: plural scopes, a space as %20, no padding."""
    there = world()
    seconds = itertools.count()  # one with each look at the clock
    session = SsoSession("corp", SESSION.start_url, "us-east-1", ("sso:account:access", "codewhisperer:analysis"))
    context = SignInContext(
        cache=there.home / "cache", home=there.home, environ={}, say=there.lines.append, explicit=True,
        options=SignInOptions(no_browser=True, timeout=1.0), terminal=lambda: None, now=lambda: NOW,
        clock=lambda: float(next(seconds)), sleep=there._sleep,
    )  # fmt: skip
    with pytest.raises(CredentialsError):
        SsoTokens(session, lambda: there, context).token()
    address = next(line for line in there.lines if line.startswith("http"))
    base, _, query = address.partition("?")
    assert base == "http://127.0.0.1:9/authorize"
    assert "&scopes=sso%3Aaccount%3Aaccess%20codewhisperer%3Aanalysis" in query
    assert re.search(r"&redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A\d+%2Foauth%2Fcallback&", query)
    assert re.search(r"&code_challenge_method=S256&code_challenge=[\w-]{43}&", query)


@pytest.mark.parametrize(("port", "device"), [(0, True), (8400, False)])
def test_over_ssh_a_named_port_of_the_callback_is_used(world: New, port: int, device: bool) -> None:
    there = world()
    environ = {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
    context = SignInContext(cache=there.home, environ=environ, options=SignInOptions(redirect_port=port))
    session = SsoSession("corp", SESSION.start_url, "us-east-1")
    flows = SsoFlows(session, there, session.start_url, there.files, context=context, command="login")
    assert flows.is_by_device(find_browser(environ)) is device
