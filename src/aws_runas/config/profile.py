"""A resolved profile: every setting with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import urlsplit

from aws_runas import redact
from aws_runas.config.arn import first_region, partition_of
from aws_runas.config.durations import format_duration
from aws_runas.config.files import ProfileSection, Section
from aws_runas.dataclass import dataclass

T = TypeVar("T")

DEFAULT_REGION = "us-east-1"  # of STS, if no region is set

ResolverKind = Literal[
    "web-identity",
    "sso",
    "login",
    "process",
    "environment-web-identity",
    "EcsContainer",
    "Ec2InstanceMetadata",
]


FederationKind = Literal["saml", "oidc"]


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and its origin in readable form: ``flag -d``, ``[profile x] in ~/.aws/config, line 3``."""

    value: T
    origin: str


@dataclass(frozen=True, slots=True)
class KeySource:
    """Access keys from a file or the environment.

    Args:
        session_token: set if the keys are already temporary.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    origin: str
    expiration: str | None = None

    def __repr__(self) -> str:
        return f"KeySource({redact.key_id(self.access_key_id)!r}, {self.origin!r})"


@dataclass(frozen=True, slots=True)
class KeyringSource:
    """A user's own access keys in a keyring. Code that only needs the key id does not open the keyring.

    Args:
        access_key_id: of ``keyring_key_id``.
        name: of the item, from ``keyring``.
        profile: the profile with these two settings.
    """

    access_key_id: str
    name: str
    profile: str
    origin: str

    def __repr__(self) -> str:
        return f"KeyringSource({redact.key_id(self.access_key_id)!r}, {self.name!r}, {self.origin!r})"


@dataclass(frozen=True, slots=True)
class ResolverSource:
    """Credentials that botocore's resolvers fetch.

    Args:
        kind: which resolver.
        profile: the profile that configures it, None for the environment.
        identity: every setting that determines whose credentials are returned, for the cache key.
    """

    kind: ResolverKind
    profile: str | None
    identity: tuple[tuple[str, str], ...]
    origin: str


@dataclass(frozen=True, slots=True)
class NoSource:
    """No credentials; an error is raised when they are requested.

    Args:
        message: names the profile.
        hint: what to add.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Role:
    """One AssumeRole call in the chain.

    Args:
        arn: of the role.
        profile: whose settings these are, for messages.
        session_name: the role session name that CloudTrail shows.
        duration: seconds.
        policy: inline session policy, JSON text.
    """

    arn: str
    profile: str
    session_name: str
    duration: Setting[int]
    external_id: str | None = None
    source_identity: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tags: tuple[str, ...] = ()
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FederatedSource:
    """Credentials in exchange for the assertion or token of an identity provider.

    Args:
        url: where the sign-in starts; "" for a program.
        provider: as configured, in lower case.
        method: "browser", "form" or "process".
        profile: whose settings these are, for messages.
        role: assumed with the assertion or the ID token; None to use the role in the assertion.
        duration: of the credentials, in seconds.
        principal_arn: of the SAML provider in IAM.
        process: prints the SAML response, base64.
        client_id, redirect_uri, scopes, flow, issuer: of OIDC.
        client_secret: the secret, ``keyring`` or ``file://PATH``.
        client_secret_file: the file that contains client_secret.
        password: from the flag, a variable or the credentials file; may be in the Go tool's encoding.
        keep_session: keep the cookies of the form login.
    """

    kind: FederationKind
    url: str
    provider: str
    method: str
    profile: str
    origin: str
    role: Role | None = None
    duration: Setting[int] = Setting(3600, "default")
    username: Setting[str] | None = None
    federated_username: Setting[str] | None = None
    principal_arn: str | None = None
    process: Setting[str] | None = None
    client_id: str = ""
    redirect_uri: str = ""
    scopes: tuple[str, ...] = ("openid",)
    flow: str = "auto"
    issuer: str | None = None
    client_secret: Setting[str] | None = field(default=None, repr=False)
    client_secret_file: Path | None = None
    password: Setting[str] | None = field(default=None, repr=False)
    mfa_type: str = "auto"
    browser: Setting[str] | None = None
    keep_session: bool = False

    def describe(self) -> Iterator[str]:
        """Return a line for each important setting, without secrets."""
        user = f" as {self.login_name}" if self.login_name else ""
        yield f"{self.kind} sign-in at {self.label} with provider {self.provider}{user} ({self.origin})"
        if self.role is not None:
            duration = f"{format_duration(self.duration.value)} ({self.duration.origin})"
            yield f"role {self.role.arn} of the sign-in for {duration}"

    @property
    def login_name(self) -> str:
        """Return the user name for the provider, "" if none is set."""
        chosen = self.federated_username or self.username
        return chosen.value if chosen else ""

    @property
    def label(self) -> str:
        """Return the display name of the sign-in."""
        return urlsplit(self.url).hostname or self.origin


