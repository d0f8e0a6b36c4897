"""Encrypted file: all items in one file, under a passphrase.

The file is JSON. ``Data`` holds the items, encrypted with AES-GCM under a key that scrypt derives from the passphrase.
``Checksum`` is the SHA-256 of everything else, without a key. It distinguishes a damaged file from a wrong passphrase.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.store.items import newer

VERSION = 1
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1  # OWASP Password Storage Cheat Sheet: 128 MB and about half a second
MAX_N, MAX_R, MAX_P = 2**20, 16, 16  # a file with higher costs was not written by aws-runas
SALT_SIZE, NONCE_SIZE, KEY_SIZE = 16, 12, 32  # bytes
MAX_SIZE = 4 * 1024 * 1024  # bytes
ATTEMPTS = 3  # to type the passphrase


class _WrongPassphraseError(CredentialsError):
    """Wrong passphrase: it does not open the file."""


class _LaterVersionError(Exception):
    """File written by a later version of aws-runas."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


@dataclass(frozen=True, slots=True)
class _Sealed:
    """File contents as read, still encrypted."""

    salt: bytes
    nonce: bytes
    data: bytes
    cost: tuple[int, int, int]

    @property
    def header(self) -> bytes:
        """Data that is authenticated but not encrypted."""
        return json.dumps([VERSION, self.cost, self.salt.hex()]).encode()


@dataclass(frozen=True, slots=True)
class _Key:
    """Key for one salt and cost, so that scrypt runs once per process."""

    salt: bytes
    cost: tuple[int, int, int]
    secret: bytes = field(repr=False)


