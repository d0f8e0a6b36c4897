"""What the control address can do, beside counting calls: look at sessions, cut them, end them, change faults."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from aws_runas.sandbox.agent.session import AgentSession
from aws_runas.sandbox.fixtures import MFA_SERIAL, USER
from aws_runas.sandbox.options import PUBLICATION_FORMS
from aws_runas.sandbox.services.control import Command
from aws_runas.sandbox.services.session import Session
from aws_runas.ssm.core.message import PAUSE_PUBLICATION, START_PUBLICATION

if TYPE_CHECKING:
    from aws_runas.sandbox.host import Host


class HostCommands:
    """The commands of one sandbox. Called on the event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def table(self) -> dict[str, Command]:
        """The commands by name."""
        gateway = self._host.gateway
        return {
            "calls": lambda _: gateway.calls(),
            "forget-calls": lambda _: gateway.forget_calls(),
            "mfa-code": self._mfa_code,
            "adopt": lambda order: self._host.adopted.add(int(order["pid"])),
            "disown": lambda order: self._host.adopted.discard(int(order["pid"])),
            "sessions": lambda _: [described(each) for each in self._host.ssm.sessions.values()],
            "cut": self._cut,
            "end": self._end,
            "agent-leaves": self._agent_leaves,
            "publish": self._publish,
            "faults": self._faults,
            "away": lambda order: self._host.instances.set_away(order["target"], away=bool(order["away"])),
        }

    def _mfa_code(self, order: dict[str, Any]) -> str:
        device = self._host.devices.find(order.get("user", USER), order.get("serial", MFA_SERIAL))
        if device is None:
            raise ValueError("no such device")
        return device.fresh_code(self._host.clock.now())

    def _chosen(self, order: dict[str, Any]) -> list[Session]:
        """The session that was named, or all that are not over."""
        sessions = [each for each in self._host.ssm.sessions.values() if each.ended is None]
        wanted = order.get("session_id")
        return [each for each in sessions if wanted in (None, each.session_id)]

    def _cut(self, order: dict[str, Any]) -> int:
        chosen = [each for each in self._chosen(order) if each.client is not None]
        for session in chosen:
            session.cut(order.get("code", 1000), order.get("reason", "Bye"), abort=order.get("abort", False))
        return len(chosen)

    def _end(self, order: dict[str, Any]) -> int:
        chosen = self._chosen(order)
        for session in chosen:
            session.end(order.get("output", ""))
        return len(chosen)

    def _agent_leaves(self, order: dict[str, Any]) -> int:
        agents = [each.agent for each in self._chosen(order) if isinstance(each.agent, AgentSession)]
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
        self._host.faults = dataclasses.replace(self._host.faults, **order)


def described(session: Session) -> dict[str, Any]:
    """A session for those who test."""
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
