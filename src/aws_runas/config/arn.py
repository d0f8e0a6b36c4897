"""Role ARNs and partitions."""

from __future__ import annotations

ACCOUNT_DIGITS = 12

_FIRST_REGIONS = {  # the first region of each partition
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}
_REGION_PREFIXES = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}


def looks_like_arn(text: str) -> bool:
    """Return True if a text is meant as an ARN, not as a profile name.

    Args:
        text: as typed.
    """
    return text.startswith("arn:")


def is_role_arn(text: str) -> bool:
    """Return True if a text is the ARN of an IAM role.

    Args:
        text: as typed or configured.
    """
    parts = text.split(":", 5)
    if len(parts) != 6:
        return False
    arn, partition, service, region, account, resource = parts
    name = resource.removeprefix("role/")
    return (
        arn == "arn"
        and partition.split("-", 1)[0] == "aws"  # also future partitions
        and service == "iam"
        and not region
        and len(account) == ACCOUNT_DIGITS
        and account.isascii()
        and account.isdigit()
        and resource != name
        and bool(name)
        and not name.endswith("/")
        and not any(character.isspace() for character in resource)
    )


def partition_of(arn: str | None, region: str | None) -> str:
    """Return the partition of an ARN, else of a region, else ``aws``.

    Args:
        arn: of a role or a device, or None.
        region: None if none is configured.
    """
    if arn and looks_like_arn(arn):
        return arn.split(":")[1] or "aws"
    for prefix, partition in _REGION_PREFIXES.items():
        if region and region.startswith(prefix):
            return partition
    return "aws"


def first_region(partition: str) -> str:
    """Return the region whose STS is used in a partition if no region is configured.

    Args:
        partition: such as ``aws-cn``.
    """
    return _FIRST_REGIONS.get(partition, _FIRST_REGIONS["aws"])
