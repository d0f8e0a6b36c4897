"""Composes the providers of a profile: keys, session token, roles, each with its cache."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.aws.access import Access
from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.config.durations import CHAINED_ROLE_LIMIT
from aws_runas.config.files import ConfigFiles, load_files
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import (
    FederatedSource,
    KeyringSource,
    KeySource,
    NoSource,
    Profile,
    ResolverSource,
    Role,
)
from aws_runas.config.resolve import resolve
from aws_runas.config.sso import sso_role
from aws_runas.credentials.assume_role import AssumeRoleProvider, RefusedProvider, refused_duration
from aws_runas.credentials.cache import DiskCache, cache_directory, entry_name
from aws_runas.credentials.cached import CachedProvider, MemoryProvider
from aws_runas.credentials.keyring_keys import KeyringProvider, no_keyring, nobody_to_ask
from aws_runas.credentials.mfa import MfaCodes, Prompt
from aws_runas.credentials.session_token import SessionOrSource, SessionTokenProvider
from aws_runas.credentials.sources import KeyProvider, MissingProvider, ResolverProvider
from aws_runas.credentials.sts_clients import StsClients
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.signin.context import RunContext, SignInContext

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients
    from aws_runas.credentials.federation import Federation
    from aws_runas.credentials.saml import SamlProvider
    from aws_runas.signin.person import Person
    from aws_runas.store.items import Store

_CACHED_SOURCES = frozenset({"sso", "web-identity", "environment-web-identity"})


@dataclass(frozen=True, slots=True)
class Prompts:
    """Functions that ask the user.

    Args:
        code: asks for an MFA code; raises CredentialsError if it cannot ask.
        passphrase: asks for the passphrase of the keyring file; raises the same error.
        person: asked during a sign-in with SAML or OIDC; None if nobody can be asked.
    """

    code: Prompt
    passphrase: Prompt = nobody_to_ask
    person: Person | None = None


def open_access(
    name: str | None,
    overrides: Overrides,
    context: RunContext,
    prompts: Prompts,
    *,
    files: ConfigFiles | None = None,
    signin: SignInContext | None = None,
) -> Access:
    """Resolve a profile and make its providers; AWS is called only when credentials are requested.

    Args:
        name: profile, role ARN, or None.
        overrides: the flags.
        context: variables, clock, and output for messages.
        prompts: functions that ask the user.
        files: the config files, if already read.
        signin: context of a sign-in; None if no sign-in may start.

    Raises:
        ConfigError: see `resolve`.
    """
    files = files or load_files(context.environ, context.home)
    profile = resolve(files, name, overrides, context.environ)
    for line in profile.describe():
        context.debug(line)
    cache = DiskCache(cache_directory(context.environ, files.config.path, context.home), context.warn)
    context.debug(f"cache {cache.directory}")
    signin = signin or unattended_sign_in(cache, context)
    person = prompts.person if isinstance(profile.source, FederatedSource) else None
    keyring = _keyring(files, context, person.ask_secret if person else prompts.passphrase)
    federation = None
    if isinstance(profile.source, FederatedSource):
        from aws_runas.credentials.federation import Federation
        from aws_runas.signin.person import Person
        from aws_runas.store.choose import keyring_directory

        state = keyring_directory(files.config.path, context.home)
        federation = Federation(profile, profile.source, signin, state, person or Person(), keyring)
    return compose(profile, cache, context, prompt=prompts.code, keyring=keyring, federation=federation, signin=signin)


def _keyring(files: ConfigFiles, context: RunContext, ask_passphrase: Prompt) -> Callable[[], Store]:
    """Return a function that opens the keyring once."""

    @functools.cache
    def keyring() -> Store:
        from aws_runas.store.choose import keyring_directory, open_store

        store = open_store(context.environ, keyring_directory(files.config.path, context.home), ask_passphrase)
        context.debug(f"keys are read from {store.label}")
        return store

    return keyring


def unattended_sign_in(cache: DiskCache, context: RunContext) -> SignInContext:
    """Return the context for a run in which no sign-in may start."""
    return SignInContext(
        cache.directory,
        context.environ,
        context.home,
        context.warn,
        context.debug,
        unattended=True,
        now=context.now,
    )


def compose(
    profile: Profile,
    cache: DiskCache,
    context: RunContext,
    *,
    prompt: Prompt,
    keyring: Callable[[], Store] = no_keyring,
    federation: Federation | None = None,
    signin: SignInContext | None = None,
) -> Access:
    """Make the providers of a resolved profile.

    Args:
        profile: the resolved profile.
        cache: stores their credentials.
        context: variables, clock, and output for messages.
        prompt: asks for an MFA code.
        keyring: opens the keyring; called when one of its keys is needed.
        federation: the sign-in with SAML or OIDC, for a profile that has one.
        signin: context of a sign-in; None if no sign-in may start.
    """
    signin = signin or unattended_sign_in(cache, context)

    @functools.cache
    def clients() -> Clients:
        from aws_runas.aws.client import Clients

        return Clients(profile, context.trace)

    sts = StsClients(clients, profile.sts_region, profile if context.trace is None else None)
    entries: list[str] = []
    mfa = _mfa(profile, prompt)
    parts = _Parts(profile, cache, context, clients, sts, mfa, keyring, entries, signin, federation)
    source = parts.source()
    # the login file is read every time: other tools rotate it, and its last five minutes are not used
    user = source if _is_console_login(profile) else MemoryProvider(source, context.now)
    provider: Provider = (
        parts.session_token(user) if profile.use_session_token or not profile.roles else parts.roles(user)
    )
    if profile.refresh:
        provider = _RefreshFirst(provider)
    asked = provider if provider is source else MemoryProvider(provider, context.now)
    access = Access(profile, asked, user, clients, traced=context.trace is not None)
    access.cache_entries = tuple(entries)
    if federation is not None and isinstance(profile.source, FederatedSource) and profile.source.kind == "saml":
        access.offered_roles = parts.saml_provider(profile.source, federation).offered_roles
    if federation is not None:
        access.sign_in = federation.sign_in
        access.sign_out = federation.sign_out
    return access


@dataclass(frozen=True, slots=True)
class _Parts:
    profile: Profile
    cache: DiskCache
    context: RunContext
    clients: Callable[[], Clients]
    sts: StsClients
    mfa: MfaCodes | None
    keyring: Callable[[], Store]
    entries: list[str]
    signin: SignInContext
    federation: Federation | None = None

    def source(self) -> Provider:
        """Return the provider of the first credentials."""
        source = self.profile.source
        if isinstance(source, KeySource):
            return KeyProvider(source)
        if isinstance(source, KeyringSource):
            return KeyringProvider(source, self.keyring)
        if isinstance(source, NoSource):
            return MissingProvider(source)
        if isinstance(source, FederatedSource):
            return self._federated(source)
        if source.kind == "login":
            from aws_runas.credentials.console_login import ConsoleLoginProvider

            return ConsoleLoginProvider(self.profile, source, self.cache, self.clients, context=self.context)
        if source.kind == "sso":
            return self._single_sign_on(source)
        fetched = ResolverProvider(self.profile, source, self.context.now, self.context.trace)
        if source.kind not in _CACHED_SOURCES:
            return fetched
        inputs: dict[str, object] = {
            "identity": source.identity,
            "region": self.profile.sts_region,
            "endpoint": self._endpoint(),
        }
        return self._cached(fetched, source.kind, inputs)

    def _federated(self, source: FederatedSource) -> Provider:
        federation = self.federation
        if federation is None:
            message = f"profile {self.profile.name} needs a sign-in, which is not possible here"
            return MissingProvider(NoSource(message, f"run: aws-runas login {self.profile.name}"))
        inner: Provider
        if source.kind == "oidc" and source.role is not None:
            from aws_runas.credentials.web_identity import WebIdentityProvider

            inner = WebIdentityProvider(source, source.role, self.sts, federation.oidc, now=self.context.now)
        else:
            inner = self.saml_provider(source, federation)
        return self._cached(inner, source.kind, self._federated_inputs(source))

    def saml_provider(self, source: FederatedSource, federation: Federation) -> SamlProvider:
        """Return the provider that exchanges a SAML response for credentials, and lists the offered roles."""
        from aws_runas.credentials.saml import SamlProvider

        partition = self.profile.partition
        return SamlProvider(
            source, self.sts, federation.saml, partition, person=federation.person, now=self.context.now
        )

    def _federated_inputs(self, source: FederatedSource) -> dict[str, object]:
        return {
            "url": source.url,
            "process": source.process.value if source.process else "",
            "provider": source.provider,
            "user": source.login_name,
            "client": source.client_id,
            "role": _role_inputs(source.role) if source.role else "",
            "principal": source.principal_arn or "",
            "duration": source.duration.value,
            "region": self.profile.sts_region,
            "endpoint": self._endpoint(),
        }

    def _single_sign_on(self, source: ResolverSource) -> Provider:
        try:
            role = sso_role(self.profile.sections[source.profile or ""], self.profile.sso_sessions, self.signin.environ)
        except ConfigError as error:
            return RefusedProvider(error)  # raised when credentials are requested, so that the profile can be listed
        from aws_runas.credentials.sso import SsoProvider

        session = role.session
        command = f"aws-runas login {shlex.quote(source.profile or '')}"
        inputs: dict[str, object] = {
            "identity": source.identity,
            "session": [session.start_url, session.region],
            "endpoint": self.profile.endpoint_url("sso") or "",
        }
        return self._cached(SsoProvider(role, self.clients, self.signin, command), source.kind, inputs)

    def session_token(self, user: Provider) -> Provider:
        """Return the provider of the session token. Keys that are already temporary are used unchanged."""
        source = self.profile.source
        if isinstance(source, KeySource):
            return user if source.session_token else self._session_token(user, source.access_key_id)
        if isinstance(source, KeyringSource):
            return self._session_token(user, source.access_key_id)
        if isinstance(source, ResolverSource) and source.kind == "process":
            return SessionOrSource(user, lambda keys: self._session_token(user, keys.access_key_id))
        return user

    def roles(self, user: Provider) -> Provider:
        """Return the chain of role providers."""
        first, *others = self.profile.roles
        last = self.profile.roles[-1]
        if last.duration.value > CHAINED_ROLE_LIMIT:
            source = self.profile.source
            if others:
                return RefusedProvider(refused_duration(last, "another role"))
            if (isinstance(source, KeySource) and source.session_token) or (
                isinstance(source, FederatedSource) or (isinstance(source, ResolverSource) and source.kind != "process")
            ):
                return RefusedProvider(refused_duration(last, "temporary keys"))
            return self._role(user, first, self.mfa, self._source_identity())
        provider = self._role(self.session_token(user), first, None, self._source_identity())
        for role in others:
            provider = self._role(provider, role, None, provider.name)
        # each role's provider calls the previous one: two stack frames per role, in a chain of any length
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + 4 * len(others)))
        return provider

    def _session_token(self, user: Provider, key_id: str) -> Provider:
        duration = self.profile.session_token_duration.value
        inner = SessionTokenProvider(user, self.sts, self.mfa, duration, now=self.context.now)
        inputs = {
            "key": key_id,
            "mfa": self._mfa_serial(),
            "duration": duration,
            "endpoint": self._endpoint(),
            # a token is valid in every region of its partition: the region is not part of the key, so that the roles of
            # a user share one token, regardless of their regions
            "partition": self.profile.partition,
        }
        return self._cached(inner, "session", inputs)

    def _role(self, source: Provider, role: Role, mfa: MfaCodes | None, before: object) -> CachedProvider:
        inner = AssumeRoleProvider(source, self.sts, role, mfa, now=self.context.now)
        inputs = {
            "source": before,  # source of the chain, or the entry of the previous role
            "mfa": self._mfa_serial(),
            "role": _role_inputs(role),
            "region": self.profile.sts_region,
            "endpoint": self._endpoint(),
        }
        return self._cached(inner, "role", inputs)

    def _cached(self, inner: Provider, kind: str, inputs: dict[str, object]) -> CachedProvider:
        name = entry_name(kind, inputs)
        self.entries.append(name)
        return CachedProvider(inner, self.cache, name, self.context.now, debug=self.context.debug)

    def _endpoint(self) -> str:
        return self.profile.endpoint_url("sts") or ""

    def _mfa_serial(self) -> str:
        return self.profile.mfa_serial.value if self.profile.mfa_serial else ""

    def _source_identity(self) -> object:
        source = self.profile.source
        if isinstance(source, KeySource | KeyringSource):
            return source.access_key_id
        if isinstance(source, FederatedSource):
            return [source.kind, self._federated_inputs(source)]
        return [source.kind, source.identity] if isinstance(source, ResolverSource) else ""


def _is_console_login(profile: Profile) -> bool:
    return isinstance(profile.source, ResolverSource) and profile.source.kind == "login"


class _RefreshFirst:
    """Forwards the first request as a refresh, for ``-r``."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self._done = False

    def credentials(self, *, refresh: bool = False) -> Credentials:
        found = self._inner.credentials(refresh=refresh or not self._done)
        self._done = True
        return found


def _mfa(profile: Profile, prompt: Prompt) -> MfaCodes | None:
    if profile.mfa_serial is None:
        return None
    return MfaCodes(profile.mfa_serial, profile.otp, profile.mfa_process, prompt)


def _role_inputs(role: Role) -> list[object]:
    return [
        role.arn,
        role.session_name,
        role.duration.value,
        role.external_id,
        role.source_identity,
        role.tags,
        role.transitive_tags,
        role.policy,
        role.policy_arns,
    ]


__all__ = ["Access", "Prompts", "compose", "open_access"]
