"""Which registry an address names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.tokens.registry import parse_registry

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("text", "region", "fips"),
    [
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", False),
        (f"https://{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", False),
        (f"http://{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/v2/", "eu-west-1", False),
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com:443/name:tag", "eu-west-1", False),
        (f" {ACCOUNT}.DKR.ECR.EU-WEST-1.AMAZONAWS.COM\n", "eu-west-1", False),
        (f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True),
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", False),
        (f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", False),
        (f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws", "us-east-1", False),
        (f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", True),
        (f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", False),
        (f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", False),
        (f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", False),
        (f"{ACCOUNT}.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", False),
        (f"{ACCOUNT}.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", False),
    ],
)
def test_registry_of_an_account(text: str, region: str, fips: bool) -> None:
    found = parse_registry(text)
    assert found is not None
    assert (found.account, found.region, found.fips, found.is_public) == (ACCOUNT, region, fips, False)
    assert found.host == text.strip().lower().rpartition("://")[2].partition("/")[0].partition(":")[0]


@pytest.mark.parametrize("text", ["public.ecr.aws", "https://public.ecr.aws/v2/", "ecr-public.aws.com:443"])
def test_public_gallery(text: str) -> None:
    found = parse_registry(text)
    assert found is not None
    assert (found.is_public, found.region, found.account) == (True, "us-east-1", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ghcr.io",
        "https://index.docker.io/v1/",
        ACCOUNT,
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com@evil.example",
        f"evil.example/{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"evil.example#{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com:443@evil.example",
        f"https://user@{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"ftp://{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.example.com",
        f"{ACCOUNT}.dkr.ecr.evil.example.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.amazonaws.com",
        f"{ACCOUNT}.dkr-ecr.us-east-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.us-east-1.on.aws",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
        "\u0661" * 12 + ".dkr.ecr.eu-west-1.amazonaws.com",
        "public.ecr.aws.evil.example",
        '{"ServerURL":"public.ecr.aws"}',
    ],
)
def test_other_addresses_are_not_ours(text: str) -> None:
    assert parse_registry(text) is None


@given(st.text(max_size=80))
def test_any_text_is_a_registry_or_none(text: str) -> None:
    found = parse_registry(text)
    assert found is None or found.host in text.lower()
