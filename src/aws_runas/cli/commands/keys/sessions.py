"""Cached credentials that came from a key: they are dropped when the key goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from aws_runas.cli.environment import Environment
from aws_runas.credentials.cache import DiskCache, cache_directory
from aws_runas.credentials.key_lines import with_key_id
from aws_runas.errors import AwsRunasError


def entries_of_key(key_id: str, env: Environment, *, in_use: str | None = None) -> set[str]:
    """Return the names of the cache entries of every profile whose chain starts with a key, by the files as they are.

    Args:
        key_id: of the key.
        env: config files and variables.
        in_use: the key id that the files have by now, if it is another.
    """
    from aws_runas.config.overrides import Overrides
    from aws_runas.config.profile import KeyringSource, KeySource
    from aws_runas.credentials.build import open_access
    from aws_runas.signin.context import RunContext

    files = env.config_files()
    if in_use is not None:
        files = with_key_id(files, in_use, key_id)
    entries: set[str] = set()
    for name in files.profiles:
        with contextlib.suppress(AwsRunasError):  # a profile that cannot be resolved has no entries
            access = open_access(
                name,
                Overrides(),
                RunContext(environ=env.environ, home=env.home, now=env.now, warn=lambda _: None),
                files=files,
                prompt=lambda _: "",
            )
            source = access.profile.source
            if isinstance(source, KeySource | KeyringSource) and source.access_key_id == key_id:
                entries.update(access.cache_entries)
    return entries


def drop_entries(entries: Iterable[str], env: Environment) -> None:
    """Remove entries of the cache; what is missing is no error."""
    cache = DiskCache(cache_directory(env.environ, env.config_files().config.path, env.home), lambda _: None)
    for entry in entries:
        cache.remove(entry)
