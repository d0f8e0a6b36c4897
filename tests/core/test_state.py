"""The lifecycle of a channel follows its table, and the protocol page shows that table."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.state import TRANSITIONS, Lifecycle, State, Trigger
from tests.contract.state_diagram import BEGIN, END, PAGE, diagram

WAYS: dict[State, tuple[Trigger, ...]] = {
    State.CONNECTING: (),
    State.ASSUMED: (Trigger.SILENCE,),
    State.OPEN: (Trigger.STARTED,),
    State.PAUSED: (Trigger.STARTED, Trigger.PAUSE),
    State.ENDED: (Trigger.END,),
}


def reached(state: State) -> Lifecycle:
    life = Lifecycle()
    for trigger in WAYS[state]:
        life.apply(trigger)
    assert life.state is state
    return life


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_a_transition_of_the_table_is_made_and_no_other(state: State, trigger: Trigger) -> None:
    life = reached(state)
    following = TRANSITIONS[state].get(trigger)
    if following is None:
        with pytest.raises(LocalProtocolError, match=f"{trigger.name} in state {state.name}"):
            life.apply(trigger)
        assert life.state is state
    else:
        life.apply(trigger)
        assert life.state is following


@pytest.mark.parametrize("state", [State.CONNECTING, State.ASSUMED, State.OPEN])
def test_a_pause_returns_to_the_state_before_it(state: State) -> None:
    life = reached(state)
    life.apply(Trigger.PAUSE)
    assert life.state is State.PAUSED
    life.apply(Trigger.RESUME)
    assert life.state is state


def test_data_may_be_sent_in_the_states_that_the_table_says() -> None:
    assert [state.name for state in State if reached(state).open] == ["ASSUMED", "OPEN", "PAUSED"]


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == diagram(), "run: make docs"
