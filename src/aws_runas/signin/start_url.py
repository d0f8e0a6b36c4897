"""Start URLs: resolves a company's custom address for Identity Center, which must redirect to an address of AWS."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from aws_runas.aws.errors import reason_of
from aws_runas.aws.http import opener_without_redirects
from aws_runas.errors import ConfigError, CredentialsError

TIMEOUT = 10.0  # seconds
SUFFIXES = (
    ".awsapps.com",
    ".awsapps.cn",
    ".app.aws",
    ".portal.amazonaws.com",
    ".portal.amazonaws.com.cn",
    ".portal.amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".app.amazonwebservices.com.cn",
)
HOSTS = (
    "identitycenter.amazonaws.com",
    "identitycenter.amazonaws.com.cn",
    "identitycenter.amazonaws.eu",
    "identitycenter.us-gov.amazonaws.com",
)

# method, address -> status and Location
Ask = Callable[[str, str], tuple[int, str]]


def is_of_aws(url: str) -> bool:
    """Return True if an https address is below a domain that AWS uses for Identity Center."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return parts.scheme == "https" and (host in HOSTS or host.endswith(SUFFIXES))


def region_in(url: str) -> str:
    """Return the region that a start URL names, else ""."""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
    labels = host.split(".")
    if host.endswith(".app.aws") and len(labels) == 5 and labels[1] == "portal":
        return labels[2]  # X.portal.REGION.app.aws
    if ".portal.amazonaws." in host and len(labels) in (5, 6) and labels[2] == "portal":
        return labels[1]  # X.REGION.portal.amazonaws.com
    return ""


def resolve_start_url(url: str, ask: Ask | None = None) -> str:
    """Return the address of AWS to which a start URL leads.

    Another host gets one HEAD request, or a GET request if it does not support HEAD. One redirect is followed.

    Args:
        url: the configured start URL.
        ask: makes one request; None to use the network.

    Raises:
        ConfigError: the start URL does not lead to AWS.
        CredentialsError: the host could not be reached.
    """
    if is_of_aws(url):
        return url
    if urlsplit_scheme(url) != "https":
        raise _foreign(url, "it does not begin with https://")
    asking = ask or _ask
    status, location = asking("HEAD", url)
    if status in (405, 501):
        status, location = asking("GET", url)
    try:
        target = urljoin(url, location) if location and 300 <= status < 400 else ""
    except ValueError:
        raise _foreign(url, f"it leads to {location}, which is not an address") from None
    if not target:
        raise _foreign(url, f"it answers {status} and does not redirect")
    if not is_of_aws(target):
        raise _foreign(url, f"it leads to {target}")
    return target


def urlsplit_scheme(url: str) -> str:
    """Return the scheme of an address, "" for an invalid address."""
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""


def _foreign(url: str, reason: str) -> ConfigError:
    return ConfigError(
        f"sso_start_url {url} is not one of Identity Center: {reason}",
        code="sso-start-url-foreign",
        hint="use the address of the AWS access portal, such as https://example.awsapps.com/start",
    )


def _ask(method: str, url: str) -> tuple[int, str]:
    opener = opener_without_redirects()
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=TIMEOUT) as reply:  # noqa: S310 - https
            return int(reply.status), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Location") or ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CredentialsError(
            f"cannot ask {url} (sso_start_url) where it leads: {reason_of(error) or 'no answer'}",
            code="endpoint-unreachable",
            hint="check the address, the network and the proxy",
        ) from None
