"""Each guard, attacked the way that docs/explanation/security.md tells of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aws_runas.serve import guards
from aws_runas.serve.http import Connection, Request
from tests.support.serving import TOKEN, Served, fetch, raw, serving

BEARER = {"Authorization": TOKEN}
SECRET = "made-up-secret"
CREDENTIALS = "/latest/meta-data/iam/security-credentials/dev"


@pytest.fixture
def ecs() -> Iterator[Served]:
    with serving("ecs") as served:
        yield served


@pytest.fixture
def ec2() -> Iterator[Served]:
    with serving("ec2") as served:
        yield served


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1:{port}",
        "localhost:1",
        "127.0.0.1:",
        "[::1",
        "[::1]x",
        "",
        "localhost@evil.example",
        "127.1",
        "0x7f.1",
        "2130706433",
        "localhost.",
    ],
)
def test_a_name_rebound_to_this_machine_gets_nothing(ecs: Served, ec2: Served, host: str) -> None:
    asked: tuple[tuple[Served, str, dict[str, str]], ...] = (
        (ecs, "/credentials", BEARER),
        (ec2, CREDENTIALS, {}),
        (ecs, "/", {}),
        (ecs, "/profile", {}),
    )
    for served, path, headers in asked:
        reply = served.fetch(path, headers=headers | {"Host": host.format(port=served.port)})
        assert reply.status == 421
        assert SECRET not in reply.text
        assert "page-token" not in reply.text


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:{port}", "127.0.0.1:{port}", "127.0.0.1", "[::1]", "[::1]:{port}", "169.254.169.254"],
)
def test_this_machines_own_names_are_answered(ecs: Served, host: str) -> None:
    assert ecs.fetch("/credentials", headers=BEARER | {"Host": host.format(port=ecs.port)}).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "Forwarded",
        "x-forwarded-host",
        "X-FORWARDED-PROTO",
        "X-Forwarded",
        "Via",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-Ip",
        "X-Original-Forwarded-For",
        "X-Original-Host",
        "X-Envoy-External-Address",
        "X-ProxyUser-Ip",
        "Fly-Client-IP",
        "ALI-CDN-REAL-IP",
        "Cdn-Src-Ip",
        "X-Azure-ClientIP",
        "X-AppEngine-User-IP",
        "CF-Connecting-IPv6",
        "X-Rewrite-URL",
        "Remote-Addr",
    ],
)
def test_what_a_proxy_forwards_gets_nothing(ecs: Served, ec2: Served, header: str) -> None:
    for served, path, headers in ((ecs, "/credentials", BEARER), (ec2, CREDENTIALS, {}), (ec2, "/", {})):
        reply = served.fetch(path, headers=headers | {header: "10.0.0.1"})
        assert reply.status == 403
        assert SECRET not in reply.text
    assert (
        ec2.fetch("/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60", header: "x"}).status == 403
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:{port}"},  # our own page has no need of them
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Referer": "http://evil.example/"},  # an image or a script, where browsers send no Sec-Fetch
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
        {"User-Agent": "MOZILLA/5.0 (X11)"},
        {"User-Agent": " mozilla/5.0 (X11)"},
        {"User-Agent": "Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16"},
        {"sec-ch-ua": '"Chromium";v="140"'},
        {"SEC-FETCH-SITE": "cross-site"},
    ],
)
def test_a_browser_gets_no_credentials(ecs: Served, ec2: Served, headers: dict[str, str]) -> None:
    for served, path, more in (
        (ecs, "/credentials", BEARER),
        (ecs, "/credentials/admin", BEARER),
        (ec2, CREDENTIALS, {}),
    ):
        given = {name: value.format(port=served.port) for name, value in headers.items()}
        reply = served.fetch(path, headers=more | given)
        assert reply.status == 403
        assert SECRET not in reply.text


@pytest.mark.parametrize(
    "agent",
    [
        "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux",
        "aws-sdk-js/3.1169.0",
        "curl/8.5.0",
        "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621.1",
    ],
)
def test_what_is_no_browser_gets_credentials(ecs: Served, agent: str) -> None:
    assert ecs.fetch("/credentials", headers=BEARER | {"User-Agent": agent}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another server of this machine
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_reads_and_changes_nothing(ecs: Served, headers: dict[str, str]) -> None:
    given = {name: value.format(port=ecs.port) for name, value in headers.items()}
    token = {"X-AwsRunas-Token": ecs.page_token()}
    for path in ("/", "/profile", "/list-roles"):
        assert ecs.fetch(path, headers=given).status == 403
    assert ecs.fetch("/profile", "POST", given | token, "admin").status == 403
    assert ecs.profiles.active.facts.name == "dev"


def test_no_answer_ever_allows_another_origin(ecs: Served) -> None:
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for reply in (
        ecs.fetch("/profile", "OPTIONS", preflight),
        ecs.fetch("/credentials", "OPTIONS", preflight),
        ecs.fetch("/"),
    ):
        assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_the_page_is_in_no_frame(ecs: Served) -> None:
    assert ecs.fetch("/", headers={"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "none"}).status == 403
    headers = ecs.fetch("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("token", [None, "", "guess", "0" * 64])
@pytest.mark.parametrize(("path", "body"), [("/profile", "admin"), ("/mfa", "mfa=123456"), ("/refresh", "")])
def test_a_form_of_another_page_changes_nothing(
    ecs: Served, ec2: Served, token: str | None, path: str, body: str
) -> None:
    for served in (ecs, ec2):
        provider = served.catalogue.providers["dev"]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = served.fetch(path, "POST", form | ({} if token is None else {"X-AwsRunas-Token": token}), body)
        assert (reply.status, reply.json()["code"]) == (403, "page-token-missing")
        assert (served.profiles.active.facts.name, provider.calls) == ("dev", 0)


def test_state_is_not_changed_by_get(ecs: Served) -> None:
    token = {"X-AwsRunas-Token": ecs.page_token()}
    assert ecs.fetch("/mfa?mfa=123456", headers=token).status == 405
    assert ecs.fetch("/refresh", headers=token).status == 405
    assert ecs.fetch("/profile?profile=admin", headers=token).json()["name"] == "dev"


def test_the_page_token_is_another_one_at_each_start() -> None:
    with serving() as one, serving() as other:
        assert one.page_token() != other.page_token()
        assert one.fetch("/profile", "POST", {"X-AwsRunas-Token": other.page_token()}, "admin").status == 403


@pytest.mark.parametrize(
    "sent", [None, "", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "Bearer", "Basic " + TOKEN, "Bearer  " + TOKEN]
)
def test_without_the_bearer_token_there_are_no_container_credentials(ecs: Served, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    for path in ("/credentials", "/credentials/", "/credentials/admin", "//credentials"):
        reply = ecs.fetch(path, headers=headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "x-awsrunas-authentication-type" not in reply.headers  # that one asks for an MFA code
        assert SECRET not in reply.text


def test_a_container_server_has_no_metadata_to_go_round_its_token(ecs: Served) -> None:
    assert ecs.fetch(CREDENTIALS).status == 404
    assert ecs.fetch("/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}).status == 404


@pytest.mark.parametrize("path", ["/", "/profile", "/list-roles", CREDENTIALS])
def test_another_user_of_this_machine_gets_nothing(path: str) -> None:
    with serving("ec2", is_neighbour=lambda _: False) as served:
        assert served.fetch(path).status == 403


def test_the_bearer_token_makes_up_for_being_another_user() -> None:
    with serving("ecs", is_neighbour=lambda _: False) as served:
        assert served.fetch("/profile").status == 403
        assert served.fetch("/profile", headers=BEARER).status == 200
        assert served.fetch("/profile", headers={"Authorization": "guess"}).status == 401
        assert served.fetch("/profile", "POST", BEARER, "admin").json()["name"] == "admin"
        assert served.fetch("/credentials", headers=BEARER).status == 200


def test_a_request_smuggled_behind_another_is_no_request(ecs: Served) -> None:
    inner = f"GET /credentials HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\n\r\n"
    outer = (
        "POST /profile HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    )
    answer = raw(ecs.port, (outer + inner).encode())
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_no_answer_is_for_a_cache_and_none_is_guessed_at(ecs: Served) -> None:
    for reply in (ecs.fetch("/credentials", headers=BEARER), ecs.fetch("/"), ecs.fetch("/nothing")):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_no_log_line_holds_a_secret(ecs: Served) -> None:
    ecs.fetch("/credentials", headers=BEARER)
    ecs.change("/profile", "locked")
    ecs.change("/mfa", "123456")
    ecs.fetch("/a%0ab".replace("%0a", "%C2%85"))  # a line break of Unicode's stays one line
    token = ecs.page_token()
    log = "\n".join(ecs.log)
    assert all(secret not in log for secret in (TOKEN, SECRET, "123456", token))
    assert len(log.splitlines()) == len(ecs.log)


@pytest.mark.parametrize(
    ("local", "host", "passes"),
    [
        ("172.17.0.1", "172.17.0.1:12319", True),  # the address that the client has reached, for --bind
        ("172.17.0.1", "172.17.0.2:12319", False),
        ("fd00::1", "[fd00::1]:12319", True),
        ("", "anything", True),  # a unix socket
    ],
)
def test_the_address_that_was_reached_is_a_host_of_ours(local: str, host: str, passes: bool) -> None:
    request = Request("GET", "/", (("host", host),), connection=Connection("172.17.0.9", 4, local, 12319))
    assert (guards.host(request) is None) is passes


def test_http_1_0_without_a_host_is_refused(ecs: Served) -> None:
    assert raw(ecs.port, b"GET /profile HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_ipv6_loopback_is_this_machine_too() -> None:
    request = Request("GET", "/", (("host", "[::1]:9"),), connection=Connection("::1", 4, "::1", 9))
    assert guards.host(request) is None


def test_a_body_that_is_too_long_is_refused_unread(ecs: Served) -> None:
    assert fetch(ecs.port, "/profile", "POST", {"Content-Length": "100000"}, b"x").status == 413
