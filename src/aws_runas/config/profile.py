"""A profile as resolved: every setting with where it came from."""

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

DEFAULT_REGION = "us-east-1"  # of STS, where nothing names one

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
    """A value and where it came from, for people: ``flag -d``, ``[profile x] in ~/.aws/config, line 3``."""

    value: T
    origin: str


@dataclass(frozen=True, slots=True)
class KeySource:
    """Access keys of a file or of the environment.

    Args:
        session_token: set when the keys are temporary already.
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
    """A user's own access keys that are in a keyring. Whoever only needs to know the key id opens none.

    Args:
        access_key_id: of ``keyring_key_id``.
        name: of the item, from ``keyring``.
        profile: has these two lines.
    """

    access_key_id: str
    name: str
    profile: str
    origin: str

    def __repr__(self) -> str:
        return f"KeyringSource({redact.key_id(self.access_key_id)!r}, {self.name!r}, {self.origin!r})"


@dataclass(frozen=True, slots=True)
class ResolverSource:
    """Credentials that botocore's own resolvers fetch.

    Args:
        kind: which resolver.
        profile: the profile that configures it, None for the environment.
        identity: every setting that decides whose credentials come out, for the cache key.
    """

    kind: ResolverKind
    profile: str | None
    identity: tuple[tuple[str, str], ...]
    origin: str


@dataclass(frozen=True, slots=True)
class NoSource:
    """There are no credentials; an error once they are asked for.

    Args:
        message: names the profile.
        hint: what to add.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Role:
    """One AssumeRole of the chain.

    Args:
        arn: of the role.
        profile: whose settings these are, for messages.
        session_name: as CloudTrail shows it.
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
    """Credentials for the word of an identity provider.

    Args:
        url: where the sign-in starts; "" for a program.
        provider: as configured, in lower case.
        method: "browser", "form" or "process".
        profile: whose settings these are, for messages.
        role: assumed with the assertion or the ID token; None lets the assertion decide.
        duration: of the credentials, in seconds.
        principal_arn: of the SAML provider in IAM.
        process: prints the SAML response, base64.
        client_id, redirect_uri, scopes, flow, issuer: of OIDC.
        client_secret: the secret, ``keyring`` or ``file://PATH``.
        client_secret_file: the file that client_secret is written in.
        password: of the flag, a variable or the credentials file; may be encoded as the Go tool does it.
        keep_session: cookies of the form login are kept.
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
        """The user name that the provider asks for; "" where none is set."""
        chosen = self.federated_username or self.username
        return chosen.value if chosen else ""

    @property
    def label(self) -> str:
        """Name of the sign-in, for people."""
        return urlsplit(self.url).hostname or self.origin


Source = KeySource | KeyringSource | ResolverSource | FederatedSource | NoSource


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that the user asked for.

    Args:
        name: the profile, ``default`` when nobody named one, or the role ARN.
        named: False when nobody named one.
        section: name of the profile section that gives the client settings; differs from name for an ARN.
        source: where the first credentials come from.
        roles: AssumeRole calls in order; empty for a plain user. The last one is what the user asked for.
        region: None where nothing names one.
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
        """The role that the user asked for."""
        if not self.roles and isinstance(self.source, FederatedSource) and self.source.role:
            return self.source.role.arn
        return self.roles[-1].arn if self.roles else None

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn``, ``aws-us-gov``..., by the ARNs of the profile."""
        arn = self.role_arn or (self.mfa_serial.value if self.mfa_serial else None)
        return partition_of(arn, self.region.value if self.region else None)

    @property
    def sts_region(self) -> str:
        """Region of STS calls: the profile's, else the first one of the partition."""
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
