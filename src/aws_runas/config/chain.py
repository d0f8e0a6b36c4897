"""The source_profile chain, from the named profile to its source credentials.

The rules are those of the AWS CLI: keys in a source profile take precedence over its role, and a profile with keys may
name itself as its source. Any other repetition is a cycle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from aws_runas.config import federation
from aws_runas.config.files import ConfigFiles, ProfileSection
from aws_runas.config.profile import KeyringSource, KeySource, NoSource, ResolverKind, ResolverSource, Source
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.files import read_named

_SETTINGS_OF: dict[ResolverKind, tuple[str, ...]] = {
    "web-identity": ("role_arn", "web_identity_token_file", "role_session_name"),
    "sso": ("sso_session", "sso_start_url", "sso_region", "sso_account_id", "sso_role_name"),
    "login": ("login_session",),
    "process": ("credential_process",),
}
_CREDENTIAL_SOURCES = {
    "environment": "Environment",
    "ecscontainer": "EcsContainer",
    "ec2instancemetadata": "Ec2InstanceMetadata",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain from a profile to its source credentials.

    Args:
        links: the profiles in the chain, the named one first.
        role_count: how many of them, from the first, assume their role.
        source: where the first credentials come from.
        federated: the sign-in that gives the first credentials instead.
        assuming: with federated, the profiles that assume their role.
    """

    links: tuple[ProfileSection, ...]
    role_count: int
    source: Source
    federated: federation.FederatedUrl | None = None
    assuming: tuple[ProfileSection, ...] = ()

    @property
    def role_links(self) -> tuple[ProfileSection, ...]:
        """Return the profiles that assume their role, the named one first."""
        return self.assuming if self.federated else self.links[: self.role_count]


def follow(
    files: ConfigFiles, name: str, environ: Mapping[str, str], url: federation.FederatedUrl | None = None
) -> Chain:
    """Follow a profile to its source.

    Args:
        name: of an existing profile.
        url: of a sign-in that a flag, a variable or ``[default]`` names. An explicit one makes every profile
            federated, an inherited one only profiles without their own credentials.

    Returns:
        The chain. If it ends in a sign-in, `federated` is set, and the roles include that profile's role.

    Raises:
        ConfigError: a cycle, a source that does not exist, or contradictory settings.
    """
    links: list[ProfileSection] = []
    visited = [name]
    current = files.profiles[name]
    while True:
        links.append(current)
        own = federation.own_url(current)
        if own or (url and url.explicit):
            return _federated(files, links, own if own and not (url and url.explicit) else url)
        own_keys = len(links) > 1 and _has_keys(current)
        if own_keys or not _assumes_role(current):
            source = own_source(current)
            if url and isinstance(source, NoSource):
                return _federated(files, links, url)
            return Chain(tuple(links), len(links) - 1, source)
        source_profile, credential_source = _named_source(current)
        if credential_source:
            return Chain(tuple(links), len(links), _credential_source(current, credential_source, environ))
        if not source_profile and url:
            return _federated(files, links, url)
        _check_source_profile(files, current, source_profile)
        if source_profile == current.name and _has_keys(current) and len(links) == 1:
            return Chain((*links, current), 1, own_source(current))
        if source_profile in visited:
            raise ConfigError(
                "source_profile forms a cycle: " + " -> ".join([*visited, source_profile]),
                code="source-profile-cycle",
                hint="end the chain in a profile that holds keys",
            )
        visited.append(source_profile)
        current = files.profiles[source_profile]


def _named_source(section: ProfileSection) -> tuple[str, str]:
    """Return source_profile and credential_source of a profile, "" for each one that is not set."""
    source_profile, credential_source = section.text("source_profile"), section.text("credential_source")
    if source_profile and credential_source:
        raise ConfigError(
            f"profile {section.name} has both source_profile and credential_source",
            code="source-contradictory",
            hint=f"keep one of them in {section.origin('source_profile')}",
        )
    return source_profile or "", credential_source or ""


def _check_source_profile(files: ConfigFiles, section: ProfileSection, source_profile: str) -> None:
    if not source_profile:
        raise ConfigError(
            f"profile {section.name} has a role_arn and neither source_profile nor credential_source",
            code="source-missing",
            hint="add source_profile = NAME of the profile that holds your keys",
        )
    if source_profile not in files.profiles:
        raise ConfigError(
            f"source_profile {source_profile} of profile {section.name} does not exist",
            code="source-profile-not-found",
            hint=files.wrong_heading(source_profile) or f"correct it in {section.origin('source_profile')}",
        )


def _federated(files: ConfigFiles, links: list[ProfileSection], url: federation.FederatedUrl | None) -> Chain:
    """End a chain in a sign-in. A source profile beyond it only gives settings."""
    assuming = tuple(link for link in links if link.text("role_arn"))
    more = files.profiles.get(links[-1].text("source_profile") or "")
    behind = () if more is None or more in links else (more,)
    source = NoSource("the sign-in is not set up", "see the SAML and OIDC settings")  # the caller replaces it
    return Chain((*links, *behind), len(assuming), source, url, assuming)


