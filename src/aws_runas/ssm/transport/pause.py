"""A pause that lasts with nothing coming in is no pause: resume the session, then ask the service (spec 13.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE_LASTS: Final = 45.0  # seconds paused without a message


class PauseWatch:
    """Counts how long a pause has lasted.

    Args:
        resume: called when the first one has lasted too long.
        ask: called when it was in vain, and each time again.
        lasts: seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resume: Callable[[], None],
        ask: Callable[[], None],
        lasts: float = PAUSE_LASTS,
    ) -> None:
        self._loop = loop
        self._resume = resume
        self._ask = ask
        self._lasts = lasts
        self._timer: asyncio.TimerHandle | None = None
        self._in_vain = 0

    def begin(self) -> None:
        """The service paused us, or pauses us still."""
        self._cancel()
        self._timer = self._loop.call_later(self._lasts, self._lasted)

    def heard(self) -> None:
        """A message came: the pause, if there is one, counts from here."""
        if self._timer is not None:
            self.begin()

    def end(self) -> None:
        """We may send again, or the session is over. A new connection may say so too: it proves nothing."""
        self._cancel()

    def alive(self) -> None:
        """The agent itself was heard."""
        self._in_vain = 0

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lasted(self) -> None:
        self._timer = None
        self._in_vain += 1
        if self._in_vain == 1:
            self._resume()
        else:
            self._ask()
