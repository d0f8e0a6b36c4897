"""Calls of AWS APIs: the value of one call, and the log of all calls."""

from __future__ import annotations

import threading
import time
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.control_client import CallRecord
from aws_runas.sandbox.services.json_input import Input
from aws_runas.sandbox.services.principals import Key
from aws_runas.sandbox.services.requests import Request

MAX_CALLS = 100_000  # calls that the log keeps
HIDDEN_PARAMETERS = (
    "TokenCode", "WebIdentityToken", "SAMLAssertion", "Plaintext", "CiphertextBlob", "TokenValue",
    "AddPrivateKey", "Action", "Version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """AWS API call.

    Args:
        service: signing name, "" if unknown.
        action: as AWS spells it.
        values: parameters.
        region: the region that the request was signed for, "" for an unsigned request.
        key: the key that signed the request, None for an unsigned request.
    """

    service: str
    action: str
    request: Request
    values: Input = field(default_factory=dict)
    region: str = ""
    key: Key | None = None


class CallLog:
    """Log of every call so far, without secrets. Thread-safe."""

    def __init__(self) -> None:
        self._records: list[CallRecord] = []
        self._lock = threading.Lock()

    def records(self) -> list[CallRecord]:
        """Return the calls, oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Delete the calls so far."""
        with self._lock:
            self._records.clear()

    def record(self, call: Call, error: str = "") -> None:
        """Add a call.

        Args:
            error: AWS error code, "" if the call succeeded.
        """
        parameters = {
            name: value
            for name, value in call.values.items()
            if name not in HIDDEN_PARAMETERS and not name.startswith("X-Amz-")
        }
        record = CallRecord(
            service=call.service,
            action=call.action,
            access_key_id="" if call.key is None else call.key.access_key_id,
            arn="" if call.key is None else call.key.principal.arn,
            region=call.region,
            error=error,
            time=time.time(),
            user_agent=call.request.headers.get("user-agent", ""),
            parameters=parameters,
        )
        with self._lock:
            self._records.append(record)
            del self._records[:-MAX_CALLS]
