"""Passwords for RDS databases with IAM authentication. On the cached path: nothing expensive is imported.

Source: Amazon RDS user guide, "Connecting to your DB instance using IAM authentication".
"""

from aws_runas.errors import UsageError
from aws_runas.tokens.presign import presign

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 5432  # PostgreSQL
LIFETIME = 900  # seconds
_SUFFIXES = (
    ".amazonaws.com.cn",
    ".amazonaws.com",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
)
_LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - names that are refused
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def split_host(text: str) -> tuple[str, int]:
    """Split ``HOST[:PORT]``. An RDS endpoint is returned as AWS writes it, because the token contains that name.

    Raises:
        UsageError: the host name or the port is not valid, or the host is the local end of a tunnel.
    """
    host, colon, digits = text.rpartition(":")
    if not colon:
        host, digits = text, str(DEFAULT_PORT)
    if host.strip("[]").lower() in _LOCAL or text.strip("[]").lower() in _LOCAL:
        raise UsageError(
            f"{text} is this machine, and the token names the database",
            code="token-host-local",
            hint="name the endpoint of the database and its own port, also behind a tunnel",
        )
    if not host or not _HOST.issuperset(host) or host[0] in ".-" or "/" in digits:
        raise UsageError(
            f"{text!r} is not the host of a database", code="token-host-invalid", hint="write HOST or HOST:PORT"
        )
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535):
        raise UsageError(
            f"{digits!r} in {text!r} is not a port, 1 to 65535", code="token-host-invalid", hint="write HOST:PORT"
        )
    return host.lower().rstrip(".") if region_of(host) else host, int(digits)


def region_of(host: str) -> str:
    """Return the region in the name of an RDS endpoint; "" for another name.

    Names are ``X.REGION.rds.amazonaws.com`` for instances, clusters and proxies. China has ``X.rds.REGION`` too.
    """
    name = host.lower().rstrip(".")
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            labels = name[: -len(suffix)].split(".")
            if len(labels) >= 3 and labels[-1] == "rds":
                return labels[-2] if labels[-2].count("-") >= 2 else ""
            if len(labels) >= 3 and labels[-2] == "rds":
                return labels[-1] if labels[-1].count("-") >= 2 else ""
            return ""
    return ""


def database_token(host: str, port: int, user: str, region: str, *, found: "Mapping[str, str]", now: float) -> str:
    """Return the password of a database user, valid for 15 minutes.

    Args:
        host, port: the host and port of the database, not of a tunnel to it.
        user: the database user.
        region: the region of the database.
        found: ``key``, ``secret`` and ``token`` of the credentials.
        now: seconds since the epoch.
    """
    parameters = (("Action", "connect"), ("DBUser", user))
    address = presign(
        f"https://{host}:{port}/",
        parameters,
        {},
        credentials=found,
        service="rds-db",
        region=region,
        now=now,
        expires=LIFETIME,
    )
    return address.removeprefix("https://")
