"""Composition of a SAML or OIDC sign-in: stored answers, the login lock, the method, and the person to ask."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar, LoadError, LWPCookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aws_runas import files
from aws_runas.config.profile import FederatedSource, Profile
from aws_runas.credentials import mfa, processes
from aws_runas.credentials.cache import read_private
from aws_runas.credentials.kept_answers import KeptAnswers
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.signin import oidc, saml_response
from aws_runas.signin.context import SignInContext
from aws_runas.signin.id_token import IdToken, read_id_token
from aws_runas.signin.login_lock import LoginLock
from aws_runas.signin.passwords import Passwords
from aws_runas.signin.person import Person, login_needed
from aws_runas.signin.saml_response import SamlResponse

if TYPE_CHECKING:
    from aws_runas.aws.http import HttpClient
    from aws_runas.signin.browser_window import Window
    from aws_runas.signin.form_sign_in import FormSettings
    from aws_runas.store.items import Store

PROCESS_TIMEOUT = 600.0  # seconds: the program may wait for user input


@dataclass(frozen=True, slots=True)
class Federation:
    """The sign-in of one profile.

    Args:
        state: directory for browser profiles and cookies.
        person: asked during the sign-in.
        store: opens the keyring; None if there is none.
    """

    profile: Profile
    source: FederatedSource
    context: SignInContext
    state: Path
    person: Person
    store: Callable[[], Store] | None = None

    def saml(self, renew: bool = False) -> SamlResponse:
        """Return a SAML response: the stored one, or one from a new sign-in.

        Args:
            renew: ignore the stored response.

        Raises:
            CredentialsError: no sign-in is possible, or it failed.
        """
        return saml_response.read_response(self._answer(self._sign_in_saml, renew), self.context.now())

    def oidc(self, renew: bool = False) -> IdToken:
        """Return an ID token; see `saml`."""
        return read_id_token(self._answer(self._sign_in_oidc, renew))

    @property
    def command(self) -> str:
        """Return the command that signs in."""
        return f"aws-runas login {self.profile.name}"

    def kept(self) -> KeptAnswers:
        """Return the store of the answer."""
        source = self.source
        process = source.process.value if source.process else ""
        identity = (source.kind, source.url, source.provider, source.login_name, source.client_id, process)
        return KeptAnswers(self.context.cache, (*identity, *source.scopes))

    def sign_in(self) -> float:
        """Sign in again, even if an answer is stored. Return when the new one expires, in seconds since the epoch."""
        if self.source.kind == "saml":
            return self.saml(renew=True).usable_until
        return self.oidc(renew=True).expires

    def sign_out(self) -> None:
        """Delete the stored answer, the cookies, and the refresh token in the keyring."""
        self.kept().remove()
        with (
            contextlib.suppress(OSError),
            files.open_private_directory(self.state / "cookies", create=False) as directory,
        ):
            directory.remove(self._cookie_file())
        if self.source.kind == "oidc":
            _KeyringToken(self).remove()

    def _answer(self, fetch: Callable[[], tuple[str, float]], renew: bool) -> str:
        kept = self.kept()
        refused = kept.read(self.context.now()) if renew else None

        def read() -> str | None:
            found = kept.read(self.context.now())
            return None if found is None or found == refused else found

        def sign_in() -> str:
            if not self._may_refresh():
                self._require_person()
            answer, until = fetch()
            kept.write(answer, until)
            return answer

        user = f" as {self.source.login_name}" if self.source.login_name else ""
        name = f"{self.source.label}{user}"  # for display; an address may have a secret in its query
        with processes.holding(kept.name):
            lock = LoginLock(self.context.cache, kept.name, name, self.context.say, now=self.context.now)
            self.context.debug(f"sign-in to {name}: {kept.name}")
            return lock.sign_in(read, sign_in, command=self.command, explicit=self.context.is_asked_for)

    def _require_person(self) -> None:
        """Check that a sign-in is possible. A program or a given password needs no user at the terminal.

        Raises:
            CredentialsError: ``login-needed``.
        """
        source = self.source
        alone = source.method == "process" or (source.method == "form" and source.password is not None)
        if not alone and not self.context.may_sign_in():
            raise login_needed(source.label, self.command)

    def _may_refresh(self) -> bool:
        """Return True if a stored refresh token may be used; then the user need not be asked."""
        return self.source.kind == "oidc" and oidc.OFFLINE in self.source.scopes and not self.context.options.force

    def _sign_in_saml(self) -> tuple[str, float]:
        encoded = {"process": self._by_process, "form": self._by_form, "browser": self._by_browser}[
            self.source.method
        ]()
        response = saml_response.read_response(encoded, self.context.now())
        return response.encoded, response.usable_until

    def _by_process(self) -> str:
        command = self.source.process
        if command is None:  # the configuration has been checked
            raise CredentialsError("there is no saml_process", code="saml-process-failed", hint="add it to the profile")
        try:
            printed = processes.run(f"saml_process of profile {self.profile.name}", command, timeout=PROCESS_TIMEOUT)
            return printed.decode("ascii")
        except (processes.ProcessFailed, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, processes.ProcessFailed) else "its output is not base64"
            raise CredentialsError(
                f"saml_process ({command.origin}) gave no SAML response: {reason}",
                code="saml-process-failed",
                hint="run it by hand to see more",
            ) from None

    def _by_form(self) -> str:
        from aws_runas.signin.form_sign_in import sign_in_by_forms
        from aws_runas.signin.form_walk import SamlFound

        with self._cookies() as cookies:
            found = sign_in_by_forms(
                self.source, self.source.url, self._http(cookies), self._forms(), debug=self.context.debug
            )
        if not isinstance(found, SamlFound):
            raise CredentialsError(
                "the sign-in ended without a SAML response", code="saml-page-unknown", hint="use provider browser"
            )
        return found.encoded

    def _by_browser(self) -> str:
        from aws_runas.signin.devtools import DevTools
        from aws_runas.signin.form_walk import SamlFound

        if self.source.provider == "azuread":
            self.context.say("the pages of Entra are shown in a browser window, where every factor works")
        window = self._window()
        self.context.say(f"sign in to {self.source.label} in the browser window")
        found = window.run(DevTools(self.source.url))
        if not isinstance(found, SamlFound):
            raise CredentialsError(
                "the sign-in ended without a SAML response", code="saml-page-unknown", hint="check saml_auth_url"
            )
        return found.encoded

    def _sign_in_oidc(self) -> tuple[str, float]:
        from aws_runas.signin.oidc_sign_in import OidcSignIn, client_secret

        with self._cookies() as cookies:
            flow = OidcSignIn(
                self.source,
                self.context,
                self._http(None),
                lambda: self._http(cookies),
                self._window,
                self._forms(),
                client_secret(self.source, lambda: self._read_item(self._secret_item())),
                _KeyringToken(self),
                self.command,
            )
            token = flow.refresh() if self._may_refresh() else None
            if token is None:
                self._require_person()
                token = flow.sign_in()
        return token.encoded, token.expires

    def _http(self, cookies: CookieJar | None) -> HttpClient:
        from aws_runas.aws.http import HttpClient

        return HttpClient(self.profile, cookies)

    def _forms(self) -> FormSettings:
        from aws_runas.signin.form_sign_in import FormSettings

        passwords = Passwords(self.source.url, self.source.password, self._stored_password, self.person.ask_secret)
        return FormSettings(passwords, self.person, self._code)

    def _code(self) -> str | None:
        """Return the one-time code from the command line, or from a program."""
        if self.profile.otp is not None:
            return self.profile.otp.value
        if self.profile.mfa_process is not None:
            return mfa.run(self.profile.mfa_process, self.source.label)
        return None

    def _window(self) -> Window:
        from aws_runas.signin.browser_window import Window, find_program

        options = self.context.options
        profile = None if options.fresh_browser else self.state / "browser" / self._host()
        program = find_program(self.source.browser, self.context.environ)
        return Window(program, profile, self.context.environ, options.timeout, self.context.clock)

    def _host(self) -> str:
        host = urlsplit(self.source.url).netloc.rpartition("@")[2].lower()
        return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in host) or "browser"

    def _cookie_file(self) -> str:
        return f"{hashlib.sha256(self._host().encode()).hexdigest()[:32]}.cookies"

    @contextlib.contextmanager
    def _cookies(self) -> Iterator[CookieJar]:
        """Hold the cookies of the form login; store them in a private file only if the profile allows it."""
        jar = LWPCookieJar()
        if not self.source.keep_session:
            yield jar
            return
        name = self._cookie_file()
        path = self.state / "cookies"
        with contextlib.suppress(OSError, ValueError, LoadError):
            with files.open_private_directory(path, create=False) as directory:
                text = read_private(directory, name).decode("utf-8", "replace")
            jar._really_load(io.StringIO(text), name, True, False)  # type: ignore[attr-defined]
        yield jar
        with contextlib.suppress(OSError), files.open_private_directory(path) as directory:
            directory.write(name, b"#LWP-Cookies-2.0\n" + jar.as_lwp_str(True, True).encode())

    def _stored_password(self, user: str) -> str | None:
        from aws_runas.store.items import password_name

        return self._read_item(password_name(self.source.url, user))

    def _secret_item(self) -> str:
        from aws_runas.store.items import password_name

        return password_name(self.source.url, f"client:{self.source.client_id}")

    def _read_item(self, item: str) -> str | None:
        """Read an item from the keyring. If the keyring cannot be opened, return None, so that the user is asked."""
        if self.store is None:
            return None
        from aws_runas.store.items import read_secret

        try:
            return read_secret(self.store(), item)
        except CredentialsError as error:
            self.context.debug(f"keyring not used: {error.message}")
            return None

    def _remove_item(self, item: str) -> None:
        if self.store is None:
            return
        try:
            self.store().remove(item)
        except CredentialsError as error:
            self.context.debug(f"not removed from the keyring: {error.message}")

    def _write_item(self, item: str, value: str) -> None:
        if self.store is None:
            return
        from aws_runas.store.items import write_secret

        try:
            write_secret(self.store(), item, value)
        except CredentialsError as error:
            self.context.debug(f"not kept in the keyring: {error.message}")


class _KeyringToken:
    """The refresh token of one client and user, stored only in the keyring."""

    def __init__(self, federation: Federation) -> None:
        from aws_runas.store.items import refresh_name

        source = federation.source
        self._federation = federation
        self._item = refresh_name(source.issuer or source.url, source.client_id, source.login_name)

    def read(self) -> str | None:
        return self._federation._read_item(self._item)

    def write(self, token: str) -> None:
        self._federation._write_item(self._item, token)

    def remove(self) -> None:
        self._federation._remove_item(self._item)
