"""Blocking calls in daemon threads, which the end of the program does not wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Await call(*args) in a thread of its own.

    asyncio.to_thread would do, but its threads are joined at exit: an AWS call that hangs would keep the program.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(setter: Callable[[object], None], value: object) -> None:
        if not future.done():
            setter(value)

    def run() -> None:
        setter: Callable[[object], None]
        value: object
        try:
            value, setter = call(*args, **kwargs), future.set_result  # type: ignore[assignment]
        except BaseException as error:
            value, setter = error, future.set_exception  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, setter, value)

    threading.Thread(target=run, name=f"aws-{getattr(call, '__name__', 'call')}", daemon=True).start()
    return await future
