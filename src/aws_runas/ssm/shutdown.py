"""External reasons to end a session: a signal, a closed terminal, or the end of the parent process.

For the main thread. Before the event loop runs, a signal raises SignalReceived directly; inside the loop,
``run_until_signal`` raises it.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
PARENT_INTERVAL: Final = 1.0  # seconds between two checks of the parent
END_NOTICE_AFTER: Final = 0.5  # seconds that the end may take before the user is notified and may cut it short
_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

# Signals that raised SignalReceived. A finalizer or an ``except Exception`` of a library can swallow the exception, so
# code that runs in an event loop calls `swallowed_signal` when it starts. Each with its time, in monotonic seconds.
_raised: list[tuple[int, float]] = []
_leaving: list[bool] = []
_notices: list[asyncio.TimerHandle] = []  # the notice of `run_until_signal`, once it has received a signal
SLOW_END: Final = "ending the session at the service; press Ctrl-C again to exit without waiting"


class SignalReceived(AwsRunasError):  # noqa: N818 - not an error
    """A signal asked the program to end.

    Args:
        signal_number: the signal; the exit status is 128 plus this number, as in a shell.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by {signal.Signals(signal_number).name}", code="session-left")
        self.signal_number = signal_number
        self.exit_status = 128 + signal_number


def raise_at_signals() -> None:
    """Let SIGTERM and SIGHUP raise SignalReceived, and SIGINT KeyboardInterrupt, from here on, so that cleanup runs.

    Further signals within END_NOTICE_AFTER do not interrupt the cleanup.

    The garbage collector is off until ``event_loop.run``: a finalizer that it calls would swallow the exception, and
    imports take 8 % longer with the collector on.
    """
    gc.disable()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _raise)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raise)


