"""Browser addresses of sign-in and console in each partition, also for a container tab in Firefox.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console"; AWS's pages of the partitions;
granted-containers and open-url-in-container, the README of each.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, CredentialsError, UsageError

VARIABLE = "RUNAS_SIGNIN_URL"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Partition:
    """The hosts of a partition.

    Args:
        signin: host of the federation endpoint.
        console: domain of the console, which is at this host or below it.
        regional: each region has its own hosts below these, and services without a region are in `home`.
        home: region of services without a region.
    """

    name: str
    signin: str
    console: str
    home: str
    regional: bool = False

    def signin_address(self, region: str | None) -> str:
        """Return ``https://HOST`` of the sign-in page for a region."""
        prefix = f"{region}." if self.regional and region and region != self.home else ""
        return f"https://{prefix}{self.signin}"

    def console_address(self, region: str | None) -> str:
        """Return ``https://HOST`` of the console in a region."""
        prefix = f"{region}." if self.regional and region else ""
        return f"https://{prefix}{self.console}"


PARTITIONS = {
    partition.name: partition
    for partition in (
        Partition("aws", "signin.aws.amazon.com", "console.aws.amazon.com", "us-east-1", regional=True),
        Partition("aws-us-gov", "signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com", "us-gov-west-1"),
        Partition("aws-cn", "signin.amazonaws.cn", "console.amazonaws.cn", "cn-north-1"),
        Partition("aws-eusc", "signin.amazonaws-eusc.eu", "console.amazonaws-eusc.eu", "eusc-de-east-1"),
    )
}


def find_partition(name: str) -> Partition:
    """Return the hosts of a partition.

    Raises:
        CredentialsError: the partition has no public console.
    """
    if name not in PARTITIONS:
        raise CredentialsError(
            f"partition {name} has no public console",
            code="console-not-possible",
            hint=f"the console can be opened in {', '.join(PARTITIONS)}",
        )
    return PARTITIONS[name]


def signin_override(environ: Mapping[str, str]) -> str | None:
    """Return the sign-in address from RUNAS_SIGNIN_URL, without a trailing slash.

    Raises:
        ConfigError: the value is neither an https address nor an http address on loopback.
    """
    text = environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and not (parts.query or parts.fragment or parts.username) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if usable and safe:
        return text.rstrip("/")
    raise ConfigError(
        f"{VARIABLE}={text} is not an https address",
        code="signin-url-invalid",
        hint="write for instance https://signin.aws.amazon.com; plain http is for this machine only",
    )


ISSUER = "aws-runas"
LOGOUT_REGION = "us-east-1"  # the only region whose sign-out is known to follow redirect_uri


def federation_address(partition: Partition, region: str | None, override: str | None) -> str:
    """Return the address of the federation endpoint.

    Args:
        override: from `signin_override`.
    """
    return f"{override or partition.signin_address(region)}/federation"


def login_address(federation: str, destination: str, signin_token: str) -> str:
    """Return the address that signs in and opens the destination; a secret while the token is valid.

    Args:
        federation: from `federation_address`.
    """
    values = {"Action": "login", "Issuer": ISSUER, "Destination": destination, "SigninToken": signin_token}
    return f"{federation}?{urlencode(values, quote_via=quote)}"


def with_logout(login: str, partition: Partition, override: str | None) -> str:
    """Return the address that signs the browser out first.

    Args:
        login: the address that signs in.
        partition: of the account.
        override: another sign-in address, for tests and private endpoints; None for AWS's address.

    Raises:
        UsageError: the sign-out is not known to work in this partition.
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
    """Return a shortcut link of the Identity Center portal. It has no secret; access depends on the browser's session.

    Args:
        settings: sso_start_url, sso_account_id and sso_role_name.
        origin: where they are set, for messages.
        destination: an address in the console; None for its home.

    Raises:
        ConfigError: a setting is missing, or the start URL is not an address for a browser.
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


ADD_ONS = ("granted", "open-url")
ICON = "fingerprint"
_COLORS = {  # the only colors in Firefox
    "blue": (0x37, 0xAD, 0xFF),
    "turquoise": (0x00, 0xC7, 0x9A),
    "green": (0x51, 0xCD, 0x00),
    "yellow": (0xFF, 0xCB, 0x00),
    "orange": (0xFF, 0x9F, 0x00),
    "red": (0xFF, 0x61, 0x3D),
    "pink": (0xFF, 0x4B, 0xDA),
    "purple": (0xAF, 0x51, 0xF5),
}


def container_address(address: str, name: str, color: str | None, add_on: str) -> str:
    """Return an address that opens a page in a container.

    Args:
        address: the page.
        name: of the container; Firefox creates a new one if needed.
        color: six hex digits with or without ``#``, a color of Firefox, or None to derive one from the name.
        add_on: one of ADD_ONS.

    Raises:
        ConfigError: the add-on is unknown.
    """
    if add_on not in ADD_ONS:
        raise ConfigError(
            f"console_container = {add_on} is unknown",
            code="console-setting-invalid",
            hint=f"use {' or '.join(ADD_ONS)}",
        )
    target = f"name={quote(name, safe='')}&url={quote(address, safe='')}"
    if add_on == "open-url":
        return f"ext+container:{target}"
    return f"ext+granted-containers:{target}&color={firefox_color(color, name)}&icon={ICON}"


def firefox_color(color: str | None, name: str) -> str:
    """Return the nearest Firefox color, or one derived from the name if no color is given."""
    text = (color or "").removeprefix("#").lower()
    if text in _COLORS:
        return text
    try:
        wanted = tuple(bytes.fromhex(text)) if len(text) == 6 else ()
    except ValueError:
        wanted = ()
    if not wanted:
        names = list(_COLORS)
        return names[zlib.crc32(name.encode("utf-8", "surrogateescape")) % len(names)]
    return min(_COLORS, key=lambda known: sum((a - b) ** 2 for a, b in zip(_COLORS[known], wanted, strict=True)))
