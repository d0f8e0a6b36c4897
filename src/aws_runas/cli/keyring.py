"""The keyring of a run, and what has to be forgotten when its keys change."""

from __future__ import annotations

from pathlib import Path

from aws_runas.cli.environment import Environment
from aws_runas.store.items import Store


def keyring_directory_of(env: Environment) -> Path:
    """Return the directory of the keyring file and of the journals of rotations."""
    from aws_runas.store.choose import keyring_directory

    return keyring_directory(env.config_files().config.path, env.home)


def open_store_for(env: Environment) -> Store:
    """Choose the keyring; a passphrase is asked for on the terminal.

    Raises:
        ConfigError: RUNAS_KEYRING names none.
    """
    from aws_runas.cli.terminal.prompt import ask_passphrase
    from aws_runas.store.choose import open_store

    return open_store(env.environ, keyring_directory_of(env), ask_passphrase)


def forget_shortcuts(env: Environment) -> None:
    """Make every shortcut invalid: no start from now on answers with credentials of before."""
    from aws_runas.credentials.cache import cache_directory
    from aws_runas.fast import shortcut

    directory = cache_directory(env.environ, env.config_files().config.path, env.home)
    try:
        shortcut.invalidate(directory)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        env.warn(
            f"the cache {directory} cannot be written ({reason}): remove it, or old credentials are used until they end"
        )
