"""Providers of the first credentials: keys that lie ready, and what botocore's resolvers fetch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aws_runas.aws.credentials import Credentials, parse_time
from aws_runas.config.profile import KeySource, NoSource, Profile, ResolverSource
from aws_runas.errors import CredentialsError


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
        trace: told of each AWS call; None for silence.
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
            refresh: fetch new ones even if kept ones are still good.
        """
        if self._source.kind == "process":
            from aws_runas.credentials import credential_process

            return credential_process.fetch(self._profile, self._source, self._now())
        from aws_runas.aws import resolvers

        return resolvers.fetch(self._profile, self._source, self._now(), self._trace)


class MissingProvider:
    """Says that there are no credentials."""

    def __init__(self, source: NoSource) -> None:
        self._source = source

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - nothing to refresh
        """Raise the error that says what is missing.

        Args:
            refresh: not used.
        """
        raise CredentialsError(self._source.message, code="credentials-missing", hint=self._source.hint)


def _time(text: str | None) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None