Source = KeySource | KeyringSource | ResolverSource | FederatedSource | NoSource


@dataclass(frozen=True, slots=True)
class Profile:
    """The resolved profile with every setting that applies.

    Args:
        name: the profile, ``default`` if none was named, or the role ARN.
        named: False if no profile was named.
        section: name of the profile section that gives the client settings; differs from name for an ARN.
        source: where the first credentials come from.
        roles: AssumeRole calls in order; empty for a plain user. The last one is the requested role.
        region: None if no region is set.
        use_session_token: use the session token instead of the role.
        endpoint_urls: by service id in lower case with underscores, and ``""`` for all.
        unused: what is wrong with settings that have no effect.
    """

    name: str
    named: bool
    section: str | None
    source: Source
    roles: tuple[Role, ...]
    region: Setting[str] | None
    mfa_serial: Setting[str] | None
    mfa_process: Setting[str] | None
    session_token_duration: Setting[int]
    role_duration: Setting[int]
    use_session_token: bool
    refresh: bool
    otp: Setting[str] | None = field(repr=False)
    endpoint_urls: Mapping[str, Setting[str]] = field(default_factory=dict)
    sections: Mapping[str, ProfileSection] = field(default_factory=dict, repr=False)
    sso_sessions: Mapping[str, Section] = field(default_factory=dict, repr=False)
    services: Mapping[str, Section] = field(default_factory=dict, repr=False)
    source_profile: str | None = None
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def role_arn(self) -> str | None:
        """Return the ARN of the requested role."""
        if not self.roles and isinstance(self.source, FederatedSource) and self.source.role:
            return self.source.role.arn
        return self.roles[-1].arn if self.roles else None

    @property
    def partition(self) -> str:
        """Return the partition from the profile's ARNs: ``aws``, ``aws-cn``, ``aws-us-gov``..."""
        arn = self.role_arn or (self.mfa_serial.value if self.mfa_serial else None)
        return partition_of(arn, self.region.value if self.region else None)

    @property
    def sts_region(self) -> str:
        """Return the region for STS calls: the profile's, else the first one of the partition."""
        return self.region.value if self.region else first_region(self.partition)

    def endpoint_url(self, service: str) -> str | None:
        """Return the endpoint that the configuration sets for a service.

        Args:
            service: botocore's name, for instance ``sts`` or ``ec2-instance-connect``.
        """
        setting = self.endpoint_urls.get(service.replace("-", "_").lower()) or self.endpoint_urls.get("")
        return setting.value if setting else None

    def describe(self) -> Iterator[str]:
        """Return a line for each setting, with its origin and without secrets."""
        yield f"profile {self.name}"
        if isinstance(self.source, FederatedSource):
            yield from self.source.describe()
        for role in self.roles:
            yield f"role {role.arn} for {format_duration(role.duration.value)} ({role.duration.origin})"
            extras = {"an external id": role.external_id, "tags": role.tags, "a session policy": role.policy}
            words = "".join(f", with {what}" for what, value in extras.items() if value)
            yield f"role session name {role.session_name}{words} (profile {role.profile})"
        for label, setting in (
            ("region", self.region),
            ("mfa_serial", self.mfa_serial),
            ("mfa_process", self.mfa_process),
        ):
            yield f"{label} = {setting.value} ({setting.origin})" if setting else f"{label} is not set"
        session = self.session_token_duration
        yield f"session_token_duration = {format_duration(session.value)} ({session.origin})"
        for service, setting in self.endpoint_urls.items():
            yield f"endpoint_url {service or 'of every service'} = {setting.value} ({setting.origin})"
        if not isinstance(self.source, NoSource):
            yield f"credentials from {self.source.origin}"
        yield from self.unused
