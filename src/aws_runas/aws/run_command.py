"""SSM Run Command, its stored outputs (S3 or CloudWatch Logs), and the inventory of managed instances.

Source: AWS Systems Manager API reference; resource groups API reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import aws_code, translate
from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

PAGE = 50  # rows, the maximum in one response of these calls
UNANSWERED = ("endpoint-timeout", "endpoint-unreachable", "endpoint-not-aws")  # codes of errors without a response
ODD_COMMAND_ID: Final = "command-id-invalid"  # code for an invalid response to SendCommand
COMMAND_ID: Final = re.compile(r"[0-9A-Za-z-]{36}")
INVALID_INSTANCE = "InvalidInstanceId"  # code of SendCommand, whose message often lists the instances in [[...]]


@dataclass(frozen=True, slots=True)
class NodeInformation:
    """An instance in the list of Systems Manager."""

    instance_id: str
    online: bool
    platform: str
    name: str
    agent_version: str


@dataclass(frozen=True, slots=True)
class InvocationReply:
    """One row of ListCommandInvocations, or the reply of GetCommandInvocation; see `fleet.model.Invocation`."""

    instance_id: str
    details: str
    output: str
    error: str
    exit_status: int
    status: str = ""


@dataclass(frozen=True, slots=True)
class CommandReply:
    """One row of ListCommands.

    Args:
        instances: ids of the instances that it was sent to.
    """

    command_id: str
    instances: tuple[str, ...]


def list_nodes(access: Access) -> list[NodeInformation]:
    """List every managed instance in the region, over all pages, sorted by id.

    Raises:
        AwsRunasError: the call was refused or failed.
    """
    nodes: dict[str, NodeInformation] = {}
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        pages = access.client("ssm").get_paginator("describe_instance_information")
        for page in reply.limited(pages.paginate(PaginationConfig={"PageSize": PAGE})):
            for row in reply.mappings(page, "InstanceInformationList"):
                instance_id = reply.text(row, "InstanceId", "")
                nodes[instance_id] = NodeInformation(
                    instance_id,
                    row.get("PingStatus") == "Online",
                    reply.text(row, "PlatformType", ""),
                    reply.text(row, "Name", "") or reply.text(row, "ComputerName", ""),
                    reply.text(row, "AgentVersion", ""),
                )
    return [nodes[instance_id] for instance_id in sorted(nodes)]


def list_tags(access: Access, instance_ids: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Return the tags of the region's EC2 instances that are not terminated: id -> key -> value."""
    tags: dict[str, dict[str, str]] = {}
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    filters = [states, *([{"Name": "instance-id", "Values": list(instance_ids)}] if instance_ids else [])]
    with translate("ec2", "DescribeInstances", TargetError):
        pages = access.client("ec2").get_paginator("describe_instances")
        for page in reply.limited(pages.paginate(Filters=filters, PaginationConfig={"PageSize": 1000})):
            for reservation in reply.mappings(page, "Reservations"):
                for row in reply.mappings(reservation, "Instances"):
                    tags[reply.text(row, "InstanceId", "")] = {
                        reply.text(tag, "Key", ""): reply.text(tag, "Value", "") for tag in reply.mappings(row, "Tags")
                    }
    return tags


def group_members(access: Access, group: str) -> frozenset[str]:
    """Return the instance ids of a resource group.

    Args:
        group: name or ARN.

    Raises:
        TargetError: the group does not exist, may not be read, or belongs to a stack that does not exist.
    """
    try:
        return frozenset(_group_members(access, group))
    except TargetError as error:
        if aws_code(error) != "NotFoundException":
            raise
        unknown = TargetError(
            f"there is no resource group {group} in {access.region()}",
            code="fleet-group-unknown",
            hint="see: aws resource-groups list-groups",
        )
    raise unknown


def _group_members(access: Access, group: str) -> set[str]:
    ids = set()
    with translate("resource-groups", "ListGroupResources", TargetError):
        pages = access.client("resource-groups").get_paginator("list_group_resources")
        for page in reply.limited(pages.paginate(Group=group)):
            _check_query(page, group)
            for row in reply.mappings(page, "Resources") or reply.mappings(page, "ResourceIdentifiers"):
                arn = reply.text(reply.mapping(row, "Identifier") or row, "ResourceArn", "")
                if ":instance/" in arn or ":managed-instance/" in arn:
                    ids.add(arn.rpartition("/")[2])
    return ids


