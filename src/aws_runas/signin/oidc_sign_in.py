"""Runs an OIDC sign-in with the user's browser and the callback, a separate browser window, forms, or a device code."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from aws_runas.aws.http import HttpAnswer, HttpClient
from aws_runas.aws.sso_oidc import DeviceAuthorization
from aws_runas.config.profile import FederatedSource
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.files import read_named
from aws_runas.signin import oidc, oidc_device
from aws_runas.signin.browser import NoBrowser, find_browser, open_address
from aws_runas.signin.browser_window import Window
from aws_runas.signin.callback import Outcome, check_outcome
from aws_runas.signin.callback_server import CallbackServer
from aws_runas.signin.context import SignInContext
from aws_runas.signin.devtools import DevTools
from aws_runas.signin.form_sign_in import FormSettings, sign_in_by_forms
from aws_runas.signin.form_walk import RedirectFound
from aws_runas.signin.id_token import IdToken, check_id_token
from aws_runas.signin.pkce import Pkce, new_pkce

NONCE_BYTES = 24


class RefreshTokens(Protocol):
    """Store of a refresh token: a keyring, or none."""

    def read(self) -> str | None:
        """Return the token, None if there is none."""

    def write(self, token: str) -> None:
        """Store a token. It is not an error if the keyring cannot store it."""


@dataclass(frozen=True, slots=True)
class OidcSignIn:
    """One sign-in.

    Args:
        http: client for discovery and tokens.
        web: creates a client with cookies, for forms.
        window: creates the separate browser window.
        refresh_tokens: used if the scopes contain offline_access.
    """

    source: FederatedSource
    context: SignInContext
    http: HttpClient
    web: Callable[[], HttpClient]
    window: Callable[[], Window]
    forms: FormSettings
    secret: str | None
    refresh_tokens: RefreshTokens
    command: str

    def clients(self, provider: oidc.IdentityProvider) -> list[oidc.Client]:
        """Return the registration of this application, once for each method to send its secret."""
        methods = provider.auth_methods if self.secret else provider.auth_methods[:1]
        return [oidc.Client(self.source.client_id, self.source.scopes, self.secret, method) for method in methods]

    def provider(self) -> oidc.IdentityProvider:
        """Get the configuration of the provider.

        Raises:
            CredentialsError: the provider has none.
        """
        issuer = self.source.issuer or oidc.issuer_of(self.source.url)
        answer = self.http.send("GET", oidc.discovery_address(issuer), headers={"Accept": "application/json"})
        return oidc.read_discovery(answer.status, answer.text(), issuer)

    def refresh(self) -> IdToken | None:
        """Use the stored refresh token; return None if there is none or it is refused."""
        token = self.refresh_tokens.read() if oidc.OFFLINE in self.source.scopes else None
        if token is None:
            return None
        provider = self.provider()
        try:
            answer = self._send(provider, provider.token_endpoint, lambda client: oidc.refresh_grant(client, token))
            tokens = oidc.read_tokens(answer.status, answer.text())
            found = self._check(tokens, provider, None)
        except CredentialsError as error:
            self.context.debug(f"refresh token not used: {error.message}")
            return None
        self._keep(tokens)
        return found

    def sign_in(self) -> IdToken:
        """Sign in.

        Raises:
            CredentialsError: the sign-in failed.
        """
        provider = self.provider()
        if self._uses_device(provider):
            return self._by_device(provider)
        nonce = base64.urlsafe_b64encode(secrets.token_bytes(NONCE_BYTES)).rstrip(b"=").decode()
        if self.source.method == "form" or not oidc.is_loopback(self.source.redirect_uri):
            return self._by_redirect(provider, nonce)
        return self._by_callback(provider, nonce)

    def _uses_device(self, provider: oidc.IdentityProvider) -> bool:
        options = self.context.options
        wanted = options.device_code or self.source.flow == "device"
        if wanted and not provider.device_endpoint:
            raise CredentialsError(
                f"{provider.issuer} has no device flow",
                code="oidc-device-unsupported",
                hint="sign in with a browser: web_identity_flow = browser",
            )
        if wanted or self.source.flow == "browser" or self.source.method == "form" or not provider.device_endpoint:
            return wanted
        if options.no_browser or options.redirect_port:  # the user chooses a port if it is forwarded, as by ssh -L
            return False
        return isinstance(find_browser(self.context.environ, options.browser), NoBrowser)

    def _by_callback(self, provider: oidc.IdentityProvider, nonce: str) -> IdToken:
        pkce = new_pkce()
        parts = urlsplit(self.source.redirect_uri)
        host = parts.hostname or "127.0.0.1"
        port = self.context.options.redirect_port or parts.port or 0
        with CallbackServer(
            pkce.state, path=parts.path or "/", hostname=host, port=port, timeout=self.context.options.timeout
        ) as server:
            redirect_uri = f"http://{host}:{server.port}{parts.path}"
            address = self._address(provider, redirect_uri, pkce, nonce)
            self._open(server.start_address(address), address)
            success = False
            try:
                outcome = check_outcome(self._wait(server), self.source.label, self.command)
                found = self._exchange(provider, outcome.code, redirect_uri, pkce, nonce=nonce)
                success = True
            finally:
                server.finish(success=success)
        return found

    def _wait(self, server: CallbackServer) -> Outcome:
        """Wait for the browser, or for its final address to be pasted on the terminal."""

        def refuse_line() -> None:
            self.context.say("that is not the address that this sign-in ended on; it begins with the redirect URI")

        with contextlib.ExitStack() as stack:
            terminal = self.context.terminal()
            if terminal is not None:
                stack.enter_context(terminal)
                self.context.say("if the browser cannot come back here, paste the address that it ended on")
            return server.wait(terminal, refuse_line)

    def _by_redirect(self, provider: oidc.IdentityProvider, nonce: str) -> IdToken:
        """Sign in if nothing listens at the redirect URI: the redirect is read instead of followed."""
        pkce = new_pkce()
        redirect_uri = self.source.redirect_uri
        address = self._address(provider, redirect_uri, pkce, nonce)
        if self.source.method == "form":
            found: object = sign_in_by_forms(
                self.source, address, self.web(), self.forms, debug=self.context.debug, redirect_uri=redirect_uri
            )
        else:
            self.context.say(f"sign in to {self.source.label} in the browser window")
            found = self.window().run(DevTools(address, redirect_uri))
        if not isinstance(found, RedirectFound):
            raise CredentialsError(
                f"the sign-in did not end at {redirect_uri}",
                code="saml-page-unknown",
                hint="use provider browser, or check web_identity_redirect_uri",
            )
        code = oidc.read_redirect(found.url, pkce.state)
        return self._exchange(provider, code, redirect_uri, pkce, nonce=nonce)

    def _address(self, provider: oidc.IdentityProvider, redirect_uri: str, pkce: Pkce, nonce: str) -> str:
        return oidc.authorization_address(
            provider,
            self.clients(provider)[0],
            redirect_uri,
            state=pkce.state,
            nonce=nonce,
            challenge=pkce.challenge,
            login_hint=self.source.username.value if self.source.username else "",
        )

    def _open(self, start: str, address: str) -> None:
        options, say = self.context.options, self.context.say
        browser = (
            NoBrowser("--no-browser") if options.no_browser else find_browser(self.context.environ, options.browser)
        )
        opened = not isinstance(browser, NoBrowser) and open_address(browser, start, self.context.environ)
        verb = "if it does not open, open" if opened else "open"
        say(f"sign in to {self.source.label} in your browser; {verb} this address: {address}")

    def _exchange(
        self, provider: oidc.IdentityProvider, code: str, redirect_uri: str, pkce: Pkce, *, nonce: str
    ) -> IdToken:
        answer = self._send(
            provider,
            provider.token_endpoint,
            lambda client: oidc.code_grant(client, code, redirect_uri, pkce.verifier),
        )
        tokens = oidc.read_tokens(answer.status, answer.text())
        found = self._check(tokens, provider, nonce)
        self._keep(tokens)
        return found

    def _check(self, tokens: oidc.Tokens, provider: oidc.IdentityProvider, nonce: str | None) -> IdToken:
        client_id = self.clients(provider)[0].client_id
        return check_id_token(
            tokens.id_token, issuer=provider.issuer, client_id=client_id, nonce=nonce, now=self.context.now()
        )

    def _send(self, provider: oidc.IdentityProvider, url: str, form: Callable[[oidc.Client], str]) -> HttpAnswer:
        """Post a form. If the client is refused, send its secret with the next method."""
        first, *others = self.clients(provider)
        answer = self.http.send("POST", url, form=form(first), headers=first.headers())
        for client in others:
            if oidc.is_client_refused(answer.status, answer.text()):
                self.context.debug(f"{first.auth_method} was refused; trying {client.auth_method}")
                answer = self.http.send("POST", url, form=form(client), headers=client.headers())
        return answer

    def _by_device(self, provider: oidc.IdentityProvider) -> IdToken:
        answer = self._send(provider, provider.device_endpoint, oidc_device.device_request)
        code = oidc_device.read_device_code(answer.status, answer.text())
        shown = f"; or open {code.complete_address}" if code.complete_address else ""
        self.context.say(f"to sign in to {self.source.label}, open {code.address} and enter {code.user_code}{shown}")
        tokens = self._poll(provider, code)
        found = self._check(tokens, provider, None)
        self._keep(tokens)
        return found

    def _poll(self, provider: oidc.IdentityProvider, code: DeviceAuthorization) -> oidc.Tokens:
        """Poll for the tokens until the user has signed in; temporary network failures are ignored."""
        polling = oidc_device.DevicePolling(code, self.context.clock())
        while polling.tokens is None:
            self.context.sleep(max(0.0, polling.next_timer() - self.context.clock()))
            try:
                answer = self._send(
                    provider, provider.token_endpoint, lambda client: oidc_device.device_grant(client, code.device_code)
                )
            except CredentialsError as error:
                self.context.debug(f"device code: {error.message}")
                polling.receive_failure(self.context.clock())
                continue
            polling.receive_answer(answer.status, answer.text(), self.context.clock())
        return polling.tokens

    def _keep(self, tokens: oidc.Tokens) -> None:
        if tokens.refresh_token is not None and oidc.OFFLINE in self.source.scopes:
            self.refresh_tokens.write(tokens.refresh_token)


def client_secret(source: FederatedSource, from_keyring: Callable[[], str | None]) -> str | None:
    """Return the client secret: from the keyring, from a named private file, or from a private file of settings.

    Raises:
        ConfigError: other users may read the file that contains it.
        CredentialsError: the keyring has none.
    """
    setting = source.client_secret
    if setting is None:
        return None
    if setting.value == "keyring":
        found = from_keyring()
        if found is None:
            raise CredentialsError(
                f"the keyring has no client secret for {source.client_id}",
                code="client-secret-missing",
                hint="write web_identity_client_secret = file://PATH of a file with mode 0600",
            )
        return found
    return _private_secret(source, setting.value, setting.origin)


def _private_secret(source: FederatedSource, value: str, origin: str) -> str:
    from pathlib import Path

    is_file = value.startswith("file://")
    path = Path(os.path.expanduser(value.removeprefix("file://"))) if is_file else source.client_secret_file
    try:
        mode = path.stat().st_mode if path is not None else 0
        content = read_named(path).decode("utf-8").strip() if is_file and path is not None else value
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"web_identity_client_secret ({origin}): {path}: {reason}",
            code="client-secret-unreadable",
            hint="correct the path, or the owner of the file",
        ) from None
    if mode & 0o077:
        raise ConfigError(
            f"web_identity_client_secret ({origin}) is in {path}, which others may read",
            code="client-secret-exposed",
            hint=f"run: chmod 600 {path}",
        )
    return content
