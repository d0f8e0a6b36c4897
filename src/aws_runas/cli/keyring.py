"""The keyring of a run."""

from __future__ import annotations

from pathlib import Path

from aws_runas.cli.environment import Environment
from aws_runas.store.items import Store


def keyring_directory_of(env: Environment) -> Path:
    """Return the directory of the keyring file and of the journals of rotations."""
    from aws_runas.store.choose import keyring_directory

    return keyring_directory(env.config_files().config.path, env.home)


def open_store_for(env: Environment) -> Store:
    """Choose the keyring. If it needs a passphrase, it asks for it on the terminal.

    Raises:
        ConfigError: RUNAS_KEYRING does not name a keyring.
    """
    from aws_runas.cli.terminal.prompt import ask_passphrase
    from aws_runas.store.choose import open_store

    return open_store(env.environ, keyring_directory_of(env), ask_passphrase)
