"""What a forward may be told. Nothing heavy is imported: the command line is read with this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HALF_CLOSE_WAIT: Final = 5.0  # seconds of silence after which a half-closed connection is closed for good
MOST_SESSIONS: Final = 8
PATIENCE: Final = 2.0  # seconds that a connection waits for a session of its own where others are busy
IDLE_SESSION: Final = 60.0  # seconds without a connection, after which a session beyond the first is closed


@dataclass(frozen=True, slots=True)
class CarrierSettings:
    """How connections are carried.

    Args:
        frame_data: bytes of data in one smux frame; a message's payload less the header keeps one frame a message.
        receive_buffer: bytes of all connections of a session together that their programs have not taken.
        half_close_wait: seconds, see HALF_CLOSE_WAIT.
    """

    frame_data: int = 1016
    receive_buffer: int = 4 * 1024 * 1024
    half_close_wait: float = HALF_CLOSE_WAIT


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many sessions.

    Args:
        most: sessions at once.
        grow: begin with one and open more when connections queue behind a busy one; else all from the beginning.
        idle: seconds, see IDLE_SESSION.
        patience: seconds, see PATIENCE.
    """

    most: int = MOST_SESSIONS
    grow: bool = True
    idle: float = IDLE_SESSION
    patience: float = PATIENCE
