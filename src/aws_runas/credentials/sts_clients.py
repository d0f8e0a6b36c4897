"""One STS client for all steps of a chain: making one takes longer than the call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_runas.aws.credentials import Credentials

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients


class StsClients:
    """Gives the STS client, signing with the credentials of the step at hand.

    Args:
        clients: made when first needed, since that loads botocore.
        region: where STS is asked.
    """

    def __init__(self, clients: Callable[[], Clients], region: str) -> None:
        self._clients = clients
        self._region = region
        self._client: Any = None
        self._lock = threading.Lock()
        self._signing = threading.local()  # threads may be at different steps

    def signed_by(self, credentials: Credentials) -> Any:
        """Return the client. Its next calls in this thread are signed with these credentials.

        Args:
            credentials: that sign.
        """
        self._signing.credentials = credentials
        with self._lock:
            if self._client is None:
                self._client = self._clients().client("sts", self._region, self._current)
        return self._client

    def unsigned(self, region: str | None = None) -> Any:
        """The client, for the calls that no credentials sign.

        Args:
            region: another one than usual, for a role of another partition.
        """
        if region is not None and region != self._region:
            return self._clients().client("sts", region, _no_credentials)
        return self.signed_by(Credentials("", ""))

    def _current(self) -> Credentials:
        found: Credentials = self._signing.credentials
        return found


def _no_credentials() -> Credentials:
    return Credentials("", "")
