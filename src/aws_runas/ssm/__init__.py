"""Public interface to the data channel of Session Manager, described in docs/reference/ssm.md.

    channel = await open_data_channel(started, make_handler, service=service)

``open_data_channel`` connects a session that StartSession opened, on asyncio. ``Channel`` is the protocol without I/O,
for both roles, for programs that bring their own event loop. Names that are not in ``__all__`` may change at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_runas.aws.session import StartedSession
    from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
    from aws_runas.ssm.core.events import (
        ChannelClosed,
        ChannelFailed,
        DataKeyRequested,
        DataReceived,
        Event,
        ExitCodeReceived,
        FlagReceived,
        PublicationPaused,
        PublicationResumed,
        SendingUnblocked,
        SessionStarted,
        SizeReceived,
    )
    from aws_runas.ssm.transport.data_channel import StreamOptions, open_data_channel
    from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler, SessionService

__all__ = [
    "Channel",
    "ChannelClosed",
    "ChannelFailed",
    "ChannelSettings",
    "DataChannel",
    "DataKeyRequested",
    "DataReceived",
    "Event",
    "ExitCodeReceived",
    "FlagReceived",
    "PublicationPaused",
    "PublicationResumed",
    "Role",
    "SendingUnblocked",
    "SessionHandler",
    "SessionService",
    "SessionStarted",
    "SizeReceived",
    "StartedSession",
    "StreamOptions",
    "open_data_channel",
]

_MODULES = {
    "StartedSession": "aws_runas.aws.session",
    "Channel": "aws_runas.ssm.core.channel",
    "ChannelSettings": "aws_runas.ssm.core.channel",
    "Role": "aws_runas.ssm.core.channel",
    "StreamOptions": "aws_runas.ssm.transport.data_channel",
    "open_data_channel": "aws_runas.ssm.transport.data_channel",
    "DataChannel": "aws_runas.ssm.transport.interfaces",
    "SessionHandler": "aws_runas.ssm.transport.interfaces",
    "SessionService": "aws_runas.ssm.transport.interfaces",
}  # all others are in aws_runas.ssm.core.events


def __getattr__(name: str) -> object:
    """Import a public name on first use: importing asyncio and websockets delays the command line by 0.1 s."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_MODULES.get(name, "aws_runas.ssm.core.events")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
