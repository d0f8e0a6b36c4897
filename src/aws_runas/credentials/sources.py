"""Providers of the first credentials: stored keys, ``credential_process``, and botocore's resolvers.

Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from aws_runas.aws.credentials import Credentials, checked, parse_time
from aws_runas.config.profile import KeySource, NoSource, Profile, ResolverSource, Setting
from aws_runas.credentials import processes
from aws_runas.errors import CredentialsError


def run_credential_process(profile: Profile, source: ResolverSource, now: float) -> Credentials:
    """Run the program of a profile and read its output.

    Args:
        source: of kind ``process``.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ConfigError: the command line cannot be split, or the program runs itself in a cycle.
        CredentialsError: the program failed, or its output contains no valid credentials.
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
    """Read the output of the program.

    Args:
        printed: a JSON document of version 1.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ValueError: the output is not such a document, or its credentials have expired. The message contains no secret.
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


class KeyProvider:
    """Keys from a file or the environment."""

    def __init__(self, source: KeySource) -> None:
        self._found = Credentials(
            source.access_key_id, source.secret_access_key, source.session_token, expiration=_time(source.expiration)
        )

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - they cannot be refreshed
        """Return the keys unchanged.

        Args:
            refresh: not used.
        """
        return self._found


class ResolverProvider:
    """Provider that runs the process of the source, or botocore's resolver for it.

    Args:
        now: seconds since the epoch.
        trace: receives a line for each AWS call; None for no trace.
    """

    def __init__(
        self,
        profile: Profile,
        source: ResolverSource,
        now: Callable[[], float],
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._profile = profile
        self._source = source
        self._now = now
        self._trace = trace

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call fetches
        """Fetch credentials with botocore's resolver.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        if self._source.kind == "process":
            return run_credential_process(self._profile, self._source, self._now())
        from aws_runas.aws import resolvers

        return resolvers.fetch(self._profile, self._source, self._now(), self._trace)


class MissingProvider:
    """Provider without credentials; it raises the error about them."""

    def __init__(self, source: NoSource) -> None:
        self._source = source

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - nothing to refresh
        """Raise the error that names the missing setting.

        Args:
            refresh: not used.
        """
        raise CredentialsError(self._source.message, code="credentials-missing", hint=self._source.hint)


def _time(text: str | None) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None
