"""Instance metadata: tokens that are real, and the paths that SDKs ask."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aws_runas.serve.imds import Tokens
from tests.support.serving import FakeCatalogue, Served, serving

TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
ROLE = "/latest/meta-data/iam/security-credentials/"


class Clock:
    """Monotonic seconds that stand still until they are moved."""

    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ec2(clock: Clock) -> Iterator[Served]:
    with serving("ec2", clock=clock) as served:
        yield served


@pytest.fixture
def strict(clock: Clock) -> Iterator[Served]:
    with serving("ec2", clock=clock, allow_v1=False) as served:
        yield served


def _token(served: Served, ttl: str = "21600") -> str:
    reply = served.fetch("/latest/api/token", "PUT", {TTL: ttl})
    assert (reply.status, reply.headers[TTL.lower()]) == (200, ttl)
    return reply.text


def test_version_1_needs_no_token(ec2: Served) -> None:
    assert ec2.fetch(ROLE).text == "dev"
    document = ec2.fetch(ROLE + "dev").json()
    assert document["Code"] == "Success"
    assert document["Type"] == "AWS-HMAC"
    assert document["AccessKeyId"].startswith("ASIA")
    assert set(document) == {"Code", "LastUpdated", "Type", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert document["Expiration"].endswith("Z")


def test_version_2_needs_one(strict: Served) -> None:
    assert strict.fetch(ROLE + "dev").status == 401
    assert strict.fetch(ROLE + "dev", headers={TOKEN: _token(strict)}).status == 200


@pytest.mark.parametrize("sent", ["", "guess", "A" * 56, "\xe9", "=" * 56])
def test_a_token_that_is_not_ours_is_refused_even_where_version_1_is_allowed(ec2: Served, sent: str) -> None:
    assert ec2.fetch(ROLE + "dev", headers={TOKEN: sent}).status == 401


def test_a_token_ends_after_the_time_it_was_asked_for(ec2: Served, clock: Clock) -> None:
    token = _token(ec2, "60")
    clock.time += 59.9
    assert ec2.fetch(ROLE, headers={TOKEN: token}).status == 200
    clock.time += 0.2
    assert ec2.fetch(ROLE, headers={TOKEN: token}).status == 401


def test_a_token_with_one_bit_changed_is_refused() -> None:
    tokens = Tokens(b"k" * 32, lambda count: b"r" * count)
    token = tokens.issue(60, 0.0)
    assert tokens.is_valid(token, 59.0)
    for position in range(len(token)):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert not tokens.is_valid(changed, 59.0)


def test_tokens_are_random_and_another_servers_are_refused(ec2: Served, strict: Served) -> None:
    assert len({_token(ec2) for _ in range(50)}) == 50
    assert strict.fetch(ROLE, headers={TOKEN: _token(ec2)}).status == 401


@pytest.mark.parametrize("ttl", [None, "", "0", "21601", "-1", "1.5", "abc", "999999999999", "\xb2", "1e3", " "])
def test_a_lifetime_out_of_1_to_21600_is_refused(ec2: Served, ttl: str | None) -> None:
    assert ec2.fetch("/latest/api/token", "PUT", {} if ttl is None else {TTL: ttl}).status == 400


@pytest.mark.parametrize("ttl", ["1", "21600"])
def test_the_ends_of_the_range_are_in_it(ec2: Served, ttl: str) -> None:
    assert len(_token(ec2, ttl)) == 56


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_token_is_had_by_put_alone(ec2: Served, method: str) -> None:
    reply = ec2.fetch("/latest/api/token", method, {TTL: "60"})
    assert (reply.status, reply.headers["allow"]) == (405, "PUT")


def test_metadata_is_only_read(ec2: Served) -> None:
    assert ec2.fetch(ROLE, "POST").status == 405
    assert ec2.fetch(ROLE, "HEAD").status == 200


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latest/", "dynamic/\nmeta-data/"),
        ("/latest", "dynamic/\nmeta-data/"),
        ("/latest/meta-data/", "iam/\ninstance-id\nplacement/\nservices/"),
        ("/latest/meta-data", "iam/\ninstance-id\nplacement/\nservices/"),
        ("/latest/meta-data/iam/", "info\nsecurity-credentials/"),
        ("/latest/meta-data/iam/security-credentials", "dev"),
        ("/2021-07-15/meta-data/iam/security-credentials/", "dev"),
        ("/1.0/meta-data/iam/security-credentials/", "dev"),
        ("//latest/meta-data/placement/region", "eu-west-1"),
        ("/latest/meta-data/placement/availability-zone", "eu-west-1a"),
        ("/latest/meta-data/placement/availability-zone/", "eu-west-1a"),
        ("/latest/meta-data/instance-id", "i-00000000000000000"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/dynamic/instance-identity/", "document"),
    ],
)
def test_paths_that_sdks_ask(ec2: Served, path: str, text: str) -> None:
    reply = ec2.fetch(path)
    assert (reply.status, reply.text) == (200, text)


def test_the_identity_document_and_the_profile_name_the_account(ec2: Served) -> None:
    document = ec2.fetch("/latest/dynamic/instance-identity/document").json()
    assert (document["accountId"], document["region"]) == ("123456789012", "eu-west-1")
    info = ec2.fetch("/latest/meta-data/iam/info").json()
    assert (info["Code"], info["InstanceProfileArn"]) == ("Success", "arn:aws:iam::123456789012:instance-profile/dev")


def test_without_a_region_none_is_made_up() -> None:
    with serving("ec2", catalogue=FakeCatalogue(region=None)) as served:
        for path in ("meta-data/placement/region", "meta-data/placement/", "dynamic/instance-identity/document"):
            assert served.fetch(f"/latest/{path}").status == 404


@pytest.mark.parametrize(
    "path", ["/latest/user-data", "/latest/meta-data/nothing", ROLE + "admin", "/latest/meta-data/iam/x/y"]
)
def test_what_is_not_served_is_not_found(ec2: Served, path: str) -> None:
    assert ec2.fetch(path).status == 404


@pytest.mark.parametrize(
    ("profile", "name"),
    [("my team", "my%20team"), ("arn:aws:iam::123456789012:role/path/Admin", "Admin"), ("dev", "dev")],
)
def test_a_role_name_is_a_path_that_can_be_asked_for(profile: str, name: str) -> None:
    with serving("ec2", profile) as served:
        assert served.fetch(ROLE).text == name
        assert served.fetch(ROLE + name).status == 200


def test_the_name_of_a_moment_ago_still_answers_after_a_switch(ec2: Served) -> None:
    ec2.fetch(ROLE + "dev")
    ec2.change("/profile", "admin")
    assert ec2.fetch(ROLE).text == "admin"
    assert ec2.fetch(ROLE + "dev").status == 200
    assert ec2.fetch(ROLE + "locked").status == 404


def test_the_extended_path_names_the_account(ec2: Served) -> None:
    path = ROLE.replace("credentials/", "credentials-extended/")
    assert ec2.fetch(path).text == "dev"
    assert ec2.fetch(path + "dev").json()["AccountId"] == "123456789012"


def test_when_a_code_is_needed_the_answer_says_so() -> None:
    with serving("ec2", "locked") as served:
        reply = served.fetch(ROLE + "locked")
        assert (reply.status, reply.headers["x-awsrunas-authentication-type"]) == (401, "MFA")
        assert json.loads(reply.body)["code"] == "mfa-required"
