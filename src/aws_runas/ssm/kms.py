"""The data key of an encrypted session: in clear for the client, encrypted with the KMS key for the agent (spec 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_runas.aws.errors import translate
from aws_runas.errors import AwsRunasError, SessionError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

KEY_LENGTH: Final = 64  # bytes: 32 for each direction, from the agent first


def generate_data_key(access: Access, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
    """Get a data key from KMS.

    Args:
        access: whose credentials sign.
        kms_key_id: from the agent's request.
        encryption_context: session and target; the agent must give the same.

    Returns:
        64 bytes of key, which are secret; and the same encrypted, for the agent.

    Raises:
        SessionError: KMS refused.
        CredentialsError: there are no credentials.
    """
    try:
        with translate("kms", "GenerateDataKey", SessionError):
            reply = access.client("kms").generate_data_key(
                KeyId=kms_key_id, NumberOfBytes=KEY_LENGTH, EncryptionContext=encryption_context
            )
            keys = reply["Plaintext"], reply["CiphertextBlob"]
            if not all(isinstance(key, bytes) for key in keys):
                raise TypeError("no bytes")
            return keys
    except AwsRunasError as error:
        if error.code != "access-denied":
            raise
        raise SessionError(
            f"not permitted to use the key of this encrypted session, {kms_key_id}",
            code="data-key-denied",
            hint="the identity needs kms:GenerateDataKey on it",
        ) from error.__cause__
