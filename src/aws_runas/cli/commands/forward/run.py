"""Runs the planned forwards until a signal arrives, ours or those of the session-manager-plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from aws_runas.aws.access import Access
from aws_runas.cli.commands.forward.databases import Databases, UnreachableHints, open_databases
from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.flags import stream_options
from aws_runas.cli.session.instance import check_agent_version
from aws_runas.cli.session.open import open_target
from aws_runas.errors import SessionError, UsageError
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.core.smux.session import MAX_FRAME_DATA
from aws_runas.ssm.forward.destination import Destination, Forward, is_loopback
from aws_runas.ssm.forward.events import Notify
from aws_runas.ssm.forward.forwarding import Forwarding, ForwardingSettings
from aws_runas.ssm.forward.multiplexer import MultiplexerSettings
from aws_runas.ssm.forward.session import OpenChannel
from aws_runas.ssm.session_start import channel_opener
from aws_runas.ssm.shutdown import SignalReceived, raise_at_signals, run_until_signal
from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.data_channel import StreamOptions

STATUS_INTERVAL = 1.0  # seconds
MAX_DESCRIPTORS = 16_384  # open files: eight sessions of 1,024 connections, and some more
UNPACED_MESSAGES = 8  # messages that one smux frame may fill if the rate is not limited


@dataclass(frozen=True, slots=True)
class ResolvedPlan:
    """A plan, its instance and the access to it."""

    plan: Plan
    target: str
    access: Access
    api: SsmApi
    options: StreamOptions
    databases: Databases


def run_forwards(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Open the planned forwards, keep them open until a signal arrives, then close them.

    Args:
        options: of the command.
        plans: at least one.
        env: the outside world.

    Returns:
        128 plus the number of the signal.

    Raises:
        AwsRunasError: a forward could not be opened; nothing is left behind.
    """
    raise_at_signals()
    allow_descriptors()
    resolved_plans = [resolve_plan(plan, options, env) for plan in plans]
    for plan in plans:
        for spec in plan.forwards:
            if not is_loopback(spec.local):
                env.warn(f"{spec.local} can be reached from other machines")
    report = ForwardReport(
        env,
        as_json=options.json,
        event_lines=options.events,
        quiet=options.session.quiet,
        verbose=bool(options.flags.verbose),
    )
    try:
        return event_loop.run(_serve(options, resolved_plans, report))
    except SessionError as error:
        for resolved in resolved_plans:
            for spec in resolved.plan.forwards:
                destination = Destination(resolved.target, spec.port, spec.host)
                check_agent_version(error, resolved.access, resolved.target, remote_host=destination.remote_host)
        raise


def resolve_plan(plan: Plan, options: ForwardOptions, env: Environment) -> ResolvedPlan:
    """Resolve profile and target. Everything that may ask the user happens here, before the event loop handles signals.

    Args:
        plan: of one target.
        options: of the command.
        env: the outside world.
    """
    databases: Databases = {}
    if any(spec.database for spec in plan.forwards):
        opened, plan, databases = open_databases(plan, options, env)
    else:
        opened = open_target(options.flags, options.session, plan.profile, plan.target, env)
    opened.access.provider.credentials()
    stream = stream_options(options.session, opened.access, env)
    return ResolvedPlan(plan, opened.target, opened.access, opened.api, stream, databases)


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


async def _serve(options: ForwardOptions, resolved_plans: Sequence[ResolvedPlan], report: ForwardReport) -> int:
    """Forward until a signal arrives, and return the exit status for it."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: report.message(_describe(context)))
    try:
        await run_until_signal(_forward(options, resolved_plans, report))
    except SignalReceived as received:
        return received.exit_status
    raise AssertionError("forwards end at signals only")


async def _forward(options: ForwardOptions, resolved_plans: Sequence[ResolvedPlan], report: ForwardReport) -> None:
    """Forward until cancelled, then close everything."""
    hints = [UnreachableHints(one.databases, one.target, one.access, report.message) for one in resolved_plans]
    groups = [
        _make_forwarding(options, resolved, hint.watching(report.notify))
        for resolved, hint in zip(resolved_plans, hints, strict=True)
    ]
    try:
        await _start(groups)
        if report.has_status:
            await _show_status(groups, report)
        await asyncio.Event().wait()
    finally:
        report.finish()
        closing = [*(group.close() for group in groups), *(hint.close() for hint in hints)]
        await asyncio.gather(*closing, return_exceptions=True)


def _describe(context: Mapping[str, object]) -> str:
    """Return what the event loop reports, such as too many open files, in one line."""
    error = context.get("exception")
    return f"{context.get('message', 'error')}: {error}" if error else str(context.get("message", "error"))


async def _start(groups: Sequence[Forwarding]) -> None:
    for group in groups:
        group.bind()
    for group in groups:
        await group.start()


async def _show_status(groups: Sequence[Forwarding], report: ForwardReport) -> None:
    while True:
        report.status(sum((group.totals() for group in groups[1:]), groups[0].totals()))
        await asyncio.sleep(STATUS_INTERVAL)


def _make_forwarding(options: ForwardOptions, resolved: ResolvedPlan, notify: Notify) -> Forwarding:
    forwards = [
        Forward(spec.local, Destination(resolved.target, spec.port, spec.host)) for spec in resolved.plan.forwards
    ]

    def open_channel(destination: Destination) -> OpenChannel:
        return channel_opener(
            resolved.api,
            destination.target,
            destination.document,
            destination.parameters,
            options=resolved.options,
            reason=resolved.plan.reason,
        )

    settings = ForwardingSettings(
        _multiplexer_settings(resolved.options.settings, options.half_close), resolved.plan.sessions
    )
    return Forwarding(forwards, open_channel, notify, settings)


def _multiplexer_settings(channel: ChannelSettings, half_close: float) -> MultiplexerSettings:
    """Choose one frame a message, so that no keystroke waits behind a long frame; longer ones cost less if unpaced."""
    messages = UNPACED_MESSAGES if channel.frame_rate is None else 1
    return MultiplexerSettings(
        payload_size=channel.payload_size,
        frame_data=min(MAX_FRAME_DATA, channel.payload_size * messages - 8),
        half_close_timeout=half_close,
    )


def run_with_plugin(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Run one forward with the session-manager-plugin.

    Args:
        options: of the command.
        plans: exactly one, or it is an error.
        env: the outside world.

    Returns:
        Exit status of the plugin.

    Raises:
        UsageError: the plugin cannot do what the plans say.
        SessionError: there is no plugin, or the session cannot be started.
    """
    from aws_runas.cli.session.plugin import run_plugin

    plan = plans[0]
    spec = plan.forwards[0]
    if len(plans) > 1 or len(plan.forwards) > 1 or spec.local.path or spec.local.host not in ("127.0.0.1", "localhost"):
        raise UsageError("--plugin forwards one port of 127.0.0.1 and no more", code="plugin-forward")
    raise_at_signals()
    opened = open_target(options.flags, options.session, plan.profile, plan.target, env)
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
