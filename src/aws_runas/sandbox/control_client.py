"""Client for the control address of the sandbox, and the records in its answers."""

from __future__ import annotations

import json
import urllib.request
from typing import TypedDict, cast

TIMEOUT = 30.0  # seconds


class CallRecord(TypedDict):
    """AWS call in the answer to the command ``calls``.

    Attributes:
        service, action: as AWS spells them.
        access_key_id, arn: the access key id and ARN of the signer, "" for an unsigned request.
        region: the region that the request was signed for.
        error: AWS error code, "" if the call succeeded.
        time: seconds since the epoch, by the clock of this machine.
        user_agent: as sent.
        parameters: the parameters of the call, without secrets, with the types of the service.
    """

    service: str
    action: str
    access_key_id: str
    arn: str
    region: str
    error: str
    time: float
    user_agent: str
    parameters: dict[str, object]


class SessionRecord(TypedDict):
    """SSM session in the answer to the command ``sessions``.

    Attributes:
        session_id: ``USER-RANDOM``.
        target, document, parameters, reason: as in StartSession.
        owner: ARN of the caller of StartSession.
        ended: True once the session has ended.
        client_connected, agent_connected: True while that side has a connection.
        connections: number of connections of the client so far.
        undelivered: frames for a side that had no connection.
    """

    session_id: str
    target: str
    document: str
    parameters: dict[str, list[str]]
    reason: str
    owner: str
    ended: bool
    client_connected: bool
    agent_connected: bool
    connections: int
    undelivered: int


def ask(endpoint: str, token: str, command: str, **order: object) -> object:
    """Send a command to the sandbox's control address and return its answer, a JSON value.

    Args:
        endpoint: ``http://127.0.0.1:PORT``.
        token: RUNAS_SANDBOX_TOKEN.
        command: a name in `commands.HostCommands.table`.
        order: parameters of the command, sent as a JSON object.

    Raises:
        OSError: the sandbox answered with an error, or not at all.
    """
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{endpoint}/_sandbox/{command}",
        data=json.dumps(order).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT) as reply:
        return cast(object, json.load(reply))
