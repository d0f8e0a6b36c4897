"""An event loop whose timers are exact to microseconds, for evenly paced messages (docs/adr/0206)."""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Coroutine
from typing import Final, TypeVar

T = TypeVar("T")
MAX_EXACT_WAIT: Final = 0.05  # seconds; a longer wait may be a millisecond late
FD_SETSIZE: Final = 1024  # descriptors that select(2) can wait for

if hasattr(selectors, "EpollSelector"):

    class ExactSelector(selectors.EpollSelector):
        """An epoll selector that waits in microseconds.

        EpollSelector rounds every wait up to whole milliseconds. Here select(2), which takes microseconds, waits for
        the epoll descriptor itself, so the number of connections does not matter.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait for descriptors; see selectors.BaseSelector.select."""
            if timeout is not None and 0 < timeout < MAX_EXACT_WAIT and self.fileno() < FD_SETSIZE:
                if not select.select([self.fileno()], [], [], timeout)[0]:
                    return []
                timeout = 0
            return super().select(timeout)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with exact timers where the system's own are not (Linux)."""
    if hasattr(selectors, "EpollSelector"):
        return asyncio.SelectorEventLoop(ExactSelector())
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine as asyncio.run does, on an event loop with exact timers.

    Args:
        coroutine: the program.

    Returns:
        What the coroutine returns.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(coroutine)
