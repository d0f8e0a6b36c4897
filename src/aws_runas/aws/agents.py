"""What Systems Manager knows of the agent on an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.errors import translate
from aws_runas.errors import AwsRunasError, SessionError

if TYPE_CHECKING:
    from aws_runas.credentials.access import Access


def agent_version(access: Access, instance_id: str) -> str:
    """The version that the agent reported when it last called; "" where it is not known, or may not be asked.

    Args:
        instance_id: ``i-...`` or ``mi-...``; of tasks nothing is known.
    """
    if not instance_id.startswith(("i-", "mi-")):
        return ""
    try:
        with translate("ssm", "DescribeInstanceInformation", SessionError):
            reply = access.client("ssm").describe_instance_information(
                Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
            )
    except AwsRunasError:
        return ""
    found = reply.get("InstanceInformationList") or [{}]
    return str(found[0].get("AgentVersion") or "")
