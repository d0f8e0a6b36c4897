"""Checks of the instance: commands that do not work there, and agents that are too old for a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.ssm import InstanceFacts, agent_version
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.open import OpenTarget
from aws_runas.errors import SessionError, TargetError
from aws_runas.ssm.versions import COMMANDS, check_forwarding, is_older
from aws_runas.targets.facts import instance_facts
from aws_runas.targets.spelling import is_ecs

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

NOT_SUPPORTED = ("Windows", "MacOS")


def refuse_containers(command: str, target: str) -> None:
    """Refuse a container.

    Args:
        command: ``run`` or ``cp``.
        target: as typed, or resolved.

    Raises:
        TargetError: the target is a container.
    """
    if is_ecs(target):
        raise _not_supported(command, "ECS containers", target)


def supported_instance(command: str, opened: OpenTarget, env: Environment) -> InstanceFacts:
    """Return the facts about the instance. Call it after the last fork, because it may leave a connection open.

    Args:
        command: name of the command, for the error.
        opened: the resolved target.
        env: its cache directory keeps the facts.

    Raises:
        TargetError: the command does not work with its platform.
    """
    facts = instance_facts(opened.access, opened.target, env.cache_directory(), env.now, is_good=_is_good)
    if facts.platform in NOT_SUPPORTED:
        raise _not_supported(command, f"{facts.platform} instances", opened.target)
    return facts


def _is_good(facts: InstanceFacts) -> bool:
    return facts.platform not in NOT_SUPPORTED and not is_older(facts.agent_version, COMMANDS)


def _not_supported(command: str, kind: str, target: str) -> TargetError:
    return TargetError(
        f"{command} does not work with {kind} yet: {target}", code="target-not-supported", hint="use aws-runas shell"
    )


# Errors at the start of a session that an old agent may cause.
_UNEXPLAINED = ("session-gone", "session-ended", "session-failed", "session-start-timeout")


def check_agent_version(error: SessionError, access: Access, target: str, *, remote_host: bool = False) -> None:
    """Ask the service for the agent's version if a session could not be started and the error does not say why.

    Args:
        error: error of the session.
        access: the profile.
        target: instance id.
        remote_host: the session was for a host behind the instance.

    Raises:
        SessionError: the agent is too old for this session.
    """
    if error.code in _UNEXPLAINED:
        check_forwarding(agent_version(access, target), remote_host=remote_host)
