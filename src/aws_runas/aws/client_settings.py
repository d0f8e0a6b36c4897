"""Client settings of a profile and addresses of Systems Manager and STS, without botocore.

Settings are read as botocore reads them. The addresses come from a table generated from botocore's data; a test
compares them for every region that botocore knows.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from aws_runas.config.profile import Profile
from aws_runas.errors import ConfigError
from aws_runas.fast.names import is_aws_true
from aws_runas.redact import printable


class _Partition(NamedTuple):
    regions: str
    suffix: str
    dual_stack_suffix: str


_PARTITIONS: Final = (
    _Partition(r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com", "api.aws"),
    _Partition(r"cn-\w+-\d+", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    _Partition(r"eusc-(de)-\w+-\d+", "amazonaws.eu", "api.amazonwebservices.eu"),
    _Partition(r"us-iso-\w+-\d+", "c2s.ic.gov", "api.aws.ic.gov"),
    _Partition(r"us-isob-\w+-\d+", "sc2s.sgov.gov", "api.aws.scloud"),
    _Partition(r"eu-isoe-\w+-\d+", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    _Partition(r"us-isof-\w+-\d+", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    _Partition(r"us-gov-\w+-\d+", "amazonaws.com", "api.aws"),
)


def ssm_endpoint(region: str, *, fips: bool = False, dual_stack: bool = False) -> str | None:
    """Return the address of Systems Manager.

    Args:
        region: for instance ``eu-west-1``.
        fips: use_fips_endpoint.
        dual_stack: use_dualstack_endpoint.

    Returns:
        ``https://HOST``; None for a region in no known partition: ask botocore then.

    Source: botocore, endpoint-rule-set-1.json of ssm, and partitions.json.
    """
    return _regional("ssm", region, fips=fips, dual_stack=dual_stack)


def sts_endpoint(region: str, *, fips: bool = False, dual_stack: bool = False) -> tuple[str, str]:
    """Return the regional address of STS and the region to sign for.

    Args:
        region: for instance ``eu-west-1``.
        fips: use_fips_endpoint.
        dual_stack: use_dualstack_endpoint.

    Source: botocore, endpoint-rule-set-1.json of sts, and partitions.json. As there, a region in no known partition
    is treated as one of ``aws``.
    """
    if region == "aws-global":
        return "https://sts.amazonaws.com", "us-east-1"
    known = _regional("sts", region, fips=fips, dual_stack=dual_stack)
    return (
        known or f"https://sts{'-fips' if fips else ''}.{region}.{'api.aws' if dual_stack else 'amazonaws.com'}",
        region,
    )


def regional_endpoint(service: str, region: str, *, fips: bool = False, dual_stack: bool = False) -> str | None:
    """Return the address of a service in a region; None if botocore has to find it.

    Args:
        service: ``ssm`` or ``sts``.
        region: such as ``eu-west-1``.
        fips: the endpoint with FIPS 140 cryptography.
        dual_stack: the endpoint that also has IPv6 addresses.
    """
    return _regional(service, region, fips=fips, dual_stack=dual_stack)


def dns_suffix(region: str) -> str:
    """Return the suffix of the host names of a region's partition, such as ``amazonaws.com.cn``."""
    partition = _partition(region)
    return partition.suffix if partition else _PARTITIONS[0].suffix


def _partition(region: str) -> _Partition | None:
    return next((each for each in _PARTITIONS if re.fullmatch(each.regions, region, re.ASCII)), None)


def _regional(service: str, region: str, *, fips: bool, dual_stack: bool) -> str | None:
    partition = _partition(region)
    if partition is None:
        return None
    suffix = partition.dual_stack_suffix if dual_stack else partition.suffix
    has_own_fips_host = fips and not (region.startswith("us-gov-") and not dual_stack)
    return f"https://{service}{'-fips' if has_own_fips_host else ''}.{region}.{suffix}"


# Setting -> its variable, and the values that AWS SDKs accept: words, or None for a positive integer.
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
    """Raise an error that names the setting on which botocore failed. Called only after a failure, to keep starts fast.

    Raises:
        ConfigError: a setting in the environment or the profile has a value that no SDK accepts.
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
    """Return a boolean as botocore reads it: the variable has precedence over the setting."""
    return is_aws_true(str(os.environ.get(variable) or setting or ""))


def sts_address(profile: Profile) -> tuple[str, str]:
    """Return the address of STS in the profile's region, and the region to sign for.

    It is always a regional address, regardless of sts_regional_endpoints, because tokens that others verify contain it.
    """
    region = profile.sts_region
    configured = profile.endpoint_url("sts")
    if configured is not None:
        return configured.rstrip("/") or configured, "us-east-1" if region == "aws-global" else region
    found = settings(profile)
    fips = is_true("AWS_USE_FIPS_ENDPOINT", found.get("use_fips_endpoint"))
    dual_stack = is_true("AWS_USE_DUALSTACK_ENDPOINT", found.get("use_dualstack_endpoint"))
    return sts_endpoint(region, fips=fips, dual_stack=dual_stack)
