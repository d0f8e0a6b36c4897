"""The addresses that a browser opens."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from aws_runas.console.partitions import LOOPBACK, Partition
from aws_runas.errors import ConfigError, UsageError

ISSUER = "aws-runas"
LOGOUT_REGION = "us-east-1"  # the only one whose sign-out is known to follow redirect_uri


def federation_address(partition: Partition, region: str | None, override: str | None) -> str:
    """Return the address of the federation endpoint.

    Args:
        override: from `signin_override`.
    """
    return f"{override or partition.signin_address(region)}/federation"


def login_address(federation: str, destination: str, signin_token: str) -> str:
    """Return the address that signs in and leads to the destination; a secret while the token is good.

    Args:
        federation: from `federation_address`.
    """
    values = {"Action": "login", "Issuer": ISSUER, "Destination": destination, "SigninToken": signin_token}
    return f"{federation}?{urlencode(values, quote_via=quote)}"


def with_logout(login: str, partition: Partition, override: str | None) -> str:
    """Return the address that signs the browser out first.

    Raises:
        UsageError: it is not known to work in this partition.
    """
    if partition.name != "aws":
        raise UsageError(
            f"--logout-first does not work in partition {partition.name}",
            code="flag-unsuitable",
            hint="sign out in the browser",
        )
    base = override or f"https://{LOGOUT_REGION}.{partition.signin}"
    return f"{base}/oauth?Action=logout&redirect_uri={quote(login, safe='')}"


def portal_address(settings: Mapping[str, str], origin: str, destination: str | None) -> str:
    """Return the shortcut of the Identity Center portal; it holds no secret, the browser's own session decides.

    Args:
        settings: sso_start_url, sso_account_id and sso_role_name.
        origin: where they are, for messages.
        destination: an address in the console; None for its home.

    Raises:
        ConfigError: one of them is missing, or the start URL is no address for a browser.
    """
    for name in ("sso_start_url", "sso_account_id", "sso_role_name"):
        if not settings.get(name):
            raise ConfigError(f"{origin} has no {name}", code="sso-incomplete", hint=f"add {name} = ... there")
    start = settings["sso_start_url"].partition("#")[0].rstrip("/")
    try:
        parts = urlsplit(start)
        usable = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"sso_start_url {start!r} is not an https address", code="sso-incomplete", hint=f"correct it in {origin}"
        )
    values = {"account_id": settings["sso_account_id"], "role_name": settings["sso_role_name"]}
    if destination:
        values["destination"] = destination
    return f"{start}/#/console?{urlencode(values, quote_via=quote)}"
