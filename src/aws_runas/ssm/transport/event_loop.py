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
from typing import Final, ParamSpec, Protocol, TypeVar, cast

from aws_runas.notices import never_wait

MAX_EXACT_WAIT: Final = 0.05  # seconds; a longer wait may be a millisecond late
MAX_REST: Final = 0.0055  # seconds without reading while messages are sent; the time of five messages
READ_INTERVAL: Final = 0.01  # seconds between two reads of a steady download; an agent sends seven or eight messages
REST_SHARE: Final = 0.05  # of the time since a download began that a rest may take, so that a short one has none
STEADY_GAP: Final = 0.012  # seconds beyond the rest without a message, after which a download is over
FAST: Final = 3000.0  # messages per second; a faster download needs no rest to be read in batches
LOOK_INTERVAL: Final = 0.002  # seconds between two polls of the descriptors, if a timer ends the rest early
ANSWER_WITHIN: Final = 0.05  # seconds after a few bytes, such as a keystroke, in which their answer is read soon
FD_SETSIZE: Final = 1024  # descriptors that select(2) can wait for


class ExactTimers(Protocol):
    """Methods of an event loop with exact timers that other loops lack."""

    data_sent_at: float
    """When a channel of this loop last sent data; loop time."""

    def rest_until(self, when: float) -> None:
        """Make a timer at this time exact, and read nothing before it, for at most MAX_REST.

        Args:
            when: loop time.
        """

    def read_next_at(self, when: float) -> None:
        """Read nothing before this time. Timers and exact calls before it are not delayed.

        Args:
            when: loop time, at most READ_INTERVAL from now.
        """

    def expect_answer(self) -> None:
        """Poll the descriptors every LOOK_INTERVAL for a while, although messages are sent."""

    def call_exactly(self, when: float, callback: Callable[[], None]) -> None:
        """Call a function at an exact time, without a loop iteration, which is most of the cost of a paced message.

        Args:
            when: loop time, at most MAX_REST from now.
            callback: the function; it must not raise.
        """


def exact_timers(loop: asyncio.AbstractEventLoop) -> ExactTimers | None:
    """Return the exact timers of a loop, None if it has none."""
    return cast(ExactTimers, loop) if hasattr(loop, "call_exactly") else None


class SteadyDownload:
    """Decides how long a client may rest after it has read from a channel.

    An agent sends a message about every 1.5 ms. To read each at once costs a wake-up for each, and wake-ups are most of
    the cost of a download.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._read_at = 0.0
        self._rest = 0.0
        self._rate = 0.0

    def messages_received(self, count: int, now: float) -> None:
        """Note that messages were read together."""
        gap = now - self._read_at
        if gap - self._rest > STEADY_GAP:
            self._began = now
        self._rate = count / gap if gap > 0 else FAST
        self._read_at = now

    def rest(self, now: float, data_sent_at: float) -> float:
        """Return for how many seconds nothing needs to be read.

        Args:
            now: loop time.
            data_sent_at: when data was last sent; somebody may wait for the answer.
        """
        lasts = now - max(self._began, data_sent_at)
        self._rest = min(READ_INTERVAL, REST_SHARE * lasts) if self._rate < FAST else 0.0
        return self._rest


if hasattr(selectors, "EpollSelector"):

    class ExactSelector(selectors.EpollSelector):
        """An epoll selector with microsecond timers while paced messages wait.

        EpollSelector rounds every wait up to whole milliseconds. If a turn is near, this selector sleeps until then,
        sends the messages that are due in between, and polls the descriptors only once every few messages, so that
        received data is read together. If a turn is farther away, select(2), which takes microseconds, waits for the
        epoll descriptor itself, so the number of connections does not matter. Other timers may be a millisecond late.
        """

        turn_at = 0.0
        """Time until which nothing needs to be read, and at which a timer must be exact; monotonic seconds."""

        read_at = 0.0
        """Time before which nothing needs to be read, at most READ_INTERVAL ahead; monotonic seconds."""

        look_until = 0.0
        """Time until which the descriptors are polled every LOOK_INTERVAL, although messages are sent."""

        _looked_at = 0.0

        def __init__(self) -> None:
            super().__init__()
            self.departures: list[tuple[float, int, Callable[[], None]]] = []
            """Heap of (time, counter that orders equal times, callback)."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait for descriptors; see selectors.BaseSelector.select."""
            now = time.monotonic()
            turn_at = self.turn_at
            if now >= turn_at and now >= self.read_at and not self.departures:
                self._looked_at = now
                return super().select(timeout)
            end = math.inf if timeout is None else now + timeout
            if self.departures:
                now = self._send_due(now, min(end, now + MAX_REST))
            if self.departures:
                next_departure = self.departures[0][0]
                turn_at, end = max(turn_at, next_departure), min(end, next_departure)
            rest_until = max(self.read_at, turn_at) if turn_at <= now + MAX_REST else self.read_at
            if now < rest_until:
                wake_at = min(rest_until, end)
                if now < self.look_until:
                    wake_at = min(wake_at, self._looked_at + LOOK_INTERVAL)
                if wake_at > now:
                    time.sleep(wake_at - now)
                    now = time.monotonic()
                if now < self._looked_at + LOOK_INTERVAL:
                    return []
                end = now
            elif now < min(turn_at, end) and end < now + MAX_EXACT_WAIT and self.fileno() < FD_SETSIZE:
                if not select.select([self.fileno()], [], [], end - now)[0]:
                    return []
                end = now
            self._looked_at = now
            return super().select(None if end == math.inf else max(0.0, end - now))

        def _send_due(self, now: float, end: float) -> float:
            """Run the callbacks that are due up to `end`, each on time; return the time afterwards.

            While an answer is expected, run only one of them.
            """
            while self.departures and self.departures[0][0] <= end:
                when, _, depart = heapq.heappop(self.departures)
                if when > now:
                    time.sleep(when - now)
                depart()
                now = time.monotonic()
                if now < self.look_until:
                    break
            return now

    class ExactEventLoop(asyncio.SelectorEventLoop):
        """An event loop on an ExactSelector. Implements ExactTimers."""

        def __init__(self) -> None:
            self._exact_selector = ExactSelector()
            self._departures = itertools.count()
            self.data_sent_at = 0.0
            super().__init__(self._exact_selector)
            setattr(self, "time", time.monotonic)  # noqa: B010 - saves a Python call; several per message

        def rest_until(self, when: float) -> None:
            self._exact_selector.turn_at = when

        def read_next_at(self, when: float) -> None:
            self._exact_selector.read_at = when

        def expect_answer(self) -> None:
            self._exact_selector.look_until = time.monotonic() + ANSWER_WITHIN

        def call_exactly(self, when: float, callback: Callable[[], None]) -> None:
            heapq.heappush(self._exact_selector.departures, (when, next(self._departures), callback))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with exact timers on systems whose timers are not exact (Linux)."""
    if hasattr(selectors, "EpollSelector"):
        return ExactEventLoop()
    return asyncio.new_event_loop()


def run(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine like asyncio.run, on an event loop with exact timers and with the garbage collector on.

    Args:
        coroutine: the program.

    Returns:
        The result of the coroutine.
    """
    never_wait()
    gc.freeze()  # imported modules are never collected
    gc.enable()  # raise_at_signals has disabled it
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(coroutine)
    finally:
        coroutine.close()  # without a warning if a signal arrived before it ran


P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in its own thread and return its result.

    The threads of asyncio.to_thread are joined at exit, so a hanging AWS call would keep the program alive.

    Args:
        call: called with the other arguments; its exceptions are raised here.
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
