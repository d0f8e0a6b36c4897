"""The data key of an encrypted session: ours in clear, the agent's encrypted under the session's KMS key (spec 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_runas.aws.errors import translate
from aws_runas.errors import AwsRunasError, SessionError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

KEY_LENGTH: Final = 64  # bytes: 32 for what comes from the agent, 32 for what goes to it


def generate_data_key(access: Access, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
    """Ask KMS for the session's key.

    Args:
        access: whose credentials sign.
        kms_key_id: as the agent named it.
        encryption_context: session and target, which the agent has to name as well.

    Returns:
        64 bytes of key, a secret; and the same encrypted, for the agent.

    Raises:
        SessionError: KMS would not.
        CredentialsError: as the provider says.
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
