"""Access keys in a keyring, which is opened only when a session token is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.aws.credentials import Credentials
from aws_runas.config.profile import KeyringSource
from aws_runas.errors import CredentialsError

if TYPE_CHECKING:
    from aws_runas.store.items import Store


class KeyringProvider:
    """A user's own keys from a keyring.

    Args:
        source: names the item, and the key id in the profile.
        open_store: chooses the keyring; called at the first request.
    """

    def __init__(self, source: KeyringSource, open_store: Callable[[], Store]) -> None:
        self._source = source
        self._open_store = open_store

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - they cannot be refreshed
        """Read the keys.

        Raises:
            CredentialsError: the keyring cannot be opened, or does not have these keys.
        """
        from aws_runas.store.items import missing_keys, read_keys

        store = self._open_store()
        stored = read_keys(store, self._source.name)
        if stored is None:
            raise missing_keys(store, self._source.name, self._source.profile)
        keys = stored.pair(self._source.access_key_id)
        if keys.access_key_id != self._source.access_key_id:
            raise CredentialsError(
                f"profile {self._source.profile} has the keyring_key_id {self._source.access_key_id}, and the keys "
                f"{self._source.name} in {store.label} are {keys.access_key_id}",
                code="keyring-item-missing",
                hint=f"correct keyring_key_id ({self._source.origin}), or store the keys again with aws-runas keys add",
            )
        return Credentials(keys.access_key_id, keys.secret_access_key)


def nobody_to_ask(_question: str) -> str:
    """Replace the passphrase prompt if the user cannot be asked.

    Raises:
        CredentialsError: always.
    """
    raise CredentialsError(
        "the keyring file needs its passphrase, and there is no terminal to ask on",
        code="keyring-locked",
        hint="set RUNAS_KEYRING_PASSPHRASE, or run it in a terminal",
    )


def no_keyring() -> Store:
    """Replace the keyring for a caller without one, such as a test.

    Raises:
        CredentialsError: always.
    """
    raise CredentialsError(
        "no keyring is set up here",
        code="keyring-missing",
        hint="name one in RUNAS_KEYRING, for instance RUNAS_KEYRING=file",
    )
