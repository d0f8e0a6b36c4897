"""Addresses of sign-in and console in each partition.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console"; AWS's pages of the partitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aws_runas.errors import ConfigError, CredentialsError

VARIABLE = "RUNAS_SIGNIN_URL"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Partition:
    """The hosts of a partition.

    Args:
        signin: host of the federation endpoint.
        console: domain of the console; the console itself is there or below it.
        regional: each region has hosts of its own below these, and services without a region are in `home`.
        home: region of the services without one.
    """

    name: str
    signin: str
    console: str
    home: str
    regional: bool = False

    def signin_address(self, region: str | None) -> str:
        """Return ``https://HOST`` of the sign-in for a region."""
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
        CredentialsError: it has no public console.
    """
    if name not in PARTITIONS:
        raise CredentialsError(
            f"partition {name} has no public console",
            code="console-not-possible",
            hint=f"the console can be opened in {', '.join(PARTITIONS)}",
        )
    return PARTITIONS[name]


def signin_override(environ: Mapping[str, str]) -> str | None:
    """Return the sign-in address that RUNAS_SIGNIN_URL names, without a slash at its end.

    Raises:
        ConfigError: it is no https address, nor http on loopback.
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
