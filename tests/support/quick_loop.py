"""An event loop that does not wait: its timers pass at once, and its clock says so. Descriptors are real."""

from __future__ import annotations

import asyncio
import selectors


class QuickSelector(selectors.DefaultSelector):
    """Does not wait: time passes instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.waits += 1
            self.now += timeout
        return ready


class QuickLoop(asyncio.SelectorEventLoop):
    """A loop with the clock of its selector."""

    def __init__(self) -> None:
        self.selector = QuickSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now
