"""The sandbox's own address ``/_sandbox/...`` for tests and for its command: codes, calls, sessions, faults.

Open only to who knows the token (RUNAS_SANDBOX_TOKEN): other users of this machine reach the port too.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from aws_runas.sandbox.services.errors import Reply, json_reply
from aws_runas.sandbox.services.requests import Request

PREFIX = "/_sandbox/"
Command = Callable[[dict[str, Any]], Any]


class Control:
    """Dispatches control requests.

    Args:
        token: the bearer token.
        commands: by name; each takes the request's JSON object and returns what is to be answered.
    """

    def __init__(self, token: str, commands: dict[str, Command]) -> None:
        self._token = token
        self._commands = commands

    def handle(self, request: Request) -> Reply:
        """Answer one control request."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return Reply(401, b"the sandbox's token is missing\n")
        command = self._commands.get(request.path.removeprefix(PREFIX))
        if command is None:
            return Reply(404, b"no such command\n")
        try:
            return json_reply(command(json.loads(request.body or b"{}")))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return Reply(400, f"{type(error).__name__}: {error}\n".encode())
