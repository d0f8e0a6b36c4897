"""SAML and OIDC settings of a profile: every key, flag and variable of the Go tool, and a few new keys.

They are inherited from source profiles and ``[default]``. An address on the command line or in the environment applies
to any named profile, an inherited one only to a profile without its own credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from aws_runas.config.arn import is_role_arn
from aws_runas.config.files import ConfigFiles, ProfileSection
from aws_runas.config.lookup import Lookup
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import FederatedSource, FederationKind, Role, Setting
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

SAML_PROVIDERS = {  # configured name -> sign-in method
    "browser": "browser",
    "azuread": "browser",
    "form": "form",
    "keycloak": "form",
    "process": "process",
}
OIDC_PROVIDERS = {  # all of the Go tool's providers: the user's browser shows the provider's own page
    **dict.fromkeys(("browser", "azuread", "okta", "onelogin", "forgerock"), "browser"),
    "form": "form",
    "keycloak": "form",
}
LATER = ("okta", "onelogin", "forgerock", "browserne", "browsernewexperience", "kerberos", "okta-classic", "mock")
MFA_TYPES = ("none", "auto", "code", "push")
FLOWS = ("auto", "browser", "device")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
URL_KEYS: dict[FederationKind, str] = {"saml": "saml_auth_url", "oidc": "web_identity_auth_url"}
_PASSWORDS: dict[FederationKind, tuple[str, tuple[str, ...]]] = {
    "saml": ("saml_password", ("RUNAS_PASSWORD", "SAML_PASSWORD")),
    "oidc": ("web_identity_password", ("RUNAS_PASSWORD", "WEB_PASSWORD", "WEB_IDENTITY_PASSWORD")),
}


@dataclass(frozen=True, slots=True)
class FederatedUrl:
    """The address that makes a profile federated."""

    kind: FederationKind
    setting: Setting[str]
    explicit: bool = False


def own_url(section: ProfileSection) -> FederatedUrl | None:
    """Return the address in a profile's own section.

    Raises:
        ConfigError: SAML and OIDC are both set.
    """
    return _one_of(
        _first(section, "saml_auth_url", "saml_process"), _first(section, "web_identity_auth_url"), explicit=False
    )


def explicit_url(overrides: Overrides, environ: Mapping[str, str]) -> FederatedUrl | None:
    """Return the address that a flag or a variable names.

    Raises:
        ConfigError: SAML and OIDC are both named.
    """
    saml = _outside(overrides.signin.saml_url, "-S", environ, ("SAML_AUTH_URL",))
    oidc = _outside(overrides.signin.web_url, "-W", environ, ("WEB_AUTH_URL", "WEB_IDENTITY_AUTH_URL"))
    return _one_of(saml, oidc, explicit=True)


def _one_of(saml: Setting[str] | None, oidc: Setting[str] | None, *, explicit: bool) -> FederatedUrl | None:
    if saml and oidc:
        raise contradiction(saml, oidc)
    if saml:
        return FederatedUrl("saml", saml, explicit)
    return FederatedUrl("oidc", oidc, explicit) if oidc else None


def contradiction(saml: Setting[str], oidc: Setting[str]) -> ConfigError:
    """Return the error for a profile with two sign-in methods."""
    return ConfigError(
        f"both SAML ({saml.origin}) and OIDC ({oidc.origin}) are set",
        code="source-contradictory",
        hint="keep saml_auth_url (or saml_process) or web_identity_auth_url, not both",
    )


def check_contradiction(lookup: Lookup, url: FederatedUrl, overrides: Overrides, environ: Mapping[str, str]) -> None:
    """Refuse SAML and OIDC together, no matter where each one is set.

    Args:
        lookup: the settings of the profile.
        url: the provider's address.
        overrides: the flags.
        environ: the variables.

    Raises:
        ConfigError: both are set.
    """
    outside = explicit_url(overrides, environ)
    if outside and outside.kind != url.kind:
        pair = (url.setting, outside.setting) if url.kind == "saml" else (outside.setting, url.setting)
        raise contradiction(*pair)
    other = lookup.text(URL_KEYS["oidc" if url.kind == "saml" else "saml"])
    if other is None and url.kind == "oidc":
        other = lookup.text("saml_process")
    if other is not None:
        raise contradiction(*((url.setting, other) if url.kind == "saml" else (other, url.setting)))


def build(
    files: ConfigFiles, lookup: Lookup, url: FederatedUrl, overrides: Overrides, *, profile: str, role: Role | None
) -> FederatedSource:
    """Collect the settings.

    Args:
        lookup: for the profile and its sources.
        url: the address that makes it federated.
        profile: its name, for messages.
        role: the role that is assumed first.

    Raises:
        ConfigError: a value is unknown or missing.
    """
    check_contradiction(lookup, url, overrides, lookup.environ)
    reader = _Reader(lookup, overrides)
    address = _saml_address(lookup, url) if url.kind == "saml" else url.setting.value
    _check_url(address, url)
    provider, method = reader.provider(url.kind, has_process=bool(lookup.text("saml_process")) and not address)
    source = FederatedSource(
        kind=url.kind,
        url=address,
        provider=provider,
        method=method,
        profile=profile,
        origin=url.setting.origin,
        role=role,
        username=reader.username(url.kind),
        federated_username=reader.text("federated_username", variables=("FEDERATED_USERNAME",)),
        mfa_type=reader.choice("mfa_type", MFA_TYPES, overrides.signin.mfa_type, "-t", variables=("MFA_TYPE",)),
        browser=reader.text("auth_browser", variables=("AUTH_BROWSER",)),
        password=reader.password(files, url.kind, address),
        keep_session=_value(lookup.text("idp_session")) == "keep",
    )
    source = _with_saml(source, reader) if url.kind == "saml" else _with_oidc(source, files, reader)
    _check_complete(source)
    return source


def notes(lookup: Lookup, overrides: Overrides) -> list[str]:
    """Return notes about settings of the Go tool that are accepted but have no effect."""
    variables = ("SAML_ENTITYID", "SAML_ENTITY_ID")
    entity = _Reader(lookup, overrides).first_of(
        ("saml_auth_entityid", "saml_entity_id"), "-I", overrides.signin.saml_entity_id, variables
    )
    if entity is None:
        return []
    return [f"entity id {entity.value} ({entity.origin}) has no effect: the sign-in starts at saml_auth_url"]


def jump_role(lookup: Lookup, overrides: Overrides) -> Setting[str] | None:
    """Return the role that is assumed with the assertion, before the profile's own role.

    Raises:
        ConfigError: the value is not a role ARN.
    """
    found = _Reader(lookup, overrides).text(
        "jump_role_arn", "-J", overrides.signin.jump_role, variables=("JUMP_ROLE_ARN",)
    )
    if found and not is_role_arn(found.value):
        raise ConfigError(
            f"jump role {found.value} ({found.origin}) is not the ARN of an IAM role",
            code="arn-not-a-role",
            hint="a role ARN looks like arn:aws:iam::123456789012:role/NAME",
        )
    return found


def _with_saml(source: FederatedSource, reader: _Reader) -> FederatedSource:
    principal = reader.text("saml_principal_arn")
    return replace(source, principal_arn=_value(principal), process=reader.text("saml_process"))


def _with_oidc(source: FederatedSource, files: ConfigFiles, reader: _Reader) -> FederatedSource:
    overrides = reader.overrides
    variables = ("WEB_CLIENT_ID", "WEB_IDENTITY_CLIENT_ID")
    client = reader.text("web_identity_client_id", "-C", overrides.signin.web_client, variables)
    redirect = reader.first_of(
        ("web_identity_redirect_uri", "web_identity_callback_uri"),
        "-T",
        overrides.signin.web_redirect,
        ("WEB_REDIRECT_URI", "WEB_IDENTITY_REDIRECT_URI"),
    )
    _check_redirect(redirect)
    secret = reader.text("web_identity_client_secret")
    scopes = _value(reader.text("web_identity_scopes")) or "openid"
    return replace(
        source,
        client_id=_value(client) or "",
        redirect_uri=_value(redirect) or "http://127.0.0.1/callback",
        scopes=tuple(scopes.replace(",", " ").split()),
        flow=reader.choice("web_identity_flow", FLOWS),
        issuer=_value(reader.text("web_identity_issuer")),
        client_secret=secret,
        client_secret_file=_file_of(files, reader.lookup, "web_identity_client_secret") if secret else None,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads settings that have several spellings."""

    lookup: Lookup
    overrides: Overrides

    def text(
        self, key: str, flag_name: str = "", flag: str | None = None, variables: tuple[str, ...] = ()
    ) -> Setting[str] | None:
        return _outside(flag, flag_name, self.lookup.environ, variables) or self.lookup.text(key)

    def first_of(
        self, keys: tuple[str, ...], flag_name: str, flag: str | None, variables: tuple[str, ...]
    ) -> Setting[str] | None:
        found = _outside(flag, flag_name, self.lookup.environ, variables)
        for section in self.lookup.places():
            found = found or _first(section, *keys)
        return found

    def username(self, kind: FederationKind) -> Setting[str] | None:
        own = {"saml": ("SAML_USERNAME",), "oidc": ("WEB_USERNAME", "WEB_IDENTITY_USERNAME")}[kind]
        key = {"saml": "saml_username", "oidc": "web_identity_username"}[kind]
        return self.text(key, "-U", self.overrides.signin.username, ("RUNAS_USERNAME", *own))

    def provider(self, kind: FederationKind, *, has_process: bool) -> tuple[str, str]:
        """Return the provider's configured name and its sign-in method."""
        own = {"saml": ("SAML_PROVIDER",), "oidc": ("WEB_PROVIDER", "WEB_IDENTITY_PROVIDER")}[kind]
        key = {"saml": "saml_provider", "oidc": "web_identity_provider"}[kind]
        setting = self.text(key, "-R", self.overrides.signin.provider, ("RUNAS_PROVIDER", *own))
        name = setting.value.lower() if setting else "process" if has_process else "browser"
        known = SAML_PROVIDERS if kind == "saml" else OIDC_PROVIDERS
        if name in known:
            return name, known[name]
        origin = setting.origin if setting else ""
        if name in LATER:
            raise ConfigError(
                f"provider {name} ({origin}) is not supported yet",
                code="provider-unsupported",
                hint="use provider browser: it shows the pages of every identity provider",
            )
        raise ConfigError(
            f"provider {name!r} ({origin}) is unknown", code="provider-unknown", hint=f"use one of: {', '.join(known)}"
        )

    def choice(
        self,
        key: str,
        choices: tuple[str, ...],
        flag: str | None = None,
        flag_name: str = "",
        *,
        variables: tuple[str, ...] = (),
    ) -> str:
        setting = self.text(key, flag_name, flag, variables)
        value = setting.value.lower() if setting else "auto"
        if setting and value not in choices:
            raise ConfigError(
                f"{key} {setting.value!r} ({setting.origin}) is unknown",
                code="setting-unknown",
                hint=f"use one of: {', '.join(choices)}",
            )
        return value

    def password(self, files: ConfigFiles, kind: FederationKind, url: str) -> Setting[str] | None:
        key, variables = _PASSWORDS[kind]
        found = _outside(self.overrides.signin.password, "-P", self.lookup.environ, variables)
        stored = files.credentials.sections.get(url, {}).get(key)
        if found is None and isinstance(stored, str) and stored.strip():
            return Setting(stored.strip(), f"{key} in {files.credentials.path}")
        return found


