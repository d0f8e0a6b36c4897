"""Systems Manager: facts about instances, and the list of sessions. ssm/api.py starts and resumes sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

PREFERENCES: Final = "SSM-SessionManagerRunShell"  # the document that holds the account's session preferences


@dataclass(frozen=True, slots=True)
class ManagedNode:
    """An instance in Systems Manager.

    Args:
        ping_status: ``Online``, ``ConnectionLost`` or ``Inactive``.
        agent_version: ``3.2.1.0``.
        last_ping: when the agent last reported, None if unknown.
    """

    instance_id: str
    ping_status: str
    agent_version: str
    last_ping: datetime | None
    computer_name: str = ""


def managed_nodes(access: Access) -> list[ManagedNode]:
    """List every node that Systems Manager knows, over all pages, sorted by id.

    Raises:
        AwsRunasError: the call was refused or failed.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    found: dict[str, ManagedNode] = {}
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        for page in reply.limited(access.client("ssm").get_paginator("describe_instance_information").paginate()):
            for one in page.get("InstanceInformationList") or []:
                if isinstance(one, dict) and isinstance(one.get("InstanceId"), str):
                    found[one["InstanceId"]] = ManagedNode(
                        one["InstanceId"],
                        one.get("PingStatus") or "",
                        one.get("AgentVersion") or "",
                        one.get("LastPingDateTime"),
                        one.get("ComputerName") or "",
                    )
    return [found[instance_id] for instance_id in sorted(found)]


def managed_node(access: Access, instance_id: str) -> ManagedNode | None:
    """Return what Systems Manager knows about an instance, None if it knows nothing.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        answer = access.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )
        for node in reply.mappings(answer, "InstanceInformationList"):
            if node.get("InstanceId") == instance_id:
                last_ping = node.get("LastPingDateTime")
                return ManagedNode(
                    instance_id,
                    reply.text(node, "PingStatus", ""),
                    reply.text(node, "AgentVersion", ""),
                    last_ping if isinstance(last_ping, datetime) else None,
                )
    return None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """Facts that determine how an instance can be reached; "" for unknown ones.

    Args:
        platform: ``Linux``, ``Windows`` or ``MacOS``.
        agent_version: as in ManagedNode.
    """

    platform: str = ""
    agent_version: str = ""


def ask_instance_facts(access: Access, instance_id: str) -> InstanceFacts:
    """Ask for platform and agent version, without botocore where possible.

    Raises:
        AwsRunasError: the call was refused or failed.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        answer = access.session_client().describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )
        for node in reply.mappings(answer, "InstanceInformationList"):
            if node.get("InstanceId") == instance_id:
                return InstanceFacts(reply.text(node, "PlatformType", ""), reply.text(node, "AgentVersion", ""))
    return InstanceFacts()


def session_logs(access: Access) -> list[str]:
    """Return where the account logs the output of shell sessions, as text; empty if it does not log it.

    Raises:
        AwsRunasError: the caller may not read the preferences, or the call failed.

    Source: AWS, "Schema details for the Session Manager preferences document".
    """
    with translate("ssm", "GetDocument", TargetError):
        content = reply.text(access.session_client().get_document(Name=PREFERENCES), "Content", "")
    try:
        inputs = json.loads(content).get("inputs") or {}
        group, bucket = inputs.get("cloudWatchLogGroupName"), inputs.get("s3BucketName")
    except (ValueError, AttributeError, RecursionError):
        return []
    logs = [f"the CloudWatch log group {group}"] if group and isinstance(group, str) else []
    return logs + ([f"the S3 bucket {bucket}"] if bucket and isinstance(bucket, str) else [])


def agent_version(access: Access, instance_id: str) -> str:
    """Return the version that the agent last reported; "" if it is unknown or the identity may not ask.

    Args:
        instance_id: ``i-...`` or ``mi-...``; nothing is known about tasks.
    """
    if not instance_id.startswith(("i-", "mi-")):
        return ""
    try:
        node = managed_node(access, instance_id)
    except AwsRunasError:
        return ""
    return node.agent_version if node is not None else ""


PAGE_SIZE: Final = 200  # sessions, the maximum of one DescribeSessions response


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session in the reply of DescribeSessions.

    Args:
        session_id: ``USER-RANDOM``.
        target: instance or task id.
        status: ``Connected``, ``Connecting``, ``Disconnected``, ``Terminating``, ``Terminated`` or ``Failed``.
        owner: ARN of the identity that started it.
        started: when it started.
        ended: when it ended, None while it is active.
        document: name of the session document, "" for the account's standard shell.
        reason: as given to StartSession.
        max_duration: minutes, "" if there is no limit.
        access_type: ``Standard`` or ``JustInTime``, "" if the service does not say.
    """

    session_id: str
    target: str
    status: str
    owner: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    document: str = ""
    reason: str = ""
    max_duration: str = ""
    access_type: str = ""


def list_sessions(
    access: Access, *, history: bool = False, filters: Mapping[str, str] | None = None
) -> Iterator[ListedSession]:
    """Return the sessions of the account and region, over all pages.

    Args:
        access: its credentials and region are used for the call.
        history: list sessions that ended in the last 30 days, instead of the active ones.
        filters: names and values as in the API: InvokedAfter, InvokedBefore, Target, Owner, Status, SessionId,
            AccessType.

    Raises:
        SessionError: the call was refused or failed.

    Source: AWS API reference, ssm DescribeSessions.
    """
    request: dict[str, Any] = {"State": "History" if history else "Active"}
    if filters:
        request["Filters"] = [{"key": key, "value": value} for key, value in filters.items()]
    with translate("ssm", "DescribeSessions", SessionError):
        pages = access.client("ssm").get_paginator("describe_sessions")
        for page in reply.limited(pages.paginate(**request, PaginationConfig={"PageSize": PAGE_SIZE})):
            for entry in reply.mappings(page, "Sessions"):
                yield _session(entry)


def end_session(access: Access, session_id: str) -> None:
    """End a session at the service. A session that has already ended is not an error.

    Raises:
        SessionError: the call was refused or failed.

    Source: AWS API reference, ssm TerminateSession.
    """
    with translate("ssm", "TerminateSession", SessionError):
        access.client("ssm").terminate_session(SessionId=session_id)


def format_time(moment: datetime) -> str:
    """Return a time in the format of the filters InvokedAfter and InvokedBefore."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _session(entry: Mapping[str, Any]) -> ListedSession:
    return ListedSession(
        session_id=reply.text(entry, "SessionId", ""),
        target=reply.text(entry, "Target", ""),
        status=reply.text(entry, "Status", ""),
        owner=reply.text(entry, "Owner", ""),
        started=reply.moment(entry, "StartDate"),
        ended=reply.moment(entry, "EndDate"),
        document=reply.text(entry, "DocumentName", ""),
        reason=reply.text(entry, "Reason", ""),
        max_duration=reply.text(entry, "MaxSessionDuration", ""),
        access_type=reply.text(entry, "AccessType", ""),
    )
