"""What an agent knows of its instance: its corner of this machine, its version, and KMS."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.moto import Moto

MUX_CLIENT = "1.1.70"  # at least, spec 6


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance's corner of this machine.

    Args:
        home: where its shells start.
        agent_version: decides what it can do.
        agent_rate: frames a second that the agent sends at most, None for as many as it can.
        port_map: ports of the instance that are others on this machine.
    """

    target: str
    home: Path
    agent_version: str
    agent_rate: float | None
    port_map: dict[int, int]
    moto: Moto = field(repr=False)


def newer_client(version: str) -> bool:
    """Whether the client speaks smux; component by component, numbers as numbers and words as words, as agents do."""
    for have, want in zip(version.split("."), MUX_CLIENT.split("."), strict=False):
        if have != want:
            return int(have) > int(want) if have.isascii() and have.isdigit() else have > want
    return version.count(".") >= MUX_CLIENT.count(".")


def decrypt(moto: Moto, key_id: str, blob: bytes, context: dict[str, str]) -> bytes:
    """KMS Decrypt, as the instance's own role may call it.

    Raises:
        ServiceError: the context, the key or the blob is not right.
    """
    from moto.kms.exceptions import InvalidCiphertextException

    kms: Any = moto.kms()
    try:
        plaintext, arn = kms.decrypt(ciphertext_blob=blob, encryption_context=context)
    except InvalidCiphertextException:
        raise ServiceError("InvalidCiphertextException", "the data key cannot be decrypted") from None
    if key_id not in (arn, arn.rpartition("/")[2]):
        raise ServiceError("IncorrectKeyException", "the data key was made with another KMS key")
    return bytes(plaintext)
