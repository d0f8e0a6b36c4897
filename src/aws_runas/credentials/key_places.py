"""Storage of keys during a rotation: old and new keys side by side until the new ones work, in a keyring or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aws_runas.config.files import ConfigFiles, parse_file
from aws_runas.credentials.key_lines import LINES, PlainKeys, adopt_key_id
from aws_runas.credentials.shared_file import change_sections
from aws_runas.errors import CredentialsError
from aws_runas.store.items import KeyPair, Store, StoredKeys, missing_keys, read_keys, write_keys


class KeyPlace(Protocol):
    """The storage of a profile's keys."""

    @property
    def label(self) -> str:
        """Return the name of the place for messages."""

    def in_use(self) -> KeyPair:
        """Return the keys that the profile uses.

        Raises:
            AwsRunasError: the keys cannot be read.
        """

    def find(self, key_id: str) -> KeyPair | None:
        """Return keys that are stored here, in use or not.

        Raises:
            AwsRunasError: the place cannot be read.
        """

    def keep(self, new: KeyPair) -> None:
        """Store new keys next to those in use, read them back and compare.

        Raises:
            AwsRunasError: the new keys are not stored; the keys in use are unchanged.
        """

    def adopt(self, new: KeyPair) -> None:
        """Make the profile use keys that are stored here.

        Raises:
            AwsRunasError: the profile still uses the old keys.
        """

    def drop(self, key_id: str) -> None:
        """Delete keys that are not in use; do nothing if they are not here.

        Raises:
            AwsRunasError: the keys are still here.
        """


class KeyringPlace:
    """Keys in a keyring. The item holds both pairs; ``keyring_key_id`` selects the one in use.

    Args:
        store: the keyring.
        name: of the item.
        profile: for messages.
        load: reads the config files.
    """

    def __init__(self, store: Store, name: str, profile: str, load: Callable[[], ConfigFiles]) -> None:
        self._store = store
        self._name = name
        self._profile = profile
        self._load = load

    @property
    def label(self) -> str:
        """Return the name of the place for messages."""
        return f"{self._store.label}, as {self._name}"

    def in_use(self) -> KeyPair:
        """Return the pair whose id is in the profile; see `KeyPlace`."""
        section = self._load().profiles.get(self._profile)
        return self._stored().pair(section.text("keyring_key_id") if section else None)

    def find(self, key_id: str) -> KeyPair | None:
        """Return a pair from the item; see `KeyPlace`."""
        pair = self._stored().pair(key_id)
        return pair if pair.access_key_id == key_id else None

    def keep(self, new: KeyPair) -> None:
        """Store both pairs; see `KeyPlace`."""
        write_keys(self._store, self._name, StoredKeys(new, self.in_use()))

    def adopt(self, new: KeyPair) -> None:
        """Write the key id to every profile that uses the item; see `KeyPlace`."""
        adopt_key_id(self._load(), self._name, new.access_key_id)

    def drop(self, key_id: str) -> None:
        """Store only the other pair; see `KeyPlace`."""
        stored = self._stored()
        if stored.previous is None:
            return
        pairs = [pair for pair in (stored.current, stored.previous) if pair.access_key_id != key_id]
        if len(pairs) == 1:
            write_keys(self._store, self._name, StoredKeys(pairs[0]))

    def _stored(self) -> StoredKeys:
        stored = read_keys(self._store, self._name)
        if stored is None:
            raise missing_keys(self._store, self._name, self._profile)
        return stored


class FilePlace:
    """Keys in the credentials or config file. New keys are in a separate section until they are adopted.

    Args:
        keys: the keys found in the file.
        profile: the profile that has them.
    """

    def __init__(self, keys: PlainKeys, profile: str) -> None:
        self._path: Path = keys.path
        self._heading = keys.heading
        self._pending = f"{profile}-awsrunas-new"  # in the config file, a heading without "profile" is not a profile

    @property
    def label(self) -> str:
        """Return the name of the place for messages."""
        return str(self._path)

    def in_use(self) -> KeyPair:
        """Return the keys in the section; see `KeyPlace`."""
        pair = self._read(self._heading)
        if pair is None:
            raise CredentialsError(
                f"[{self._heading}] in {self._path} has no keys any more",
                code="credentials-missing",
                hint="add both lines again: aws_access_key_id and aws_secret_access_key",
            )
        return pair

    def find(self, key_id: str) -> KeyPair | None:
        """Return the keys in one of the two sections; see `KeyPlace`."""
        pairs = (self._read(self._heading), self._read(self._pending))
        return next((pair for pair in pairs if pair is not None and pair.access_key_id == key_id), None)

    def keep(self, new: KeyPair) -> None:
        """Write a section for the new keys; see `KeyPlace`."""
        change_sections(self._path, {self._pending: _lines(new)})
        if self._read(self._pending) != new:
            raise CredentialsError(
                f"{self._path} does not give back what was written",
                code="keyring-failed",
                hint="check the file and the space on the disk",
            )

    def adopt(self, new: KeyPair) -> None:
        """Move the new keys to the profile's section, in one step; see `KeyPlace`."""
        if self.in_use() != new:
            change_sections(self._path, {self._heading: _lines(new), self._pending: None})

    def drop(self, key_id: str) -> None:
        """Remove the section of new keys, if it contains this key; see `KeyPlace`."""
        pending = self._read(self._pending)
        if pending is not None and pending.access_key_id == key_id:
            change_sections(self._path, {self._pending: None})

    def _read(self, heading: str) -> KeyPair | None:
        section = parse_file(self._path).sections.get(heading, {})
        key_id, secret = (section.get(key) for key in LINES)
        if not isinstance(key_id, str) or not isinstance(secret, str) or not key_id or not secret:
            return None
        return KeyPair(key_id.strip(), secret.strip())


def _lines(pair: KeyPair) -> dict[str, str]:
    return dict(zip(LINES, (pair.access_key_id, pair.secret_access_key), strict=True))