def _raise(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signature of a signal handler
    now = time.monotonic()
    if _raised and now < _raised[-1][1] + END_NOTICE_AFTER:
        return  # SIGTERM after SIGHUP, or a second Ctrl-C, while the session is ended
    _raised.append((number, now))
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SignalReceived(number)


def swallowed_signal() -> int | None:
    """Return the signal whose SignalReceived was swallowed, or None. Call it when an event loop starts."""
    return _raised[0][0] if _raised else None


async def run_until_signal(
    coroutine: Coroutine[object, object, T],
    *,
    interrupt: Callable[[], None] | None = None,
    watch_parent: bool = True,
    keep_handlers: bool = False,
    say: Callable[[str], None] | None = None,
) -> T:
    """Run a coroutine; a signal cancels it.

    The coroutine cleans up when it is cancelled. Signals that arrive meanwhile are ignored at first, so that a program
    that gets both SIGHUP and SIGTERM still ends its session. After END_NOTICE_AFTER, another one cancels the cleanup.
    If SIGHUP is ignored at the start (nohup), a closed terminal and the end of the parent are ignored too.

    Args:
        coroutine: the coroutine; this function owns it.
        interrupt: called at each SIGINT; None if SIGINT ends the coroutine too.
        watch_parent: treat the end of the parent process as SIGHUP.
        keep_handlers: leave the signal handlers installed if the coroutine returns; the caller then installs its own,
            and no signal meets the default action in between.
        say: called with a line for the user if the cleanup after a signal takes long; see `notice_of_slow_end`.

    Returns:
        The result of the coroutine.

    Raises:
        SignalReceived: a signal arrived first; the coroutine has finished its cleanup.
    """
    import asyncio

    received: list[int] = []
    task = asyncio.get_running_loop().create_task(coroutine)

    def end(number: int) -> None:
        received.append(number)
        task.cancel()
        asyncio.get_running_loop().call_later(END_NOTICE_AFTER, watcher.listen_again)
        if say is not None and not _notices:
            _notices.append(asyncio.get_running_loop().call_later(END_NOTICE_AFTER, say, SLOW_END))

    watcher = ShutdownWatcher(end, interrupt, watch_parent=watch_parent)
    keeps_handlers = False
    try:
        result = await task
        keeps_handlers = keep_handlers
        return result
    except asyncio.CancelledError:
        if not received:
            raise
        raise SignalReceived(received[0]) from None
    finally:
        watcher.close(keeps_handlers=keeps_handlers)
        for notice in _notices:
            notice.cancel()
        _notices.clear()


@contextmanager
def notice_of_slow_end(say: Callable[[str], None]) -> Iterator[None]:
    """Tell the user why the program does not end, if the block takes longer than END_NOTICE_AFTER.

    It does nothing if `run_until_signal` has received a signal and tells it.

    Args:
        say: called with a line for the user.
    """
    import asyncio

    notice = None if _notices else asyncio.get_running_loop().call_later(END_NOTICE_AFTER, say, SLOW_END)
    try:
        yield
    finally:
        if notice is not None:
            notice.cancel()


async def end_session(
    ending: Awaitable[object], say: Callable[[str], None], signals: Iterable[int] = (signal.SIGINT,)
) -> None:
    """Wait for the end of a session at the service.

    The signals are ignored until the user is notified; the next one ends the wait.

    Args:
        ending: ends the session; it is cancelled if a signal ends the wait.
        say: called with a line for the user.
        signals: get a handler, which stays installed.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(ending)

    def handle(callback: Callable[[], object]) -> None:
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, callback)

    def explain(text: str) -> None:
        say(text)
        handle(task.cancel)

    handle(lambda: None)
    with notice_of_slow_end(explain):
        await asyncio.wait({task})


class ShutdownWatcher:
    """Watches, inside the event loop, for signals and for the end of the parent process.

    Args:
        leave: called at the first signal, with the signal (SIGHUP when the parent has ended).
        interrupt: called at each SIGINT; None if SIGINT calls ``leave``.
        watch_parent: treat the end of the parent process as SIGHUP.
    """

    def __init__(
        self,
        leave: Callable[[int], None],
        interrupt: Callable[[], None] | None = None,
        *,
        watch_parent: bool = True,
    ) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._leave = leave
        self._has_left = False
        self._installed: list[int] = []
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._add(number, self._received, number)
        self._add(signal.SIGINT, *((interrupt,) if interrupt is not None else (self._received, signal.SIGINT)))
        if (swallowed := swallowed_signal()) is not None:
            self._loop.call_soon(self._received, swallowed)
        self._parent = ParentWatcher(lambda: self._received(signal.SIGHUP)) if watch_parent else None

    def listen_again(self) -> None:
        """Call ``leave`` once more at the next signal."""
        self._has_left = False

    def close(self, *, keeps_handlers: bool = False) -> None:
        """Stop watching.

        Args:
            keeps_handlers: leave the handlers installed, which then ignore the signals.
        """
        self._has_left = True
        if self._parent is not None:
            self._parent.close()
        for number in () if keeps_handlers else self._installed:
            self._loop.remove_signal_handler(number)
        self._installed.clear()

    def _add(self, number: int, callback: Callable[..., None], *args: object) -> None:
        self._loop.add_signal_handler(number, callback, *args)
        self._installed.append(number)

    def _received(self, number: int) -> None:
        if not self._has_left:
            self._has_left = True
            self._leave(number)


class ParentWatcher:
    """Watches, inside the event loop, for the end of the parent process.

    It does nothing if there is no parent to watch, or if SIGHUP is ignored (nohup).

    Args:
        gone: called once, when the parent has ended.
    """

    def __init__(self, gone: Callable[[], None]) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._gone = gone
        self._parent = os.getppid()
        self._timer: asyncio.TimerHandle | None = None
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and self._parent > 1 and signal.getsignal(hangup) is not signal.SIG_IGN:
            self._check()

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        if os.getppid() != self._parent:
            self._gone()
        else:
            self._timer = self._loop.call_later(PARENT_INTERVAL, self._check)


def leave_quickly() -> None:
    """Let the process end without the teardown of the interpreter, once the result is written; see `end_process`.

    A call that still runs in a thread of `in_thread` is cut, as by the interpreter: these threads are daemons.

    Also skip the last garbage collection over the modules of botocore. Measured at the end of a shell: 127 ms without
    this call, 20 ms with it.
    """
    gc.freeze()
    _leaving.append(True)


def end_process(status: int) -> None:
    """End the process at once after `leave_quickly`; return otherwise, or while a thread that is no daemon still works.

    The teardown of all modules takes 10 ms (docs/adr/0212). Call it when everything is written.

    Args:
        status: the exit status.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if _leaving and all(thread.daemon for thread in others):
        os._exit(status)
