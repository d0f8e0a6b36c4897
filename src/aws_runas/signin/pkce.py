"""Proof Key for Code Exchange (RFC 7636), and the state that binds a response to its request."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import field

from aws_runas.dataclass import dataclass

VERIFIER_BYTES = 48  # 64 characters of base64url
STATE_BYTES = 24

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Pkce:
    """Values of one sign-in. Do not log any of them.

    Args:
        verifier: the secret, 64 characters; only sent together with the code.
        state: value that the response returns; 32 characters.
    """

    verifier: str = field(repr=False)
    state: str = field(repr=False)

    @property
    def challenge(self) -> str:
        """The SHA-256 of the verifier in base64url without padding, method S256."""
        return encode(hashlib.sha256(self.verifier.encode("ascii")).digest())


def new_pkce(random_bytes: RandomBytes = secrets.token_bytes) -> Pkce:
    """Create the values of one sign-in.

    Args:
        random_bytes: number of bytes -> random bytes; tests pass their own function.

    Source: RFC 7636, section 4.
    """
    return Pkce(encode(random_bytes(VERIFIER_BYTES)), encode(random_bytes(STATE_BYTES)))


def encode(content: bytes) -> str:
    """Encode in base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
