"""What Systems Manager knows of the agent on an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.ssm import managed_node
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def agent_version(access: Access, instance_id: str) -> str:
    """The version that the agent reported when it last called; "" where it is not known, or may not be asked.

    Args:
        instance_id: ``i-...`` or ``mi-...``; of tasks nothing is known.
    """
    if not instance_id.startswith(("i-", "mi-")):
        return ""
    try:
        node = managed_node(access, instance_id)
    except AwsRunasError:
        return ""
    return node.agent_version if node is not None else ""
