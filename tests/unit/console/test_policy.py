"""Which way a profile signs in, how long a session may be asked for, and whose temporary keys can sign in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile
from aws_runas.config.resolve import load_files, resolve
from aws_runas.console.settings import (
    ALLOW_ALL,
    Way,
    browser_commands,
    can_sign_in,
    federation_name,
    federation_policy,
    find_setting,
    find_way,
    session_duration,
)

CONFIG = """
[profile user]
color = 00ff00
[profile role]
role_arn = arn:aws:iam::123456789012:role/R
source_profile = user
[profile ring]
keyring = ring
keyring_key_id = AKIA
[profile ringrole]
role_arn = arn:aws:iam::123456789012:role/R
source_profile = ring
[profile chained]
role_arn = arn:aws:iam::123456789012:role/R2
source_profile = role
console_policy = {"Version": "2012-10-17",  "Statement": []}
[profile temporary]
aws_access_key_id = ASIA
aws_secret_access_key = s
aws_session_token = t
[profile temporaryrole]
role_arn = arn:aws:iam::123456789012:role/R
source_profile = temporary
[profile portal]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Dev
[profile portalrole]
role_arn = arn:aws:iam::123456789012:role/R
source_profile = portal
[profile web]
web_identity_token_file = /token
role_arn = arn:aws:iam::123456789012:role/R
[profile saml]
saml_auth_url = https://idp.example.com/saml
role_arn = arn:aws:iam::123456789012:role/R
[profile samlrole]
role_arn = arn:aws:iam::123456789012:role/R2
source_profile = saml
[profile process]
credential_process = /bin/true
[profile login]
login_session = arn:aws:iam::123456789012:user/me
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
"""
CREDENTIALS = "[user]\naws_access_key_id = AKIA\naws_secret_access_key = s\n"
NOW = 1_800_000_000.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    return tmp_path


def _profile(home: Path, name: str, **overrides: object) -> Profile:
    return resolve(load_files({}, home), name, Overrides(**overrides), {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "overrides", "way"),
    [
        ("user", {}, "user"),
        ("role", {}, "chained"),
        ("role", {"role_duration": 3600}, "chained"),
        ("role", {"role_duration": 8 * 3600}, "direct"),
        ("role", {"role_duration": 8 * 3600, "use_session_token": True}, "user"),
        ("ring", {}, "user"),
        ("ringrole", {}, "chained"),
        ("ringrole", {"role_duration": 8 * 3600}, "direct"),
        ("chained", {}, "chained"),
        ("chained", {"role_duration": 8 * 3600}, "chained"),
        ("temporary", {}, "unknown"),
        ("temporaryrole", {}, "chained"),
        ("portal", {}, "portal"),
        ("portalrole", {}, "chained"),
        ("portalrole", {"use_session_token": True}, "portal"),
        ("web", {}, "direct"),
        ("saml", {}, "direct"),
        ("samlrole", {}, "chained"),
        ("process", {}, "unknown"),
        ("login", {}, "unknown"),
        ("default", {}, "unknown"),
    ],
)
def test_a_profile_signs_in_by_what_its_credentials_are(
    home: Path, name: str, overrides: dict[str, object], way: str
) -> None:
    assert find_way(_profile(home, name, **overrides), federation=False) == way


def test_the_portal_can_be_left_aside(home: Path) -> None:
    assert find_way(_profile(home, "portal"), federation=True) == "federated"


def _ending(seconds: float) -> Credentials:
    return Credentials("ASIA", "s", "t", datetime.fromtimestamp(NOW + seconds, UTC))


def test_a_duration_is_sent_only_where_aws_takes_it() -> None:
    refused: tuple[Way, ...] = ("chained", "user")
    asked: tuple[Way, ...] = ("direct", "federated", "unknown")
    assert [session_duration(way, 7200, _ending(7200), NOW) for way in refused] == [None] * 2
    assert [session_duration(way, 7200, _ending(3600), NOW) for way in asked] == [7200] * 3
    assert [session_duration(way, None, _ending(3600), NOW) for way in asked[1:]] == [None] * 2
    assert session_duration("direct", None, _ending(5000.9), NOW) == 5000
    assert session_duration("direct", None, _ending(13 * 3600), NOW) == 43200
    assert session_duration("direct", None, _ending(899), NOW) is None
    assert session_duration("direct", None, Credentials("ASIA", "s", "t"), NOW) is None


@pytest.mark.parametrize(
    ("arn", "can"),
    [
        ("arn:aws:sts::123456789012:assumed-role/R/me", True),
        ("arn:aws-cn:sts::123456789012:assumed-role/R/me", True),
        ("arn:aws:sts::123456789012:federated-user/me", True),
        ("arn:aws:iam::123456789012:user/me", False),
        ("arn:aws:iam::123456789012:user/assumed-role/me", False),
        ("arn:aws:iam::123456789012:root", False),
        ("", False),
    ],
)
def test_roles_and_federated_users_can_sign_in(arn: str, can: bool) -> None:
    assert can_sign_in(arn) is can


def test_the_federated_user_is_named_like_the_user() -> None:
    assert federation_name("arn:aws:iam::123456789012:user/path/me@example.com") == "me@example.com"
    assert federation_name("arn:aws:iam::123456789012:root") == "root"
    assert federation_name("arn:aws:iam::123456789012:user/" + "x" * 64) == "x" * 32
    assert federation_name("arn:aws:iam::123456789012:user/x") == "x-user"


def test_settings_are_inherited_from_the_source_profile(home: Path) -> None:
    found = find_setting(_profile(home, "role"), "color")
    assert found is not None
    assert (found.value, "profile user" in found.origin) == ("00ff00", True)
    assert find_setting(_profile(home, "role"), "console_browser") is None
    assert federation_policy(_profile(home, "user")) == ALLOW_ALL
    assert federation_policy(_profile(home, "chained")) == '{"Version":"2012-10-17","Statement":[]}'


def test_a_known_browser_gets_a_profile_of_its_own() -> None:
    (first, *_) = browser_commands("chrome", "team a/prod", "linux")
    assert first == "google-chrome '--profile-directory=aws-runas team a-prod' %s"
    (mac,) = browser_commands("edge", "prod", "darwin")
    assert mac == "open -na 'Microsoft Edge' --args '--profile-directory=aws-runas prod' %s"
    assert browser_commands("firefox -P work", "prod", "linux") == ["firefox -P work"]
