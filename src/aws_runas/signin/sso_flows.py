"""The two ways to sign in to Identity Center: a browser on this machine, and a device code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from aws_runas.aws.errors import aws_code
from aws_runas.config.sso import SsoSession
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.redact import printable
from aws_runas.signin.browser import Browser, NoBrowser, find_browser, open_address
from aws_runas.signin.callback import check_outcome
from aws_runas.signin.callback_server import CallbackServer
from aws_runas.signin.context import SignInContext
from aws_runas.signin.device import DeviceAnswer, DeviceOutcome, DevicePolling
from aws_runas.signin.pkce import Pkce, new_pkce
from aws_runas.signin.sso_token import Registration, SsoToken, TokenFiles, make_token

if TYPE_CHECKING:
    from aws_runas.aws.sso_oidc import DeviceAuthorization

CALLBACK_PATH = "/oauth/callback"
REDIRECT_URI = f"http://127.0.0.1{CALLBACK_PATH}"  # as registered; the port may differ (RFC 8252, 7.3)
UNKNOWN_CLIENT = ("InvalidClientException", "UnauthorizedClientException")


class SsoFlows:
    """Signs in to one session.

    Args:
        session: the sso-session.
        client: client of sso-oidc.
        start_url: start URL at AWS, to which the configured one leads.
        token_files: store of tokens and registrations.
        context: environment of the sign-in.
        command: the command that signs in, for errors.
    """

    def __init__(
        self,
        session: SsoSession,
        client: object,
        start_url: str,
        token_files: TokenFiles,
        *,
        context: SignInContext,
        command: str,
    ) -> None:
        self._session = session
        self._client = client
        self._start_url = start_url
        self._files = token_files
        self._context = context
        self._command = command

    def sign_in(self) -> SsoToken:
        """Sign in with a browser or a device code, and return the token.

        Raises:
            CredentialsError: the user refused, no answer arrived in time, or the service cannot be reached.
            ConfigError: a setting or a flag is invalid.
        """
        browser = self._browser()
        return self._by_device_code(browser) if self.is_by_device(browser) else self._by_browser(browser)

    def is_by_device(self, browser: Browser | NoBrowser | None) -> bool:
        """Return True if the sign-in uses a device code.

        Args:
            browser: None if the user does not want to open one; the browser flow still works by pasting the answer.
        """
        options = self._context.options
        if options.device_code or self._session.is_legacy or self._session.flow == "device":
            return True
        # a user chooses a port for the callback if it is forwarded, as by ssh -L, to the machine with the browser
        return isinstance(browser, NoBrowser) and self._session.flow == "auto" and not options.redirect_port

    def _browser(self) -> Browser | NoBrowser | None:
        options = self._context.options
        return None if options.no_browser else find_browser(self._context.environ, options.browser)

    def _by_browser(self, browser: Browser | NoBrowser | None) -> SsoToken:
        options = self._context.options
        secrets = new_pkce()
        clock = self._context.clock
        # bind first: a browser with an active session may return before this function continues
        with CallbackServer(
            secrets.state, path=CALLBACK_PATH, port=options.redirect_port, timeout=options.timeout, clock=clock
        ) as server:
            registration = self._registration("browser")
            address = self._authorization(registration, secrets, server.redirect_uri)
            start = server.start_address(address)
            self._open(browser, start, address)
            self._context.debug(f"waiting for the browser at {server.redirect_uri}")
            received = self._wait(server)
            values = {"code": received, "codeVerifier": secrets.verifier, "redirectUri": server.redirect_uri}
            try:
                token = self._exchange(registration, "browser", "authorization_code", **values)
            except AwsRunasError:
                server.finish(success=False)
                raise
            server.finish(success=True)
            return token

    def _wait(self, server: CallbackServer) -> str:
        def refuse_line() -> None:
            self._context.say("that is not the address of this sign-in; paste the address that the browser ended on")

        with contextlib.ExitStack() as stack:
            terminal = self._context.terminal()
            if terminal is not None:
                stack.enter_context(terminal)
                self._context.say("if the browser cannot come back here, paste the address that it ends on:")
            outcome = server.wait(terminal, refuse_line)
        try:
            return check_outcome(outcome, self._session.label, self._command).code
        except CredentialsError:
            server.finish(success=False)
            raise

    def _open(self, browser: Browser | NoBrowser | None, start: str, address: str) -> None:
        label = self._session.label
        if isinstance(browser, Browser) and open_address(browser, start, self._context.environ):
            self._context.say(
                f"sign in to {label} in the browser ({browser.origin}); if none opens, open this address:"
            )
        else:
            self._context.say(f"to sign in to {label}, open this address in a browser:")
        self._context.say(address)

    def _authorization(self, registration: Registration, secrets: Pkce, redirect_uri: str) -> str:
        from aws_runas.aws.sso_oidc import authorization_endpoint

        query = {
            "response_type": "code",
            "client_id": registration.client_id,
            "redirect_uri": redirect_uri,
            "state": secrets.state,
            "code_challenge_method": "S256",
            "code_challenge": secrets.challenge,
            "scopes": " ".join(self._session.scopes),
        }
        endpoint = registration.authorization_endpoint or authorization_endpoint(self._client)
        encoded = urlencode(query, quote_via=quote, safe="")  # a space as %20, as in the AWS CLI
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{encoded}"

    def _by_device_code(self, browser: Browser | NoBrowser | None) -> SsoToken:
        from aws_runas.aws.sso_oidc import DEVICE_GRANT

        try:
            registration, started = self._start_device()
        except CredentialsError as error:
            if aws_code(error) not in UNKNOWN_CLIENT:
                raise
            registration, started = self._start_device()  # the unknown registration was already removed
        label, say = self._session.label, self._context.say
        if isinstance(browser, Browser) and open_address(browser, started.complete_address, self._context.environ):
            say(f"sign in to {label} in the browser ({browser.origin}); if none opens, open this address:")
        else:
            say(f"to sign in to {label}, open this address in a browser, on this machine or another:")
        say(printable(started.complete_address))
        say(f"and compare the code: {printable(started.user_code)}")
        lifetime = min(started.expires_in, self._context.options.timeout)
        polling = DevicePolling(self._context.clock(), started.interval, lifetime)
        tokens: list[SsoToken] = []

        def poll() -> DeviceAnswer:
            return self._poll(tokens, registration, DEVICE_GRANT, started.device_code)

        self._check(drive(polling, poll, self._context.clock, self._context.sleep))
        return tokens[0]

    def _check(self, outcome: DeviceOutcome) -> None:
        label, hint = self._session.label, f"run: {self._command}"
        if outcome is DeviceOutcome.DENIED:
            raise CredentialsError(f"the sign-in to {label} was refused in the browser", code="login-denied", hint=hint)
        if outcome is DeviceOutcome.EXPIRED:
            message = f"the sign-in to {label} was not completed in time"
            raise CredentialsError(message, code="login-timeout", hint=hint)

    def _poll(self, tokens: list[SsoToken], registration: Registration, grant: str, code: str) -> DeviceAnswer:
        answers = {
            "AuthorizationPendingException": DeviceAnswer.PENDING,
            "SlowDownException": DeviceAnswer.SLOW_DOWN,
            "AccessDeniedException": DeviceAnswer.DENIED,
            "ExpiredTokenException": DeviceAnswer.EXPIRED,
        }
        try:
            tokens.append(self._exchange(registration, "device", grant, deviceCode=code))
        except CredentialsError as error:
            answer = answers.get(aws_code(error))
            if answer is None and error.code in ("endpoint-timeout", "endpoint-unreachable", "throttled"):
                answer = DeviceAnswer.FAILED
            if answer is None:
                raise
            self._context.debug(f"device code: {answer.name.lower()}")
            return answer
        return DeviceAnswer.APPROVED

    def _registration(self, flow: str) -> Registration:
        """Return the cached registration of a flow, or register a new client."""
        from aws_runas.aws.sso_oidc import register_client

        now = self._context.now()
        cached = None
        if not self._context.options.force:
            cached = self._files.read_registration(self._session, flow, self._start_url, now)
        if cached is not None:
            return cached
        by_code = flow == "browser"
        reply = register_client(
            self._client, self._session.scopes, REDIRECT_URI if by_code else None, self._start_url if by_code else ""
        )
        made = Registration(reply.client_id, reply.client_secret, reply.expires, reply.authorization_endpoint)
        try:
            self._files.write_registration(self._session, flow, self._start_url, made)
        except OSError as error:
            self._context.debug(f"the registration is not kept: {error.strerror}")
        return made

    def _start_device(self) -> tuple[Registration, DeviceAuthorization]:
        """Request a device code; remove a registration that the service does not know."""
        from aws_runas.aws.sso_oidc import start_device_authorization

        registration = self._registration("device")
        try:
            return registration, start_device_authorization(
                self._client, registration.client_id, registration.client_secret, self._start_url
            )
        except CredentialsError as error:
            if aws_code(error) in UNKNOWN_CLIENT:
                self._forget("device")
            raise

    def _exchange(self, registration: Registration, flow: str, grant: str, **values: str) -> SsoToken:
        from aws_runas.aws.sso_oidc import create_token

        try:
            reply = create_token(self._client, registration.client_id, registration.client_secret, grant, **values)
        except CredentialsError as error:
            if aws_code(error) in UNKNOWN_CLIENT:
                self._forget(flow)
            raise
        expires = self._context.now() + reply.expires_in
        before = self._files.read(self._session)
        return make_token(
            self._session, reply.access_token, expires, reply.refresh_token, registration=registration, before=before
        )

    def _forget(self, flow: str) -> None:
        with contextlib.suppress(OSError):
            self._files.remove_registration(self._session, flow, self._start_url)


def drive(
    polling: DevicePolling,
    poll: Callable[[], DeviceAnswer],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> DeviceOutcome:
    """Poll until the user has decided or the code has expired.

    Args:
        polling: state of the polling.
        poll: makes one request.
        clock: returns monotonic seconds.
        sleep: waits for seconds.
    """
    while polling.outcome is None:
        wait = polling.next_timer() - clock()
        if wait > 0:
            sleep(wait)
        polling.handle_timer(clock())
        if polling.outcome is None:
            polling.receive_answer(poll(), clock())
    return polling.outcome
