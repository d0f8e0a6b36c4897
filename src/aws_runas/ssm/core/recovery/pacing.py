"""Pacing: a token bucket over all frames that are sent (spec 14.1)."""

from __future__ import annotations

from collections import deque

MIN_SPACING = 0.0004  # seconds between two data messages; enough for an agent to execute the first (spec 14.5)
BURST = 40  # frames at once after silence; with 925 per second still below 1,000 in any second (docs/adr/0107)
RESERVE = 300  # frames beyond the bucket for repeated acknowledgements (docs/adr/0105)
RESERVE_RATE = 30.0  # frames per second that are added to it
LOAN = 120  # frames beyond the bucket for acknowledgements in an exchange of short messages (docs/adr/0107)
REPAID = 0.25  # share of the rate that is kept back while a loan is repaid
SLOTS = 256  # parts of a second in which sent frames are counted
BATCH = 4  # acknowledgements to wait for when more are waiting: fewer wake-ups
MIN_RATE_SHARE = 1 / 8  # share of the configured rate at which repeated halving stops
SLOW_DOWN_INTERVAL = 1.0  # seconds; the service may send a pause for every message of one burst
RATE_RECOVERY_SECONDS = 60.0  # seconds from zero to the configured rate
ACKNOWLEDGEMENTS_PER_DATA = 3  # if both wait for the pacer: about 695 and 230 per second; an agent sends about 650
DATA_CREDIT = 8.0  # maximum data frames of accumulated credit


class RecentFrames:
    """Counts the frames of the last second, rounded up to a slot."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, int]] = deque()  # number of the slot, frames in it
        self._slot = 0
        self._in_slot = 0  # frames in the newest slot, which is not in _slots yet
        self.count = 0
        """Frames in the last second, as of the last `forget`."""

    def add(self, frames: int, now: float) -> None:
        """Count frames that are sent now."""
        slot = int(now * SLOTS)
        self.count += frames
        if slot == self._slot:
            self._in_slot += frames
            return
        self._slots.append((self._slot, self._in_slot))
        self._slot, self._in_slot = slot, frames
        if len(self._slots) > 2 * SLOTS:
            self.forget(now)

    def forget(self, now: float) -> None:
        """Drop frames that are older than a second."""
        first = int(now * SLOTS) - SLOTS
        while self._slots and self._slots[0][0] < first:
            self.count -= self._slots.popleft()[1]
        if self._slot < first:
            self.count = self._in_slot = 0

    def room_at(self, limit: int) -> float:
        """Return when less than `limit` frames are in the last second, if no more are sent."""
        left = self.count
        for slot, frames in self._slots:
            left -= frames
            if left < limit:
                return (slot + SLOTS + 1) / SLOTS
        return (self._slot + SLOTS + 1) / SLOTS


class Pacer:
    """A token bucket. Its rate is halved when the service pauses or cuts the channel, and recovers slowly.

    Beside the bucket there is a reserve for repeated acknowledgements, which are needed soon or not at all. It may be
    used while the last second has room for more frames: no second sees more than the rate and the burst together.

    Args:
        rate: frames per second, None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._configured = rate
        self.limited = rate is not None
        """True if there is a limit."""
        self.rate = rate or 0.0
        self._tokens = float(BURST)
        self._at: float | None = None
        self._slowed_at = float("-inf")
        self._recent = RecentFrames()
        self._limit = int(self.rate) + BURST  # frames in any second
        self._reserve = float(RESERVE)
        self._loan = float(LOAN)  # what is left of it
        self._is_repaying = False
        self._next_loan_at = float("-inf")
        self._reserve_in_use_until = float("-inf")

    def available(self, now: float) -> int:
        """Return how many frames may leave now."""
        if self._configured is None:
            return 1 << 30
        if self._at is None:
            self._at = now
        elif now > self._at:
            passed = now - self._at
            self._at = now
            tokens = self._tokens + passed * self.rate
            if self._is_repaying:
                tokens -= self._repay(passed * self.rate * REPAID)
            if tokens > BURST:
                self._loan = min(LOAN, self._loan + tokens - BURST)
                tokens = BURST
            self._tokens = tokens
            if self._reserve < RESERVE:
                self._reserve = min(RESERVE, self._reserve + passed * RESERVE_RATE)
            if self.rate < self._configured:
                self.rate = min(self._configured, self.rate + passed * self._configured / RATE_RECOVERY_SECONDS)
        # a timer that fires exactly on time must not find 0.9999999 of a token
        tokens = int(self._tokens + 1e-3) if self._tokens > 0 else 0
        if now < self._reserve_in_use_until:
            self._recent.forget(now)
            return max(0, min(tokens, self._limit - self._recent.count))
        return tokens

    def reserve(self, now: float) -> int:
        """Return how many repeated acknowledgements may leave now beyond the tokens, which may be used as well.

        Call it after `available`.
        """
        if self._configured is None or self.rate < self._configured or self._reserve < 1:
            return 0
        self._recent.forget(now)
        return max(0, min(int(self._reserve), self._limit - BURST - self._recent.count))

    def loan(self, now: float) -> int:
        """Return how many acknowledgements may leave now on loan, without tokens. Call it after `available`.

        When the loan is used up, it is repaid before there is another: the rate is a quarter lower for half a second.
        """
        if self._configured is None or self.rate < self._configured or self._is_repaying:
            return 0
        if self._loan == LOAN and now < self._next_loan_at:
            return 0
        self._recent.forget(now)
        return max(0, min(int(self._loan), self._limit - BURST - self._recent.count))

    def _repay(self, frames: float) -> float:
        """Return the tokens that go to the loan."""
        self._loan = min(self._loan + frames, float(LOAN))
        self._is_repaying = self._loan < LOAN
        return frames

    def spend(self, frames: int, *, from_reserve: int = 0, lent: int = 0) -> None:
        """Spend the tokens of frames that are sent. Call it after `available`.

        Args:
            frames: number of frames that are sent.
            from_reserve, lent: how many of them take no token.
        """
        if self._configured is None or self._at is None:
            return
        self._tokens -= frames - from_reserve - lent
        self._recent.add(frames, self._at)
        if from_reserve or lent:
            self._reserve -= from_reserve
            if lent and self._loan == LOAN:
                self._next_loan_at = self._at + 1 + 2 / SLOTS
            self._loan -= lent
            self._is_repaying = self._is_repaying or self._loan < 1
            self._reserve_in_use_until = self._at + 1 + 2 / SLOTS

    def ready_at(self, waiting: int) -> float:
        """Return when the next batch of the waiting frames may leave. Call it after `available`."""
        if self._configured is None or self._at is None:
            return 0.0
        missing = (waiting if waiting < BATCH else BATCH) - self._tokens
        rate = self.rate * (1 - REPAID) if self._is_repaying else self.rate
        ready = self._at + missing / rate if missing > 0 else self._at
        if self._at < self._reserve_in_use_until and self._recent.count >= self._limit:
            ready = max(ready, self._recent.room_at(self._limit))
        return ready

    def slow_down_if_saturated(self, now: float) -> None:
        """Halve the rate if data was being sent when the service paused the channel or cut the connection."""
        if self._configured is None or self.available(now) > BURST / 2 or now < self._slowed_at + SLOW_DOWN_INTERVAL:
            return
        self._slowed_at = now
        self.rate = max(self.rate / 2, self._configured * MIN_RATE_SHARE)


