"""Preparation of a forward: profile, target, bound addresses, and the session that is started first.

Imports nothing expensive, because StartSession is called before asyncio is loaded.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aws_runas.cli.commands.forward.databases import Databases, open_databases
from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.open import open_target
from aws_runas.dataclass import dataclass
from aws_runas.ssm.forward.destination import Destination
from aws_runas.ssm.forward.listener import Listener
from aws_runas.ssm.session_start import SessionStart

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.ssm.api import SsmApi
    from aws_runas.ssm.transport.data_channel import StreamOptions
    from aws_runas.ssm.transport.interfaces import OpenChannel

MAX_DESCRIPTORS: Final = 16_384  # open files: eight sessions of 1,024 connections, and some spare


@dataclass(frozen=True, slots=True)
class ResolvedPlan:
    """A plan, its instance and the access to it.

    Args:
        plan: what to forward.
        target: the instance.
        access: credentials and region.
        api: the session calls.
        databases: the endpoints of the plan.
        listeners: the bound local addresses, one for each forward; empty if they are not bound yet.
    """

    plan: Plan
    target: str
    access: Access
    api: SsmApi
    databases: Databases
    listeners: tuple[Listener, ...] = ()

    def destinations(self) -> list[Destination]:
        """Return the destination of each forward of the plan."""
        return [Destination(self.target, spec.port, spec.host) for spec in self.plan.forwards]

    def channel_opener(self, destination: Destination, stream: StreamOptions) -> OpenChannel:
        """Return the function that opens sessions to one destination of the plan.

        Args:
            destination: one of `destinations`.
            stream: see `stream_options`.
        """
        from aws_runas.ssm.session_start import channel_opener

        return channel_opener(
            self.api,
            destination.target,
            destination.document,
            destination.parameters,
            options=stream,
            reason=self.plan.reason,
        )

    def stream_options(self, options: ForwardOptions, env: Environment) -> StreamOptions:
        """Return the options of the plan's data channels.

        Args:
            options: options of the command.
            env: the outside world.

        Raises:
            ConfigError: the certificates named by AWS_CA_BUNDLE cannot be used.
        """
        from aws_runas.cli.session.flags import stream_options

        return stream_options(options.session, self.access, env)


class FirstSession:
    """A session whose start is under way before the event loop can connect to it.

    Args:
        destination: destination of the session.
        starting: the call; the caller has entered it.
    """

    def __init__(self, destination: Destination, starting: SessionStart) -> None:
        self.destination = destination
        self._starting: SessionStart | None = starting

    def take(self) -> SessionStart | None:
        """Return the call the first time, then None."""
        starting, self._starting = self._starting, None
        return starting


def resolve_plan(plan: Plan, options: ForwardOptions, env: Environment) -> ResolvedPlan:
    """Resolve profile and target. Everything that may ask the user happens here, before the event loop handles signals.

    Args:
        plan: plan for one target.
        options: options of the command.
        env: the outside world.
    """
    databases: Databases = {}
    if any(spec.database for spec in plan.forwards):
        opened, plan, databases = open_databases(plan, options, env)
    else:
        opened = open_target(options.flags, options.session, plan.profile, plan.target, env=env)
    opened.access.provider.credentials()
    return ResolvedPlan(plan, opened.target, opened.access, opened.api, databases)


def allow_descriptors() -> None:
    """Raise the soft limit of open files: each connection needs one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
