"""Systems Manager sessions at the service: listing and ending them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.errors import SessionError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

PAGE_SIZE: Final = 200  # sessions, the most that one DescribeSessions answer holds


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as DescribeSessions shows it.

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
        access: whose credentials and region ask.
        history: the sessions of the last 30 days that have ended, instead of the active ones.
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
    """End a session at the service. A session that has ended already is no error.

    Raises:
        SessionError: the call was refused or failed.

    Source: AWS API reference, ssm TerminateSession.
    """
    with translate("ssm", "TerminateSession", SessionError):
        access.client("ssm").terminate_session(SessionId=session_id)


def format_time(moment: datetime) -> str:
    """Return a time as the filters InvokedAfter and InvokedBefore accept it."""
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
