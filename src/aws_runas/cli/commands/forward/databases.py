"""Forwards to ``rds:ID`` and ``cache:ID``: endpoint, bastion, and a hint if the bastion cannot reach the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.open import OpenTarget, session_api
from aws_runas.errors import UsageError
from aws_runas.ssm.forward.destination import Destination

if TYPE_CHECKING:
    import asyncio

    from aws_runas.aws.access import Access
    from aws_runas.aws.databases import DatabaseEndpoint
    from aws_runas.ssm.forward.events import ForwardEvent, Notify

Databases = Mapping[str, "DatabaseEndpoint"]
"""The endpoints of a plan, keyed by the destination in events."""


def open_databases(plan: Plan, options: ForwardOptions, env: Environment) -> tuple[OpenTarget, Plan, Databases]:
    """Look up the databases of a plan and the instance through which they are reached.

    Args:
        plan: plan with forwards to databases.
        options: options of the command.
        env: the outside world.

    Returns:
        The instance, the plan with host and port of every database, and the databases.

    Raises:
        TargetError: a database does not exist, or there is no bastion or more than one.
        AwsRunasError: AWS refused a call.
    """
    from aws_runas.targets.databases import find_bastion, find_database
    from aws_runas.targets.resolve import resolve_target

    access = open_access_for(options.flags, plan.profile, env)
    access.region()
    endpoints = {spec.database: find_database(spec.database, access) for spec in plan.forwards if spec.database}
    pick = None
    if options.session.pick:
        from aws_runas.cli.terminal.picker import picker

        pick = picker(env.environ)
    text = plan.target
    if not text:
        vpcs = {endpoint.vpc_id for endpoint in endpoints.values() if endpoint.vpc_id}
        if len(vpcs) > 1:
            raise UsageError(
                f"the databases are in different VPCs ({', '.join(sorted(vpcs))})",
                code="usage",
                hint="name the instance that reaches all of them with --through, or run one forward for each",
            )
        bastion = find_bastion(next(iter(endpoints)), next(iter(vpcs), ""), access, pick=pick)
        text = bastion.target
        if not options.session.quiet:
            name = f" ({bastion.instance.name})" if bastion.instance and bastion.instance.name else ""
            env.tell(f"aws-runas: through {text}{name}, from {bastion.origin}\n")
    target = resolve_target(text, access, pick=pick, environ=env.environ)
    forwards = tuple(
        replace(spec, host=endpoints[spec.database].host, port=endpoints[spec.database].port) if spec.database else spec
        for spec in plan.forwards
    )
    databases = {str(Destination(target, each.port, each.host)): each for each in endpoints.values()}
    return OpenTarget(access, target, session_api(access, env)), replace(plan, forwards=forwards), databases


class UnreachableHints:
    """Explains, once for each database, why the bastion may not reach it.

    Args:
        databases: endpoints, keyed by destination.
        target: the instance that connects.
        access: credentials for the calls to EC2.
        message: writes a line for the user.
    """

    def __init__(self, databases: Databases, target: str, access: Access, message: Callable[[str], None]) -> None:
        self._databases = dict(databases)
        self._target = target
        self._access = access
        self._message = message
        self._tasks: set[asyncio.Task[None]] = set()

    def watching(self, notify: Notify) -> Notify:
        """Return a function that passes events on and watches for refused connections.

        Args:
            notify: receives the events.
        """

        import asyncio

        from aws_runas.ssm.forward.events import RemoteRefused

        def notify_and_watch(event: ForwardEvent) -> None:
            notify(event)
            if isinstance(event, RemoteRefused) and (database := self._databases.pop(event.destination, None)):
                task = asyncio.get_running_loop().create_task(self._explain(database))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        return notify_and_watch

    async def close(self) -> None:
        """Cancel the explanations that are still running."""
        import asyncio

        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _explain(self, database: DatabaseEndpoint) -> None:
        from aws_runas.ssm.transport.event_loop import in_thread
        from aws_runas.targets.databases import explain_unreachable

        reason = await in_thread(explain_unreachable, database, self._target, self._access)
        if reason:
            self._message(reason)
