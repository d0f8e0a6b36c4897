"""Whole outputs of Run Command, where the command was sent with a place for them: S3 or CloudWatch Logs.

Source: AWS Systems Manager user guide, "Configuring Amazon S3 output" and "Configuring Amazon CloudWatch Logs".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.errors import SessionError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

MAX_OUTPUT: Final = 16 * 1024 * 1024  # bytes of a stream; an instance is not trusted to store less
STREAMS: Final = ("stdout", "stderr")


def stored_output(
    access: Access, where: Mapping[str, str], command_id: str, instance_id: str
) -> tuple[str | None, str | None]:
    """Return stdout and stderr as the agent stored them; None for what is not there (yet).

    Args:
        where: ``bucket`` and ``prefix``, or ``log_group``, as the command was sent.

    Raises:
        SessionError: the place may not be read.
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
    # The agent stores no empty stream: with one of them there, the other one is empty.
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


def _events(client: object, group: str, name: str) -> str:
    """Return all messages of a stream; each event is one or more lines without the last line's end."""
    parts: list[str] = []
    size = 0
    more: dict[str, str] = {}
    for _ in range(reply.MAX_PAGES):
        page = client.get_log_events(  # type: ignore[attr-defined]
            logGroupName=group, logStreamName=name, startFromHead=True, **more
        )
        messages = [reply.text(row, "message", "") for row in reply.mappings(page, "events")]
        parts += messages
        size += sum(map(len, messages))
        following = reply.text(page, "nextForwardToken", "")
        if not messages or size >= MAX_OUTPUT or following == more.get("nextToken"):
            break
        more = {"nextToken": following}
    return "".join(f"{part}\n" for part in parts)
