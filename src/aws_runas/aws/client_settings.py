"""Client settings of a profile, read as botocore reads them, without botocore."""

from __future__ import annotations

import os

from aws_runas.aws.service_endpoints import sts_endpoint
from aws_runas.config.profile import Profile


def settings(profile: Profile) -> dict[str, object]:
    """Return the client settings of the profile's own section."""
    section = profile.sections.get(profile.section or "")
    return dict(section.values) if section is not None else {}


def is_true(variable: str, setting: object) -> bool:
    """As botocore reads booleans: the variable comes before the setting."""
    return str(os.environ.get(variable) or setting or "").lower() == "true"


def sts_address(profile: Profile) -> tuple[str, str]:
    """Return the address of STS in the profile's region, and the region to sign for.

    It is always a regional one, whatever sts_regional_endpoints says: tokens that others check name it.
    """
    region = profile.sts_region
    configured = profile.endpoint_url("sts")
    if configured is not None:
        return configured.rstrip("/") or configured, "us-east-1" if region == "aws-global" else region
    found = settings(profile)
    fips = is_true("AWS_USE_FIPS_ENDPOINT", found.get("use_fips_endpoint"))
    dual_stack = is_true("AWS_USE_DUALSTACK_ENDPOINT", found.get("use_dualstack_endpoint"))
    return sts_endpoint(region, fips=fips, dual_stack=dual_stack)
