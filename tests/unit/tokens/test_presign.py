"""Presigned addresses against botocore's, byte by byte."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.auth
import botocore.config
import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.aws.client_settings import sts_endpoint
from aws_runas.errors import UsageError
from aws_runas.tokens import cluster, database
from aws_runas.tokens.presign import presign
from tests.unit.aws.test_direct import REGIONS

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=90)
SESSION = botocore.session.Session()


def found(secret: str = "SECRET", token: str = "TOK/+=") -> dict[str, str]:
    return {"key": "ASIAX", "secret": secret, "token": token}


def at_now(function: Any) -> Any:
    """Run with botocore's clock stopped, and with its own signer where awscrt is installed, which has another clock."""
    own = {"v4": botocore.auth.SigV4Auth, "v4-query": botocore.auth.SigV4QueryAuth}
    with (
        patch.object(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None)),
        patch.dict(botocore.auth.AUTH_TYPE_MAPS, own),
    ):
        return function()


def client(service: str, region: str, secret: str = "SECRET", token: str = "TOK/+=", **config: Any) -> Any:
    endpoint = config.pop("endpoint_url", None)
    return SESSION.create_client(
        service,
        region,
        aws_access_key_id="ASIAX",
        aws_secret_access_key=secret,
        aws_session_token=token or None,
        endpoint_url=endpoint,
        config=botocore.config.Config(**config),
    )


def theirs(sts: Any, name: str) -> str:
    """The address as the AWS CLI makes it in ``eks get-token``: the header is added before the request is signed."""

    def inject(request: Any, **_: object) -> None:
        request.headers["x-k8s-aws-id"] = name

    sts.meta.events.register("before-sign.sts.GetCallerIdentity", inject)
    address: str = at_now(lambda: sts.generate_presigned_url("get_caller_identity", {}, ExpiresIn=60, HttpMethod="GET"))
    return address


def ours(name: str, endpoint: str, region: str, **values: str) -> str:
    token = cluster.cluster_token(name, endpoint, region, found(**values), now=NOW.timestamp())
    assert token.startswith("k8s-aws-v1.")
    assert "=" not in token
    text = token.removeprefix("k8s-aws-v1.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        (None, "eu-west-1"),
        (None, "cn-north-1"),
        (None, "us-gov-west-1"),
        ("http://127.0.0.1:8443", "us-east-1"),
        ("https://vpce-1.sts.example:443", "eu-central-1"),
        ("http://sts.example:80/", "eu-central-1"),
        ("https://sts.example/prefix", "eu-central-1"),
    ],
)
def test_address_in_a_cluster_token_is_botocores(endpoint: str | None, region: str) -> None:
    sts = client("sts", region, endpoint_url=endpoint)
    own = (endpoint.rstrip("/"), region) if endpoint else sts_endpoint(region)
    assert ours("my-cluster", *own) == theirs(sts, "my-cluster")


@given(SECRETS, st.one_of(st.just(""), SECRETS))
@settings(max_examples=25, deadline=None)
def test_any_credentials_sign_as_botocore_does(secret: str, token: str) -> None:
    rds = client("rds", "eu-west-1", secret, token)
    expected = at_now(lambda: rds.generate_db_auth_token("db.cxyz.eu-west-1.rds.amazonaws.com", 5432, "app"))
    made = database.database_token(
        "db.cxyz.eu-west-1.rds.amazonaws.com", 5432, "app", "eu-west-1", found=found(secret, token), now=NOW.timestamp()
    )
    assert made == expected


@pytest.mark.parametrize("user", ["app", "sch\u00f6n", "a b&c=d/e", "user@example.com", "x" * 63, "%41"])
@pytest.mark.parametrize("port", [5432, 3306, 443, 80])
def test_any_user_and_port_sign_as_botocore_does(user: str, port: int) -> None:
    rds = client("rds", "us-east-1")
    host = "db.cluster-cxyz.us-east-1.rds.amazonaws.com"
    expected = at_now(lambda: rds.generate_db_auth_token(host, port, user))
    assert database.database_token(host, port, user, "us-east-1", found=found(), now=NOW.timestamp()) == expected


def test_headers_are_signed_with_single_blanks() -> None:
    def sign(value: str) -> str:
        headers, credentials = {"x-a": value}, found()
        return presign(
            "https://h/", (), headers, credentials=credentials, service="sts", region="r", now=0.0, expires=60
        )

    assert sign("b  c ") == sign("b c")


