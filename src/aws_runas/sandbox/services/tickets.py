"""Tokens, the address with its cell and the service's own signature: what a connection needs to be accepted."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time

from aws_runas.sandbox.options import Faults


class Tickets:
    """What one session gives out and accepts: tokens, cells and signed addresses.

    Args:
        base_url: of the service, ``ws://127.0.0.1:PORT``.
        faults: of the session.
    """

    def __init__(self, session_id: str, base_url: str, faults: Faults) -> None:
        self.session_id = session_id
        self.faults = faults
        self._address = f"{base_url}/v1/data-channel/{session_id}"
        self._cell = _new_cell()
        self._presigned = _presigned_query()
        self._tokens: set[str] = set()
        self._agent_tokens: set[str] = set()

    @property
    def stream_url(self) -> str:
        """Where the client connects; the cell number is raw base64, as the real one's (spec 13.1)."""
        query = f"role=publish_subscribe&cell-number={self._cell}"
        if self.faults.presign:
            query += f"&{self._presigned}"
        return f"{self._address}?{query}"

    def new_token(self) -> str:
        """A token for one connection of the client."""
        token = "AAEAA" + secrets.token_urlsafe(96)
        self._tokens.add(token)
        return token

    def new_agent_token(self) -> str:
        """A token for one connection of an agent from outside."""
        token = "AAEAA" + secrets.token_urlsafe(96)
        self._agent_tokens.add(token)
        return token

    def resume(self) -> str:
        """Another connection is wanted: a new token, and another cell where that is the mood."""
        if self.faults.new_cell:
            self._cell = _new_cell()
        self._tokens.clear()
        return self.new_token()

    def is_presigned(self, query: str) -> bool:
        """Whether the query carries the signature that we gave out."""
        return query.endswith(f"&{self._presigned}")

    def serves_cell(self, query: str) -> bool:
        """Whether the address is the present one."""
        return f"cell-number={self._cell}" in query.split("&")

    def redeem(self, token: str) -> str | None:
        """Take a token: ``client`` or ``agent``, None when it is not good."""
        for tokens, role in ((self._tokens, "client"), (self._agent_tokens, "agent")):
            if token in tokens:
                if self.faults.single_use_tokens:
                    tokens.discard(token)
                return role
        return None


def _new_cell() -> str:
    """Raw base64 that has the letters which canonical forms disagree about."""
    return "AAEAA" + base64.b64encode(os.urandom(33)).decode()[:40] + "+/=="


def _presigned_query() -> str:
    """Return a query signed by the service itself, valid only unchanged."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"ASIASANDBOXSERVICE00%2F{date[:8]}%2Fus-east-1%2Fssmmessages%2Faws4_request"
    return (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={date}&X-Amz-Expires=86400"
        f"&X-Amz-SignedHeaders=host&X-Amz-Signature={secrets.token_hex(32)}"
    )


def read_opening(frame: bytes | str) -> tuple[str, bool]:
    """Read the first frame of a connection: its token, and whether an agent sent it.

    Raises:
        ValueError: it is no opening.
    """
    values = json.loads(frame)
    if not isinstance(values, dict) or not isinstance(values.get("TokenValue"), str):
        raise ValueError("no TokenValue")
    return values["TokenValue"], "ClientInstanceId" in values