class FileStore:
    """Keyring in an encrypted file. One process writes at a time.

    Args:
        path: the file, created with mode 0600 if missing.
        passphrase: if given, the user is not asked.
        ask: asks for the passphrase without showing it.
        cost: N, r and p of scrypt for a new file; None for the default cost.
    """

    def __init__(
        self,
        path: Path,
        passphrase: str | None,
        ask: Callable[[str], str],
        cost: tuple[int, int, int] | None = None,
    ) -> None:
        self.path = path
        self.label = f"the keyring file {path}"
        self._passphrase = passphrase
        self._ask = ask
        self._cost = cost or (SCRYPT_N, SCRYPT_R, SCRYPT_P)
        self._key: _Key | None = None

    def exists(self) -> bool:
        """Return True if the file exists."""
        return self.path.exists()

    def read(self, user: str) -> str | None:
        """Return the value of an item; see `Store`."""
        sealed = self._load()
        return None if sealed is None else self._open(sealed).get(user)

    def write(self, user: str, value: str) -> None:
        """Add or replace an item; see `Store`."""
        self._change(lambda items: {**items, user: value})

    def remove(self, user: str) -> bool:
        """Remove an item; see `Store`."""
        if self.read(user) is None:
            return False
        self._change(lambda items: {name: value for name, value in items.items() if name != user})
        return True

    def _change(self, change: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        sealed = self._load()
        if sealed is None:
            self._ask_new()
        else:
            self._open(sealed)  # ask for the passphrase before the lock is taken, so that other processes do not wait
        with self._locked():
            sealed = self._load()
            items = {} if sealed is None else self._open(sealed)
            salt = os.urandom(SALT_SIZE) if sealed is None else sealed.salt
            cost = self._cost if sealed is None else sealed.cost
            self._save(change(items), salt, cost)

    def _ask_new(self) -> None:
        if self._passphrase is not None:
            return
        first = self._ask(f"New passphrase for {self.path}: ")
        if not first or self._ask("The same passphrase again: ") != first:
            raise CredentialsError(
                "the passphrases differ or are empty; nothing was stored",
                code="keyring-passphrase-wrong",
                hint="run it again, and type the same passphrase twice",
            )
        self._passphrase = first

    def _open(self, sealed: _Sealed) -> dict[str, str]:
        """Decrypt with the passphrase typed before, or ask for one.

        Raises:
            CredentialsError: the passphrase is wrong, or there is no way to ask for it.
        """
        if self._passphrase is not None:
            return self._decrypt(sealed, self._passphrase)
        question = f"Passphrase for {self.path}: "
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(_WrongPassphraseError):
                return self._open_with(sealed, self._ask(question))
            question = f"Wrong passphrase. Passphrase for {self.path}: "
        return self._open_with(sealed, self._ask(question))

    def _open_with(self, sealed: _Sealed, typed: str) -> dict[str, str]:
        items = self._decrypt(sealed, typed)
        self._passphrase = typed
        return items

    def _decrypt(self, sealed: _Sealed, passphrase: str) -> dict[str, str]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._derive(passphrase, sealed.salt, sealed.cost)
        wrong = False
        plain = b""
        try:
            plain = AESGCM(key).decrypt(sealed.nonce, sealed.data, sealed.header)
        except InvalidTag:
            wrong, self._key = True, None
        if wrong:
            raise _WrongPassphraseError(
                f"the passphrase for {self.path} is wrong",
                code="keyring-passphrase-wrong",
                hint="type it again, or correct RUNAS_KEYRING_PASSPHRASE",
            )
        try:
            items = json.loads(plain)
        except (ValueError, RecursionError):
            items = None
        if not isinstance(items, dict) or not all(isinstance(value, str) for value in items.values()):
            raise self._damaged()
        return items

    def _save(self, items: Mapping[str, str], salt: bytes, cost: tuple[int, int, int]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_SIZE)
        unsealed = _Sealed(salt, nonce, b"", cost)
        key = self._derive(self._passphrase or "", salt, cost)
        data = AESGCM(key).encrypt(nonce, json.dumps(items).encode(), unsealed.header)
        content = _encode(_Sealed(salt, nonce, data, cost))
        try:
            files.write_atomic(self.path, content)
        except OSError as error:
            raise self._failed("write", error) from None

    def _derive(self, passphrase: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
        known = self._key
        if known is not None and (known.salt, known.cost) == (salt, cost) and passphrase == self._passphrase:
            return known.secret
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        secret = Scrypt(salt, KEY_SIZE, *cost).derive(passphrase.encode("utf-8", "surrogateescape"))
        self._key = _Key(salt, cost, secret)
        return secret

    def _load(self) -> _Sealed | None:
        """Read the file; return None if it does not exist.

        Raises:
            CredentialsError: the file is readable by others, or damaged.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as stream:
                status = os.fstat(stream.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SIZE:
                    raise self._damaged()
                if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & files.OPEN_TO_OTHERS):
                    raise CredentialsError(
                        f"{self.path} belongs to another user, or others can read it",
                        code="keyring-denied",
                        hint=f"chmod 600 {self.path}, if nobody else has changed it",
                    )
                content = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", error) from None
        try:
            return _decode(content)
        except _LaterVersionError as error:
            raise newer(str(self.path), error.version) from None
        except ValueError:
            raise self._damaged() from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            files.make_private_directory(self.path.parent)
            with files.lock(self.path.with_name(self.path.name + ".lock")):
                files.remove_unfinished(self.path)
                yield
        except OSError as error:
            raise self._failed("lock", error) from None

    def _failed(self, action: str, error: OSError) -> CredentialsError:
        return CredentialsError(
            f"cannot {action} {self.path}: {(error.strerror or str(error)).lower()}",
            code="keyring-failed",
            hint="check the directory and the space on the disk",
        )

    def _damaged(self) -> CredentialsError:
        return CredentialsError(
            f"the keyring file {self.path} is damaged",
            code="keyring-damaged",
            hint="restore it from a backup, or remove it and store the keys again with aws-runas keys add",
        )


def _encode(sealed: _Sealed) -> bytes:
    values: dict[str, object] = {
        "Version": VERSION,
        "Scrypt": list(sealed.cost),
        "Salt": _text(sealed.salt),
        "Nonce": _text(sealed.nonce),
        "Data": _text(sealed.data),
    }
    return json.dumps(values | {"Checksum": _checksum(values)}, indent=1).encode() + b"\n"


def _decode(content: bytes) -> _Sealed:
    """Parse the content of a file.

    Raises:
        ValueError: the file is damaged.
        _LaterVersionError: a later version wrote the file; its other members are not checked.
    """
    try:
        values = json.loads(content)
        version = values.get("Version")
        if isinstance(version, int) and version > VERSION:
            raise _LaterVersionError(version)
        checksum = values.pop("Checksum")
        n, r, p = (int(number) for number in values["Scrypt"])
        salt, nonce, data = (base64.b64decode(values[name], validate=True) for name in ("Salt", "Nonce", "Data"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("no keyring file") from None
    if checksum != _checksum(values) or values.get("Version") != VERSION:
        raise ValueError("its checksum is wrong")
    if not (1 < n <= MAX_N and not n & (n - 1) and 1 <= r <= MAX_R and 1 <= p <= MAX_P):
        raise ValueError("its cost is not plausible")
    if len(nonce) != NONCE_SIZE:
        raise ValueError("its nonce is not plausible")
    return _Sealed(salt, nonce, data, (n, r, p))


def _checksum(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
