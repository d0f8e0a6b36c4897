"""The age of long-term keys, as IAM (moto) tells it."""

from __future__ import annotations

import time

import pytest

from aws_runas.aws.sts import caller_identity
from aws_runas.config.durations import parse_age
from aws_runas.diagnosis.local import check_credentials
from aws_runas.diagnosis.model import Finding
from aws_runas.diagnosis.remote import check_key_age
from tests.support.moto_world import MotoWorld

DAY = 24 * 3600


def age(world: MotoWorld, days: float, setting: str = "") -> Finding | None:
    world.client("iam").create_user(UserName="ann")
    key = world.client("iam").create_access_key(UserName="ann")["AccessKey"]
    (world.home / ".aws").mkdir(exist_ok=True)
    (world.home / ".aws" / "config").write_text(
        f"[profile ann]\naws_access_key_id = {key['AccessKeyId']}\n"
        f"aws_secret_access_key = {key['SecretAccessKey']}\n{setting}\n"
    )
    access = world.access("ann")
    return check_key_age(access, caller_identity(access, user=True).arn, time.time() + days * DAY)


@pytest.mark.parametrize(
    ("days", "setting", "verdict"),
    [
        (89, "", "ok"),
        (91, "", "warn"),
        (31, "key_max_age = 30d", "warn"),
        (91, "key_max_age = 2400h", "ok"),
        (0, "key_max_age = soon", "warn"),
    ],
)
def test_keys_over_the_age_of_the_profile_are_warned_of(
    world: MotoWorld, days: float, setting: str, verdict: str
) -> None:
    found = age(world, days, setting)
    assert found is not None
    assert found.verdict == verdict
    if verdict == "warn" and "soon" not in setting:
        assert found.advice == "aws-runas keys rotate ann"


def test_temporary_keys_and_roles_have_no_age(world: MotoWorld) -> None:
    access = world.access()
    assert check_key_age(access, "arn:aws:iam::123456789012:user/ann", time.time()) is None
    assert check_key_age(access, "arn:aws:sts::123456789012:assumed-role/r/s", time.time()) is None


def test_keys_in_both_places_are_warned_of(world: MotoWorld) -> None:
    (world.home / ".aws").mkdir()
    (world.home / ".aws" / "config").write_text("[profile ann]\nkeyring = ann\nkeyring_key_id = AKIARING\n")
    credentials = world.home / ".aws" / "credentials"
    assert check_credentials(world.access("ann").profile).message.startswith("access keys AKIA… from the keyring, ann")
    credentials.write_text("[ann]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n")
    found = check_credentials(world.access("ann").profile)
    assert found.verdict == "warn"
    assert "keys in the keyring too" in found.message


@pytest.mark.parametrize(("text", "seconds"), [("90d", 90 * DAY), ("0d", 0), ("48h", 2 * DAY)])
def test_an_age_is_days_or_a_duration(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "90", "1.5d", "-1d", "９０d", "9999999d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_age(text)
