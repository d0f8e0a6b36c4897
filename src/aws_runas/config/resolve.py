"""Resolution of files, flags and environment to a Profile.

The order of precedence is flag, environment, profile, source profiles, ``[default]``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

from aws_runas.config import chain as chains
from aws_runas.config import federation
from aws_runas.config.arn import is_role_arn, looks_like_arn
from aws_runas.config.durations import CHAINED_ROLE_LIMIT, ROLE_DEFAULT, SESSION_TOKEN_DEFAULT
from aws_runas.config.endpoints import endpoint_urls
from aws_runas.config.federation import FederatedUrl
from aws_runas.config.files import ConfigFiles, ProfileSection, load_files
from aws_runas.config.lookup import Lookup
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import KeySource, NoSource, Profile, ResolverSource, Role, Setting, Source
from aws_runas.config.roles import build_roles, default_session_name, role_duration
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.fast.names import is_on

__all__ = ["Overrides", "Profile", "Setting", "load_files", "resolve"]


def resolve(files: ConfigFiles, name: str | None, overrides: Overrides, environ: Mapping[str, str]) -> Profile:
    """Resolve the requested profile or role.

    Args:
        files: from `load_files`.
        name: a profile, a role ARN, or None if the command line names neither.
        overrides: the flags.
        environ: the variables.

    Returns:
        The profile. Missing credentials are not an error yet: see `NoSource`.

    Raises:
        ConfigError: unknown profile, cycle, contradiction, or a value that cannot be parsed.
    """
    chosen = profile_variable(environ)
    if name is None or not looks_like_arn(name):
        text = name or (chosen.value if chosen else None)
        if text and looks_like_arn(text):
            return _resolve_arn(files, text, None, overrides, environ=environ)
        return _resolve_named(files, text, overrides, environ)
    source = chosen.value if chosen and not looks_like_arn(chosen.value) else None
    return _resolve_arn(files, name, source, overrides, environ=environ)


def profile_variable(environ: Mapping[str, str]) -> Setting[str] | None:
    """Return the profile named in the environment, if any."""
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        value = environ.get(variable, "").strip()
        if value:
            return Setting(value, variable)
    return None


def _resolve_named(files: ConfigFiles, name: str | None, overrides: Overrides, environ: Mapping[str, str]) -> Profile:
    label = name or "default"
    section = files.profiles.get(label)
    if section is None and label != "default":
        raise _not_found(files, label, environ)
    url = _inherited_url(files, overrides, environ)
    explicit = url is not None and url.explicit
    keys = chains.environment_keys(environ) if name is None and not explicit else None
    chain = None
    if keys is None and section is not None:
        chain = chains.follow(files, label, environ, url)
    elif explicit:
        chain = chains.Chain((), 0, _no_default(files, environ), url)
    source: Source
    if chain is None or _is_empty_default(label, chain):
        source = keys or chains.environment_source(environ) or _no_default(files, environ)
        links: tuple[ProfileSection, ...] = (section,) if section else ()
        role_links: tuple[ProfileSection, ...] = ()
    else:
        source, links = chain.source, chain.links
        role_links = chain.role_links
    url = chain.federated if chain else None
    warnings = _both_present(environ, source, label if name else None)
    chosen = _Chosen(label, name is not None, source, links, role_links, url=url, warnings=warnings)
    return _build(files, chosen, overrides, environ)


def _resolve_arn(
    files: ConfigFiles, arn: str, source_name: str | None, overrides: Overrides, *, environ: Mapping[str, str]
) -> Profile:
    if not is_role_arn(arn):
        raise ConfigError(
            f"{arn} is not the ARN of an IAM role",
            code="arn-not-a-role",
            hint="a role ARN looks like arn:aws:iam::123456789012:role/NAME",
        )
    if source_name is not None and source_name not in files.profiles and source_name != "default":
        raise _not_found(files, source_name, environ)
    url = _inherited_url(files, overrides, environ)
    explicit = url is not None and url.explicit
    source: Source | None = chains.environment_source(environ) if source_name is None and not explicit else None
    section = files.profiles.get(source_name or "default")
    federated = url if explicit else None
    links: tuple[ProfileSection, ...] = (section,) if section else ()
    role_links: tuple[ProfileSection, ...] = ()
    if source is None and section is not None:
        chain = chains.follow(files, section.name, environ, url)
        source, links, role_links, federated = chain.source, chain.links, chain.role_links, chain.federated
    if federated is not None:
        source = source or _no_default(files, environ)
    elif source is None or (isinstance(source, NoSource) and source_name == "default" and not role_links):
        source = chains.environment_source(environ) or source or _no_default(files, environ)
    if isinstance(source, NoSource) and source_name is None and federated is None:
        source = NoSource(
            f"there is nothing to assume {arn} with: neither the environment nor profile default has credentials",
            "set AWS_PROFILE to the profile that holds your keys",
        )
    warnings = _both_present(environ, source, source_name)
    chosen = _Chosen(arn, True, source, links, role_links, arn, federated, warnings)
    return _build(files, chosen, overrides, environ)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The profile or role that the user chose.

    Args:
        name: profile or role ARN.
        named: True if the user named it, False for the default.
        source: of the first credentials.
        links: the profile and its source profiles.
        role_links: those of them that have a role to assume.
        arn: of a role that was named by its ARN.
        url: of the sign-in that gives the first credentials, instead of source.
        warnings: about the choice.
    """

    name: str
    named: bool
    source: Source
    links: tuple[ProfileSection, ...]
    role_links: tuple[ProfileSection, ...]
    arn: str | None = None
    url: FederatedUrl | None = None
    warnings: tuple[str, ...] = ()


