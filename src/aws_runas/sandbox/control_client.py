"""Asking a sandbox's control address, from outside the process that it lives in."""

from __future__ import annotations

import json
import urllib.request
from typing import cast

TIMEOUT = 30.0  # seconds


def ask(endpoint: str, token: str, command: str, **order: object) -> object:
    """Give the sandbox a command.

    Args:
        endpoint: ``http://127.0.0.1:port``.
        token: RUNAS_SANDBOX_TOKEN.
        command: one of commands.HostCommands.
        order: its JSON object.

    Returns:
        The answer, a JSON value.

    Raises:
        OSError: it answered with an error, or not at all.
    """
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{endpoint}/_sandbox/{command}",
        data=json.dumps(order).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT) as reply:
        return cast(object, json.load(reply))
