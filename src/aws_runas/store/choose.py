"""Choice of the keyring: RUNAS_KEYRING, else the system keyring, else the encrypted file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.store.file import FileStore
from aws_runas.store.items import Store

VARIABLE = "RUNAS_KEYRING"
FILE_NAME = "keyring"

Ask = Callable[[str], str]


def open_store(environ: Mapping[str, str], directory: Path, ask: Ask) -> Store:
    """Choose a keyring. The first read, write or remove opens it.

    Args:
        environ: RUNAS_KEYRING chooses, RUNAS_KEYRING_PASSPHRASE opens the file.
        directory: the directory of the encrypted file; see `keyring_directory`.
        ask: asks for the passphrase of the file on the terminal; raises CredentialsError if there is none.

    Raises:
        ConfigError: the value of RUNAS_KEYRING is not a keyring.
    """
    choice = environ.get(VARIABLE, "").strip() or "auto"
    file = FileStore(directory / FILE_NAME, environ.get("RUNAS_KEYRING_PASSPHRASE") or None, ask)
    if choice == "file":
        return file
    if choice == "pass":
        from aws_runas.store.password_store import PassStore

        return PassStore(environ)
    from aws_runas.store import library

    if choice == "auto":
        return _AutoStore(file, environ)
    if choice in library.BACKENDS:
        return library.open_backend(choice, environ)
    if "." in choice:
        return library.open_class(choice, environ)
    raise ConfigError(
        f"{VARIABLE}={choice} is not a keyring",
        code="keyring-unknown",
        hint=f"use auto, file, pass, {', '.join(library.BACKENDS)}, or the MODULE.CLASS of a backend",
    )


def keyring_directory(config_path: Path, home: Path) -> Path:
    """Return the directory of the encrypted file: ``aws-runas`` next to the config file.

    A config file that is a device or a pipe has no such directory; then it is in ``~/.aws``.
    """
    placeless = str(config_path).startswith(("/dev/", "/proc/"))
    return (home / ".aws" if placeless else config_path.parent) / "aws-runas"


class _AutoStore:
    """System keyring, or the encrypted file if there is none.

    If the system keyring is locked or refuses, the file does not replace it, because the keys are in the keyring.
    """

    def __init__(self, file: FileStore, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._chosen: Store | None = None

    @property
    def label(self) -> str:
        return self._chosen.label if self._chosen else "the keyring"

    def read(self, user: str) -> str | None:
        return self._choose(create=False).read(user)

    def write(self, user: str, value: str) -> None:
        self._choose(create=True).write(user, value)

    def remove(self, user: str) -> bool:
        return self._choose(create=False).remove(user)

    def _choose(self, *, create: bool) -> Store:
        """Return the store.

        Raises:
            CredentialsError: there is neither a system keyring nor the file, and create is False.
        """
        if self._chosen is not None:
            return self._chosen
        from aws_runas.store import library

        found, reasons = library.open_best(self._environ)
        if found is None and not create and not self._file.exists():
            raise CredentialsError(
                f"no keyring was found: {'; '.join(reasons)}; {self._file.path} does not exist",
                code="keyring-missing",
                hint=library.missing_hint(),
            )
        self._chosen = found or self._file
        return self._chosen
