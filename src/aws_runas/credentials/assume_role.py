"""Roles: AssumeRole, signed with a session token, the previous role in the chain, or the user's own keys."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.aws.errors import aws_code, aws_message
from aws_runas.config.durations import CHAINED_ROLE_LIMIT, format_duration
from aws_runas.config.lookup import out_of_range
from aws_runas.config.profile import Role
from aws_runas.credentials.mfa import MfaCodes
from aws_runas.credentials.sts_clients import StsClients
from aws_runas.errors import CredentialsError

_STALE = frozenset({"credentials-expired", "access-key-unknown"})


class AssumeRoleProvider:
    """Calls AssumeRole.

    Args:
        source: gives the credentials that sign the call.
        clients: STS, signed by a provider.
        role: the role to assume, with all parameters.
        mfa: codes, only if the user's own keys sign; a session token already includes MFA.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        source: Provider,
        clients: StsClients,
        role: Role,
        mfa: MfaCodes | None,
        *,
        now: Callable[[], float],
    ) -> None:
        self._source = source
        self._clients = clients
        self._role = role
        self._mfa = mfa
        self._now = now

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Assume the role. Cached source credentials that AWS no longer accepts are fetched again, once.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        keys = self._source.credentials(refresh=refresh)
        try:
            return self._assume(keys)
        except CredentialsError as error:
            if error.code not in _STALE or refresh or not keys.session_token:
                raise
        again = self._source.credentials(refresh=True)
        return self._assume(again)

    def _assume(self, keys: Credentials) -> Credentials:
        if self._role.duration.value > CHAINED_ROLE_LIMIT and keys.session_token:
            raise refused_duration(self._role, "temporary keys")
        if self._mfa is None or keys.session_token:
            return self._call(keys, None, None)
        serial = self._mfa.serial.value
        return self._mfa.attempt(lambda code: self._call(keys, serial, code))

    def _call(self, keys: Credentials, serial: str | None, code: str | None) -> Credentials:
        from aws_runas.aws import sts

        try:
            return sts.assume_role(self._clients.signed_by(keys), self._role, serial, code, now=self._now())
        except CredentialsError as error:
            raise self._explain(error) from error.__cause__

    def _explain(self, error: CredentialsError) -> CredentialsError:
        message = aws_message(error)
        if "MultiFactorAuthentication" in message:
            return error
        if aws_code(error) == "AccessDenied":
            return CredentialsError(
                f"not allowed to assume {self._role.arn}: {message}",
                code="role-denied",
                hint="the role's trust policy, its conditions (external id, MFA, tags) and your policy must allow it",
            )
        if "DurationSeconds" in message:
            wanted = format_duration(self._role.duration.value)
            return CredentialsError(
                f"{self._role.arn} does not allow {wanted} ({self._role.duration.origin}): {message}",
                code="role-duration-refused",
                hint="ask for less with -a, or raise the role's maximum session duration",
            )
        return error


def refused_duration(role: Role, what: str) -> Exception:
    """Return the error for a duration over one hour where AWS allows at most one hour.

    Args:
        role: the role with this duration.
        what: the reason for the limit: a chained role, or temporary keys.
    """
    wanted = format_duration(role.duration.value)
    return out_of_range(
        role.duration,
        f"role duration of {wanted} is not possible for {role.arn}: AWS caps roles assumed with {what} at 1h",
    )


class RefusedProvider:
    """Provider of a role that cannot be assumed with its configuration; it makes no call.

    Args:
        error: raised at every request.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - nothing to refresh
        """Raise the error that the provider was built with.

        Args:
            refresh: not used.
        """
        raise self._error
