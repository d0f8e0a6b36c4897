"""Who a request's key belongs to, and every temporary key that the sandbox has given out."""

from __future__ import annotations

import base64
import secrets
import string
import threading
from dataclasses import dataclass, field

ACCOUNT = "123456789012"  # moto's own default account
OTHER_ACCOUNT = "210987654321"


def account_of(arn: str) -> str:
    """Return the account of a principal's ARN."""
    return (arn.split(":") + [""] * 5)[4]


ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, or a role that somebody has assumed.

    Args:
        arn: what GetCallerIdentity reports.
        user_id: ``AIDA...`` or ``AROA...:session``.
        user_name: None for a role.
        role_name: None for a user.
    """

    arn: str
    user_id: str
    user_name: str | None = None
    role_name: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One access key with its secret.

    Args:
        session_token: None for a user's own keys.
        expiration: seconds since the epoch on the sandbox's clock; None for a user's own keys.
        mfa: made with an MFA code.
        chained: made by AssumeRole with temporary keys.
        session_policies: texts of policies given at AssumeRole; they narrow what the role allows.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    principal: Principal
    session_token: str | None = field(default=None, repr=False)
    expiration: float | None = None
    issued: float = 0.0
    mfa: bool = False
    session_policies: tuple[str, ...] = ()
    source_identity: str | None = None
    chained: bool = False

    @property
    def temporary(self) -> bool:
        """Came from STS."""
        return self.session_token is not None

    @property
    def federated(self) -> bool:
        """Came from GetFederationToken."""
        return ":federated-user/" in self.principal.arn


def new_identifier(prefix: str) -> str:
    """Return a 20-character id as AWS makes them (``AKIA...``, ``ASIA...``, ``AROA...``)."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(20 - len(prefix)))


class TemporaryKeys:
    """The keys that STS gave out."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._lock = threading.Lock()

    def issue(self, principal: Principal, expiration: float, issued: float, *, mfa: bool, **more: object) -> Key:
        """Make and remember a temporary key."""
        key = Key(
            new_identifier("ASIA"),
            secrets.token_urlsafe(30),
            principal,
            # as long as AWS's, and with the characters that a careless encoding of addresses breaks
            session_token="sandbox/" + base64.b64encode(secrets.token_bytes(500)).decode(),
            expiration=expiration,
            issued=issued,
            mfa=mfa,
            **more,  # type: ignore[arg-type]
        )
        with self._lock:
            self._keys[key.access_key_id] = key
        return key

    def find(self, access_key_id: str) -> Key | None:
        """Return the key of that id, expired or not; None when it was never given out."""
        return self._keys.get(access_key_id)
