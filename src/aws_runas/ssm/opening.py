"""StartSession and the data channel after it, so that leaving in the middle leaves no session behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.forward.session import OpenChannel
from aws_runas.ssm.starting import Starting
from aws_runas.ssm.transport.data_channel import StreamOptions, open_data_channel
from aws_runas.ssm.transport.handler import DataChannel, SessionHandler
from aws_runas.ssm.transport.service import SessionService
from aws_runas.ssm.transport.threads import in_thread

ANSWER_WAIT: Final = 5.0  # seconds to learn the name of a session that nobody wants any more


class StartingService(SessionService, Protocol):
    """SessionService that also starts sessions; ssm.api.SsmApi is one."""

    def start_session(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> StartedSession:
        """Open a session; blocks."""
        ...


def channel_opener(
    service: StartingService,
    target: str,
    document: str,
    parameters: Mapping[str, Sequence[str]],
    *,
    options: StreamOptions,
    reason: str | None = None,
) -> OpenChannel:
    """Make what opens one session after the other for the same destination."""

    async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        started = await _start(service, target, document, parameters, reason)
        await open_data_channel(started, make_handler, service=service, options=options)
        return started.session_id

    return open_channel


def started_opener(starting: Starting, service: SessionService, *, options: StreamOptions) -> OpenChannel:
    """The same for one session, whose StartSession is under way already."""

    async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        try:
            started = await in_thread(starting.result)
        except asyncio.CancelledError:
            await in_thread(starting.abandon)
            raise
        await open_data_channel(started, make_handler, service=service, options=options)
        return started.session_id

    return open_channel


async def _start(
    service: StartingService,
    target: str,
    document: str,
    parameters: Mapping[str, Sequence[str]],
    reason: str | None,
) -> StartedSession:
    call = asyncio.ensure_future(in_thread(service.start_session, target, document, parameters, reason))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        # The service may be opening it at this moment.
        with suppress(AwsRunasError, TimeoutError):
            async with asyncio.timeout(ANSWER_WAIT):
                started = await call
                await in_thread(service.terminate_session, started.session_id)
        raise
