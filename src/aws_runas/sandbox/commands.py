"""Control address ``/_sandbox/...``: counts calls, lists sessions, cuts and ends them, and changes faults.

Callers need the token (RUNAS_SANDBOX_TOKEN), because other users of this machine can reach the port.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path

from aws_runas.sandbox.agent.session import AgentSession
from aws_runas.sandbox.control_client import SessionRecord
from aws_runas.sandbox.fixtures import MFA_SERIAL, USER
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import PUBLICATION_FORMS
from aws_runas.sandbox.services.calls import CallLog
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import Input, read_flag, read_integer, read_text
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.session import Session
from aws_runas.sandbox.services.ssm import SsmService
from aws_runas.sandbox.services.sts import MfaDevices
from aws_runas.sandbox.state import SandboxState
from aws_runas.ssm.core.message import PAUSE_PUBLICATION, START_PUBLICATION

PREFIX = "/_sandbox/"
MAX_PID = 1 << 22  # limit of Linux; other systems have a lower one
MAX_WAITING = 10_000  # messages in a receive buffer at a cut
Command = Callable[[Input], object]


class Control:
    """Dispatcher for requests to the control address.

    Args:
        token: the bearer token.
        commands: name -> function of the request's JSON object; its result is the answer.
    """

    def __init__(self, token: str, commands: dict[str, Command]) -> None:
        self._token = token
        self._commands = commands

    def handle(self, request: Request) -> Reply:
        """Answer one request: 401 without the token, 404 for an unknown command, 400 for bad parameters.

        Args:
            request: to ``/_sandbox/COMMAND``; its body is a JSON object.
        """
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return Reply(401, b"the sandbox's token is missing\n")
        command = self._commands.get(request.path.removeprefix(PREFIX))
        if command is None:
            return Reply(404, b"no such command\n")
        try:
            order = json.loads(request.body or b"{}")
            return json_reply(command(order if isinstance(order, dict) else {}))
        except (ServiceError, ValueError, KeyError, TypeError, RecursionError) as error:
            return Reply(400, f"{type(error).__name__}: {error}\n".encode())


class HostCommands:
    """Commands of one sandbox. Call them on the event loop.

    Args:
        sign_in: signs the user in as ``aws login`` does; its argument is the directory of the cache.
    """

    def __init__(
        self,
        state: SandboxState,
        log: CallLog,
        ssm: SsmService,
        *,
        instances: Instances,
        devices: MfaDevices,
        sign_in: Callable[[Path], None],
    ) -> None:
        self._state = state
        self._log = log
        self._ssm = ssm
        self._instances = instances
        self._devices = devices
        self._sign_in = sign_in

    def table(self) -> dict[str, Command]:
        """Return the commands by name."""
        return {
            "calls": lambda _: self._log.records(),
            "forget-calls": lambda _: self._log.clear(),
            "greeting-port": lambda _: next(iter(self._instances.port_map.values())),
            "mfa-code": self._mfa_code,
            "sign-in": lambda order: self._sign_in(Path(_required(order, "directory"))),
            "adopt": lambda order: self._state.adopted.add(_pid(order)),
            "disown": lambda order: self._state.adopted.discard(_pid(order)),
            "sessions": lambda _: [describe(session) for session in self._ssm.sessions.values()],
            "cut": self._cut,
            "end": self._end,
            "agent-leaves": self._agent_leaves,
            "publish": self._publish,
            "faults": self._change_faults,
            "away": lambda order: self._instances.set_away(_required(order, "target"), away=read_flag(order, "away")),
        }

    def _mfa_code(self, order: Input) -> str:
        device = self._devices.find(read_text(order, "user", USER), read_text(order, "serial", MFA_SERIAL))
        if device is None:
            raise ValueError("no such device")
        return device.fresh_code(self._state.clock.now())

    def _chosen(self, order: Input) -> list[Session]:
        """Return the named session, or all that have not ended."""
        sessions = [session for session in self._ssm.sessions.values() if session.ended is None]
        wanted = read_text(order, "session_id")
        return [session for session in sessions if wanted in ("", session.session_id)]

    def _cut(self, order: Input) -> int:
        code = read_integer(order, "code", 1000, least=1000, most=4999)
        reason, abort = read_text(order, "reason", "Bye"), read_flag(order, "abort")
        chosen = [session for session in self._chosen(order) if session.client is not None]
        for session in chosen:
            session.cut(code, reason, abort=abort)
        return len(chosen)

    def _end(self, order: Input) -> int:
        chosen, output = self._chosen(order), read_text(order, "output")
        for session in chosen:
            session.end(output)
        return len(chosen)

    def _agent_leaves(self, order: Input) -> int:
        seconds = order["seconds"]
        if not isinstance(seconds, (int, float)):
            raise TypeError("seconds is not a number")
        waiting = read_integer(order, "waiting", 0, least=0, most=MAX_WAITING)
        agents = [session.agent for session in self._chosen(order) if isinstance(session.agent, AgentSession)]
        for agent in agents:
            agent.leave(float(seconds), waiting)
        return len(agents)

    def _publish(self, order: Input) -> int:
        kind = {"start": START_PUBLICATION, "pause": PAUSE_PUBLICATION}[_required(order, "kind")]
        form = read_text(order, "form", PUBLICATION_FORMS[0])
        if form not in PUBLICATION_FORMS:
            raise ValueError(f"form is one of {PUBLICATION_FORMS}")
        chosen = self._chosen(order)
        for session in chosen:
            session.publish(kind, form, to=read_text(order, "to", "client"))
        return len(chosen)

    def _change_faults(self, order: Input) -> None:
        self._state.faults = self._state.faults.changed(order)


def _required(order: Input, name: str) -> str:
    if name not in order:
        raise KeyError(name)
    return read_text(order, name)


def _pid(order: Input) -> int:
    return read_integer(order, "pid", 0, least=1, most=MAX_PID)


def describe(session: Session) -> SessionRecord:
    """Return a session as clients of the control address see it."""
    return {
        "session_id": session.session_id,
        "target": session.plan.target,
        "document": session.plan.document,
        "parameters": session.plan.parameters,
        "reason": session.plan.reason,
        "owner": session.owner,
        "ended": session.ended is not None,
        "client_connected": session.client is not None,
        "agent_connected": session.agent is not None,
        "connections": session.connections,
        "undelivered": session.undelivered,
    }
