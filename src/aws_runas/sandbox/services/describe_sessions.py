"""DescribeSessions: the sessions of the sandbox with filters and pages.

Source: AWS API reference, ssm DescribeSessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.session import Session

MAX_RESULTS = 200  # sessions in one answer
ENTRY_KEYS = {"SessionId": "SessionId", "Target": "Target", "Owner": "Owner", "Status": "Status"}


def describe_sessions(sessions: Iterable[Session], values: dict[str, Any]) -> dict[str, Any]:
    """Answer a call.

    Raises:
        ServiceError: an unknown state or filter, or a page size out of range.
    """
    state = values.get("State")
    if state not in ("Active", "History"):
        raise _invalid("state", state, "Member must satisfy enum value set: [History, Active]")
    size = int(values.get("MaxResults") or MAX_RESULTS)
    if not 1 <= size <= MAX_RESULTS:
        raise _invalid("maxResults", size, f"Member must have value less than or equal to {MAX_RESULTS}")
    filters = [_filter(str(item.get("key")), str(item.get("value"))) for item in values.get("Filters") or []]
    entries = [describe(each) for each in sessions if (each.ended is None) is (state == "Active")]
    entries = [entry for entry in entries if all(passes(entry) for passes in filters)]
    start = int(values.get("NextToken") or 0)
    reply: dict[str, Any] = {"Sessions": entries[start : start + size]}
    if start + size < len(entries):
        reply["NextToken"] = str(start + size)
    return reply


def describe(session: Session) -> dict[str, Any]:
    """Return one session as the service describes it."""
    status = "Terminated" if session.ended is not None else "Connected" if session.client is not None else "Connecting"
    entry: dict[str, Any] = {
        "SessionId": session.session_id,
        "Target": session.plan.target,
        "Status": status,
        "StartDate": session.started,
        "DocumentName": session.plan.document,
        "Owner": session.owner,
        "Reason": session.plan.reason,
        "AccessType": "Standard",
    }
    return entry | ({"EndDate": session.ended} if session.ended is not None else {})


def _filter(key: str, value: str) -> Callable[[dict[str, Any]], bool]:
    if key in ENTRY_KEYS:
        return lambda entry: entry[ENTRY_KEYS[key]] == value
    if key == "AccessType":
        return lambda entry: entry["AccessType"] == value
    if key in ("InvokedAfter", "InvokedBefore"):
        try:
            moment = datetime.fromisoformat(value).timestamp()
        except ValueError:
            raise _invalid("filters", value, "Member must be a timestamp such as 2018-08-29T00:00:00Z") from None
        if key == "InvokedAfter":
            return lambda entry: entry["StartDate"] >= moment
        return lambda entry: entry["StartDate"] < moment
    raise _invalid("filters", key, "Member must satisfy enum value set of filter keys")


def _invalid(name: str, value: object, constraint: str) -> ServiceError:
    shown = "null" if value is None else f"'{value}'"
    text = f"1 validation error detected: Value {shown} at '{name}' failed to satisfy constraint: {constraint}"
    return ServiceError("ValidationException", text)
