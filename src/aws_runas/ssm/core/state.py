"""Lifecycle of a channel: an enum and a transition table (spec 5.8).

A lost connection is not a state: the channel outlives its connections.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from aws_runas.ssm.core.errors import LocalProtocolError


class State(Enum):
    """Lifecycle state of a channel.

    CONNECTING: the session has not started; a bounded amount of data is queued.
    ASSUMED: the peer has been silent, so the session is assumed to have no handshake; data is sent and kept.
    OPEN: data flows.
    PAUSED: the service reports that messages cannot be delivered; one probe per timeout is sent.
    ENDED: final.
    """

    CONNECTING = "CONNECTING"
    ASSUMED = "ASSUMED"
    OPEN = "OPEN"
    PAUSED = "PAUSED"
    ENDED = "ENDED"


class Trigger(Enum):
    """Cause of a transition between two states."""

    SILENCE = "silence (assume_started_after)"
    HANDSHAKE_ARRIVED = "a handshake arrives after all"
    CONFIRMED = "output, or no handshake within SETTLED_AFTER"
    STARTED = "handshake complete, or first output without one"
    PAUSE = "pause_publication"
    RESUME = "start_publication, any message, or a new connection"
    END = "channel_closed, protocol error or limit exceeded"


# PAUSED keeps the state before it: RESUME returns to that state, and other triggers apply to it meanwhile.
TRANSITIONS: Final[dict[State, dict[Trigger, State]]] = {
    State.CONNECTING: {
        Trigger.SILENCE: State.ASSUMED,
        Trigger.STARTED: State.OPEN,
        Trigger.PAUSE: State.PAUSED,
        Trigger.END: State.ENDED,
    },
    State.ASSUMED: {
        Trigger.HANDSHAKE_ARRIVED: State.CONNECTING,
        Trigger.CONFIRMED: State.OPEN,
        Trigger.STARTED: State.OPEN,
        Trigger.PAUSE: State.PAUSED,
        Trigger.END: State.ENDED,
    },
    State.OPEN: {
        Trigger.PAUSE: State.PAUSED,
        Trigger.END: State.ENDED,
    },
    State.PAUSED: {
        Trigger.RESUME: State.OPEN,  # or the previous state
        Trigger.END: State.ENDED,
    },
    State.ENDED: {},
}


class Lifecycle:
    """The state of one channel.

    Attributes:
        open: data may be sent, pacing and window permitting. Derived from the state, but a plain attribute because
            it is read for each message.
        paused, ended: the same for these states.
        assumed: data is sent on an assumption, so it must be kept.
    """

    __slots__ = ("_underlying", "assumed", "ended", "open", "paused")

    def __init__(self) -> None:
        self._underlying = State.CONNECTING  # the state, or while paused the state before it
        self.paused = False
        self.ended = False
        self.open = False
        self.assumed = False

    @property
    def state(self) -> State:
        """The current state."""
        return State.PAUSED if self.paused else self._underlying

    def apply(self, trigger: Trigger) -> None:
        """Move to the next state.

        Raises:
            LocalProtocolError: the table has no such transition.
        """
        if trigger is Trigger.PAUSE or trigger is Trigger.RESUME:
            if trigger not in TRANSITIONS[self.state]:
                raise LocalProtocolError(f"{trigger.name} in state {self.state.name}")
            self.paused = trigger is Trigger.PAUSE
            return
        following = TRANSITIONS[self._underlying].get(trigger)
        if following is None:
            raise LocalProtocolError(f"{trigger.name} in state {self.state.name}")
        self._underlying = following
        self.ended = following is State.ENDED
        self.paused = self.paused and not self.ended
        self.open = following in (State.ASSUMED, State.OPEN)
        self.assumed = following is State.ASSUMED