def _inherited_url(files: ConfigFiles, overrides: Overrides, environ: Mapping[str, str]) -> FederatedUrl | None:
    """Return the sign-in address from the command line, the environment, or ``[default]``."""
    default = files.profiles.get("default")
    return federation.explicit_url(overrides, environ) or (federation.own_url(default) if default else None)


def _is_empty_default(label: str, chain: chains.Chain) -> bool:
    bare = not chain.role_count and isinstance(chain.source, NoSource)
    return label == "default" and bare and chain.federated is None


def _build(files: ConfigFiles, chosen: _Chosen, overrides: Overrides, environ: Mapping[str, str]) -> Profile:
    links, source = chosen.links, chosen.source
    lookup = Lookup(environ, links, files.profiles.get("default"))
    endpoints, unused = endpoint_urls(files, links[0] if links else None, environ)
    notes = [*files.ignored().values(), *unused]
    duration, session_token_duration = _lifetimes(lookup, chosen, overrides, notes)
    roles = build_roles(chosen.role_links, chosen.arn, duration, overrides, environ=environ)
    if chosen.url is not None:
        build = functools.partial(federation.build, files, lookup, chosen.url, overrides, profile=chosen.name)
        first, roles = _first_role(lookup, overrides, chosen.name, roles, duration=duration)
        source = dataclasses.replace(build(role=first), duration=first.duration if first else duration)
        notes += federation.notes(lookup, overrides)
    elif overrides.signin.jump_role:
        notes.append("flag -J is for SAML and OIDC; not used")
    if overrides.role_duration and isinstance(source, ResolverSource) and source.kind == "sso" and not roles:
        notes.append("flag -a has no effect: the permission set of Identity Center decides how long its roles live")
    return Profile(
        name=chosen.name,
        named=chosen.named,
        section=links[0].name if links else None,
        source=source,
        roles=roles,
        region=lookup.region(overrides.region),
        mfa_serial=lookup.text("mfa_serial", flag=overrides.mfa_serial, flag_name="-M", variable="MFA_SERIAL"),
        mfa_process=lookup.text("mfa_process", flag=overrides.mfa_process, flag_name="--mfa-process"),
        session_token_duration=session_token_duration,
        role_duration=duration,
        use_session_token=overrides.use_session_token or is_on(environ, "RUNAS_SESSION_CREDENTIALS"),
        refresh=overrides.refresh,
        otp=lookup.otp(overrides.otp),
        endpoint_urls=endpoints,
        sections=files.profiles,
        sso_sessions=files.sso_sessions,
        services=files.services,
        source_profile=links[-1].name
        if links and not (isinstance(source, KeySource) and source.origin == "the environment")
        else None,
        warnings=chosen.warnings,
        unused=tuple(notes),
    )