def _check_query(page: Mapping[str, Any], group: str) -> None:
    """Refuse a group whose query fails: the service then lists no members, although the group may have some."""
    for row in reply.mappings(page, "QueryErrors"):
        code, message = reply.text(row, "ErrorCode", ""), reply.text(row, "Message", "")
        if code != "RESOURCE_TYPE_NOT_SUPPORTED":  # supported types are listed anyway
            raise TargetError(
                f"the members of resource group {group} are not known: {message or code}",
                code="fleet-group-broken",
                hint="repair the query of the group, or name the instances by a tag",
            )


@dataclass(frozen=True, slots=True)
class Command:
    """A command for Run Command.

    Args:
        document: its name.
        parameters: of the document.
        delivery: seconds until the service gives up delivery, 30 or more.
        max_errors: errors after which the service stops delivering.
        comment: stored with the command by the service; only the first 100 characters.
        output: ``bucket`` and ``prefix``, or ``log_group``; empty for neither.
    """

    document: str
    parameters: Mapping[str, Sequence[str]]
    delivery: int
    max_errors: int
    comment: str
    output: Mapping[str, str] = field(default_factory=dict)


def send_command(access: Access, instance_ids: Sequence[str], command: Command) -> str:
    """Send a command to at most 50 instances and return its id.

    Args:
        access: its credentials and region are used for the call.
        instance_ids: of the instances.
        command: the command to run.

    The call is made once: a second call could run the command twice.

    Raises:
        SessionError: the service refused; the code is one of `UNANSWERED`, or `ODD_COMMAND_ID`, if it is unknown
            whether the service accepted the command.
    """
    where = command.output
    extra: dict[str, Any] = {}
    if "bucket" in where:
        extra |= {"OutputS3BucketName": where["bucket"], "OutputS3KeyPrefix": where.get("prefix", "")}
    if "log_group" in where:
        extra["CloudWatchOutputConfig"] = {
            "CloudWatchLogGroupName": where["log_group"],
            "CloudWatchOutputEnabled": True,
        }
    with translate("ssm", "SendCommand", SessionError):
        answer = access.client("ssm", once=True).send_command(
            InstanceIds=list(instance_ids),
            DocumentName=command.document,
            Parameters={name: list(values) for name, values in command.parameters.items()},
            TimeoutSeconds=command.delivery,
            MaxConcurrency=str(len(instance_ids)),
            MaxErrors=str(command.max_errors),
            Comment=command.comment[:100],
            **extra,
        )
        command_id = reply.text(reply.mapping(answer, "Command"), "CommandId")
        if not COMMAND_ID.fullmatch(command_id):  # botocore would refuse every later call with it
            raise SessionError(
                f"ssm SendCommand: the answer names the command {command_id!r}, which is not an id of AWS",
                code="command-id-invalid",
                hint="check AWS_ENDPOINT_URL and the proxy; the command may be running",
            )
        return command_id


def list_commands(access: Access, comment: str, since: datetime) -> list[CommandReply]:
    """Return the commands whose comment equals this one, or begins with it and a blank; the newest first.

    Args:
        comment: as sent.
        since: commands before this time are left out.

    Raises:
        SessionError: the call failed.
    """
    after = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = []
    with translate("ssm", "ListCommands", SessionError):
        pages = access.client("ssm").get_paginator("list_commands")
        filters = [{"key": "InvokedAfter", "value": after}]
        for page in reply.limited(pages.paginate(Filters=filters, PaginationConfig={"PageSize": PAGE})):
            found += [_command(row) for row in reply.mappings(page, "Commands") if _has(row, comment)]
    return [command for command in found if COMMAND_ID.fullmatch(command.command_id)]


def _has(row: Mapping[str, Any], comment: str) -> bool:
    found = reply.text(row, "Comment", "")
    return found == comment or found.startswith(f"{comment} ")


def _command(row: Mapping[str, Any]) -> CommandReply:
    return CommandReply(reply.text(row, "CommandId"), tuple(reply.texts(row, "InstanceIds")))


def list_invocations(access: Access, command_id: str) -> list[InvocationReply]:
    """Return every invocation of a command with its first 2,500 characters of output, over all pages.

    Raises:
        SessionError: the call failed; code ``throttled`` if the service asks to slow down.
    """
    rows = []
    with translate("ssm", "ListCommandInvocations", SessionError):
        client = access.client("ssm")

        def ask(**more: str) -> Any:
            return client.list_command_invocations(CommandId=command_id, Details=True, MaxResults=PAGE, **more)

        for page in reply.token_pages(ask, "NextToken"):
            rows += [_invocation(row) for row in reply.mappings(page, "CommandInvocations")]
    return rows