@pytest.mark.parametrize(("fips", "dual_stack"), [(False, False), (True, False), (False, True), (True, True)])
def test_endpoint_of_sts_is_botocores_own_for_every_region(fips: bool, dual_stack: bool) -> None:
    sts = client("sts", "us-east-1", use_fips_endpoint=fips, use_dualstack_endpoint=dual_stack)
    resolve = sts._ruleset_resolver._provider.resolve_endpoint
    assert len(REGIONS) > 40
    for region in [*REGIONS, "mars-north-1"]:
        if "fips" in region or (region == "aws-global" and (fips or dual_stack)):
            continue
        expected = resolve(Region=region, UseFIPS=fips, UseDualStack=dual_stack, UseGlobalEndpoint=False)
        signing = [scheme.get("signingRegion") for scheme in expected.properties.get("authSchemes", [])]
        assert sts_endpoint(region, fips=fips, dual_stack=dual_stack) == (expected.url, (signing or [region])[0])


ENDPOINTS = [
    ("orders.cxyz.eu-west-1.rds.amazonaws.com", "eu-west-1"),
    ("ORDERS.CXYZ.EU-WEST-1.RDS.AMAZONAWS.COM", "eu-west-1"),
    ("orders.cxyz.eu-west-1.rds.amazonaws.com.", "eu-west-1"),
    ("orders.cluster-ro-cxyz.us-east-2.rds.amazonaws.com", "us-east-2"),
    ("pool.proxy-cxyz.ap-southeast-1.rds.amazonaws.com", "ap-southeast-1"),
    ("orders.cxyz.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
    ("orders.cxyz.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ("orders.cxyz.cn-northwest-1.rds.amazonaws.com.cn", "cn-northwest-1"),
    ("orders.cxyz.eusc-de-east-1.rds.amazonaws.eu", "eusc-de-east-1"),
    ("orders.cxyz.us-iso-east-1.rds.c2s.ic.gov", "us-iso-east-1"),
    ("orders.cxyz.us-isob-east-1.rds.sc2s.sgov.gov", "us-isob-east-1"),
    ("db.example.com", ""),
    ("rds.amazonaws.com", ""),
    ("eu-west-1.rds.amazonaws.com.evil.example", ""),
    ("sessions.cxyz.use1.cache.amazonaws.com", ""),
    ("x.nothing.rds.amazonaws.com", ""),
]


@pytest.mark.parametrize(("host", "region"), ENDPOINTS)
def test_a_token_names_an_endpoint_as_aws_writes_it(host: str, region: str) -> None:
    expected = host.lower().rstrip(".") if region else host
    assert database.split_host(f"{host}:5433") == (expected, 5433)


@pytest.mark.parametrize(("host", "region"), ENDPOINTS)
def test_region_is_read_from_the_name_of_an_endpoint(host: str, region: str) -> None:
    assert database.region_of(host) == region


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("localhost", "token-host-local"),
        ("127.0.0.1:15432", "token-host-local"),
        ("[::1]:15432", "token-host-local"),
        ("::1", "token-host-local"),
        ("db.example.com:0", "token-host-invalid"),
        ("db.example.com:65536", "token-host-invalid"),
        ("db.example.com:pg", "token-host-invalid"),
        ("db.example.com:\u0661", "token-host-invalid"),
        ("https://db.example.com", "token-host-invalid"),
        ("db example", "token-host-invalid"),
        (":5432", "token-host-invalid"),
        ("", "token-host-invalid"),
    ],
)
def test_other_hosts_are_refused(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        database.split_host(text)
    assert caught.value.code == code
    assert text in caught.value.message


def test_credential_is_what_a_client_reads() -> None:
    document = json.loads(cluster.exec_credential("k8s-aws-v1.abc", "v1", NOW.timestamp(), None))
    assert document == {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {},
        "status": {"expirationTimestamp": "2026-02-03T04:19:06Z", "token": "k8s-aws-v1.abc"},
    }
    soon = json.loads(cluster.exec_credential("t", "v1", NOW.timestamp(), NOW.timestamp() + 300))
    assert soon["status"]["expirationTimestamp"] == "2026-02-03T04:10:06Z"


@pytest.mark.parametrize("name", ["", "-a", "a b", "arn:aws:eks:eu-west-1:1:cluster/x", "a" * 101, "é"])
def test_name_that_no_cluster_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        cluster.check_cluster(name)
