"""Which start URLs belong to AWS, and where a company's own address may lead."""

from __future__ import annotations

import pytest

from aws_runas.errors import ConfigError
from aws_runas.signin.start_url import is_of_aws, region_in, resolve_start_url

OURS = "https://sso.example.com/"
GOOD = "https://d-1234567890.awsapps.com/start"


@pytest.mark.parametrize(
    "url",
    [
        "https://corp.awsapps.com/start", "https://corp.awsapps.cn/start", "https://ssoins-1.portal.eu-west-1.app.aws",
        "https://x.eu-west-1.portal.amazonaws.com", "https://x.cn-north-1.portal.amazonaws.com.cn",
        "https://x.eusc-de-east-1.portal.amazonaws.eu", "https://identitycenter.amazonaws.com/ssoins-1",
        "https://identitycenter.us-gov.amazonaws.com/x", "https://CORP.awsapps.com/start/",
    ],
)  # fmt: skip
def test_addresses_of_aws_are_asked_nothing(url: str) -> None:
    assert is_of_aws(url)

    def ask(_method: str, _url: str) -> tuple[int, str]:
        raise AssertionError

    assert resolve_start_url(url, ask) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://corp.awsapps.com/start", "https://awsapps.com.evil.example/start", "https://evilawsapps.com/",
        "https://corp.awsapps.com@evil.example/start", "https://identitycenter.amazonaws.com.evil.example/", "https://[",
        "corp.awsapps.com/start", "",
    ],
)  # fmt: skip
def test_addresses_that_look_like_it_are_not(url: str) -> None:
    assert not is_of_aws(url)


@pytest.mark.parametrize(
    ("head", "get", "asked"),
    [
        ((302, GOOD), None, ["HEAD"]),
        ((405, ""), (301, GOOD), ["HEAD", "GET"]),
        ((501, ""), (307, GOOD), ["HEAD", "GET"]),
    ],
)
def test_an_own_address_leads_to_aws_by_one_redirect(
    head: tuple[int, str], get: tuple[int, str] | None, asked: list[str]
) -> None:
    answers = {"HEAD": head, "GET": get or (500, "")}
    seen: list[str] = []

    def ask(method: str, url: str) -> tuple[int, str]:
        assert url == OURS
        seen.append(method)
        return answers[method]

    assert resolve_start_url(OURS, ask) == GOOD
    assert seen == asked


@pytest.mark.parametrize(
    "answer",
    [(200, ""), (404, ""), (302, ""), (302, "https://evil.example/start"), (302, "http://corp.awsapps.com/start"),
     (302, "/login"), (302, "https://[::1/start"), (200, GOOD)],
)  # fmt: skip
def test_an_address_that_leads_elsewhere_is_refused(answer: tuple[int, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_start_url(OURS, lambda _method, _url: answer)
    assert (caught.value.code, caught.value.exit_status) == ("sso-start-url-foreign", 3)
    assert OURS in caught.value.message


def test_an_address_without_tls_is_refused_unasked() -> None:
    with pytest.raises(ConfigError, match="https"):
        resolve_start_url("http://sso.example.com/", lambda _method, _url: (302, GOOD))


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://ssoins-1.portal.eu-west-1.app.aws", "eu-west-1"),
        ("https://x.eu-west-1.portal.amazonaws.com/", "eu-west-1"),
        ("https://x.cn-north-1.portal.amazonaws.com.cn", "cn-north-1"),
        ("https://corp.awsapps.com/start", ""),
    ],
)
def test_some_addresses_name_their_region(url: str, region: str) -> None:
    assert region_in(url) == region
