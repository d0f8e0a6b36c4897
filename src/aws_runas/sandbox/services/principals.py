"""Principals, their access keys, and every temporary key that the sandbox has issued."""

from __future__ import annotations

import base64
import secrets
import string
import threading
from dataclasses import field

from aws_runas.dataclass import dataclass

ACCOUNT = "123456789012"  # default account of moto
OTHER_ACCOUNT = "210987654321"


def account_of(arn: str) -> str:
    """Return the account of a principal's ARN."""
    return (arn.split(":") + [""] * 5)[4]


ALPHABET = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True)
class Principal:
    """IAM user or assumed role.

    Args:
        arn: as GetCallerIdentity reports it.
        user_id: ``AIDA...`` or ``AROA...:session``.
        user_name: None for a role.
        role_name: None for a user.
    """

    arn: str
    user_id: str
    user_name: str | None = None
    role_name: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Origin and restrictions of a temporary key.

    Args:
        mfa: True if the key was created with an MFA code.
        session_policies: policy texts passed to AssumeRole; they restrict the permissions of the role.
        source_identity: set at AssumeRole, or inherited; None for none.
        chained: True if the key was created by AssumeRole with temporary keys.
    """

    mfa: bool = False
    session_policies: tuple[str, ...] = ()
    source_identity: str | None = None
    chained: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """Access key with its secret.

    Args:
        session_token: None for a user's own keys.
        expiration: seconds since the epoch by the service's clock; None for a user's own keys.
        issued: seconds since the epoch by the service's clock; 0 for a user's own keys.
        grant: the origin and restrictions of a temporary key.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    principal: Principal
    session_token: str | None = field(default=None, repr=False)
    expiration: float | None = None
    issued: float = 0.0
    grant: Grant = Grant()

    @property
    def temporary(self) -> bool:
        """True if STS created the key."""
        return self.session_token is not None

    @property
    def federated(self) -> bool:
        """True if GetFederationToken created the key."""
        return ":federated-user/" in self.principal.arn


def new_identifier(prefix: str) -> str:
    """Return a 20-character id in the format of AWS (``AKIA...``, ``ASIA...``, ``AROA...``)."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(20 - len(prefix)))


class TemporaryKeys:
    """Keys that STS issued. Thread-safe."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._lock = threading.Lock()

    def issue(self, principal: Principal, expiration: float, issued: float, grant: Grant | None = None) -> Key:
        """Create and store a temporary key.

        Args:
            expiration: seconds since the epoch, by the service's clock.
            issued: seconds since the epoch, by the service's clock.
            grant: origin and restrictions of the key.
        """
        key = Key(
            new_identifier("ASIA"),
            secrets.token_urlsafe(30),
            principal,
            # as long as at AWS, and with characters that careless URL encoding breaks
            session_token="sandbox/" + base64.b64encode(secrets.token_bytes(500)).decode(),
            expiration=expiration,
            issued=issued,
            grant=grant or Grant(),
        )
        with self._lock:
            self._keys[key.access_key_id] = key
        return key

    def find(self, access_key_id: str) -> Key | None:
        """Return the key with an id, expired or not; None if it was never issued."""
        return self._keys.get(access_key_id)