def _outside(
    flag: str | None, flag_name: str, environ: Mapping[str, str], variables: tuple[str, ...]
) -> Setting[str] | None:
    if flag:
        return Setting(flag, f"flag {flag_name}")
    for variable in variables:
        value = environ.get(variable, "").strip()
        if value:
            return Setting(value, variable)
    return None


def _first(section: ProfileSection, *keys: str) -> Setting[str] | None:
    for key in keys:
        text = section.text(key)
        if text:
            return Setting(text, section.origin(key))
    return None


def _value(setting: Setting[str] | None) -> str | None:
    return setting.value if setting else None


def _saml_address(lookup: Lookup, url: FederatedUrl) -> str:
    """Return the address, also if ``saml_process`` makes the profile a SAML profile; "" if none is set."""
    if url.explicit or url.setting.value == _value(lookup.text("saml_auth_url")):
        return url.setting.value
    return _value(lookup.text("saml_auth_url")) or ""


def _check_url(address: str, url: FederatedUrl) -> None:
    if not address:
        return
    try:
        parts = urlsplit(address)
        is_right = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        is_right = is_right and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigError(
            f"{address!r} ({url.setting.origin}) is not an https address",
            code="auth-url-invalid",
            hint="write the address of the sign-in page, https://...",
        )


def _check_redirect(redirect: Setting[str] | None) -> None:
    """Refuse a redirect URI without a scheme or with an invalid port; the provider checks the rest."""
    if redirect is None:
        return
    try:
        parts = urlsplit(redirect.value)
        is_right = bool(parts.scheme) and redirect.value.isprintable() and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigError(
            f"{redirect.value!r} ({redirect.origin}) is not a redirect URI",
            code="redirect-uri-invalid",
            hint="write the one that is registered at the identity provider, such as http://127.0.0.1/callback",
        )


def _file_of(files: ConfigFiles, lookup: Lookup, key: str) -> Path:
    for section in lookup.places():
        if section.text(key):
            in_credentials = key in files.credentials.sections.get(section.name, {})
            return files.credentials.path if in_credentials else files.config.path
    return files.config.path


def _check_complete(source: FederatedSource) -> None:
    if source.kind == "saml":
        if source.method == "process" and source.process is None:
            raise ConfigError(
                f"profile {source.profile} has provider process and no saml_process",
                code="source-incomplete",
                hint="add saml_process = PROGRAM that prints the SAML response",
            )
        if source.method != "process" and not source.url:
            raise ConfigError(
                f"profile {source.profile} has provider {source.provider} and no saml_auth_url",
                code="source-incomplete",
                hint="add saml_auth_url, or saml_provider = process",
            )
        return
    if not source.client_id:
        raise ConfigError(
            f"profile {source.profile} has web_identity_auth_url and no web_identity_client_id",
            code="source-incomplete",
            hint="add the client id that the identity provider gave this application",
        )
    if source.role is None:
        raise ConfigError(
            f"profile {source.profile} has web_identity_auth_url and no role_arn",
            code="source-missing",
            hint="add the role_arn that the ID token may assume",
        )
