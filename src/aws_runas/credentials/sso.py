"""Roles of IAM Identity Center: exchange of the sign-in token for the credentials of a role."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.aws.credentials import Credentials
from aws_runas.config.sso import SsoRole
from aws_runas.errors import CredentialsError
from aws_runas.signin.context import SignInContext
from aws_runas.signin.person import login_needed
from aws_runas.signin.sso_session import SsoTokens

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients


class SsoProvider:
    """Calls GetRoleCredentials.

    Args:
        role: the role and its session.
        clients: created when first needed, since that loads botocore.
        context: decides whether a sign-in may start.
        command: the command that signs in.
    """

    def __init__(self, role: SsoRole, clients: Callable[[], Clients], context: SignInContext, command: str) -> None:
        self._role = role
        self._clients = clients
        self._context = context
        self._command = command
        self._tokens = SsoTokens(role.session, lambda: service_client(clients(), "sso-oidc", role), context, command)

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call fetches
        """Fetch the role's credentials; a token that the service no longer accepts is replaced once."""
        token = self._tokens.token()
        try:
            return self._call(token.access_token)
        except CredentialsError as error:
            if error.code != "sso-token-dead":
                raise
            dead = error
        again = self._tokens.token(rejected=token.access_token)
        try:
            return self._call(again.access_token)
        except CredentialsError as error:
            if error.code == "sso-token-dead":
                raise CredentialsError(dead.message, code="sso-token-dead", hint=f"run: {self._command}") from None
            raise

    def _call(self, access_token: str) -> Credentials:
        from aws_runas.aws import sso

        client = service_client(self._clients(), "sso", self._role)
        return sso.get_role_credentials(
            client, access_token, self._role.account_id, self._role.role_name, now=self._context.now()
        )


def service_client(clients: Clients, service: str, role: SsoRole) -> object:
    """Make a client of the portal or of its OIDC service; neither signs with credentials.

    Args:
        clients: of the profile.
        service: ``sso`` or ``sso-oidc``.
        role: names the region.
    """
    return clients.client(service, role.session.region, _no_credentials)


def _no_credentials() -> Credentials:
    raise login_needed("Identity Center", "aws-runas login")
