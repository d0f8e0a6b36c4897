"""What the user types -> an address in the console of each partition."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.console import services
from aws_runas.console.destination import find_destination, is_plainly_destination
from aws_runas.console.links import PARTITIONS, find_partition
from aws_runas.errors import CredentialsError, UsageError

AWS = PARTITIONS["aws"]
HOME = "https://eu-west-1.console.aws.amazon.com/"

CASES = [
    (None, "console/home?region=eu-west-1"),
    ("", "console/home?region=eu-west-1"),
    ("s3", "s3/home?region=eu-west-1"),
    ("EC2", "ec2/home?region=eu-west-1"),
    ("cfn", "cloudformation/home?region=eu-west-1"),
    ("logs", "cloudwatch/home?region=eu-west-1#logsV2:log-groups"),
    ("ec2/home#Instances:", "ec2/home?region=eu-west-1#Instances:"),
    ("/ec2/home#Instances:", "ec2/home?region=eu-west-1#Instances:"),
    ("//evil.example/x", "evil.example/x?region=eu-west-1"),
    ("rds/home?engine=x#db", "rds/home?engine=x&region=eu-west-1#db"),
    ("rds/home?region=us-west-2#db", "rds/home?region=us-west-2#db"),
    ("brandnew", "brandnew?region=eu-west-1"),
    ("arn:aws:s3:::my-bucket", "s3/buckets/my-bucket"),
    ("arn:aws:s3:::my-bucket/a b&c", None),
    ("arn:aws:s3:::my-bucket/a/b&c", "s3/object/my-bucket?prefix=a%2Fb%26c"),
]


@pytest.mark.parametrize(("typed", "path"), CASES)
def test_a_word_a_path_or_nothing_opens_in_the_region_of_the_profile(typed: str | None, path: str | None) -> None:
    if path is None:
        with pytest.raises(UsageError):
            find_destination(typed, AWS, "eu-west-1")
        return
    host = "https://console.aws.amazon.com/" if "s3:::" in (typed or "") else HOME
    assert find_destination(typed, AWS, "eu-west-1").address == host + path


def test_a_service_without_region_opens_in_the_home_region() -> None:
    expected = "https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1"
    assert find_destination("iam", AWS, "eu-west-1").address == expected


def test_only_an_unknown_word_is_warned_of() -> None:
    assert "brandnew is not a service" in find_destination("brandnew", AWS, None).warning
    assert [word for word in services.WORDS if find_destination(word, AWS, None).warning] == []
    assert find_destination("some/path", AWS, None).warning == ""


@pytest.mark.parametrize(
    ("arn", "address"),
    [
        (
            "arn:aws:iam::123456789012:role/path/My+Role",
            "https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1#/roles/details/My%2BRole",
        ),
        (
            "arn:aws:iam::123456789012:user/me",
            "https://us-east-1.console.aws.amazon.com/iam/home?region=us-east-1#/users/details/me",
        ),
        (
            "arn:aws:lambda:eu-central-1:123456789012:function:job:PROD",
            "https://eu-central-1.console.aws.amazon.com/lambda/home?region=eu-central-1#/functions/job",
        ),
        (
            "arn:aws:ec2:us-west-2:123456789012:instance/i-0123456789abcdef0",
            "https://us-west-2.console.aws.amazon.com/ec2/home?region=us-west-2"
            "#InstanceDetails:instanceId=i-0123456789abcdef0",
        ),
        (
            "arn:aws:logs:us-west-2:123456789012:log-group:/aws/lambda/job:*",
            "https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2"
            "#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fjob",
        ),
    ],
)
def test_an_arn_opens_its_page_in_its_own_region(arn: str, address: str) -> None:
    assert find_destination(arn, AWS, "eu-west-1").address == address


@pytest.mark.parametrize(
    ("name", "region", "address"),
    [
        ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com/s3/home?region=eu-west-1"),
        ("aws", None, "https://console.aws.amazon.com/s3/home"),
        ("aws-us-gov", "us-gov-west-1", "https://console.amazonaws-us-gov.com/s3/home?region=us-gov-west-1"),
        ("aws-cn", "cn-north-1", "https://console.amazonaws.cn/s3/home?region=cn-north-1"),
        ("aws-eusc", "eusc-de-east-1", "https://console.amazonaws-eusc.eu/s3/home?region=eusc-de-east-1"),
    ],
)
def test_each_partition_has_its_console(name: str, region: str | None, address: str) -> None:
    partition = find_partition(name)
    assert find_destination("s3", partition, region).address == address
    assert find_destination(address, partition, None).address == address
    for other in PARTITIONS.values():
        if other is not partition:
            with pytest.raises(UsageError):
                find_destination(address, other, region)
    arn = f"arn:{name}:iam::123456789012:role/R"
    assert find_destination(arn, partition, region).address.startswith(partition.console_address(partition.home))


@pytest.mark.parametrize("name", ["aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-new"])
def test_a_partition_without_public_console_is_an_error(name: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        find_partition(name)
    assert caught.value.code == "console-not-possible"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "http://console.aws.amazon.com/",
        "https://console.aws.amazon.com.evil.example/",
        "https://evil-console.aws.amazon.com/",
        "https://me@console.aws.amazon.com/",
        "https://console.aws.amazon.com:8443/",
        "https://console.aws.amazon.com:x/",
        "https://evil.example\\.console.aws.amazon.com/",
        "https://evil.example\t.console.aws.amazon.com/",
        "https://evil.example/@console.aws.amazon.com/",
        "https://evil.example?.console.aws.amazon.com/",
        "https://[console.aws.amazon.com/",
        "javascript://console.aws.amazon.com/%0aalert(1)",
        "file://console.aws.amazon.com/etc/passwd",
        "https://signin.aws.amazon.com/oauth?Action=logout",
        "arn:aws:sqs:eu-west-1:123456789012:queue",
        "arn:aws-cn:s3:::bucket",
        "arn:aws:s3",
        "arn:aws:iam::123456789012:role/",
        "s3\x1b[31m",
        "ec2 home",
    ],
)
def test_what_is_not_in_the_console_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_destination(address, AWS, "eu-west-1")
    assert caught.value.code == "destination-invalid"


@given(st.one_of(st.text(), st.text(alphabet="/:@\\?#.aconsle wmzn-https%[]").map("https://".__add__)))
def test_whatever_is_typed_stays_in_the_console(text: str) -> None:
    try:
        address = find_destination(text, AWS, "eu-west-1").address
    except UsageError:
        return
    parts = urlsplit(address)
    assert parts.scheme == "https"
    assert parts.username is None
    assert f".{parts.hostname}".endswith(".console.aws.amazon.com")
    assert address.isascii()
    assert "\\" not in address


def test_one_word_alone_is_a_destination_only_if_it_can_be_nothing_else() -> None:
    assert all(map(is_plainly_destination, ["s3", "ec2/home", "https://x", "arn:aws:s3:::b"]))
    assert not any(map(is_plainly_destination, ["prod", "my-profile", "i-0123"]))


def test_the_table_is_about_a_hundred_words_without_contradictions() -> None:
    assert len(services.WORDS) > 100
    assert not set(services.PATHS) & set(services.ALIASES)
    assert set(services.ALIASES.values()) <= set(services.PATHS)
    assert set(services.PATHS) >= services.GLOBAL
