"""A forward at work: access, sessions, listeners, and every way to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from aws_runas.aws.access import Access
from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.cli.session.agent_version import blame_age
from aws_runas.cli.session.flags import stream_options
from aws_runas.cli.session.open import open_target
from aws_runas.errors import SessionError, UsageError
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.core.smux.session import MAX_FRAME_DATA
from aws_runas.ssm.forward.address import is_loopback
from aws_runas.ssm.forward.destination import Destination, Forward
from aws_runas.ssm.forward.forwarding import Forwarding, ForwardingSettings
from aws_runas.ssm.forward.session import OpenChannel
from aws_runas.ssm.forward.settings import CarrierSettings
from aws_runas.ssm.opening import channel_opener
from aws_runas.ssm.shutdown import ShutdownWatcher, raise_at_signals
from aws_runas.ssm.transport.data_channel import StreamOptions

STATUS_INTERVAL = 1.0  # seconds
DESCRIPTORS = 16_384  # open files asked for: eight sessions of 1,024 connections, and room
UNPACED_FRAMES = 8  # messages that one smux frame may fill where nothing slows us down


@dataclass(frozen=True, slots=True)
class _Way:
    """A plan whose target is known."""

    plan: Plan
    target: str
    access: Access
    api: SsmApi
    options: StreamOptions


def run_forwards(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Open everything that was planned, stay until told to leave, undo it.

    Returns:
        128 and the number of the signal that ended it.

    Raises:
        AwsRunasError: something cannot be had; nothing is left behind.
    """
    raise_at_signals()
    allow_descriptors()
    ways = [_way(plan, options, env) for plan in plans]
    for plan in plans:
        for spec in plan.forwards:
            if not is_loopback(spec.local):
                env.stderr.write(f"aws-runas: warning: {spec.local} can be reached from other machines\n")
    report = ForwardReport(
        env,
        as_json=options.json,
        events=options.events,
        quiet=options.session.quiet,
        verbose=bool(options.flags.verbose),
    )
    try:
        return asyncio.run(_serve(options, ways, report))
    except SessionError as error:
        for way in ways:
            for spec in way.plan.forwards:
                destination = Destination(way.target, spec.port, spec.host)
                blame_age(error, way.access, way.target, remote_host=destination.remote_host)
        raise


def _way(plan: Plan, options: ForwardOptions, env: Environment) -> _Way:
    """Everything that may ask the user something, before the event loop has the signals."""
    opened = open_target(options.flags, options.session, plan.profile, plan.target, env)
    opened.access.provider.credentials()
    return _Way(plan, opened.target, opened.access, opened.api, stream_options(options.session, opened.access, env))


def allow_descriptors() -> None:
    """Raise the soft limit of open files: each connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(options: ForwardOptions, ways: Sequence[_Way], report: ForwardReport) -> int:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()
    departure = ShutdownWatcher(lambda number: told.set_result(128 + number))
    loop.set_exception_handler(lambda _, context: report.message(_one_line(context)))
    groups = [_forwarding(options, way, report) for way in ways]
    starting = asyncio.ensure_future(_start(groups))
    status: asyncio.Task[None] | None = None
    try:
        first: list[asyncio.Future[None] | asyncio.Future[int]] = [starting, told]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            if report.has_status:
                status = loop.create_task(_show_status(groups, report))
        return await told
    finally:
        starting.cancel()
        if status is not None:
            status.cancel()
        report.finish()
        await asyncio.gather(starting, *(group.close() for group in groups), return_exceptions=True)
        departure.close()


def _one_line(context: dict[str, object]) -> str:
    """What the event loop complains of, such as too many open files."""
    error = context.get("exception")
    return f"{context.get('message', 'trouble')}: {error}" if error else str(context.get("message", "trouble"))


async def _start(groups: Sequence[Forwarding]) -> None:
    for group in groups:
        group.bind()
    for group in groups:
        await group.start()


async def _show_status(groups: Sequence[Forwarding], report: ForwardReport) -> None:
    while True:
        report.status(sum((group.totals() for group in groups[1:]), groups[0].totals()))
        await asyncio.sleep(STATUS_INTERVAL)


def _forwarding(options: ForwardOptions, way: _Way, report: ForwardReport) -> Forwarding:
    forwards = [Forward(spec.local, Destination(way.target, spec.port, spec.host)) for spec in way.plan.forwards]

    def open_channel(destination: Destination) -> OpenChannel:
        return channel_opener(
            way.api,
            destination.target,
            destination.document,
            destination.parameters,
            options=way.options,
            reason=way.plan.reason,
        )

    settings = ForwardingSettings(_carrier(way.options.settings, options.half_close), way.plan.sessions)
    return Forwarding(forwards, open_channel, report.notify, settings)


def _carrier(channel: ChannelSettings, half_close: float) -> CarrierSettings:
    """One frame a message keeps a keystroke from waiting behind a long frame; unpaced, long ones cost less."""
    messages = UNPACED_FRAMES if channel.frame_rate is None else 1
    return CarrierSettings(
        frame_data=min(MAX_FRAME_DATA, channel.payload_size * messages - 8), half_close_wait=half_close
    )


def run_with_plugin(options: ForwardOptions, plans: Sequence[Plan], env: Environment) -> int:
    """Let the session-manager-plugin carry the one forward that it can.

    Returns:
        Its exit status.

    Raises:
        UsageError: it cannot do what is asked.
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
