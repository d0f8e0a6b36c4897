"""An event loop with exact timers (docs/adr/0206, docs/adr/0209), and blocking calls in daemon threads."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import math
import select
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

MAX_EXACT_WAIT: Final = 0.05  # seconds; a longer wait may be a millisecond late
MAX_REST: Final = 0.0035  # seconds in which nothing is read while messages leave; the time of three
LOOK_INTERVAL: Final = 0.002  # seconds between two looks at descriptors, if a timer ends the rest early
FD_SETSIZE: Final = 1024  # descriptors that select(2) can wait for

if hasattr(selectors, "EpollSelector"):

    class ExactSelector(selectors.EpollSelector):
        """An epoll selector that is exact to microseconds while paced messages wait for their turn.

        EpollSelector rounds every wait up to whole milliseconds. While a turn is near, this one sleeps until then,
        sends what leaves in between, and looks at descriptors once in a few messages only: what came in meanwhile is
        read together. For a turn that is not so near, select(2), which takes microseconds, waits for the epoll
        descriptor itself, so the number of connections does not matter. Other timers may be a millisecond late.
        """

        turn_at = 0.0
        """Monotonic seconds until which nothing needs to be read, and at which a timer must be exact."""

        _looked_at = 0.0

        def __init__(self) -> None:
            super().__init__()
            self.departures: list[tuple[float, int, Callable[[], None]]] = []
            """A heap: when, a number that keeps the order of equal times, and what to call then."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait for descriptors; see selectors.BaseSelector.select."""
            now = time.monotonic()
            turn_at = self.turn_at
            if now >= turn_at and not self.departures:
                self._looked_at = now
                return super().select(timeout)
            end = math.inf if timeout is None else now + timeout
            if self.departures:
                now = self._send_due(now, min(end, now + MAX_REST))
            if self.departures:
                next_departure = self.departures[0][0]
                turn_at, end = max(turn_at, next_departure), min(end, next_departure)
            if now < turn_at <= now + MAX_REST:
                if end > now:
                    time.sleep(min(turn_at, end) - now)
                    now = time.monotonic()
                if now - self._looked_at < LOOK_INTERVAL:
                    return []
                end = now
            elif now < min(turn_at, end) and end < now + MAX_EXACT_WAIT and self.fileno() < FD_SETSIZE:
                if not select.select([self.fileno()], [], [], end - now)[0]:
                    return []
                end = now
            self._looked_at = now
            return super().select(None if end == math.inf else max(0.0, end - now))

        def _send_due(self, now: float, end: float) -> float:
            """Call what is due up to a time, each at its time; return the time then."""
            while self.departures and self.departures[0][0] <= end:
                when, _, depart = heapq.heappop(self.departures)
                if when > now:
                    time.sleep(when - now)
                depart()
                now = time.monotonic()
            return now

    class ExactEventLoop(asyncio.SelectorEventLoop):
        """An event loop on an ExactSelector."""

        def __init__(self) -> None:
            self._exact_selector = ExactSelector()
            self._departures = itertools.count()
            super().__init__(self._exact_selector)
            setattr(self, "time", time.monotonic)  # noqa: B010 - without a call of Python; a message needs several

        def rest_until(self, when: float) -> None:
            """Be exact about a timer that is due then, and read nothing before, for MAX_REST at most.

            Args:
                when: loop time.
            """
            self._exact_selector.turn_at = when

        def call_exactly(self, when: float, callback: Callable[[], None]) -> None:
            """Call a function at a time, without a turn of the loop: that is most of what a paced message costs.

            Args:
                when: loop time, at most MAX_REST from now.
                callback: must not raise.
            """
            heapq.heappush(self._exact_selector.departures, (when, next(self._departures), callback))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with exact timers where the system's own are not (Linux)."""
    if hasattr(selectors, "EpollSelector"):
        return ExactEventLoop()
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine as asyncio.run does, on an event loop with exact timers and with the garbage collector.

    Args:
        coroutine: the program.

    Returns:
        What the coroutine returns.
    """
    gc.freeze()  # what was imported stays to the end
    gc.enable()  # raise_at_signals has paused it
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
