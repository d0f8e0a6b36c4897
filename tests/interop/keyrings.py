"""Real keyrings for tests: gnome-keyring on a private bus, and a password store with a gpg key of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import requires

PASSWORD = "login-password"  # of the login keyring


class SecretService:
    """A session bus with its own home, and the gnome-keyring daemon on it.

    Args:
        home: empty directory; the keyring files are below it.
        bus: address of the bus.
    """

    def __init__(self, home: Path, bus: str) -> None:
        self.environ = {
            **_base(home),
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "XDG_RUNTIME_DIR": str(home / "runtime"),
            "XDG_DATA_HOME": str(home / "data"),
        }
        self._daemon = 0  # process id

    def start(self, password: str | None = PASSWORD) -> None:
        """Start the daemon; unlock the login keyring, or leave it locked if password is None."""
        words = ["gnome-keyring-daemon", "--components=secrets", "--unlock" if password is not None else "--daemonize"]
        subprocess.run(
            words, env=self.environ, input=(password or "").encode(), stdout=subprocess.DEVNULL, check=True, timeout=60
        )
        deadline = time.monotonic() + 60
        while not self._daemon:
            assert time.monotonic() < deadline, "gnome-keyring-daemon is not on the bus"
            reply = self._ask_bus("GetConnectionUnixProcessID")
            self._daemon = int(reply.split()[-1]) if reply else 0

    def kill(self) -> None:
        """Kill the daemon without any warning, and wait until the bus knows."""
        while self._daemon:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon, signal.SIGKILL)
            reply = self._ask_bus("GetConnectionUnixProcessID")
            self._daemon = int(reply.split()[-1]) if reply else 0

    def _ask_bus(self, question: str) -> str:
        """Ask the bus who owns the name of the Secret Service; "" if nobody does. This starts no daemon."""
        words = ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
        words += [f"org.freedesktop.DBus.{question}", "string:org.freedesktop.secrets"]
        done = subprocess.run(words, env=self.environ, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else ""

    def secret_tool(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run libsecret's own program."""
        return subprocess.run(
            [requires.program("secret-tool", package="libsecret-tools"), *words],
            env=self.environ,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def secret_service(home: Path, *, start: bool = True) -> Iterator[SecretService]:
    """Run a private session bus, with an unlocked keyring on it.

    Args:
        home: empty directory.
        start: start the daemon.
    """
    for program, package in (
        ("dbus-run-session", "dbus"), ("dbus-send", "dbus"), ("gnome-keyring-daemon", "gnome-keyring"),
    ):  # fmt: skip
        requires.program(program, package=package)
    for name in ("runtime", "data"):
        (home / name).mkdir(mode=0o700)
    bus = subprocess.Popen(
        ["dbus-run-session", "--", "sh", "-c", 'echo "$DBUS_SESSION_BUS_ADDRESS"; exec cat'],
        env={**_base(home), "XDG_RUNTIME_DIR": str(home / "runtime"), "XDG_DATA_HOME": str(home / "data")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert bus.stdout is not None
    service = SecretService(home, bus.stdout.readline().decode().strip())
    try:
        if start:
            service.start()
        yield service
    finally:
        service.kill()
        bus.communicate(timeout=60)


@contextmanager
def password_store(home: Path, *, passphrase: str = "") -> Iterator[Mapping[str, str]]:
    """Make a gpg key and a password store of pass, and give the variables that lead there.

    Args:
        home: empty directory with a short path (gpg's sockets are in it).
        passphrase: of the key; empty for none.
    """
    requires.program("pass")
    requires.program("gpg", package="gnupg")
    gnupg = home / "gnupg"
    gnupg.mkdir(mode=0o700)
    environ = {**_base(home), "GNUPGHOME": str(gnupg), "PASSWORD_STORE_DIR": str(home / "store")}
    words = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--quick-generate-key"]
    try:
        _run([*words, "tester@example.com", "default", "default", "never"], environ)
        _run(["pass", "init", "tester@example.com"], environ)
        yield environ
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=False, capture_output=True, timeout=60)


def _run(words: list[str], environ: Mapping[str, str]) -> None:
    subprocess.run(words, env=environ, check=True, capture_output=True, timeout=60)


def _base(home: Path) -> dict[str, str]:
    """The test runner's variables without a desktop, a bus and what is a user's own."""
    gone = ("AWS_", "RUNAS_", "XDG_", "DBUS_", "GNOME_", "GPG_", "GNUPG", "PASSWORD_STORE", "DISPLAY", "WAYLAND_")
    return {name: value for name, value in os.environ.items() if not name.startswith(gone)} | {"HOME": str(home)}
