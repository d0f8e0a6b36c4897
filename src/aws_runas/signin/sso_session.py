"""The token of an sso-session: read from its file, refreshed, or from a sign-in. One process does this for all."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from aws_runas.aws.errors import aws_code
from aws_runas.config.sso import SsoSession
from aws_runas.errors import CredentialsError
from aws_runas.signin.context import SignInContext
from aws_runas.signin.login_lock import LoginLock
from aws_runas.signin.person import login_needed
from aws_runas.signin.sso_token import SsoToken, TokenFiles, make_token

# Errors of a refresh after which only a new sign-in helps. The first two are documented for a session that has ended.
DEAD_REFRESH = (
    "InvalidGrantException",
    "UnauthorizedClientException",
    "InvalidClientException",
    "ExpiredTokenException",
    "AccessDeniedException",
    "InvalidRequestException",
    "InvalidScopeException",
    "UnsupportedGrantTypeException",
)

OidcClient = Callable[[], object]


class SsoTokens:
    """Provides the token of one session.

    Args:
        session: the sso-session.
        oidc: creates the client of sso-oidc when it is first needed, since that loads botocore.
        context: environment of the sign-in.
        command: the command that signs in; if empty, the result of `login_command`.
    """

    def __init__(self, session: SsoSession, oidc: OidcClient, context: SignInContext, command: str = "") -> None:
        self._session = session
        self._oidc = oidc
        self._context = context
        self._command = command or login_command(session)
        self._files = TokenFiles(context.home, context.sleep)
        self._lock = LoginLock(context.cache, "sso", session.label, context.say, now=context.now)

    def token(self, *, rejected: str = "") -> SsoToken:
        """Return a token that the service should accept.

        Args:
            rejected: an access token that the service has just refused.

        Raises:
            CredentialsError: no sign-in may start (``login-needed``), or the sign-in failed.
        """
        force = self._context.options.force and not rejected
        # a newer token of another process is accepted; only the token that `force` replaces is not
        before = self._files.read(self._session)
        replaced = rejected or (before.access_token if force and before else "")

        def read() -> SsoToken | None:
            found = self._files.read(self._session)
            return found if found and found.access_token != replaced and self._is_good(found) else None

        found = read()
        if found is not None:
            return found
        if not self._can_refresh(before) and not self._context.may_sign_in():
            raise login_needed(self._session.label, self._command)
        return self._lock.sign_in(
            read,
            lambda: self._fetch(replaced, force),
            command=self._command,
            explicit=self._context.is_asked_for,
        )

    def _is_good(self, token: SsoToken) -> bool:
        """Return True if a token can be used unchanged: it is not due, or it is valid and cannot be refreshed."""
        now = self._context.now()
        if not token.is_due(now):
            return True
        return token.is_valid(now) and not token.is_refreshable(now) and not self._context.is_asked_for

    def _can_refresh(self, token: SsoToken | None) -> bool:
        return token is not None and token.is_refreshable(self._context.now())

    def _fetch(self, replaced: str, force: bool) -> SsoToken:
        """Refresh or sign in, with the lock held."""
        before = self._files.read(self._session)
        if before is not None and self._can_refresh(before) and not force:
            refreshed = self._refresh(before, replaced)
            if refreshed is not None:
                return refreshed
        if not self._context.may_sign_in():
            raise login_needed(self._session.label, self._command)
        return self._sign_in()

    def _refresh(self, before: SsoToken, rejected: str) -> SsoToken | None:
        """Exchange the refresh token; return None if a sign-in is needed.

        Raises:
            CredentialsError: the service cannot be reached, and the token has expired.
        """
        from aws_runas.aws.sso_oidc import create_token

        usable = before.is_valid(self._context.now()) and before.access_token != rejected
        try:
            reply = create_token(
                self._oidc(),
                before.text("clientId"),
                before.text("clientSecret"),
                "refresh_token",
                refreshToken=before.text("refreshToken"),
            )
        except CredentialsError as error:
            return self._without_refresh(error, before, rejected, usable)
        expires = self._context.now() + reply.expires_in
        # RFC 6749, 6: without a new refresh token, the old one remains valid
        refresh_token = reply.refresh_token or before.text("refreshToken")
        token = make_token(self._session, reply.access_token, expires, refresh_token, registration=None, before=before)
        self._keep(token)
        self._context.debug(f"the sign-in to {self._session.label} was refreshed")
        return token

    def _without_refresh(
        self, error: CredentialsError, before: SsoToken, rejected: str, usable: bool
    ) -> SsoToken | None:
        """Return a usable token after a failed refresh; None if a sign-in is needed, or raise the error."""
        self._context.debug(f"the sign-in to {self._session.label} was not refreshed: {error.message}")
        if aws_code(error) in DEAD_REFRESH:
            again = self._files.read(self._session)  # another tool may have refreshed it without our lock
            if again is not None and again.access_token not in (before.access_token, rejected) and self._is_good(again):
                return again
            return before if usable and not self._context.is_asked_for else None
        if usable:
            return before
        raise error

    def _sign_in(self) -> SsoToken:
        from aws_runas.aws.sso_oidc import endpoint_url
        from aws_runas.signin.sso_flows import SsoFlows  # imported here, because most runs find a token
        from aws_runas.signin.start_url import resolve_start_url

        client = self._oidc()
        start_url = self._session.start_url
        if not _is_loopback(endpoint_url(client)):
            start_url = resolve_start_url(start_url)
        token = SsoFlows(
            self._session, client, start_url, self._files, context=self._context, command=self._command
        ).sign_in()
        self._keep(token)
        self._context.signed_in()
        return token

    def _keep(self, token: SsoToken) -> None:
        try:
            self._files.write(self._session, token)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self._context.say(f"cannot keep the sign-in in {self._files.directory}: {reason}")


def login_command(session: SsoSession) -> str:
    """Return the command that signs in to a session."""
    return f"aws-runas login --sso-session {session.name}" if session.name else "aws-runas login PROFILE"


def _is_loopback(url: object) -> bool:
    """Return True if the service is the sandbox or a stub, which have other start URLs."""
    return isinstance(url, str) and urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
