"""Machines with an agent: their connections, their reports, and their part of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from aws_runas import files
from aws_runas.sandbox.agent.machine import Machine, kill_survivors, make_programs
from aws_runas.sandbox.agent.session import AgentSession
from aws_runas.sandbox.fixtures import INSTANCES, MANAGED_NODE
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services import ecs
from aws_runas.sandbox.services.json_input import JsonObject
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.session import Session

CLIENT_COMES_FIRST = 1.0  # seconds that an agent waits for the client before it joins a session


class Instances:
    """Instances with an agent.

    Args:
        options: versions and manners of the agents, and preferences of the account.
        directory: the directory of the sandbox; each instance has a home in it.
        moto: provides the running instances and the KMS key.
    """

    def __init__(self, options: SandboxOptions, directory: Path, moto: Moto) -> None:
        self._options = options
        self._directory = directory / "instances"
        self._moto = moto
        self.kms_key = ""
        self.port_map: dict[int, int] = {}
        self._with_agent = {spec.instance_id: spec for spec in INSTANCES if spec.agent}
        self._stopped = {spec.instance_id for spec in INSTANCES if not spec.running}
        self._away: set[str] = set()
        self._sessions: set[AgentSession] = set()
        self._joining: set[asyncio.Task[None]] = set()

    @property
    def encrypting(self) -> bool:
        """True if sessions of shells and commands are encrypted with the sandbox's KMS key."""
        return self._options.kms

    def is_connected(self, target: str) -> bool:
        """Return True if an agent listens for sessions on a target."""
        known = target in self._with_agent or target == MANAGED_NODE or target in self._options.external_agents
        return (known or target in ecs.targets()) and target not in self._away

    def set_away(self, target: str, *, away: bool) -> None:
        """Disconnect an instance's agent from the service, or let it reconnect."""
        (self._away.add if away else self._away.discard)(target)

    def machine(self, target: str) -> Machine:
        """Return an instance's part of this machine, and create it on the first call."""
        home = self._directory / target.replace("/", "_").replace(":", "_")
        agent_directory = self._directory.parent / "agent"
        for path in (home, agent_directory):
            files.make_private_directory(path)
        spec = self._with_agent.get(target)
        programs = make_programs(self._directory.parent / "programs", "" if spec is None else spec.programs)
        return Machine(target, home, agent_directory, programs, self._options, self.port_map, self._moto)

    def join(self, session: Session) -> None:
        """Let the agent of the session's target join it: at once, later or never."""
        if session.plan.target in self._options.external_agents:
            return
        task = asyncio.get_running_loop().create_task(self._join(session))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, session: Session) -> None:
        # The service keeps no data for a client that has not connected, and a real agent needs about a second to join.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(session.client_was_here.wait(), CLIENT_COMES_FIRST)
        if session.faults.away:
            await asyncio.sleep(session.faults.away)
        if session.ended is not None:
            return
        kms = self.kms_key if self._options.kms and session.plan.session_type != "Port" else ""
        agent = AgentSession(session, self.machine(session.plan.target), kms, self._sessions.discard)
        self._sessions.add(agent)
        agent.start()

    def preferences(self) -> JsonObject:
        """Return the account's session preferences, in the form of SSM-SessionManagerRunShell."""
        return {
            "s3BucketName": "",
            "s3KeyPrefix": "",
            "s3EncryptionEnabled": True,
            "cloudWatchLogGroupName": self._options.log_group,
            "cloudWatchEncryptionEnabled": bool(self._options.log_group),
            "cloudWatchStreamingEnabled": bool(self._options.log_group),
            "idleSessionTimeout": "20",
            "maxSessionDuration": "",
            "kmsKeyId": self.kms_key if self._options.kms else "",
            "runAsEnabled": bool(self._options.run_as),
            "runAsDefaultUser": self._options.run_as,
            "shellProfile": {"windows": "", "linux": self._options.shell_profile},
        }

    def stop(self) -> None:
        """End every session's processes and connections."""
        for agent in list(self._sessions):
            agent.stop()
        kill_survivors(self._directory)

    def information(self, wanted: set[str] | None, now: float) -> list[JsonObject]:
        """Return the rows of DescribeInstanceInformation.

        Args:
            wanted: the instance ids; None for all.
            now: seconds since the epoch, for the last ping.
        """
        rows = [(spec.instance_id, spec.private_ip, spec.name, "EC2Instance") for spec in self._with_agent.values()]
        rows.append((MANAGED_NODE, "192.0.2.40", "office", "ManagedInstance"))
        return [
            {
                "InstanceId": target,
                "PingStatus": "Online" if target not in self._away else "ConnectionLost",
                "LastPingDateTime": now,
                "AgentVersion": self._options.agent_version,
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "PlatformName": "Debian GNU/Linux",
                "PlatformVersion": "12",
                "ResourceType": kind,
                "IPAddress": address,
                "ComputerName": name,
            }
            for target, address, name, kind in rows
            if wanted is None or target in wanted
        ]