def own_source(section: ProfileSection) -> Source:
    """Return the credentials in a profile itself, in the AWS CLI's order of precedence.

    A keyring comes after keys in the credentials file and before all other sources. So a ``credential_process`` in the
    same profile, which runs aws-runas for other programs, does not run aws-runas again.

    Args:
        section: of the profile.
    """
    if section.text("web_identity_token_file"):
        return _web_identity(section)
    if section.text("sso_session") or section.text("sso_start_url"):
        return _resolver("sso", section)
    keys = "aws_access_key_id" in section.values
    if keys and section.keys_shared:
        return _keys(section)
    if section.text("keyring"):
        return _keyring(section)
    if section.text("login_session"):
        return _resolver("login", section)
    if section.text("credential_process"):
        return _resolver("process", section)
    if keys:
        return _keys(section)
    return NoSource(
        f"profile {section.name} has no credentials",
        "add aws_access_key_id and aws_secret_access_key, source_profile, sso_session or credential_process to it",
    )


def environment_keys(environ: Mapping[str, str]) -> KeySource | None:
    """Return the keys in the environment, or None if there is no AWS_ACCESS_KEY_ID.

    Args:
        environ: the variables.

    Raises:
        ConfigError: the key id is set without its secret.
    """
    key_id = environ.get("AWS_ACCESS_KEY_ID", "").strip()
    if not key_id:
        return None
    secret = environ.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if not secret:
        raise ConfigError(
            "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
            code="keys-incomplete",
            hint="set both, or unset AWS_ACCESS_KEY_ID",
        )
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or None
    expiration = environ.get("AWS_CREDENTIAL_EXPIRATION") or None
    return KeySource(key_id, secret, token, "the environment", expiration)


def environment_source(environ: Mapping[str, str]) -> Source | None:
    """Return the credentials in the environment: keys, a web identity or a container endpoint.

    Args:
        environ: the variables.
    """
    keys = environment_keys(environ)
    if keys:
        return keys
    token_file = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if token_file and environ.get("AWS_ROLE_ARN"):
        names = ("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE")
        identity = (*((name, environ.get(name, "")) for name in names), ("token", _content(token_file)))
        return ResolverSource("environment-web-identity", None, identity, "AWS_WEB_IDENTITY_TOKEN_FILE")
    for name in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        if environ.get(name):
            return ResolverSource("EcsContainer", None, ((name, environ[name]),), name)
    return None


def _credential_source(section: ProfileSection, text: str, environ: Mapping[str, str]) -> Source:
    origin = section.origin("credential_source")
    kind = _CREDENTIAL_SOURCES.get(text.lower())
    if kind == "Environment":
        keys = environment_keys(environ)
        return keys or NoSource(
            f"profile {section.name} takes its credentials from the environment, which has none",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if kind == "EcsContainer":
        names = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
        identity = tuple((name, environ.get(name, "")) for name in names)
        return ResolverSource("EcsContainer", None, identity, origin)
    if kind == "Ec2InstanceMetadata":
        endpoint = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
        return ResolverSource("Ec2InstanceMetadata", None, (("endpoint", endpoint),), origin)
    raise ConfigError(
        f"credential_source {text} of profile {section.name} is not one that AWS knows",
        code="credential-source-unknown",
        hint="write Environment, EcsContainer or Ec2InstanceMetadata",
    )


def _has_keys(section: ProfileSection) -> bool:
    return any(key in section.values for key in ("aws_access_key_id", "aws_secret_access_key", "keyring"))


def _assumes_role(section: ProfileSection) -> bool:
    return bool(section.text("role_arn")) and "web_identity_token_file" not in section.values


def _keys(section: ProfileSection) -> Source:
    key_id, secret = section.text("aws_access_key_id"), section.text("aws_secret_access_key")
    origin = section.origin("aws_access_key_id")
    if not key_id or not secret:
        missing = "aws_access_key_id" if not key_id else "aws_secret_access_key"
        raise ConfigError(f"{origin}: {missing} is missing or empty", code="keys-incomplete", hint="add both keys")
    token = section.text("aws_security_token") or section.text("aws_session_token")
    return KeySource(key_id, secret, token, origin)


def _keyring(section: ProfileSection) -> Source:
    name, key_id = section.text("keyring"), section.text("keyring_key_id")
    origin = section.origin("keyring")
    if not name or not key_id:
        raise ConfigError(
            f"{origin}: keyring is set and keyring_key_id is not",
            code="keys-incomplete",
            hint=f"aws-runas keys add {section.name} writes both lines",
        )
    return KeyringSource(key_id, name, section.name, f"the keyring, {name} ({origin})")


def _resolver(kind: ResolverKind, section: ProfileSection) -> Source:
    identity = tuple((key, str(section.values.get(key, ""))) for key in _SETTINGS_OF[kind])
    origin = next(section.origin(key) for key in _SETTINGS_OF[kind] if section.text(key))
    return ResolverSource(kind, section.name, identity, origin)


def _web_identity(section: ProfileSection) -> Source:
    source = _resolver("web-identity", section)
    if not isinstance(source, ResolverSource) or not section.text("role_arn"):
        raise ConfigError(
            f"profile {section.name} has web_identity_token_file and no role_arn",
            code="source-missing",
            hint="add the role_arn that the web identity may assume",
        )
    token = _content(section.text("web_identity_token_file") or "")
    return ResolverSource(source.kind, source.profile, (*source.identity, ("token", token)), source.origin)


def _content(path: str) -> str:
    """Return the token itself, so that a new identity gets a new cache entry; the token is only hashed."""
    try:
        return read_named(Path(os.path.expanduser(path))).decode("utf-8", "replace")
    except OSError:
        return ""
