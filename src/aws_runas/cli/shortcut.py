"""Writes the shortcut file of fast/shortcut.py once the full path has credentials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aws_runas.aws.client_settings import sts_address
from aws_runas.aws.credentials import Credentials
from aws_runas.config.files import config_path
from aws_runas.config.profile import FederatedSource, KeyringSource, KeySource, Profile, ResolverSource
from aws_runas.credentials.cached import usable_until
from aws_runas.fast import shortcut as fast
from aws_runas.run import config_copy


def write_shortcut(
    name: str | None,
    profile: Profile,
    credentials: Credentials,
    environ: Mapping[str, str],
    *,
    before: str | None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write the shortcut, if the credentials are of a kind that the cache keeps.

    Call it only if no flag except ``-s``, ``-r``, ``-E`` and the like affects the credentials.

    Args:
        name: the profile as typed, None if none was given.
        before: result of `fast.header` before the files were read.
        facts: result of `shortcut_facts`.
    """
    until = _last_use(profile, credentials)
    if until is None or credentials.issued is None or credentials.expiration is None or not is_cached(profile):
        return
    fields = {
        "since": str(int(credentials.issued.timestamp())),
        "until": str(int(until)),
        "profile": profile.name,
        "region": profile.region.value if profile.region else "",
        "key": credentials.access_key_id,
        "secret": credentials.secret_access_key,
        "token": credentials.session_token or "",
        fast.END: str(int(credentials.expiration.timestamp())),
        "expiration": credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    fast.write(name or "", environ, before, fields | dict(facts or {}), use_session_token=profile.use_session_token)


def _last_use(profile: Profile, credentials: Credentials) -> float | None:
    """Return the time until which the credentials may be used, in seconds since the epoch."""
    until = usable_until(credentials)
    source = profile.source
    of_source = profile.use_session_token or not profile.roles
    if until is None or credentials.expiration is None or not of_source:
        return until
    if isinstance(source, ResolverSource) and source.kind == "login":
        from aws_runas.credentials.console_login import RENEW_BEFORE

        return min(until, (credentials.expiration - RENEW_BEFORE).timestamp())  # then the full path renews them
    return until


def shortcut_facts(profile: Profile, environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the fields of a shortcut besides the credentials. Every command writes all of them.

    Args:
        profile: resolved profile.
        environ: names the config file.
        home: home directory of the user.
    """
    path = str(config_path(environ, home))
    endpoint, region = sts_address(profile)
    return {
        fast.CONFIG_FILE: path if config_copy.is_needed(path) else "",
        fast.ROLE_ARN: profile.role_arn or "",
        fast.STS_ENDPOINT: endpoint,
        fast.STS_REGION: region,
    }


def is_cached(profile: Profile) -> bool:
    """Return True if the full path would find these credentials on disk, from files and variables alone."""
    source = profile.source
    role = bool(profile.roles) and not profile.use_session_token
    if role and any(each.policy for each in profile.roles):
        return False  # it may come from a separate file, and a change of that file must take effect
    if isinstance(source, KeySource):
        return role or source.session_token is None
    if isinstance(source, FederatedSource):
        return role or source.role is not None  # without a role, another one may be chosen next time
    if isinstance(source, KeyringSource):
        return True
    if isinstance(source, ResolverSource):
        return source.kind in ("sso", "login") or (source.kind == "process" and role)
    return False
