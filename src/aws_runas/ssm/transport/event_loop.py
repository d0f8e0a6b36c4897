"""An event loop with exact timers (docs/adr/0206, docs/adr/0209), and blocking calls in daemon threads."""

from __future__ import annotations

import asyncio
import select
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

MAX_EXACT_WAIT: Final = 0.05  # seconds; a longer wait may be a millisecond late
MAX_REST: Final = 0.0015  # seconds; longer than the distance of paced messages
LOOK_INTERVAL: Final = 0.003  # seconds in which nothing is read while paced messages leave; three messages
FD_SETSIZE: Final = 1024  # descriptors that select(2) can wait for

if hasattr(selectors, "EpollSelector"):

    class ExactSelector(selectors.EpollSelector):
        """An epoll selector that is exact to microseconds while a paced message waits for its turn.

        EpollSelector rounds every wait up to whole milliseconds. A message that leaves soon is waited for with a sleep,
        and descriptors are looked at once in a few messages only: the acknowledgements that came in meanwhile are
        read together. For a message that leaves later, select(2), which takes microseconds, waits for the epoll
        descriptor itself, so the number of connections does not matter. Other timers may be a millisecond late.
        """

        departure = 0.0
        """Monotonic seconds at which a paced message leaves."""

        _looked_at = 0.0

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait for descriptors; see selectors.BaseSelector.select."""
            if timeout is not None and timeout > 0:
                now = time.monotonic()
                wait = self.departure - now
                if 0 < wait <= MAX_REST:
                    time.sleep(min(wait, timeout))
                    if now - self._looked_at < LOOK_INTERVAL:
                        return []
                    self._looked_at = now
                    timeout = 0
                elif wait > 0 and timeout < MAX_EXACT_WAIT and self.fileno() < FD_SETSIZE:
                    if not select.select([self.fileno()], [], [], timeout)[0]:
                        return []
                    timeout = 0
            return super().select(timeout)

    class ExactEventLoop(asyncio.SelectorEventLoop):
        """An event loop on an ExactSelector."""

        def __init__(self) -> None:
            self._exact_selector = ExactSelector()
            super().__init__(self._exact_selector)

        def expect_departure(self, when: float) -> None:
            """Be exact about a timer for a paced message.

            Args:
                when: loop time of the timer.
            """
            self._exact_selector.departure = when


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with exact timers where the system's own are not (Linux)."""
    if hasattr(selectors, "EpollSelector"):
        return ExactEventLoop()
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


P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread of its own and return its result.

    The threads of asyncio.to_thread are joined at exit, so a hanging AWS call would keep the program alive.

    Args:
        call: called with the other arguments; what it raises is raised here.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(settle: Callable[[], None]) -> None:
        if not future.done():
            settle()

    def run() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(future.set_result, call(*args, **kwargs))
        except BaseException as error:
            settle = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
            loop.call_soon_threadsafe(deliver, settle)

    threading.Thread(target=run, name=f"aws-{getattr(call, '__name__', 'call')}", daemon=True).start()
    return await future
