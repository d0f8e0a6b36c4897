"""Keyring in ``pass``, the standard Unix password manager: one gpg file per item below ``aws-runas/``."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.parse
from collections.abc import Mapping

from aws_runas.errors import CredentialsError
from aws_runas.store.items import SERVICE

TIME_LIMIT = 30.0  # seconds, including the passphrase prompt of gpg
PROGRAM = "pass"


class PassStore:
    """Keyring in the password store of ``pass``.

    Args:
        environ: passed to the program, with PASSWORD_STORE_DIR, GNUPGHOME and the like.
    """

    label = "the password store of pass"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, user: str) -> str | None:
        """Return the value of an item; see `Store`. Lines below the first are notes of the user."""
        text = self.show(item_path(user))
        return None if text is None else text.partition("\n")[0]

    def write(self, user: str, value: str) -> None:
        """Add or replace an item; see `Store`."""
        self._run("insert", "--multiline", "--force", item_path(user), text=f"{value}\n")

    def remove(self, user: str) -> bool:
        """Remove an item; see `Store`."""
        return self._run("rm", "--force", item_path(user)) is not None

    def show(self, path: str) -> str | None:
        """Return the content of any entry, None if there is none.

        Args:
            path: the path of the entry in the password store.

        Raises:
            CredentialsError: as for `Store.read`.
        """
        return self._run("show", path)

    def _run(self, *words: str, text: str = "") -> str | None:
        """Run the program; return None if there is no such entry.

        Raises:
            CredentialsError: the program is not installed, failed, or took too long.
        """
        try:
            # a separate process group, so that gpg ends with it
            process = subprocess.Popen(
                [PROGRAM, *words],
                env=self._variables(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
            )
        except OSError as error:
            raise CredentialsError(
                f"cannot run {PROGRAM}: {(error.strerror or str(error)).lower()}",
                code="keyring-missing",
                hint="install pass (apt install pass), or use RUNAS_KEYRING=file",
            ) from None
        try:
            output, errors = process.communicate(text.encode("utf-8", "surrogateescape"), TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise self._slow() from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            self._judge(errors.decode("utf-8", "replace"))
            return None
        return output.decode("utf-8", "surrogateescape")

    def _variables(self) -> dict[str, str]:
        variables = {**self._environ, "LC_ALL": "C"}
        terminal = _terminal()
        if terminal:
            variables.setdefault("GPG_TTY", terminal)
        return variables

    def _slow(self) -> CredentialsError:
        return CredentialsError(
            f"{PROGRAM} did not answer in {TIME_LIMIT:g} s",
            code="keyring-failed",
            hint="unlock the gpg key first, for instance with: pass ls && gpg --card-status",
        )

    def _judge(self, errors: str) -> None:
        """Return if the entry does not exist; raise an error for everything else."""
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        last = lines[-1] if lines else "it gave no reason"
        lower = errors.lower()
        if "is not in the password store" in lower:
            return
        if "pass init" in lower:
            raise CredentialsError(
                f"{self.label} does not exist yet", code="keyring-missing", hint="make it with: pass init GPG-ID"
            )
        if "cancel" in lower:
            raise CredentialsError(
                "the passphrase prompt of gpg was cancelled", code="keyring-denied", hint="run it again and answer it"
            )
        if any(sign in lower for sign in ("ioctl", "pinentry", "timeout", "bad passphrase", "decryption failed")):
            raise CredentialsError(
                f"gpg cannot open {self.label}: {last}",
                code="keyring-locked",
                hint="run it in a terminal with GPG_TTY=$(tty), or unlock the gpg key first",
            )
        raise CredentialsError(
            f"{PROGRAM} failed: {last}", code="keyring-failed", hint="try the same with: pass show aws-runas"
        )


def item_path(user: str) -> str:
    """Return the entry of an item; slashes in URLs are escaped."""
    kind, _, rest = user.partition("/")
    return f"{SERVICE}/{kind}/{urllib.parse.quote(rest, safe=' @+=,')}"


def _terminal() -> str | None:
    """Return the path of the terminal, which gpg-agent needs for its prompt."""
    for descriptor in (0, 1, 2):
        try:
            return os.ttyname(descriptor)
        except OSError:
            continue
    return None
