"""Addresses of Systems Manager and STS in every region and variant, a table made from botocore's own.

A test compares them for every region that botocore knows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


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
        ``https://HOST``; None for a region that is in no known partition: ask botocore then.

    Source: botocore, endpoint-rule-set-1.json of ssm, and partitions.json.
    """
    return _regional("ssm", region, fips=fips, dual_stack=dual_stack)


def sts_endpoint(region: str, *, fips: bool = False, dual_stack: bool = False) -> tuple[str, str]:
    """Return the regional address of STS and the region to sign for.

    Args:
        region: for instance ``eu-west-1``.
        fips: use_fips_endpoint.
        dual_stack: use_dualstack_endpoint.

    Source: botocore, endpoint-rule-set-1.json of sts, and partitions.json. As there, a region of no known partition is
    read as one of ``aws``.
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
