"""Admission of connections: tokens, the stream URL with its cell, and the signature of the service."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time

from aws_runas.sandbox.options import Faults


class Tickets:
    """Tokens, cells and signed URLs that one session issues and accepts.

    Args:
        base_url: the URL of the service, ``ws://127.0.0.1:PORT``.
        faults: the faults of the session.
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
        """URL of the client's connection; its cell number is raw base64, as at AWS (spec 13.1)."""
        query = f"role=publish_subscribe&cell-number={self._cell}"
        if self.faults.presign:
            query += f"&{self._presigned}"
        return f"{self._address}?{query}"

    def new_token(self) -> str:
        """Return a token for one connection of the client."""
        token = "AAEAA" + secrets.token_urlsafe(96)
        self._tokens.add(token)
        return token

    def new_agent_token(self) -> str:
        """Return a token for one connection of an external agent."""
        token = "AAEAA" + secrets.token_urlsafe(96)
        self._agent_tokens.add(token)
        return token

    def resume(self) -> str:
        """Return a token for another connection; with the fault new_cell, the URL changes too."""
        if self.faults.new_cell:
            self._cell = _new_cell()
        self._tokens.clear()
        return self.new_token()

    def is_presigned(self, query: str) -> bool:
        """Return True if a query has the signature of `stream_url`."""
        return query.endswith(f"&{self._presigned}")

    def serves_cell(self, query: str) -> bool:
        """Return True if a query names the current cell."""
        return f"cell-number={self._cell}" in query.split("&")

    def redeem(self, token: str) -> str | None:
        """Accept a token and return its role, ``client`` or ``agent``; None if it is not valid."""
        for tokens, role in ((self._tokens, "client"), (self._agent_tokens, "agent")):
            if token in tokens:
                if self.faults.single_use_tokens:
                    tokens.discard(token)
                return role
        return None


def _new_cell() -> str:
    """Return raw base64 with the characters that canonical forms of a query treat differently."""
    return "AAEAA" + base64.b64encode(os.urandom(33)).decode()[:40] + "+/=="


def _presigned_query() -> str:
    """Return a query signed by the service itself, which is valid only unchanged."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"ASIASANDBOXSERVICE00%2F{date[:8]}%2Fus-east-1%2Fssmmessages%2Faws4_request"
    return (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={date}&X-Amz-Expires=86400"
        f"&X-Amz-SignedHeaders=host&X-Amz-Signature={secrets.token_hex(32)}"
    )


def read_opening(frame: bytes | str) -> tuple[str, bool]:
    """Read the first frame of a connection, and return its token and whether an agent sent it.

    Raises:
        ValueError: the frame is not an opening message.
    """
    values = json.loads(frame)
    if not isinstance(values, dict) or not isinstance(values.get("TokenValue"), str):
        raise ValueError("no TokenValue")
    return values["TokenValue"], "ClientInstanceId" in values