def get_invocation(access: Access, command_id: str, instance_id: str) -> InvocationReply:
    """Return an invocation with at most 24,000 characters of stdout and 8,000 of stderr.

    Args:
        access: its credentials sign the call.
        command_id: from SendCommand.
        instance_id: one of the command's instances.

    Raises:
        SessionError: the call failed.
    """
    with translate("ssm", "GetCommandInvocation", SessionError):
        row = access.client("ssm").get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        return InvocationReply(
            instance_id,
            reply.text(row, "StatusDetails", "") or reply.text(row, "Status", ""),
            reply.text(row, "StandardOutputContent", ""),
            reply.text(row, "StandardErrorContent", ""),
            reply.number(row, "ResponseCode", -1),
            reply.text(row, "Status", ""),
        )


def cancel_command(access: Access, command_id: str) -> None:
    """Ask the service to cancel a command; best effort.

    Raises:
        SessionError: the call failed.
    """
    with translate("ssm", "CancelCommand", SessionError):
        access.client("ssm").cancel_command(CommandId=command_id)


def _invocation(row: Mapping[str, Any]) -> InvocationReply:
    plugin = (reply.mappings(row, "CommandPlugins") or [{}])[-1]
    return InvocationReply(
        reply.text(row, "InstanceId", ""),
        reply.text(row, "StatusDetails", "") or reply.text(row, "Status", ""),
        reply.text(plugin, "Output", ""),
        "",
        reply.number(plugin, "ResponseCode", -1),
        reply.text(row, "Status", ""),
    )


MAX_OUTPUT: Final = 16 * 1024 * 1024  # bytes of a stream; an instance might store more
STREAMS: Final = ("stdout", "stderr")


def stored_output(
    access: Access, where: Mapping[str, str], command_id: str, instance_id: str
) -> tuple[str | None, str | None]:
    """Return stdout and stderr as the agent stored them; None for a stream that does not exist (yet).

    Args:
        where: ``bucket`` and ``prefix``, or ``log_group``, as sent with the command.

    Raises:
        SessionError: the caller may not read the bucket or log group.
    """
    if "bucket" in where:
        return _from_bucket(access, where["bucket"], where.get("prefix", ""), f"{command_id}/{instance_id}/")
    return _from_logs(access, where["log_group"], f"{command_id}/{instance_id}/")


def _from_bucket(access: Access, bucket: str, prefix: str, folder: str) -> tuple[str | None, str | None]:
    found: dict[str, str] = {}
    full = f"{prefix.strip('/')}/{folder}" if prefix.strip("/") else folder
    client = access.client("s3")
    with translate("s3", "ListObjectsV2", SessionError):
        for row in reply.mappings(client.list_objects_v2(Bucket=bucket, Prefix=full), "Contents"):
            key = reply.text(row, "Key", "")
            name = key.rpartition("/")[2]
            if name in STREAMS:
                with translate("s3", "GetObject", SessionError):
                    found[name] = (
                        client.get_object(Bucket=bucket, Key=key)["Body"].read(MAX_OUTPUT).decode("utf-8", "replace")
                    )
    # The agent does not store empty streams: if only one stream exists, the other one is empty.
    return (found.get("stdout", ""), found.get("stderr", "")) if found else (None, None)


def _from_logs(access: Access, group: str, folder: str) -> tuple[str | None, str | None]:
    client = access.client("logs")
    found: dict[str, str] = {}
    with translate("logs", "DescribeLogStreams", SessionError):
        streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=folder)
        names = [reply.text(row, "logStreamName", "") for row in reply.mappings(streams, "logStreams")]
    for name in names:
        if name.rpartition("/")[2] in STREAMS:
            with translate("logs", "GetLogEvents", SessionError):
                found[name.rpartition("/")[2]] = _events(client, group, name)
    return (found.get("stdout", ""), found.get("stderr", "")) if found else (None, None)


def _events(client: Any, group: str, name: str) -> str:
    """Return all messages of a stream; each event is one or more lines without the final newline."""
    parts: list[str] = []
    size = 0
    more: dict[str, str] = {}
    for _ in range(reply.MAX_PAGES):
        page = client.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True, **more)
        messages = [reply.text(row, "message", "") for row in reply.mappings(page, "events")]
        parts += messages
        size += sum(map(len, messages))
        following = reply.text(page, "nextForwardToken", "")
        if not messages or size >= MAX_OUTPUT or following == more.get("nextToken"):
            break
        more = {"nextToken": following}
    return "".join(f"{part}\n" for part in parts)
