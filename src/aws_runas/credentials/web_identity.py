"""Credentials for an ID token of an OpenID provider: sign in, call AssumeRoleWithWebIdentity."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import aws_code
from aws_runas.config.profile import FederatedSource, Role
from aws_runas.credentials.federated_errors import Sent, explain
from aws_runas.credentials.sts_clients import StsClients
from aws_runas.errors import CredentialsError
from aws_runas.signin.id_token import IdToken

SignIn = Callable[[bool], IdToken]


class WebIdentityProvider:
    """Exchanges an ID token for the credentials of a role.

    Args:
        role: the role to assume.
        sign_in: returns a token; its argument requests a new one instead of the stored one.
        now: seconds since the epoch.
    """

    def __init__(
        self, source: FederatedSource, role: Role, sts: StsClients, sign_in: SignIn, *, now: Callable[[], float]
    ) -> None:
        self._source = source
        self._role = role
        self._sts = sts
        self._sign_in = sign_in
        self._now = now

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call fetches
        """Assume the role. A stored token that AWS no longer accepts is replaced once."""
        token = self._sign_in(False)
        try:
            return self._assume(token)
        except CredentialsError as error:
            if error.code != "assertion-expired":
                raise
        return self._assume(self._sign_in(True))

    def _assume(self, token: IdToken) -> Credentials:
        from aws_runas.aws import sts

        duration = self._source.duration
        try:
            return sts.assume_role_with_web_identity(
                self._sts.unsigned(), self._role, token.encoded, duration.value, now=self._now()
            )
        except CredentialsError as error:
            if not aws_code(error):
                raise
            facts = [f"iss {token.issuer}", f"aud {token.audience}", f"sub {token.subject}"]
            raise explain(error, Sent("ID token", self._role.arn, duration, facts)) from error.__cause__
