"""EC2 Instance Connect: a public key that the instance accepts for a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.errors import translate
from aws_runas.errors import SessionError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def push_public_key(access: Access, instance_id: str, user: str, key: str) -> None:
    """Let a user log in with a key for the next 60 seconds.

    Args:
        instance_id: ``i-...``.
        user: of the instance's system.
        key: a line as in a .pub file.

    Raises:
        AwsRunasError: it was refused.

    Source: AWS API reference, ec2-instance-connect SendSSHPublicKey.
    """
    with translate("ec2-instance-connect", "SendSSHPublicKey", SessionError):
        access.client("ec2-instance-connect").send_ssh_public_key(
            InstanceId=instance_id, InstanceOSUser=user, SSHPublicKey=key
        )
