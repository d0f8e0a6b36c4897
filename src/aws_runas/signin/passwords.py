"""Passwords of identity providers: their sources, and the encoding of the Go tool."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import field

from aws_runas.config.profile import Setting
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

ATTEMPTS = 3  # total number of passwords tried; product rule, because providers lock accounts
BLOCK_SIZE = 16  # bytes, AES
MAX_COST = 20  # scrypt then needs a gigabyte; the Go tool writes 18
_ENCODED = re.compile(r"([0-9a-f]{1,2})\$([A-Z2-7]+)\$([A-Za-z0-9+/]+)")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ROTATED = str.maketrans(_ALPHABET, _ALPHABET[32:] + _ALPHABET[:32])


def decode(text: str, url: str) -> str:
    """Decode a password that may have the encoding of the Go tool; plain text is returned unchanged.

    The encoding is ``COST$SALT$BASE64``: scrypt with N = 2^COST (hexadecimal), r = 8, p = 1, keyed by the address,
    then AES-CBC. It only obscures a password, and does not protect it.

    Args:
        text: the password, encoded or plain.
        url: address that the password belongs to.
    """
    match = _ENCODED.fullmatch(text)
    if match is None:
        return text
    cost = int(match[1], 16)
    try:
        salt = base64.b32decode(match[2] + "=" * (-len(match[2]) % 8))
        content = base64.b64decode(match[3] + "=" * (-len(match[3]) % 4))
        if not 0 < cost <= MAX_COST or len(content) < 2 * BLOCK_SIZE or len(content) % BLOCK_SIZE:
            return text
        padded = _decrypt(content, url.encode(), salt, cost)
        rotated = padded.rstrip(b"=").decode("ascii").translate(_ROTATED)
        return base64.b64decode(rotated + "=" * (-len(rotated) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return text


def _decrypt(content: bytes, key: bytes, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    derived = Scrypt(salt=salt, length=BLOCK_SIZE, n=2**cost, r=8, p=1).derive(key)
    decryptor = Cipher(algorithms.AES(derived), modes.CBC(content[:BLOCK_SIZE])).decryptor()
    return decryptor.update(content[BLOCK_SIZE:]) + decryptor.finalize()


@dataclass(slots=True)
class Passwords:
    """The passwords to try, one after another.

    Args:
        url: address of the identity provider.
        configured: password from the flag, a variable or the credentials file.
        stored: returns the password of a user name from the keyring; None if there is none.
        ask: prompts the user.
    """

    url: str
    configured: Setting[str] | None = field(repr=False)
    stored: Callable[[str], str | None]
    ask: Callable[[str], str]
    _tried: int = 0
    _origin: str = ""

    def next(self, user: str, reason: str) -> str:
        """Return the password to try now.

        Args:
            user: user name that the password belongs to.
            reason: message of the provider about the last password; may be empty.

        Raises:
            CredentialsError: three passwords were wrong, or no user can be prompted.
        """
        if self._tried >= ATTEMPTS:
            raise self._wrong(user, reason)
        self._tried += 1
        if self._tried == 1:
            if self.configured is not None:
                self._origin = self.configured.origin
                return decode(self.configured.value, self.url)
            found = self.stored(user)
            if found is not None:
                self._origin = "the keyring"
                return found
        return self._ask(user, reason)

    def _ask(self, user: str, reason: str) -> str:
        message = f"Password of {user or 'the user'} at {self.url.split('/')[2]}: "
        if self._tried > 1:
            message = f"the password was refused{f': {reason}' if reason else ''}\n{message}"
        try:
            return self.ask(message)
        except CredentialsError:
            if self._tried > 1:
                raise self._wrong(user, reason) from None
            raise

    def _wrong(self, user: str, reason: str) -> CredentialsError:
        origin = f" ({self._origin})" if self._origin else ""
        words = f": {reason}" if reason else ""
        return CredentialsError(
            f"the identity provider refused the password of {user or 'the user'}{origin}{words}",
            code="idp-password-wrong",
            hint="try it in a browser first; further attempts may lock the account",
        )
