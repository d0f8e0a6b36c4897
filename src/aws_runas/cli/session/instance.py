"""The instance of `run` and `cp`: refused where they do not work, and what its agent can do."""

from __future__ import annotations

from aws_runas.aws.ssm import InstanceFacts
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.open import OpenTarget
from aws_runas.credentials.cache import cache_directory
from aws_runas.errors import TargetError
from aws_runas.ssm.versions import COMMANDS, is_older
from aws_runas.targets.facts import instance_facts
from aws_runas.targets.spelling import is_ecs

NOT_SUPPORTED = ("Windows", "MacOS")


def refuse_containers(command: str, target: str) -> None:
    """Refuse a container.

    Args:
        command: ``run`` or ``cp``.
        target: as typed, or resolved.

    Raises:
        TargetError: it is one.
    """
    if is_ecs(target):
        raise _not_supported(command, "ECS containers", target)


def supported_instance(command: str, opened: OpenTarget, env: Environment) -> InstanceFacts:
    """Return what is known of the instance; call it after the last fork, because it may leave a connection open.

    Raises:
        TargetError: the command does not work with its platform.
    """
    directory = cache_directory(env.environ, env.config_files().config.path, env.home)
    facts = instance_facts(opened.access, opened.target, directory, env.now, _is_good)
    if facts.platform in NOT_SUPPORTED:
        raise _not_supported(command, f"{facts.platform} instances", opened.target)
    return facts


def _is_good(facts: InstanceFacts) -> bool:
    return facts.platform not in NOT_SUPPORTED and not is_older(facts.agent_version, COMMANDS)


def _not_supported(command: str, kind: str, target: str) -> TargetError:
    return TargetError(
        f"{command} does not work with {kind} yet: {target}", code="target-not-supported", hint="use aws-runas shell"
    )
