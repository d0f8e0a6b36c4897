"""Cached authorization tokens of registries: one call serves many pulls."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas.aws.access import Access
from aws_runas.aws.credentials import Credentials, parse_time
from aws_runas.aws.ecr import RegistryToken, public_registry_token, registry_token
from aws_runas.cli.environment import Environment
from aws_runas.cli.shortcut import is_cached
from aws_runas.config.profile import Profile
from aws_runas.credentials import cached, processes
from aws_runas.credentials.cache import DiskCache, entry_name, read_values, write_values
from aws_runas.fast import shortcut
from aws_runas.fast.registry import KIND
from aws_runas.tokens.registry import Registry


def fetch_token(access: Access, registry: Registry, env: Environment, *, refresh: bool = False) -> RegistryToken:
    """Return a token for a registry, from the cache if it has a valid one.

    An entry belongs to one set of credentials, so it is not used after a sign-out or by another role (ADR 1052).

    Args:
        access: credentials for the call.
        registry: its region and kind select the token.
        env: clock and cache directory.
        refresh: request a new token in any case.

    Raises:
        AwsRunasError: there are no credentials, or ECR refused.
    """
    cache = DiskCache(env.cache_directory(), env.warn)
    name = _entry(access, access.provider.credentials(), registry)
    found = None if refresh else _read(cache, name, env.now())
    if found is not None:
        return found
    fetched: list[RegistryToken] = []

    def another_did() -> bool:
        entry = None if refresh else _read(cache, name, env.now())
        if entry is not None:
            fetched.append(entry)
        return entry is not None

    with processes.holding(name), cache.lock(name, another_did):
        if fetched or another_did():
            return fetched[0]
        token = _ask(access, registry, env.now())
        cache.store(name, encode(token))
        return token


def usable_until(token: RegistryToken) -> float:
    """Return the time after which a new token is fetched: when a tenth of its lifetime is left."""
    end = token.expiration.timestamp()
    return end - (end - token.issued.timestamp()) * cached.RESERVE


def write_registry_shortcut(
    host: str,
    profile: Profile,
    credentials: Credentials,
    token: RegistryToken,
    *,
    environ: Mapping[str, str],
    before: str | None,
) -> None:
    """Write the shortcut of the credential helper for a registry. It ends with the credentials if they end sooner.

    Args:
        host: host of the registry.
        before: result of `shortcut.header` before the files were read.
    """
    until = min(usable_until(token), cached.usable_until(credentials) or float("inf"))
    if not is_cached(profile):
        return
    fields = {
        "since": str(int(token.issued.timestamp())),
        "until": str(int(until)),
        "profile": profile.name,
        "region": "",
        "key": token.user,
        "secret": token.password,
        "token": "",
        "expiration": token.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    shortcut.write(host, environ, before, fields, kind=KIND)


def _ask(access: Access, registry: Registry, now: float) -> RegistryToken:
    if registry.is_public:
        return public_registry_token(access, registry.region, now)
    return registry_token(access, registry.region, now, fips=registry.fips)


def _entry(access: Access, credentials: Credentials, registry: Registry) -> str:
    service = "ecr-public" if registry.is_public else "ecr"
    inputs = {
        "key": credentials.access_key_id,
        "service": service,
        "region": registry.region,
        "endpoint": access.profile.endpoint_url(service) or "",
        "fips": registry.fips,
    }
    return entry_name("ecr", inputs)


def _read(cache: DiskCache, name: str, now: float) -> RegistryToken | None:
    token = cache.load(name, decode)
    if token is None or not token.issued.timestamp() - cached.CLOCK_TOLERANCE <= now < usable_until(token):
        return None
    return token


def encode(token: RegistryToken) -> bytes:
    """Encode a cache entry."""
    return write_values(
        {
            "Username": token.user,
            "Password": token.password,
            "Endpoint": token.endpoint,
            "Expiration": token.expiration,
            "Issued": token.issued,
        }
    )


def decode(content: bytes) -> RegistryToken:
    """Decode a cache entry.

    Raises:
        ValueError: the entry is damaged; the message does not show its content.
    """
    found = read_values(content)
    user, password, endpoint = (found.get(key) for key in ("Username", "Password", "Endpoint"))
    if not isinstance(user, str) or not isinstance(password, str) or not isinstance(endpoint, str) or not password:
        raise ValueError("it has no token")
    return RegistryToken(user, password, endpoint, parse_time(found.get("Expiration")), parse_time(found.get("Issued")))
