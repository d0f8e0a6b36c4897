"""Reader for the access keys of aws-vault, in the Secret Service or in pass. The keys stay where they are.

Both backends store an item as the same JSON. Its ``Data`` is the base64 of the JSON of the keys.

Source: 99designs/keyring (libsecret and pass backends), aws-vault's variables for their locations.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Mapping
from contextlib import closing

from aws_runas.errors import CredentialsError
from aws_runas.store.items import KeyPair
from aws_runas.store.library import TIME_LIMIT, LibraryStore, within
from aws_runas.store.password_store import PassStore

COLLECTION = "awsvault"  # default of AWS_VAULT_SECRET_SERVICE_COLLECTION_NAME
BACKENDS = ("secret-service", "pass")  # values of AWS_VAULT_BACKEND that are supported


def read_aws_vault(profile: str, environ: Mapping[str, str]) -> tuple[KeyPair, str]:
    """Read the keys that aws-vault has for a profile.

    Args:
        profile: the name in aws-vault.
        environ: AWS_VAULT_BACKEND chooses the backend; without it, both are searched.

    Returns:
        The keys, and where they were found.

    Raises:
        CredentialsError: there are no keys, or the keyring cannot be opened.
    """
    choice = environ.get("AWS_VAULT_BACKEND", "").strip()
    if choice and choice not in BACKENDS:
        raise CredentialsError(
            f"the keys of aws-vault's backend {choice} cannot be read",
            code="keyring-missing",
            hint=f"aws-vault exec {profile} --no-session -- aws-runas keys import {profile} --from env",
        )
    reasons = []
    for backend in (choice,) if choice else BACKENDS:
        read = _read_secret_service if backend == "secret-service" else _read_pass
        try:
            found = read(profile, environ)
        except CredentialsError as error:
            if choice or error.code != "keyring-missing":
                raise
            reasons.append(error.message)
            continue
        if found is not None:
            text, origin = found
            return _decode(text, origin), origin
        reasons.append(f"{'its collection in the Secret Service' if backend == 'secret-service' else 'pass'} has none")
    raise CredentialsError(
        f"aws-vault has no keys for {profile}: {'; '.join(reasons)}",
        code="keyring-item-missing",
        hint="aws-vault list shows its profiles; AWS_VAULT_BACKEND and AWS_VAULT_PASS_PREFIX say where they are",
    )


def _read_pass(profile: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    variables = dict(environ)
    if environ.get("AWS_VAULT_PASS_PASSWORD_STORE_DIR"):
        variables["PASSWORD_STORE_DIR"] = environ["AWS_VAULT_PASS_PASSWORD_STORE_DIR"]
    path = posixpath.join(environ.get("AWS_VAULT_PASS_PREFIX", ""), profile)
    text = PassStore(variables).show(path)
    return None if text is None else (text, f"pass, {path}")


def _read_secret_service(profile: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    name = environ.get("AWS_VAULT_SECRET_SERVICE_COLLECTION_NAME") or COLLECTION
    store = LibraryStore("keyring.backends.SecretService.Keyring", "the Secret Service", environ)
    store.check()
    try:
        text = within(TIME_LIMIT, lambda: _search(name, profile))
    except CredentialsError:
        raise
    except Exception as error:  # D-Bus raises many types
        raise store.translated(error) from None
    return None if text is None else (text, f"the collection {name} of the Secret Service")


def _search(collection_name: str, profile: str) -> str | None:
    """Return the secret of an item in a collection, None if there is no such item.

    Raises:
        Exception: any error of SecretStorage and D-Bus, and KeyringLocked.
    """
    import secretstorage
    from keyring.errors import KeyringLocked

    with closing(secretstorage.dbus_init()) as connection:
        for collection in secretstorage.get_all_collections(connection):
            if collection.get_label() != collection_name:
                continue
            if collection.is_locked():
                collection.unlock()
            if collection.is_locked():
                raise KeyringLocked("locked")
            for item in collection.search_items({"profile": profile}):
                return bytes(item.get_secret()).decode("utf-8", "replace")
    return None


def _decode(text: str, origin: str) -> KeyPair:
    """Read the JSON of an item.

    Raises:
        CredentialsError: the item is damaged, or does not hold access keys.
    """
    try:
        keys = json.loads(base64.b64decode(json.loads(text)["Data"]))
        key_id, secret = keys["AccessKeyID"], keys["SecretAccessKey"]
    except (ValueError, TypeError, KeyError, RecursionError):
        key_id = secret = None
    if not isinstance(key_id, str) or not isinstance(secret, str):
        raise CredentialsError(
            f"the item in {origin} is not aws-vault's JSON of access keys",
            code="keyring-damaged",
            hint="aws-runas keys add asks for the keys on the terminal",
        )
    return KeyPair(key_id, secret)