class DataShare:
    """Reserves a share for data. Otherwise acknowledgements to a peer that sends at full rate would use all tokens."""

    def __init__(self) -> None:
        self._credit = 0.0
        self._is_turn_of_data = False  # an acknowledgement was sent since data had its turn

    def take(self, waiting: int, *, takes_turns: bool = False) -> int:
        """Return how many frames of the budget are reserved for waiting data.

        Args:
            waiting: data messages that wait.
            takes_turns: a single message takes turns with acknowledgements, as in an exchange of short messages.
        """
        share = min(int(self._credit), waiting)
        self._credit -= share
        if not share and waiting and takes_turns and self._is_turn_of_data:
            share = 1
        if share:
            self._is_turn_of_data = False
        return share

    def acknowledged(self, count: int) -> None:
        """Count acknowledgements that were sent."""
        if count:
            self._is_turn_of_data = True
        self._credit = min(self._credit + count / ACKNOWLEDGEMENTS_PER_DATA, DATA_CREDIT)


class DataSpacing:
    """Sends data messages one at a time, with a pause between them, also after silence (spec 14.5).

    An agent whose connection is cut executes one message twice if two or more wait in its receive buffer. A spacing
    longer than the execution of a message leaves at most one there. The token bucket above keeps the average rate.
    Acknowledgements are not executed, so they may leave together.

    Args:
        paced: False for no spacing.
    """

    def __init__(self, *, paced: bool) -> None:
        self._paced = paced
        self._is_leaving = False
        self._ahead = 0  # messages that were prepared ahead and not sent yet
        self.ready_at = float("-inf")

    def allowed(self, now: float) -> int:
        """Return how many data messages may leave now."""
        if not self._paced:
            return 1 << 30
        return 1 if now >= self.ready_at - 1e-6 and not self._ahead else 0

    def next_departure(self, now: float) -> float:
        """Return when the next data message that is not prepared yet may leave."""
        return max(self.ready_at, now + MIN_SPACING) if self._ahead else self.ready_at

    def leaving_soon(self, tokens: int) -> int:
        """Return how many data messages can leave soon, given the tokens in the bucket.

        Tokens accumulate while a busy machine is late. Data queued for all of them would leave one spacing apart, and
        later input, such as a keystroke, would wait behind it.
        """
        return min(tokens, 1) if self._paced else tokens

    def sent(self, count: int, now: float) -> None:
        """Note that `count` messages were sent."""
        if self._paced and count:
            self.ready_at = now + MIN_SPACING
            self._is_leaving = True

    def written(self, now: float) -> None:
        """Note that the sent messages have been written to the connection.

        Args:
            now: monotonic seconds. On a busy machine this is later than the time at which the messages were due.
        """
        if self._is_leaving:
            self._is_leaving = False
            self.ready_at = max(self.ready_at, now + MIN_SPACING)

    def made_ahead(self, when: float) -> None:
        """Note a message prepared to leave at `when` (`Channel.messages_ahead`); no other message leaves before it."""
        self.ready_at = when + MIN_SPACING
        self._ahead += 1

    def departed(self, now: float) -> None:
        """Note that a message that was prepared ahead was sent."""
        self._ahead = max(self._ahead - 1, 0)
        self.ready_at = max(self.ready_at, now + MIN_SPACING)

    def connection_lost(self) -> None:
        """Note that messages prepared ahead will not be sent."""
        self._ahead = 0
