"""One STS client for all steps of a chain, because making a client takes longer than a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.aws.credentials import Credentials

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients
    from aws_runas.config.profile import Profile


class StsClients:
    """Gives the STS client, which signs with the credentials of the current step.

    Args:
        clients: created when first needed, since that loads botocore.
        region: region of the STS endpoint.
        direct: the profile whose calls may be made without botocore; None to make all calls with botocore.
    """

    def __init__(self, clients: Callable[[], Clients], region: str, direct: Profile | None = None) -> None:
        self._clients = clients
        self._region = region
        self._direct = direct
        self._client: object = None
        self._lock = threading.Lock()
        self._signing = threading.local()  # threads may be at different steps

    def signed_by(self, credentials: Credentials) -> object:
        """Return the client. Its next calls in this thread are signed with these credentials.

        Args:
            credentials: to sign with.
        """
        self._signing.credentials = credentials
        with self._lock:
            if self._client is None:
                self._client = self._direct_client() or self._by_botocore()
        return self._client

    def _by_botocore(self) -> object:
        return self._clients().client("sts", self._region, self._current)

    def _direct_client(self) -> object:
        """Return a client without botocore; None if settings or the network require botocore."""
        if self._direct is None:
            return None
        from aws_runas.aws.direct import ca_bundle, direct_endpoint
        from aws_runas.aws.direct_sts import DirectSts, is_usual

        endpoint = direct_endpoint(self._direct, self._region, "sts") if is_usual(self._direct) else None
        if endpoint is None:
            return None
        return DirectSts(endpoint, self._region, self._current, self._by_botocore, ca_bundle=ca_bundle(self._direct))

    def unsigned(self, region: str | None = None) -> object:
        """Return the client for calls without a signature.

        Args:
            region: overrides the usual one, for a role in another partition.
        """
        return self._clients().client("sts", region or self._region, _no_credentials)

    def _current(self) -> Credentials:
        found: Credentials = self._signing.credentials
        return found


def _no_credentials() -> Credentials:
    return Credentials("", "")
