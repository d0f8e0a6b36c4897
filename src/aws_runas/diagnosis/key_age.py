"""Long-term keys: how old they are, and whether they are in two places."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_runas.aws.iam import Iam
from aws_runas.config.durations import parse_age
from aws_runas.config.profile import KeyringSource, KeySource, Profile, Setting
from aws_runas.diagnosis.model import Finding, ok, warn
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

CHECK = "key age"
DEFAULT_MAX_AGE = "90d"
DAY = 24 * 3600


def check_key_age(access: Access, user_arn: str, now: float) -> Finding | None:
    """Compare the age of a user's own keys with ``key_max_age``; None for other credentials.

    Args:
        access: whose own keys ask IAM.
        user_arn: of the caller, as STS tells it.
        now: seconds since the epoch.
    """
    source = access.profile.source
    if not isinstance(source, KeySource | KeyringSource) or ":user/" not in user_arn:
        return None
    if isinstance(source, KeySource) and source.session_token:
        return None
    setting = _max_age(access.profile)
    try:
        limit = parse_age(setting.value)
    except ValueError as error:
        return warn(CHECK, f"{error} ({setting.origin})", "write key_max_age = 90d")
    try:
        keys = Iam(access).access_keys(user_arn.rpartition("/")[2])
    except AwsRunasError as error:
        return ok(CHECK, f"not known: {error.message}")
    created = next((key.created for key in keys if key.access_key_id == source.access_key_id), None)
    if created is None:
        return ok(CHECK, "not known: IAM does not list this key")
    age = datetime.fromtimestamp(now, UTC) - created
    if age.total_seconds() > limit:
        advice = f"aws-runas keys rotate {access.profile.source_profile or access.profile.name}"
        return warn(CHECK, f"{age.days} days, more than {setting.value} ({setting.origin})", advice)
    return ok(CHECK, f"{age.days} days")


def _max_age(profile: Profile) -> Setting[str]:
    for name in (profile.source_profile, "default"):
        section = profile.sections.get(name or "")
        text = section.text("key_max_age") if section else None
        if section and text:
            return Setting(text, section.origin("key_max_age"))
    return Setting(DEFAULT_MAX_AGE, "default")
