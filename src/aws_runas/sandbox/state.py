"""Shared state of the services of one sandbox: the clock, the current faults, and the loaded parts."""

from __future__ import annotations

import threading
import time

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.options import Faults, SandboxOptions

LOAD_TIMEOUT = 30.0  # seconds that a call waits for moto to load


@dataclass(frozen=True, slots=True)
class Clock:
    """Clock of the service: this machine's clock with an offset, and with lifetimes that can pass faster.

    Args:
        offset: seconds ahead of this machine's clock.
        speed: seconds of the service per second of this machine.
    """

    offset: float = 0.0
    speed: float = 1.0

    def now(self) -> float:
        """Return the service's time in seconds since the epoch."""
        return time.time() + self.offset

    def lifetime(self, seconds: float) -> float:
        """Convert a lifetime of the service to seconds of this machine."""
        return seconds / self.speed


class SandboxState:
    """State that services read and commands change while a sandbox runs.

    Attributes:
        clock: the clock of the services.
        region: the region of all profiles.
        faults: for calls and sessions that begin from now on.
        adopted: process ids that end with the sandbox.
        loaded: set when moto has loaded all parts that are slow to load.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self.clock = Clock(options.clock_offset, options.clock_speed)
        self.region = options.region
        self.faults: Faults = options.faults
        self.adopted: set[int] = set()
        self.loaded = threading.Event()

    def wait_for(self, service: str) -> None:
        """Block until moto has loaded a service. STS and IAM need nothing that is slow to load.

        Args:
            service: signing name of the service.
        """
        if service not in ("sts", "iam"):
            self.loaded.wait(LOAD_TIMEOUT)
