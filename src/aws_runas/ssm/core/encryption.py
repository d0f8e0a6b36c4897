"""AES-256-GCM for both ends of a KMS-encrypted session (spec 7)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError

DATA_KEY_SIZE = 64  # bytes: two AES-256 keys
CHALLENGE_SIZE = 64  # bytes
_KEY_SIZE = 32
_NONCE_SIZE = 12
_TAG_SIZE = 16


class SessionCipher:
    """Encrypts one direction and decrypts the other.

    Args:
        data_key: 64 bytes. The agent encrypts with the first half, the client with the second.
        is_client: True for the client, False for the agent.
        next_nonce: () -> 12 bytes, never the same twice for one key.
    """

    def __init__(self, data_key: bytes, *, is_client: bool, next_nonce: Callable[[], bytes]) -> None:
        if len(data_key) != DATA_KEY_SIZE:
            raise LocalProtocolError(f"the data key has {len(data_key)} bytes, not {DATA_KEY_SIZE}")
        agent, client = AESGCM(data_key[:_KEY_SIZE]), AESGCM(data_key[_KEY_SIZE:])
        self._outward, self._inward = (client, agent) if is_client else (agent, client)
        self._next_nonce = next_nonce

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return nonce, ciphertext and tag."""
        nonce = self._next_nonce()
        return nonce + self._outward.encrypt(nonce, plaintext, None)

    def decrypt(self, sealed: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            RemoteProtocolError: the key is wrong, or the data was modified.
        """
        if len(sealed) < _NONCE_SIZE + _TAG_SIZE:
            raise RemoteProtocolError(f"an encrypted payload of {len(sealed)} bytes is too short")
        try:
            return self._inward.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], None)
        except InvalidTag as error:
            raise RemoteProtocolError(
                "a message could not be decrypted: the two ends have different keys, or it was changed on the way"
            ) from error


def random_nonces(random_bytes: Callable[[int], bytes]) -> Callable[[], bytes]:
    """Return the nonce source of a client: a random nonce for each message."""
    return lambda: random_bytes(_NONCE_SIZE)


def counting_nonces(random_bytes: Callable[[int], bytes]) -> Callable[[], bytes]:
    """Return the nonce source of an agent: a 96-bit little-endian counter that starts at a random value."""
    value = int.from_bytes(random_bytes(_NONCE_SIZE), "little")

    def next_nonce() -> bytes:
        nonlocal value
        value = (value + 1) % (1 << 8 * _NONCE_SIZE)
        return value.to_bytes(_NONCE_SIZE, "little")

    return next_nonce
