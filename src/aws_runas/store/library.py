"""System keyrings, through the keyring library (extra ``keyring``), which is imported at first use.

Only the backends in BACKENDS are chosen automatically, so that a plain-text backend is never used by accident.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from aws_runas.config.installation import install_command
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError
from aws_runas.store.items import SERVICE

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

TIME_LIMIT = 30.0  # seconds that one call may take, including a prompt of the system
# RUNAS_KEYRING -> class, and its name in messages
BACKENDS = {
    "secret-service": ("keyring.backends.SecretService.Keyring", "the Secret Service"),
    "keychain": ("keyring.backends.macOS.Keyring", "the macOS keychain"),
    "wincred": ("keyring.backends.Windows.WinVaultKeyring", "the Windows credential manager"),
    "kwallet": ("keyring.backends.kwallet.DBusKeyring", "KWallet"),
}
_OF_PLATFORM = {"darwin": ("keychain",), "win32": ("wincred",)}
_OF_OTHERS = ("secret-service", "kwallet")
# names of exceptions, to avoid importing the libraries that define them
_MISSING = ("NoKeyringError", "InitError", "SecretServiceNotAvailableException", "ImportError", "ModuleNotFoundError")
_LOCKED = ("KeyringLocked", "LockedException")
_DENIED = ("PromptDismissedException", "KeychainDenied")


class LibraryStore:
    """Keyring that uses a backend class of the keyring library.

    Args:
        path: MODULE.CLASS of the backend.
        label: its name in messages.
        environ: shows if a prompt could be displayed.
    """

    def __init__(self, path: str, label: str, environ: Mapping[str, str]) -> None:
        self.label = label
        self._path = path
        self._environ = environ
        self._backend: KeyringBackend | None = None

    def check(self) -> None:
        """Check that the keyring is available; it may be locked.

        Raises:
            CredentialsError: it is not available.
        """
        self._call(lambda _: None)

    def read(self, user: str) -> str | None:
        """Return the value of an item; see `Store`."""
        return self._call(lambda backend: backend.get_password(SERVICE, user))

    def write(self, user: str, value: str) -> None:
        """Add or replace an item; see `Store`."""
        self._call(lambda backend: backend.set_password(SERVICE, user, value))

    def remove(self, user: str) -> bool:
        """Remove an item; see `Store`."""
        if self.read(user) is None:
            return False
        self._call(lambda backend: backend.delete_password(SERVICE, user))
        return True

    def _call(self, action: Callable[[KeyringBackend], T]) -> T:
        def work() -> T:
            if self._backend is None:
                self._backend = _load(self._path)
            return action(self._backend)

        try:
            return within(TIME_LIMIT, work)
        except AwsRunasError:
            raise
        except Exception as error:  # backends pass on any error of their libraries
            raise self.translated(error) from None

    def translated(self, error: Exception) -> CredentialsError:
        """Translate an exception of a library into a CredentialsError."""
        names = {base.__name__ for base in type(error).__mro__}
        text = _one_line(error)
        if isinstance(error, TimeoutError):
            return CredentialsError(
                f"{self.label} did not answer in {TIME_LIMIT:g} s",
                code="keyring-failed",
                hint="look for a prompt on the desktop; headless: RUNAS_KEYRING=file",
            )
        if names & set(_DENIED) or (names & set(_LOCKED) and self._has_prompt()):
            return CredentialsError(
                f"{self.label} was not unlocked: the prompt was refused or closed",
                code="keyring-denied",
                hint="run it again and answer the prompt of the system",
            )
        if names & set(_LOCKED):
            return CredentialsError(
                f"{self.label} is locked, and there is no desktop to ask on",
                code="keyring-locked",
                hint="unlock it in a desktop session (or: gnome-keyring-daemon --unlock); headless: RUNAS_KEYRING=file",
            )
        if names & set(_MISSING) or isinstance(error, ImportError):
            return CredentialsError(f"{self.label} cannot be used: {text}", code="keyring-missing", hint=missing_hint())
        return CredentialsError(
            f"{self.label} failed: {text}", code="keyring-failed", hint="run it again; headless: RUNAS_KEYRING=file"
        )

    def _has_prompt(self) -> bool:
        if sys.platform in ("darwin", "win32"):
            return True
        return bool(self._environ.get("DISPLAY") or self._environ.get("WAYLAND_DISPLAY"))


def open_backend(choice: str, environ: Mapping[str, str]) -> LibraryStore:
    """Return the store for a name of BACKENDS."""
    path, label = BACKENDS[choice]
    return LibraryStore(path, label, environ)


def open_class(path: str, environ: Mapping[str, str]) -> LibraryStore:
    """Return the store for a backend class that the user chose.

    Args:
        path: MODULE.CLASS.
        environ: the environment variables.
    """
    return LibraryStore(path, f"the keyring {path}", environ)


def open_best(environ: Mapping[str, str]) -> tuple[LibraryStore | None, list[str]]:
    """Return the first available keyring of this system, or None and the reasons."""
    reasons = []
    for choice in _OF_PLATFORM.get(sys.platform, _OF_OTHERS):
        store = open_backend(choice, environ)
        try:
            store.check()
        except CredentialsError as error:
            reasons.append(error.message)
        else:
            return store, []
    return None, reasons


def missing_hint() -> str:
    """Return the hint that says how to get a keyring."""
    if importlib.util.find_spec("keyring") is None:
        command = install_command("keyring", sys.prefix, sys.executable)
        return f"install the keyring library: {command}; or use RUNAS_KEYRING=file or RUNAS_KEYRING=pass"
    return "start the keyring of your desktop, or use RUNAS_KEYRING=file or RUNAS_KEYRING=pass"


def within(limit: float, work: Callable[[], T]) -> T:
    """Run work in a separate thread and wait for it.

    A call that hangs remains in a daemon thread, which does not keep the process alive.

    Args:
        limit: seconds.
        work: an exception that it raises is raised here.

    Raises:
        TimeoutError: the work did not end in time.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target, daemon=True, name="keyring")
    thread.start()
    thread.join(limit)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError("no answer")
    return results[0]


def _load(path: str) -> KeyringBackend:
    """Import a backend and create it.

    Raises:
        ConfigError: the class is not a backend, or it does not encrypt.
        CredentialsError: the library is not installed.
        Exception: the backend does not work here; the message of the backend explains why.
    """
    if importlib.util.find_spec("keyring") is None:
        raise CredentialsError("the keyring library is not installed", code="keyring-missing", hint=missing_hint())
    from keyring.backend import KeyringBackend

    module, _, name = path.rpartition(".")
    ours = path in [backend for backend, _ in BACKENDS.values()]
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        if ours:
            raise
        raise _unknown(path, _one_line(error)) from None
    if not (isinstance(found, type) and issubclass(found, KeyringBackend)):
        raise _unknown(path, "it is not a backend class of the keyring library")
    if not ours and _is_plain(found):
        raise _unknown(path, "it keeps secrets without encryption, or nowhere")
    try:
        if found.priority < 0:
            raise RuntimeError("it cannot be used on this system")
    except RuntimeError as error:  # raised by a backend that does not work here
        raise ImportError(_one_line(error)) from None
    return found()


def _is_plain(backend: type) -> bool:
    modules = ("keyring.backends.null", "keyring.backends.fail", "keyring.backends.chainer")
    return any("plaintext" in base.__name__.lower() or base.__module__ in modules for base in backend.__mro__)


def _unknown(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"RUNAS_KEYRING={path} cannot be used: {reason}",
        code="keyring-unknown",
        hint="name the MODULE.CLASS of a keyring backend that encrypts, or file or pass",
    )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".")
