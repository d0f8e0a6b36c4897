"""Credentials as text: shell assignments, the credential_process document, and the expiration. Pure functions.

``env`` is for sh and compatible shells; ``fish``, ``powershell`` and ``dotenv`` have their own quoting rules.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from aws_runas.aws.credentials import Credentials
from aws_runas.errors import UsageError

FORMATS = ("env", "json", "fish", "powershell", "dotenv")
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWSRUNAS_PROFILE",
)
OUTRANKING = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")  # some SDKs, such as the JavaScript one, prefer them to keys

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+/=:,@%")
_QUOTES = "'‘’‚‛"  # PowerShell treats each of these as a single quote


def check_format(name: str) -> str:
    """Return the name of a format in lower case.

    Args:
        name: as typed.

    Raises:
        UsageError: the format does not exist.
    """
    if name.lower() not in FORMATS:
        raise UsageError(
            f"there is no output format {name!r}",
            code="output-format-unknown",
            hint=f"choose one of {', '.join(FORMATS)}",
        )
    return name.lower()


def variables(credentials: Credentials, region: str | None, profile: str) -> dict[str, str]:
    """Return the environment variables that pass credentials to a program.

    Args:
        region: omitted if None.
        profile: becomes AWSRUNAS_PROFILE.
    """
    found = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
    }
    if credentials.session_token:
        found["AWS_SESSION_TOKEN"] = found["AWS_SECURITY_TOKEN"] = credentials.session_token
    if credentials.expiration:
        found["AWS_CREDENTIAL_EXPIRATION"] = iso(credentials.expiration)
    if region:
        found["AWS_REGION"] = found["AWS_DEFAULT_REGION"] = region
    return found | {"AWSRUNAS_PROFILE": profile}


def render(credentials: Credentials, output: str, *, region: str | None, profile: str) -> str:
    """Format credentials; the shell formats also unset the variables that have precedence over the keys.

    Args:
        output: one of FORMATS.
    """
    output = check_format(output)
    if output == "json":
        return process_document(credentials)
    assign = _ASSIGN[output]
    unset = _UNSET.get(output)
    removed = "".join(f"{unset(name)}\n" for name in OUTRANKING) if unset else ""
    return removed + "".join(
        f"{assign(name, value)}\n" for name, value in variables(credentials, region, profile).items()
    )


def render_unset(output: str) -> str:
    """Return shell commands that unset the credential variables. The region stays, as the user may have set it.

    Args:
        output: a format.

    Raises:
        UsageError: the format has no syntax for it.
    """
    output = check_format(output)
    if output not in _UNSET:
        raise UsageError(
            f"--unset is not possible with -O {output}", code="unset-impossible", hint="use -O env, fish or powershell"
        )
    return "".join(f"{_UNSET[output](name)}\n" for name in VARIABLES)


def process_document(credentials: Credentials) -> str:
    """Return the document that a credential_process prints.

    Args:
        credentials: to print.
    """
    document: dict[str, object] = {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
    }
    if credentials.session_token:
        document["SessionToken"] = credentials.session_token
    if credentials.expiration:
        document["Expiration"] = iso(credentials.expiration)
    return json.dumps(document, indent=2) + "\n"


def iso(moment: datetime) -> str:
    """Format a time as AWS does: ``2026-11-23T07:44:12Z``.

    Args:
        moment: with a time zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expiration_text(credentials: Credentials, now: float, zone: tzinfo | None = None) -> str:
    """Return when credentials expire, as local time and in words.

    Args:
        now: seconds since the epoch.
        zone: time zone; None for the local one.
    """
    if credentials.expiration is None:
        return "credentials do not expire\n"
    local = credentials.expiration.astimezone(zone)
    left = credentials.expiration.timestamp() - now
    words = f"in {in_words(left)}" if left >= 0 else f"{in_words(-left)} ago"
    verb = "expire" if left >= 0 else "expired"
    return f"credentials {verb} on {local.strftime('%Y-%m-%d at %H:%M:%S %Z').strip()} ({words})\n"


def in_words(seconds: float) -> str:
    """Format a duration in words: ``1 hour 5 minutes``.

    Args:
        seconds: the duration.
    """
    seconds = int(seconds)
    if seconds < 60:
        return _count(seconds, "second")
    days, rest = divmod(seconds // 60, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = [_count(number, unit) for number, unit in ((days, "day"), (hours, "hour"), (minutes, "minute")) if number]
    return " ".join(parts[:2])


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _posix(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: str) -> str:
    escaped = "".join(character * 2 if character in _QUOTES else character for character in value)
    return f"$Env:{name} = '{escaped}'"


def _dotenv(name: str, value: str) -> str:
    """Return a value unquoted if possible, since Docker's --env-file supports no quotes, else in single quotes.

    Shells and dotenv libraries disagree about quotes and backslashes within single quotes: a character that is literal
    for one ends the quotes for the other, which could then run the rest as a command.

    Raises:
        UsageError: the value contains one of these characters, or is not one line.
    """
    if all(character in _PLAIN for character in value):
        return f"{name}={value}"
    if not value.isprintable() or "'" in value or "\\" in value:
        raise UsageError(
            f"the value of {name} cannot be written so that every reader of a dotenv file reads the same",
            code="output-format-impossible",
            hint="it has a quote, a backslash or a control character; use -O env or -O json",
        )
    return f"{name}='{value}'"


_ASSIGN: dict[str, Callable[[str, str], str]] = {
    "env": _posix,
    "fish": _fish,
    "powershell": _powershell,
    "dotenv": _dotenv,
}
_UNSET: dict[str, Callable[[str], str]] = {
    "env": lambda name: f"unset {name}",
    "fish": lambda name: f"set -e {name}",
    "powershell": lambda name: f"Remove-Item -ErrorAction SilentlyContinue Env:{name}",
}
