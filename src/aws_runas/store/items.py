"""Items of a keyring: their names and values.

An item is a user name of the service ``aws-runas``: ``keys/NAME``, ``password/URL#USER`` or
``refresh/ISSUER#CLIENT#USER``. A value is JSON of version 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from aws_runas import redact
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

SERVICE = "aws-runas"
VERSION = 1  # of an item's value


class Store(Protocol):
    """Keyring. It is not opened before the first call."""

    @property
    def label(self) -> str:
        """Name in messages, such as ``the Secret Service``."""

    def read(self, user: str) -> str | None:
        """Return the value of an item; None if there is no such item.

        Raises:
            CredentialsError: the keyring is missing or locked, or it refused or failed.
        """

    def write(self, user: str, value: str) -> None:
        """Add or replace an item.

        Raises:
            CredentialsError: as for `read`; nothing was changed.
        """

    def remove(self, user: str) -> bool:
        """Remove an item and return True; return False if there was none.

        Raises:
            CredentialsError: as for `read`; nothing was changed.
        """


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The access keys of an IAM user.

    Args:
        access_key_id: not secret.
        secret_access_key: never shown.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)

    def __repr__(self) -> str:
        return f"KeyPair({redact.key_id(self.access_key_id)!r})"


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys of one name.

    Args:
        current: the keys to use.
        previous: the keys that a rotation replaces, as long as they may still be in use.
    """

    current: KeyPair
    previous: KeyPair | None = None

    def pair(self, key_id: str | None) -> KeyPair:
        """Return the pair with a key id, or the current pair if no pair has it."""
        if self.previous is not None and self.previous.access_key_id == key_id:
            return self.previous
        return self.current


def newer(what: str, version: int) -> CredentialsError:
    """Return the error for an item that a later version of aws-runas wrote. It is not damaged, so it is kept."""
    return CredentialsError(
        f"{what} is of version {version}, which this aws-runas does not know",
        code="keyring-newer",
        hint="update aws-runas",
    )


def keys_name(name: str) -> str:
    """Return the item name for access keys."""
    return f"keys/{name}"


def password_name(url: str, user: str) -> str:
    """Return the item name for a password of an identity provider."""
    return f"password/{url}#{user}"


def refresh_name(issuer: str, client: str, user: str) -> str:
    """Return the item name for an OIDC refresh token.

    Args:
        issuer: URL of the identity provider.
        client: client id of aws-runas there.
        user: "" if the configuration does not name one.
    """
    return f"refresh/{issuer}#{client}#{user}"


def read_keys(store: Store, name: str) -> StoredKeys | None:
    """Return the keys stored under a name, None if there are none.

    Raises:
        CredentialsError: the keyring failed, or the item is damaged.
    """
    text = store.read(keys_name(name))
    if text is None:
        return None
    value = _decode(text, store, keys_name(name))
    current = _pair(value)
    previous = value.get("Previous")
    if current is None:
        raise _damaged(store, keys_name(name))
    return StoredKeys(current, _pair(previous) if isinstance(previous, Mapping) else None)


def write_keys(store: Store, name: str, keys: StoredKeys) -> None:
    """Store keys under a name, read them back and compare.

    Args:
        store: the keyring.
        name: the name of the keys, as in the config file.
        keys: the current pair, and the previous one during a rotation.

    Raises:
        CredentialsError: the keyring failed, or returned different keys.
    """
    value: dict[str, object] = {"Version": VERSION, **_as_dict(keys.current)}
    if keys.previous is not None:
        value["Previous"] = _as_dict(keys.previous)
    store.write(keys_name(name), json.dumps(value))
    if read_keys(store, name) != keys:
        raise CredentialsError(
            f"{store.label} does not give back what was stored as {keys_name(name)}",
            code="keyring-failed",
            hint="choose another keyring with RUNAS_KEYRING, for instance RUNAS_KEYRING=file",
        )


def read_secret(store: Store, item: str) -> str | None:
    """Return a password or token, None if there is no such item.

    Args:
        item: from `password_name` or `refresh_name`.

    Raises:
        CredentialsError: the keyring failed, or the item is damaged.
    """
    text = store.read(item)
    if text is None:
        return None
    secret = _decode(text, store, item).get("Secret")
    if not isinstance(secret, str):
        raise _damaged(store, item)
    return secret


def write_secret(store: Store, item: str, secret: str) -> None:
    """Store a password or token.

    Args:
        store: the keyring.
        item: from `password_name` or `refresh_name`.
        secret: the password or token.

    Raises:
        CredentialsError: the keyring failed.
    """
    store.write(item, json.dumps({"Version": VERSION, "Secret": secret}))


def read_password(store: Store, url: str, user: str) -> str | None:
    """Return the stored password of a user at an identity provider; see `read_secret`.

    Args:
        store: the keyring.
        url: the URL of the identity provider.
        user: at the identity provider.
    """
    return read_secret(store, password_name(url, user))


def write_password(store: Store, url: str, user: str, password: str) -> None:
    """Store the password of a user at an identity provider; see `write_secret`.

    Args:
        store: the keyring.
        url: the URL of the identity provider.
        user: at the identity provider.
        password: a secret.
    """
    write_secret(store, password_name(url, user), password)


def remove_password(store: Store, url: str, user: str) -> bool:
    """Remove a stored password; return False if there was none.

    Args:
        store: the keyring.
        url: the URL of the identity provider.
        user: at the identity provider.
    """
    return store.remove(password_name(url, user))


def missing_keys(store: Store, name: str, profile: str) -> CredentialsError:
    """Return the error for keys that the configuration names but the keyring does not hold.

    Args:
        store: the keyring.
        name: the name of the keys, as in the config file.
        profile: the profile that names them.
    """
    return CredentialsError(
        f"{store.label} has no keys named {name} (profile {profile})",
        code="keyring-item-missing",
        hint=f"store them with: aws-runas keys add {profile}; RUNAS_KEYRING names another keyring",
    )


def _as_dict(pair: KeyPair) -> dict[str, str]:
    return {"AccessKeyId": pair.access_key_id, "SecretAccessKey": pair.secret_access_key}


def _pair(value: Mapping[str, object]) -> KeyPair | None:
    key_id, secret = value.get("AccessKeyId"), value.get("SecretAccessKey")
    return KeyPair(key_id, secret) if isinstance(key_id, str) and isinstance(secret, str) else None


def _decode(text: str, store: Store, item: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    version = value.get("Version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise newer(f"{item} in {store.label}", version)
    if not isinstance(value, dict) or version != VERSION:
        raise _damaged(store, item)
    return value


def _damaged(store: Store, item: str) -> CredentialsError:
    return CredentialsError(
        f"the item {item} in {store.label} is damaged",
        code="keyring-damaged",
        hint="store it again with aws-runas keys add or aws-runas password",
    )
