"""``keys remove``: remove keys from the keyring, their lines from the config file, their credentials from the cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.keyring import open_store_for
from aws_runas.cli.output import Result
from aws_runas.cli.sign_in import forget
from aws_runas.credentials.cache import DiskCache
from aws_runas.credentials.key_lines import profiles_of, remove_keyring_lines, with_key_id
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.store.items import keys_name


def remove(options: KeysOptions, env: Environment) -> Result:
    """Remove the item unless other profiles use it, then the lines.

    Raises:
        AwsRunasError: the profile has no keys in a keyring, the user declined, or the keyring failed.
    """
    profile = options.name
    files = env.config_files()
    section = files.profiles.get(profile)
    name = section.text("keyring") if section else None
    if section is None or name is None:
        raise no_keyring_line(profile)
    key_id = section.text("keyring_key_id") or "of unknown id"
    others = [other for other in profiles_of(files, name) if other != profile]
    store = open_store_for(env)
    if not options.yes and not others:
        from aws_runas.cli.terminal.prompt import confirm

        if not confirm(f"Remove the keys {key_id} ({name}) from {store.label}? AWS shows a secret only once."):
            raise CredentialsError(
                "nothing was changed", code="keys-kept", hint="to remove them without a question: -y"
            )
    entries = entries_of_key(key_id, env)
    removed = False if others else store.remove(keys_name(name))
    remove_keyring_lines(files, profile)
    drop_entries(entries, env)
    forget(env)
    if others:
        text = f"profile {profile} does not use the keys {key_id} any more; they stay for {', '.join(others)}"
    elif removed:
        text = f"the keys {key_id} are removed from {store.label}; the key is still active at AWS"
    else:
        text = f"{store.label} had no keys named {name}; the lines of profile {profile} are removed"
    return Result(stderr=f"aws-runas: {text}\n")


def no_keyring_line(profile: str) -> CredentialsError:
    """Return the error for a profile without ``keyring``."""
    return CredentialsError(
        f"profile {profile} has no keys in a keyring",
        code="keyring-item-missing",
        hint=f"aws-runas keys list shows where keys are; aws-runas keys add {profile} stores some",
    )


def entries_of_key(key_id: str, env: Environment, *, in_use: str | None = None) -> set[str]:
    """Return the names of the cache entries of every profile whose chain starts with a key, according to the files.

    Args:
        key_id: id of the key.
        env: config files and variables.
        in_use: the key id now in the files, if it differs.
    """
    from aws_runas.config.overrides import Overrides
    from aws_runas.config.profile import KeyringSource, KeySource
    from aws_runas.credentials.build import Prompts, open_access
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
                Prompts(lambda _: ""),
                files=files,
            )
            source = access.profile.source
            if isinstance(source, KeySource | KeyringSource) and source.access_key_id == key_id:
                entries.update(access.cache_entries)
    return entries


def drop_entries(entries: Iterable[str], env: Environment) -> None:
    """Remove entries of the cache. A missing entry is not an error."""
    cache = DiskCache(env.cache_directory(), lambda _: None)
    for entry in entries:
        cache.remove(entry)
