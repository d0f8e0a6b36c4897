"""The policy of reconnecting: when to try again. It has no clock and no randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# The service ends a session at the latest 60 minutes after the last input (spec 13.5); some minutes for its own slack.
SESSION_MAY_LIVE: Final = 65 * 60.0


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How often and how long a lost connection is sought.

    Args:
        first_delay: seconds before the second attempt; the first is made at once.
        factor: each delay is this much longer than the one before.
        longest_delay: seconds.
        give_up_after: seconds (awake) from the loss; a session cannot live longer without a client.
        opening_attempts: how many times the very first connection is tried.
        refusals: how many times in a row AWS may refuse before its word is taken.
    """

    first_delay: float = 0.2
    factor: float = 2.0
    longest_delay: float = 20.0
    give_up_after: float = SESSION_MAY_LIVE
    opening_attempts: int = 4
    refusals: int = 3

    def delay(self, attempt: int, chance: Callable[[], float]) -> float:
        """Return the seconds to wait before an attempt; attempt 0 is the first.

        Args:
            attempt: number of the attempt.
            chance: returns 0 <= x < 1, which spreads the attempts of many clients that were cut at the same time.
        """
        if attempt == 0:
            return 0.05 * chance()
        full = min(self.longest_delay, self.first_delay * self.factor ** min(attempt - 1, 16))
        return full * (0.5 + 0.5 * chance())
