"""The service's clock: this machine's, shifted, and with lifetimes that can be made to run faster."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Args: offset: seconds ahead of this machine; speed: how many of the service's seconds pass in one of ours."""

    offset: float = 0.0
    speed: float = 1.0

    def now(self) -> float:
        """Seconds since the epoch, as the service sees it."""
        return time.time() + self.offset

    def lifetime(self, seconds: float) -> float:
        """How many real seconds a lifetime of the service lasts."""
        return seconds / self.speed
