"""Client settings of a profile, read as botocore reads them, without botocore."""

from __future__ import annotations

import os

from aws_runas.aws.service_endpoints import sts_endpoint
from aws_runas.config.profile import Profile
from aws_runas.errors import ConfigError
from aws_runas.redact import printable

# Setting -> its variable, and what AWS SDKs take: words, or None for a whole number of 1 or more.
# Source: AWS SDKs and Tools Reference Guide, settings.
CHECKED: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "max_attempts": ("AWS_MAX_ATTEMPTS", None),
    "retry_mode": ("AWS_RETRY_MODE", ("legacy", "standard", "adaptive")),
    "defaults_mode": (
        "AWS_DEFAULTS_MODE",
        ("legacy", "auto", "standard", "in-region", "cross-region", "mobile"),
    ),
    "sts_regional_endpoints": ("AWS_STS_REGIONAL_ENDPOINTS", ("legacy", "regional")),
    "request_checksum_calculation": ("AWS_REQUEST_CHECKSUM_CALCULATION", ("when_supported", "when_required")),
    "response_checksum_validation": ("AWS_RESPONSE_CHECKSUM_VALIDATION", ("when_supported", "when_required")),
    "account_id_endpoint_mode": ("AWS_ACCOUNT_ID_ENDPOINT_MODE", ("preferred", "disabled", "required")),
    "request_min_compression_size_bytes": ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", None),
    "metadata_service_timeout": ("AWS_METADATA_SERVICE_TIMEOUT", None),
    "metadata_service_num_attempts": ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", None),
    "ec2_metadata_service_endpoint_mode": ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", ("ipv4", "ipv6")),
}


def check_settings(profile: Profile) -> None:
    """Name the setting that botocore stumbled over. Called when it did, so that a good start costs nothing.

    Raises:
        ConfigError: a setting of the environment or of the profile has a value that no SDK takes.
    """
    own = profile.sections.get(profile.section or "")
    found = settings(profile)
    for key, (variable, words) in CHECKED.items():
        value: object = os.environ.get(variable)
        origin = variable
        if value is None and own is not None:
            value, origin = found.get(key), own.origin(key)
        if not isinstance(value, str) or _is_taken(value, words):
            continue
        what = f"one of {', '.join(words)}" if words else "a whole number of 1 or more"
        raise ConfigError(
            f"{key} = {printable(value)!r} ({origin}) is not {what}",
            code="client-setup-failed",
            hint=f"write {words[0] if words else 3}, or remove it",
        )
    if os.environ.get("AWS_CA_BUNDLE") is not None and not os.environ["AWS_CA_BUNDLE"].strip():
        raise ConfigError(
            "AWS_CA_BUNDLE is empty", code="ca-bundle-invalid", hint="unset it, or name a file with certificates"
        )


def _is_taken(value: str, words: tuple[str, ...] | None) -> bool:
    if words is None:
        return value.strip().isascii() and value.strip().isdigit() and int(value) >= 1
    return value.lower() in words


def settings(profile: Profile) -> dict[str, object]:
    """Return the client settings of the profile's own section."""
    section = profile.sections.get(profile.section or "")
    return dict(section.values) if section is not None else {}


def is_true(variable: str, setting: object) -> bool:
    """Return a boolean as botocore reads it: the variable comes before the setting."""
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
