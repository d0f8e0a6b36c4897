"""Runs the planned forwards until a signal arrives, with our own client or the session-manager-plugin.

StartSession is called before asyncio and the rest are loaded, which takes about as long as the service's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan
from aws_runas.cli.commands.forward.preparation import FirstSession, ResolvedPlan, allow_descriptors, resolve_plan
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.open import open_target
from aws_runas.errors import SessionError, UsageError
from aws_runas.ssm.forward.destination import Destination, LocalAddress, is_loopback
from aws_runas.ssm.forward.listener import bind
from aws_runas.ssm.session_start import SessionStart
from aws_runas.ssm.shutdown import raise_at_signals

if TYPE_CHECKING:
    from aws_runas.aws.session import StartedSession


def run_forwards(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Open the planned forwards, keep them open until a signal arrives, then close them.

    Args:
        options: options of the command.
        plans: at least one.
        env: the outside world.

    Returns:
        128 plus the number of the signal.

    Raises:
        AwsRunasError: a forward could not be opened; everything opened before is closed.
    """
    raise_at_signals()
    allow_descriptors()
    resolved_plans = [resolve_plan(plan, options, env) for plan in plans]
    for plan in plans:
        for spec in plan.forwards:
            if not is_loopback(spec.local):
                env.warn(f"{spec.local} can be reached from other machines")
    with ExitStack() as leaving:
        taken: set[LocalAddress] = set()
        bound_plans = [_bind(resolved, taken, leaving) for resolved in resolved_plans]
        starting = leaving.enter_context(_first_start(bound_plans[0], env))
        starting.begin()
        try:
            from aws_runas.cli.commands.forward.serving import serve  # loaded while StartSession is under way

            return serve(options, bound_plans, env, FirstSession(bound_plans[0].destinations()[0], starting))
        except SessionError as error:
            from aws_runas.cli.session.instance import check_agent_version

            for resolved in bound_plans:
                for destination in resolved.destinations():
                    check_agent_version(error, resolved.access, resolved.target, remote_host=destination.remote_host)
            raise


def _bind(resolved: ResolvedPlan, taken: set[LocalAddress], leaving: ExitStack) -> ResolvedPlan:
    """Bind the local addresses of a plan. This comes first, so that a used address costs no call to AWS."""
    listeners = []
    for spec in resolved.plan.forwards:
        if spec.local in taken:  # the system lets two sockets bind a port until one of them listens
            raise SessionError(
                f"{spec.local} is in use already, by another forward of this command",
                code="port-taken",
                hint="give each forward its own port, or port 0 for a free one",
            )
        listener = bind(spec.local)
        leaving.callback(listener.release)
        taken.add(listener.address)
        listeners.append(listener)
    return replace(resolved, listeners=tuple(listeners))


def _first_start(resolved: ResolvedPlan, env: Environment) -> SessionStart:
    """Return the start of the session that is needed first. It takes about as long as asyncio takes to load."""
    destination, api = resolved.destinations()[0], resolved.api
    api.prepare()

    def start() -> StartedSession:
        return api.start_session(destination.target, destination.document, destination.parameters, resolved.plan.reason)

    return SessionStart(start, api.terminate_session, env.warn)


def run_with_plugin(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Run one forward with the session-manager-plugin.

    Args:
        options: options of the command.
        plans: must contain exactly one plan.
        env: the outside world.

    Returns:
        Exit status of the plugin.

    Raises:
        UsageError: the plugin does not support the plans.
        SessionError: there is no plugin, or the session cannot be started.
    """
    from aws_runas.cli.session.plugin import run_plugin

    plan = plans[0]
    spec = plan.forwards[0]
    if len(plans) > 1 or len(plan.forwards) > 1 or spec.local.path or spec.local.host not in ("127.0.0.1", "localhost"):
        raise UsageError(
            "--plugin forwards only one port of 127.0.0.1", code="plugin-forward", hint="leave --plugin out"
        )
    raise_at_signals()
    opened = open_target(options.flags, options.session, plan.profile, plan.target, env=env)
    destination = Destination(opened.target, spec.port, spec.host)
    parameters = dict(destination.parameters)
    if spec.local.port:
        parameters["localPortNumber"] = [str(spec.local.port)]
    return run_plugin(
        opened,
        document=destination.document,
        parameters=parameters,
        flags=replace(options.session, reason=plan.reason),
        env=env,
    )
