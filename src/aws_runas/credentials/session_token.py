"""Session tokens: temporary keys for all roles of a user, in exchange for the user's own keys and an MFA code."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.credentials.mfa import MfaCodes
from aws_runas.credentials.sts_clients import StsClients


class SessionTokenProvider:
    """Calls GetSessionToken.

    Args:
        source: the user's own keys.
        clients: STS, signed by a provider.
        mfa: codes for the device, None if the user has none.
        duration: seconds.
        now: seconds since the epoch.
    """

    def __init__(
        self, source: Provider, clients: StsClients, mfa: MfaCodes | None, duration: int, *, now: Callable[[], float]
    ) -> None:
        self._source = source
        self._clients = clients
        self._mfa = mfa
        self._duration = duration
        self._now = now

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call fetches
        """Fetch a session token. Asks for a code if there is an MFA device.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        keys = self._source.credentials()
        if self._mfa is None:
            return self._call(keys, None, None)
        serial = self._mfa.serial.value
        return self._mfa.attempt(lambda code: self._call(keys, serial, code))

    def _call(self, keys: Credentials, serial: str | None, code: str | None) -> Credentials:
        from aws_runas.aws import sts

        return sts.get_session_token(self._clients.signed_by(keys), self._duration, serial, code, now=self._now())


class SessionOrSource:
    """Provider for a source of either kind of keys: temporary keys pass through, own keys become a session token.

    Args:
        source: for instance a credential_process.
        session: makes the session token provider for the user's own keys.
    """

    def __init__(self, source: Provider, session: Callable[[Credentials], Provider]) -> None:
        self._source = source
        self._session = session

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the source's temporary keys, or a session token for its long-term keys.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        keys = self._source.credentials(refresh=refresh)
        if keys.session_token:
            return keys
        return self._session(keys).credentials(refresh=refresh)
