"""Detection of sleep and network changes, from clocks and addresses that are passed in."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final

CHECK_INTERVAL: Final = 1.0  # seconds between two checks of the clock
MIN_SLEEP: Final = 5.0  # seconds; a shorter gap can be caused by load
ADDRESS_INTERVAL: Final = 5.0  # seconds between two checks of the local address


class WakeupDetector:
    """Detector that receives the time every CHECK_INTERVAL and reports when the connections must be checked."""

    def __init__(self, now: float, address: str) -> None:
        self._last = now
        self._address = address
        self._address_checked_at = now

    def woke_up(self, now: float) -> bool:
        """Return True if the machine slept, or this process was stopped, since the last call.

        Args:
            now: seconds of a clock that counts during a sleep, such as CLOCK_BOOTTIME.
        """
        passed, self._last = now - self._last, now
        return passed > CHECK_INTERVAL + MIN_SLEEP

    def address_is_due(self, now: float) -> bool:
        """Return True if the local address should be passed to `address_changed` now."""
        return now - self._address_checked_at >= ADDRESS_INTERVAL

    def address_changed(self, address: str, now: float) -> bool:
        """Return True if the address of this machine has changed, or if it has an address again.

        Args:
            address: see `local_address`; "" while there is no network, which does not count as a change.
            now: as in `woke_up`.
        """
        self._address_checked_at = now
        if not address or address == self._address:
            return False
        self._address = address
        return True


def clock_with_sleep() -> float:
    """Return the seconds of a clock that counts during a sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()


def local_address() -> str:
    """Return the source address that this machine would use, "" without a network. Sends no packet."""
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737, RFC 3849
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return str(probe.getsockname()[0])
    return ""
