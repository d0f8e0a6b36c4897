"""Serves planned forwards until a signal arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aws_runas.cli.commands.forward.databases import UnreachableHints
from aws_runas.cli.commands.forward.plan import ForwardOptions
from aws_runas.cli.commands.forward.preparation import FirstSession, ResolvedPlan
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.core.smux.session import MAX_FRAME_DATA
from aws_runas.ssm.forward.destination import Destination, Forward
from aws_runas.ssm.forward.events import Notify
from aws_runas.ssm.forward.forwarding import Forwarding, ForwardingSettings
from aws_runas.ssm.forward.multiplexer import FRAME_OVERHEAD, MultiplexerSettings
from aws_runas.ssm.session_start import started_opener
from aws_runas.ssm.shutdown import SignalReceived, notice_of_slow_end, run_until_signal
from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.data_channel import StreamOptions
from aws_runas.ssm.transport.interfaces import DataChannel, OpenChannel, SessionHandler

STATUS_INTERVAL: Final = 1.0  # seconds
UNPACED_MESSAGES: Final = 8  # messages that one smux frame may fill if the rate is not limited


def serve(
    options: ForwardOptions, resolved_plans: Sequence[ResolvedPlan], env: Environment, first: FirstSession
) -> int:
    """Forward until a signal arrives, then close everything.

    Args:
        options: options of the command.
        resolved_plans: at least one; their local addresses are bound.
        env: the outside world.
        first: the session whose start is under way for the first plan.

    Returns:
        128 plus the number of the signal.

    Raises:
        AwsRunasError: a forward could not be opened; everything opened before is closed.
    """
    report = ForwardReport(
        env,
        as_json=options.json,
        event_lines=options.events,
        quiet=options.session.quiet,
        verbose=bool(options.flags.verbose),
    )
    streams = [resolved.stream_options(options, env) for resolved in resolved_plans]

    def make_groups(hints: Sequence[UnreachableHints]) -> list[Forwarding]:
        return [
            _make_forwarding(
                options, resolved, stream, hint.watching(report.notify), first=first if index == 0 else None
            )
            for index, (resolved, stream, hint) in enumerate(zip(resolved_plans, streams, hints, strict=True))
        ]

    return event_loop.run(_serve(resolved_plans, make_groups, report))


async def _serve(
    resolved_plans: Sequence[ResolvedPlan],
    make_groups: Callable[[Sequence[UnreachableHints]], list[Forwarding]],
    report: ForwardReport,
) -> int:
    """Forward until a signal arrives, and return the exit status for it."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: report.message(_describe(context)))
    hints = [UnreachableHints(one.databases, one.target, one.access, report.message) for one in resolved_plans]
    try:
        await run_until_signal(_forward(make_groups(hints), hints, report), say=report.message)
    except SignalReceived as received:
        return received.exit_status
    raise AssertionError("forwards end at signals only")


async def _forward(groups: Sequence[Forwarding], hints: Sequence[UnreachableHints], report: ForwardReport) -> None:
    """Forward until cancelled, then close everything."""
    try:
        for group in groups:
            await group.start()
        if report.has_status:
            await _show_status(groups, report)
        await asyncio.Event().wait()
    finally:
        report.finish()
        closing = [*(group.close() for group in groups), *(hint.close() for hint in hints)]
        with notice_of_slow_end(report.message):
            await asyncio.gather(*closing, return_exceptions=True)


def _describe(context: Mapping[str, object]) -> str:
    """Format a report of the event loop, such as too many open files, as one line."""
    error = context.get("exception")
    return f"{context.get('message', 'error')}: {error}" if error else str(context.get("message", "error"))


async def _show_status(groups: Sequence[Forwarding], report: ForwardReport) -> None:
    while True:
        report.status(sum((group.totals() for group in groups[1:]), groups[0].totals()))
        await asyncio.sleep(STATUS_INTERVAL)


def _make_forwarding(
    options: ForwardOptions,
    resolved: ResolvedPlan,
    stream: StreamOptions,
    notify: Notify,
    *,
    first: FirstSession | None,
) -> Forwarding:
    forwards = [
        Forward(listener.address, destination)
        for listener, destination in zip(resolved.listeners, resolved.destinations(), strict=True)
    ]

    def open_channel(destination: Destination) -> OpenChannel:
        opener = resolved.channel_opener(destination, stream)
        if first is None or destination != first.destination:
            return opener
        return _first_opener(first, opener, resolved, stream)

    settings = ForwardingSettings(_multiplexer_settings(stream.settings, options.half_close), resolved.plan.sessions)
    listeners = {listener.address: listener for listener in resolved.listeners}
    return Forwarding(forwards, open_channel, notify, settings, listeners=listeners)


def _first_opener(
    first: FirstSession, opener: OpenChannel, resolved: ResolvedPlan, stream: StreamOptions
) -> OpenChannel:
    """Return an opener that first connects the session under way, then opens new ones."""

    async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        starting = first.take()
        if starting is None:
            return await opener(make_handler)
        return await started_opener(starting, resolved.api, options=stream)(make_handler)

    return open_channel


def _multiplexer_settings(channel: ChannelSettings, half_close: float) -> MultiplexerSettings:
    """Use one frame per message, so that no keystroke waits behind a long frame. Unpaced, longer frames cost less."""
    messages = UNPACED_MESSAGES if channel.frame_rate is None else 1
    return MultiplexerSettings(
        payload_size=channel.payload_size,
        frame_data=min(MAX_FRAME_DATA, channel.payload_size * messages - FRAME_OVERHEAD),
        half_close_timeout=half_close,
    )
