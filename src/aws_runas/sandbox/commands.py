"""Commands of the control address: count calls, look at sessions, cut them, end them, change faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aws_runas.sandbox.agent.session import AgentSession
from aws_runas.sandbox.clock import Clock
from aws_runas.sandbox.fixtures import MFA_SERIAL, USER
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import PUBLICATION_FORMS, Faults
from aws_runas.sandbox.records import SessionRecord
from aws_runas.sandbox.services.control import Command
from aws_runas.sandbox.services.gateway import Gateway
from aws_runas.sandbox.services.session import Session
from aws_runas.sandbox.services.ssm import SsmService
from aws_runas.sandbox.services.sts import MfaDevices
from aws_runas.ssm.core.message import PAUSE_PUBLICATION, START_PUBLICATION


class SandboxState:
    """What commands change while a sandbox runs.

    Attributes:
        faults: for the calls and sessions that begin from now on.
        adopted: process ids that end with the sandbox.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.adopted: set[int] = set()


class HostCommands:
    """The commands of one sandbox. Called on the event loop."""

    def __init__(
        self,
        state: SandboxState,
        gateway: Gateway,
        ssm: SsmService,
        instances: Instances,
        devices: MfaDevices,
        clock: Clock,
        sign_in: Callable[[Path], None],
    ) -> None:
        self._state = state
        self._gateway = gateway
        self._ssm = ssm
        self._instances = instances
        self._devices = devices
        self._clock = clock
        self._sign_in = sign_in

    def table(self) -> dict[str, Command]:
        """Return the commands by name."""
        return {
            "calls": lambda _: self._gateway.calls(),
            "forget-calls": lambda _: self._gateway.forget_calls(),
            "greeting-port": lambda _: next(iter(self._instances.port_map.values())),
            "mfa-code": self._mfa_code,
            "sign-in": lambda order: self._sign_in(Path(order["directory"])),
            "adopt": lambda order: self._state.adopted.add(int(order["pid"])),
            "disown": lambda order: self._state.adopted.discard(int(order["pid"])),
            "sessions": lambda _: [describe(session) for session in self._ssm.sessions.values()],
            "cut": self._cut,
            "end": self._end,
            "agent-leaves": self._agent_leaves,
            "publish": self._publish,
            "faults": self._faults,
            "away": lambda order: self._instances.set_away(order["target"], away=bool(order["away"])),
        }

    def _mfa_code(self, order: dict[str, Any]) -> str:
        device = self._devices.find(order.get("user", USER), order.get("serial", MFA_SERIAL))
        if device is None:
            raise ValueError("no such device")
        return device.fresh_code(self._clock.now())

    def _chosen(self, order: dict[str, Any]) -> list[Session]:
        """Return the named session, or all that have not ended."""
        sessions = [session for session in self._ssm.sessions.values() if session.ended is None]
        wanted = order.get("session_id")
        return [session for session in sessions if wanted in (None, session.session_id)]

    def _cut(self, order: dict[str, Any]) -> int:
        chosen = [session for session in self._chosen(order) if session.client is not None]
        for session in chosen:
            session.cut(order.get("code", 1000), order.get("reason", "Bye"), abort=order.get("abort", False))
        return len(chosen)

    def _end(self, order: dict[str, Any]) -> int:
        chosen = self._chosen(order)
        for session in chosen:
            session.end(order.get("output", ""))
        return len(chosen)

    def _agent_leaves(self, order: dict[str, Any]) -> int:
        agents = [session.agent for session in self._chosen(order) if isinstance(session.agent, AgentSession)]
        for agent in agents:
            agent.leave(float(order["seconds"]))
        return len(agents)

    def _publish(self, order: dict[str, Any]) -> int:
        kind = {"start": START_PUBLICATION, "pause": PAUSE_PUBLICATION}[order["kind"]]
        form = order.get("form", PUBLICATION_FORMS[0])
        if form not in PUBLICATION_FORMS:
            raise ValueError(f"form is one of {PUBLICATION_FORMS}")
        chosen = self._chosen(order)
        for session in chosen:
            session.publish(kind, form, to=order.get("to", "client"))
        return len(chosen)

    def _faults(self, order: dict[str, Any]) -> None:
        self._state.faults = dataclasses.replace(self._state.faults, **order)


def describe(session: Session) -> SessionRecord:
    """Return a session as tests see it."""
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
