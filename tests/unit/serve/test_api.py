"""The API of the page and of scripts, and the container endpoint's profiles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.serving import GOOD_CODE, TOKEN, WRONG_CODE, FakeProvider, Served, serving

BEARER = {"Authorization": TOKEN}
MFA = "x-awsrunas-authentication-type"


@pytest.fixture
def ecs() -> Iterator[Served]:
    with serving("ecs") as served:
        yield served


def test_the_active_profile_is_described(ecs: Served) -> None:
    before = ecs.fetch("/profile").json()
    assert before["name"] == "dev"
    assert before["role_arn"] == "arn:aws:iam::123456789012:role/dev"
    assert (before["has_credentials"], before["expiration"], before["mfa_required"]) == (False, None, False)
    ecs.fetch("/credentials", headers=BEARER)
    after = ecs.fetch("/profile").json()
    assert after["has_credentials"]
    assert after["expiration"] == ecs.fetch("/credentials", headers=BEARER).json()["Expiration"]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("admin", "text/plain"),
        ("admin\n", ""),
        ("admin", "application/x-www-form-urlencoded"),  # as curl -d labels it
        ("profile=admin", "application/x-www-form-urlencoded; charset=utf-8"),
    ],
)
def test_a_profile_is_switched_to(ecs: Served, body: str, media_type: str) -> None:
    reply = ecs.change("/profile", body, **{"Content-Type": media_type})
    assert (reply.status, reply.json()["name"], reply.json()["has_credentials"]) == (200, "admin", True)
    assert ecs.fetch("/profile").json()["name"] == "admin"
    assert "admin" in ecs.fetch("/credentials", headers=BEARER).json()["RoleArn"]


def test_a_role_arn_is_a_profile(ecs: Served) -> None:
    arn = "arn:aws:iam::210987654321:role/team/Other"
    assert ecs.change("/profile", arn).json()["role_arn"] == arn
    assert ecs.fetch(f"/credentials/{arn}", headers=BEARER).json()["AccountId"] == "210987654321"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "profile-missing"),
        ("a\x01b", 400, "profile-missing"),
        ("x" * 3000, 400, "profile-missing"),
        ("nobody", 404, "profile-not-found"),
        ("broken", 500, "source-missing"),
    ],
)
def test_a_profile_that_cannot_be_leaves_the_active_one(ecs: Served, body: str, status: int, code: str) -> None:
    reply = ecs.change("/profile", body)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert ecs.fetch("/profile").json()["name"] == "dev"


def test_a_profile_that_aws_refuses_becomes_active_and_says_why(ecs: Served) -> None:
    reply = ecs.change("/profile", "denied")
    assert (reply.status, reply.json()["code"]) == (500, "sts-access-denied")
    assert MFA not in reply.headers
    described = ecs.fetch("/profile").json()
    assert (described["name"], described["error"]["code"]) == ("denied", "sts-access-denied")
    assert ecs.fetch("/credentials", headers=BEARER).status == 500  # and not the credentials of the one before


def test_a_code_is_asked_for_checked_and_taken(ecs: Served) -> None:
    reply = ecs.change("/profile", "locked")
    assert (reply.status, reply.headers[MFA], reply.json()["code"]) == (401, "MFA", "mfa-required")
    assert reply.json()["hint"] == "type it on the server's page, or POST it to /mfa"
    assert ecs.fetch("/profile").json()["mfa_required"]
    assert ecs.fetch("/credentials", headers=BEARER).headers[MFA] == "MFA"
    wrong = ecs.change("/mfa", f"mfa={WRONG_CODE}", **{"Content-Type": "application/x-www-form-urlencoded"})
    assert (wrong.status, wrong.headers[MFA], wrong.json()["code"]) == (401, "MFA", "mfa-code-refused")
    right = ecs.change("/mfa", f"mfa={GOOD_CODE}", **{"Content-Type": "application/x-www-form-urlencoded"})
    assert (right.status, right.json()["mfa_required"], right.json()["has_credentials"]) == (200, False, True)
    assert ecs.fetch("/credentials", headers=BEARER).status == 200


@pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "١٢٣٤٥٦", "12 456"])
def test_what_is_no_code_is_refused_without_asking_aws(ecs: Served, code: str) -> None:
    ecs.change("/profile", "locked")
    calls = ecs.catalogue.providers["locked"].calls
    reply = ecs.change("/mfa", code.encode().decode("latin-1").encode("latin-1").decode())
    assert (reply.status, reply.json()["code"]) == (401, "mfa-code-invalid")
    assert ecs.catalogue.providers["locked"].calls == calls


def test_an_mfa_request_without_a_code_is_a_bad_one(ecs: Served) -> None:
    assert ecs.change("/mfa").status == 400
    assert ecs.change("/mfa", "mfa=", **{"Content-Type": "application/x-www-form-urlencoded"}).status == 400


def test_refresh_fetches_anew(ecs: Served) -> None:
    first = ecs.fetch("/credentials", headers=BEARER).json()["AccessKeyId"]
    assert ecs.change("/refresh").status == 200
    assert ecs.fetch("/credentials", headers=BEARER).json()["AccessKeyId"] != first
    assert ecs.catalogue.providers["dev"].refreshes == 1


def test_refresh_may_take_a_code_and_what_is_good_serves_on(ecs: Served) -> None:
    ecs.change("/profile", "locked")
    ecs.change("/mfa", GOOD_CODE)
    first = ecs.fetch("/credentials", headers=BEARER).json()["AccessKeyId"]
    assert ecs.change("/refresh").headers[MFA] == "MFA"
    assert ecs.fetch("/credentials", headers=BEARER).json()["AccessKeyId"] == first
    assert ecs.change("/mfa", GOOD_CODE).status == 200
    assert ecs.fetch("/credentials", headers=BEARER).json()["AccessKeyId"] != first


def test_lists_part_roles_from_other_profiles(ecs: Served) -> None:
    assert ecs.fetch("/list-roles").json() == ["dev", "admin", "locked", "my team", "denied"]
    assert ecs.fetch("/list-profiles").json() == ["user"]


def test_another_profile_is_served_without_a_switch(ecs: Served) -> None:
    admin = ecs.fetch("/credentials/admin", headers=BEARER).json()
    assert admin["RoleArn"].endswith("/admin")
    assert ecs.fetch("/credentials/my%20team", headers=BEARER).status == 200
    assert ecs.fetch("/credentials/nobody", headers=BEARER).status == 404
    assert ecs.fetch("/profile").json()["name"] == "dev"
    assert ecs.fetch("/credentials/", headers=BEARER).json()["RoleArn"].endswith("/dev")


def test_keys_without_an_end_get_one_to_come_back_at(ecs: Served) -> None:
    class Keys(FakeProvider):
        def credentials(self, *, refresh: bool = False):  # type: ignore[no-untyped-def]
            from aws_runas.aws.credentials import Credentials

            return Credentials("AKIAEXAMPLE", "made-up")

    ecs.catalogue.providers["user"] = Keys()
    document = ecs.fetch("/credentials/user", headers=BEARER).json()
    assert (document["Token"], "RoleArn" in document) == ("", False)
    assert document["Expiration"].endswith("Z")


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/profile", "PUT", "GET, HEAD, POST"),
        ("/mfa", "GET", "POST"),
        ("/refresh", "DELETE", "POST"),
        ("/list-roles", "POST", "GET, HEAD"),
        ("/", "POST", "GET, HEAD"),
    ],
)
def test_other_methods_are_refused_with_the_ones_there_are(ecs: Served, path: str, method: str, allow: str) -> None:
    reply = ecs.fetch(path, method)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


def test_other_kinds_of_bodies_are_refused(ecs: Served) -> None:
    assert ecs.change("/profile", '{"a": 1}', **{"Content-Type": "application/json"}).status == 415


def test_credentials_are_not_changed_by_post(ecs: Served) -> None:
    assert ecs.fetch("/credentials", "POST", BEARER).status == 405


def test_a_head_request_says_as_much_as_a_get(ecs: Served) -> None:
    head, get = ecs.fetch("/profile", "HEAD"), ecs.fetch("/profile")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(get.body)))


def test_a_config_file_that_breaks_is_reported_and_the_server_goes_on(ecs: Served) -> None:
    ecs.catalogue.fault = RuntimeError("odd")
    assert ecs.change("/profile", "admin").status == 500
    assert ecs.fetch("/credentials", headers=BEARER).status == 200
