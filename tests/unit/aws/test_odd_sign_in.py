"""Whatever answers in place of a sign-in service or an identity provider: an answer that can be used, or an error."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws_runas.aws import signin, sso, sso_oidc
from aws_runas.aws.client import Clients
from aws_runas.aws.credentials import Credentials, checked
from aws_runas.aws.federation import get_signin_token
from aws_runas.aws.sso_oidc import DeviceAuthorization
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile
from aws_runas.config.resolve import load_files, resolve
from aws_runas.credentials.console_login import CachedLogin, parse_login
from aws_runas.errors import AwsRunasError
from aws_runas.signin import oidc, oidc_device
from aws_runas.signin.id_token import check_id_token, read_id_token
from aws_runas.signin.saml_response import read_response
from aws_runas.signin.sso_token import write_time
from tests.support import saml
from tests.support.loopback import Quiet, serving

NOW = 1_800_000_000.0
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

# Other values in place of each field. The last ones are JSON that no reader of ours may choke on.
ODD_VALUES = (
    *("null", "true", "7", "-1.5", "1e400", "1e22", "1" + "0" * 30, "9" * 5000, "NaN", "Infinity", "-Infinity"),
    *('""', '" "', r'"\ud800"', r'"a\nb"', r'"\u001b[31m"', '"é"', '"x"', "[]", '["x"]', "[null]", "{}", '{"x": 1}'),
    "[" * 5000 + "]" * 5000,
)
ODD_BODIES = (
    *(
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"<html><body>Sign in to Wi-Fi</body></html>",
        b"[" * 100_000,
    ),
    *(b'{"a":' * 50_000, b"\x00" * 64, b'{"error": {"a": []}}', b'{"__type": 7, "message": [1]}', b'{"message": null}'),
    *(b'{"Error": []}', b'{"Error": {"Code": {}}}', b'{"error": 5, "error_description": {}}'),
)
STATUSES = (200, 204, 302, 400, 401, 403, 404, 418)  # those that botocore does not try again


def answer_or_error(call: Callable[..., object], *arguments: object) -> object:
    """Call; an error of ours is an answer too, if it has a code and one line."""
    try:
        return call(*arguments)
    except AwsRunasError as caught:
        error = caught
    assert error.code
    assert error.message
    assert "\n" not in error.message
    return error


def changed(document: Any, place: tuple[str, ...], text: str) -> str:
    """JSON text of a document with another JSON text at a place, or without the place where the text is empty."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in place[:-1]:
        inner = inner[key] if isinstance(inner, dict) else inner[int(key)]
    if not text:
        del inner[place[-1]]
        return json.dumps(copy)
    inner[place[-1]] = "@HERE@"
    return json.dumps(copy).replace('"@HERE@"', text)


def places(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the place of every field of every structure in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key)
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*place, str(index)))


