"""Notifies the user of a shell or of ssh that the agent does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aws_runas.ssm.transport.keepalive import AGENT_SILENT_AFTER

CHECK_INTERVAL: Final = 1.0  # seconds between two checks while an answer is due


class SilenceNotice:
    """Notifies the user once when the agent does not answer, and once when it answers again.

    No timer runs while no answer is due. Call on the event loop.

    Args:
        silent_for: see DataChannel.agent_silent_for.
        say: called with a line for the user.
        consequence: text that explains the effect of the silence.
    """

    def __init__(
        self, silent_for: Callable[[], float], say: Callable[[str], None], consequence: str = "your input waits"
    ) -> None:
        self._silent_for = silent_for
        self._say = say
        self._consequence = consequence
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False

    def message_sent(self) -> None:
        """Note that an answer is due."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AGENT_SILENT_AFTER, self._check)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        seconds = self._silent_for()
        if seconds >= AGENT_SILENT_AFTER and not self._is_told:
            self._is_told = True
            self._say(f"the agent has not answered for {seconds:.0f} s; {self._consequence}")
        elif self._is_told and seconds < AGENT_SILENT_AFTER:
            self._is_told = False
            self._say("the agent answers again")
        if seconds or self._is_told:
            self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check)
