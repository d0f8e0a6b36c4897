"""Credentials from the program that ``credential_process`` names.

Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

from __future__ import annotations

import json

from aws_runas.aws.credentials import Credentials, checked, parse_time
from aws_runas.config.profile import Profile, ResolverSource, Setting
from aws_runas.credentials import processes
from aws_runas.errors import CredentialsError


def fetch(profile: Profile, source: ResolverSource, now: float) -> Credentials:
    """Run the program of a profile and read its answer.

    Args:
        source: of kind ``process``.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ConfigError: the command line cannot be split, or the program runs itself in a circle.
        CredentialsError: it failed, or its answer holds no credentials that are valid.
    """
    section = profile.sections[source.profile or ""]
    command = Setting(section.text("credential_process") or "", source.origin)
    try:
        return read_document(processes.run(f"credential_process of profile {section.name}", command), now)
    except (processes.ProcessFailed, ValueError) as error:
        raise CredentialsError(
            f"no credentials from credential_process ({source.origin}): {error}",
            code="source-failed",
            hint="run the command by hand to see more",
        ) from None


def read_document(printed: bytes, now: float) -> Credentials:
    """Read what the program printed.

    Args:
        printed: a JSON document of version 1.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ValueError: it is none, or its credentials have expired. The message holds no value of a secret.
    """
    try:
        document = json.loads(printed)
    except (ValueError, RecursionError):
        raise ValueError("it printed no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("it printed JSON that is not an object")
    if document.get("Version") != 1:
        raise ValueError("its answer does not have Version 1")
    expiration = document.get("Expiration")
    credentials = checked(
        document.get("AccessKeyId"),
        document.get("SecretAccessKey"),
        document.get("SessionToken"),
        expiration=None if expiration in (None, "") else parse_time(expiration),
        now=now,
    )
    if credentials.expiration is not None and credentials.expiration.timestamp() <= now:
        raise ValueError(f"its credentials expired at {credentials.expiration:%Y-%m-%dT%H:%M:%SZ}")
    return credentials