def odd_documents(document: Any) -> Iterator[bytes]:
    """Yield the document with each field missing, and with each field another value."""
    for place in places(document):
        for text in ("", *ODD_VALUES):
            yield changed(document, place, text).encode()


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    environ = {"AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
    return resolve(load_files(environ, tmp_path_factory.mktemp("home")), None, Overrides(), environ)


class Service:
    """A real client whose requests never leave: a status and a body are what came back."""

    def __init__(self, profile: Profile, name: str) -> None:
        self.status, self.body = 200, b""
        self.client = Clients(profile).client(name, "us-east-1", lambda: Credentials("AKIA", "secret"))
        self.client.meta.events.register(f"before-send.{name}", self._answer)

    def _answer(self, request: Any, **_: object) -> AWSResponse:
        raw = io.BytesIO(self.body)
        raw.stream = lambda **_: iter([self.body])  # type: ignore[attr-defined]
        return AWSResponse(request.url, self.status, {"Content-Type": "application/json"}, raw)


def nothing() -> None:
    """Keep no pace."""


KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
EXPIRES = "2027-01-15T08:00:00Z"
LOGIN = parse_login(
    {"accessToken": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t", "expiresAt": EXPIRES}}
)


def renew(client: Any) -> CachedLogin:
    """Renew a login as its provider does."""
    answer = signin.refresh_login(client, "c", "r", KEY, again="aws login")
    try:
        return LOGIN.renewed(answer, NOW)
    except ValueError as error:  # its provider asks for a new sign-in
        raise AwsRunasError(str(error), code="login-needed") from None


def token_with_time(client: Any) -> str:
    """Get a token, and write its end into its file as the sign-in does."""
    return write_time(NOW + sso_oidc.create_token(client, "c", "s", "g").expires_in)


def registration_with_time(client: Any) -> str:
    return write_time(sso_oidc.register_client(client, ["a"]).expires)


# service, call, and the reply that AWS documents
CALLS: dict[str, tuple[str, Callable[[Any], object], dict[str, Any]]] = {
    "ListAccounts": (
        "sso",
        lambda client: list(sso.list_accounts(client, "t", nothing)),
        {"accountList": [{"accountId": "111111111111", "accountName": "Dev", "emailAddress": "a@b.example"}]},
    ),
    "ListAccountRoles": (
        "sso",
        lambda client: list(sso.list_account_roles(client, "t", "111111111111", nothing)),
        {"roleList": [{"roleName": "Admin", "accountId": "111111111111"}]},
    ),
    "GetRoleCredentials": (
        "sso",
        lambda client: sso.get_role_credentials(client, "t", "111111111111", "Admin", now=NOW),
        {
            "roleCredentials": {
                "accessKeyId": "ASIAX",
                "secretAccessKey": "s",
                "sessionToken": "t",
                "expiration": 1_800_003_600_000,
            }
        },
    ),
    "RegisterClient": (
        "sso-oidc",
        registration_with_time,
        {
            "clientId": "c",
            "clientSecret": "s",
            "clientIdIssuedAt": 1,
            "clientSecretExpiresAt": 1_900_000_000,
            "authorizationEndpoint": "https://oidc.example/authorize",
        },
    ),
    "StartDeviceAuthorization": (
        "sso-oidc",
        lambda client: sso_oidc.start_device_authorization(client, "c", "s", "https://start.example"),
        {
            "deviceCode": "d",
            "userCode": "ABCD",
            "verificationUri": "https://d.example/",
            "verificationUriComplete": "https://d.example/?c=ABCD",
            "expiresIn": 600,
            "interval": 1,
        },
    ),
    "CreateToken": (
        "sso-oidc",
        token_with_time,
        {"accessToken": "t", "tokenType": "Bearer", "expiresIn": 3600, "refreshToken": "r"},
    ),
    "CreateOAuth2Token": (
        "signin",
        renew,
        {
            "accessToken": {"accessKeyId": "ASIAX", "secretAccessKey": "s", "sessionToken": "t"},
            "tokenType": "urn:aws:params:oauth:token-type:access_token_sigv4",
            "expiresIn": 900,
            "refreshToken": "r",
        },
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_reply_with_one_odd_field_is_understood_or_an_error(profile: Profile, name: str) -> None:
    kind, call, document = CALLS[name]
    service = Service(profile, kind)
    service.body = json.dumps(document).encode()
    assert not isinstance(answer_or_error(call, service.client), AwsRunasError)
    for body in odd_documents(document):
        service.body = body
        answer_or_error(call, service.client)


@pytest.mark.parametrize("name", CALLS)
def test_a_body_that_is_no_reply_is_an_error_whatever_its_status(profile: Profile, name: str) -> None:
    kind, call, _ = CALLS[name]
    service = Service(profile, kind)
    for service.status in STATUSES:
        for service.body in ODD_BODIES:
            assert isinstance(answer_or_error(call, service.client), AwsRunasError), (
                service.status,
                service.body,
            )


def test_sign_out_is_believed_with_the_empty_answer_of_aws_only(profile: Profile) -> None:
    service = Service(profile, "sso")
    for service.body in (b"", b"{}", b" {}\n"):
        sso.logout(service.client, "t")
    for service.body in ODD_BODIES[1:]:
        assert isinstance(answer_or_error(sso.logout, service.client, "t"), AwsRunasError), service.body


# --- identity providers: the readers get a status and a text

ISSUER = "https://idp.example"
CLAIMS = {"iss": ISSUER, "aud": ["client"], "azp": "client", "exp": 1_800_003_600, "nonce": "n", "sub": "jane"}


def encoded_token(claims: bytes) -> str:
    """An ID token, with or without a signature that anybody could check."""
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"RS256"}', claims, b"x"))


def token_of(text: str) -> object:
    """Check an ID token and show its end, as the sign-in does."""
    token = check_id_token(
        encoded_token(text.encode("utf-8", "surrogateescape")), issuer=ISSUER, client_id="client", nonce="n", now=NOW
    )
    assert token == read_id_token(token.encoded)
    return datetime.fromtimestamp(token.expires, UTC)


def poll(text: str) -> object:
    """Read a device code and poll as the sign-in does."""
    code = oidc_device.read_device_code(200, text)
    assert 0 < code.interval < math.inf
    assert 0 < code.expires_in < math.inf
    polling = oidc_device.DevicePolling(code, 0.0)
    polling.receive_answer(400, text, 1.0)
    return polling.next_timer()


READERS: dict[str, tuple[Callable[[str], object], dict[str, Any]]] = {
    "discovery": (
        lambda text: oidc.read_discovery(200, text, ISSUER),
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "device_authorization_endpoint": f"{ISSUER}/device",
        },
    ),
    "tokens": (lambda text: oidc.read_tokens(200, text), {"id_token": "a.b.c", "refresh_token": "r"}),
    "ID token": (token_of, CLAIMS),
    "device code": (
        poll,
        {
            "device_code": "d",
            "user_code": "ABCD",
            "verification_uri": f"{ISSUER}/device",
            "verification_uri_complete": f"{ISSUER}/device?c=ABCD",
            "expires_in": 600,
            "interval": 5,
            "error": "authorization_pending",
        },
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_an_answer_of_a_provider_with_one_odd_field_is_understood_or_an_error(name: str) -> None:
    read, document = READERS[name]
    assert not isinstance(answer_or_error(read, json.dumps(document)), AwsRunasError)
    for body in odd_documents(document):
        answer_or_error(read, body.decode())


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_answer_of_a_provider_is_an_error(name: str) -> None:
    read = READERS[name][0]
    for body in ODD_BODIES:
        assert isinstance(answer_or_error(read, body.decode("utf-8", "replace")), AwsRunasError), body


@MANY
@given(st.sampled_from([0, 99, 200, 301, 400, 401, 429, 500, 503]), st.text(max_size=20) | st.sampled_from(ODD_VALUES))
def test_a_refusal_of_a_provider_is_worded_or_waited_for(status: int, text: str) -> None:
    document = f'{{"error": {text}, "error_description": {text}}}'
    for body in (text, document):
        answer_or_error(oidc.read_tokens, status, body)
        answer_or_error(oidc.read_discovery, status, body, ISSUER)
        answer_or_error(oidc_device.read_device_code, status, body)
        code = DeviceAuthorization("d", "u", "a", "", 600.0, 5.0)
        answer_or_error(oidc_device.DevicePolling(code, 0.0).receive_answer, status, body, 1.0)


# --- SAML

RESPONSE = base64.b64decode(saml.response((saml.pair("a"),), now=datetime.fromtimestamp(NOW, UTC), sign="")).decode()


@MANY
@given(st.integers(0, len(RESPONSE)), st.binary(max_size=12) | st.text(max_size=12).map(str.encode))
@example(0, b"\xef\xbb\xbf")
@example(RESPONSE.index(">") + 1, b"&#x0;")
@example(RESPONSE.index(">") + 1, b"<a>" * 20_000)
@example(RESPONSE.index(">") + 1, b"&lol;")
def test_a_damaged_saml_response_is_read_or_an_error(place: int, inserted: bytes) -> None:
    content = RESPONSE.encode()
    for damaged in (content[:place] + inserted + content[place:], content[:place] + inserted, content[place:]):
        answer_or_error(read_response, base64.b64encode(damaged).decode(), NOW)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00", "x", "", "2026-02-30"]
)
def test_a_saml_response_with_a_time_that_is_none_is_read_or_an_error(moment: str) -> None:
    for name in ("IssueInstant", "NotOnOrAfter", "NotBefore"):
        before, _, rest = RESPONSE.rpartition(f'{name}="')
        text = f'{before}{name}="{moment}"{rest[rest.index(chr(34)) + 1 :]}'
        answer_or_error(read_response, base64.b64encode(text.encode()).decode(), NOW)


@pytest.mark.parametrize(
    "value", ["a\nb", "\x7f", "arn:aws:iam::1:role/a\x1b[31m,arn:aws:iam::1:saml-provider/p", ",", "é"]
)
def test_a_role_of_a_saml_response_is_read_or_an_error(value: str) -> None:
    text = RESPONSE.replace(saml.pair("a"), value.replace("\x1b", "&#x1b;"))
    answer_or_error(read_response, base64.b64encode(text.encode()).decode(), NOW)


# --- the federation endpoint, on the wire


def test_an_answer_of_the_federation_endpoint_is_a_token_or_an_error(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    current: list[tuple[int, bytes]] = []

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(*current[-1])

    document = {"SigninToken": "token"}
    odd = [(200, body) for body in (*odd_documents(document), *ODD_BODIES)]
    odd += [(status, body) for status in (204, 400, 500) for body in ODD_BODIES]
    with serving(Handler) as address:
        for answer in odd:
            current.append(answer)
            found = answer_or_error(get_signin_token, profile, address, checked_keys(), 3600)
            assert isinstance(found, AwsRunasError) or (answer[0] == 200 and str(found).isprintable())


def checked_keys() -> Credentials:
    return checked("ASIAX", "s", "t", expiration=None, now=NOW)