def _lifetimes(
    lookup: Lookup, chosen: _Chosen, overrides: Overrides, notes: list[str]
) -> tuple[Setting[int], Setting[int]]:
    """Read the lifetimes of roles and session tokens, in seconds."""
    has_role = bool(chosen.arn or chosen.role_links or chosen.url)
    own = None if chosen.arn or not chosen.links else chosen.links[0]
    role = _unless_unused(
        lambda: role_duration(lookup, overrides, own=own), has_role, Setting(ROLE_DEFAULT, "default"), notes
    )
    is_own_key = not isinstance(chosen.source, ResolverSource) or chosen.source.kind == "process"
    session_token = _unless_unused(
        lambda: lookup.session_token_duration(overrides.session_token_duration),
        chosen.url is None and is_own_key,
        Setting(SESSION_TOKEN_DEFAULT, "default"),
        notes,
    )
    return role, session_token


def _first_role(
    lookup: Lookup, overrides: Overrides, name: str, roles: tuple[Role, ...], *, duration: Setting[int]
) -> tuple[Role | None, tuple[Role, ...]]:
    """Split the role of the sign-in (the jump role, else the first one) from the roles assumed with it."""
    jump = federation.jump_role(lookup, overrides)
    if jump is not None:
        session_name = overrides.role_session_name or (roles[0].session_name if roles else "")
        first = Role(jump.value, name, session_name or default_session_name(lookup.environ), duration)
    elif roles:
        first, roles = roles[0], roles[1:]
    else:
        return None, ()
    if roles:
        first = dataclasses.replace(first, duration=_at_most_an_hour(first.duration))
        roles = (*roles[:-1], dataclasses.replace(roles[-1], duration=_at_most_an_hour(roles[-1].duration)))
    return first, roles


def _at_most_an_hour(duration: Setting[int]) -> Setting[int]:
    """Cut the duration configured for all roles to AWS's limit for chained roles; a flag is refused later."""
    if duration.value <= CHAINED_ROLE_LIMIT or duration.origin.startswith("flag "):
        return duration
    return Setting(CHAINED_ROLE_LIMIT, f"{duration.origin}, cut to AWS's limit for chained roles")


def _unless_unused(
    read: Callable[[], Setting[int]], used: bool, default: Setting[int], notes: list[str]
) -> Setting[int]:
    """Read a duration. If it is unused, an invalid value is a note and not an error."""
    try:
        return read()
    except ConfigError as error:
        if used:
            raise
        notes.append(f"{error.message}; not used")
        return default


def _both_present(environ: Mapping[str, str], source: Source, name: str | None) -> tuple[str, ...]:
    if name is None or not environ.get("AWS_ACCESS_KEY_ID"):
        return ()
    if isinstance(source, KeySource) and source.origin == "the environment":
        return ()
    return (f"AWS_ACCESS_KEY_ID is set in the environment too; profile {name} is used",)


def _no_default(files: ConfigFiles, environ: Mapping[str, str]) -> NoSource:
    if not files.config.exists and not files.credentials.exists:
        return NoSource(
            f"no credentials: there is neither {files.config.path} nor {files.credentials.path}",
            "make one of them, for instance with aws configure, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if environ.get("AWS_SECRET_ACCESS_KEY", "").strip():
        return NoSource(
            "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not", "set both, or name a profile instead"
        )
    return NoSource(
        "no profile is named, and neither the environment nor profile default has credentials",
        "name a profile, set AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )


def _not_found(files: ConfigFiles, name: str, environ: Mapping[str, str]) -> ConfigError:
    import difflib

    if not files.config.exists and environ.get("AWS_CONFIG_FILE"):
        hint = f"there is no config file {files.config.path} (AWS_CONFIG_FILE)"
        return ConfigError(f"profile {name} does not exist", code="profile-not-found", hint=hint)
    mistake = files.wrong_heading(name)
    if mistake:
        return ConfigError(f"profile {name} does not exist", code="profile-not-found", hint=mistake)
    near = difflib.get_close_matches(name, files.profile_names(), n=3, cutoff=0.6)
    lower = [known for known in files.profiles if known.lower() == name.lower() and known not in near]
    hint = next(iter(files.ignored().values()), f"the config file is {files.config.path}")
    if near or lower:
        hint = f"did you mean {' or '.join([*lower, *near][:3])}?"
    return ConfigError(f"profile {name} does not exist", code="profile-not-found", hint=hint)
