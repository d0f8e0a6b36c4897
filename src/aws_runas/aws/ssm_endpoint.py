"""Where Systems Manager is, for every region and variant: botocore's own answer, as a table (a test compares them)."""

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
    partition = next((each for each in _PARTITIONS if re.fullmatch(each.regions, region, re.ASCII)), None)
    if partition is None:
        return None
    suffix = partition.dual_stack_suffix if dual_stack else partition.suffix
    has_own_fips_host = fips and not (region.startswith("us-gov-") and not dual_stack)
    return f"https://ssm{'-fips' if has_own_fips_host else ''}.{region}.{suffix}"
