"""A seed makes a network, its faults and its peer; every byte comes out once and in order, or the session says why not.

RUNAS_SIM_SEEDS sets how many seeds are run; `make sim` runs 1,000.
"""

from __future__ import annotations

import os

import pytest

from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed
from tests.sim.scenario import REBOOTED, play

CHUNK = 10
COUNT = int(os.environ.get("RUNAS_SIM_SEEDS", "40"))

# Seeds that failed once, and why; they are run for ever.
FAILED_ONCE = {
    63: "the agent gave up its handshake during a cut; nothing told the client",
    247: "a paused sender without tokens asked for its timer again and again",
    254: "a pause without end, told to an agent that nobody sends anything",
}


def judge(seed: int) -> None:
    outcome = play(seed)
    assert outcome.in_time, f"seed {seed} hangs: {outcome.notes}"
    if outcome.client.ended:
        ends = [event for event in outcome.client.events if isinstance(event, ChannelClosed | ChannelFailed)]
        assert len(ends) == 1, f"seed {seed} ends {len(ends)} times"
        (end,) = ends
        reason = end.output if isinstance(end, ChannelClosed) else end.reason
        assert "the agent has ended" in reason or REBOOTED in reason, f"seed {seed} ends without need: {reason}"
        assert outcome.uploaded_so_far, f"seed {seed}: what was uploaded before the end differs"
        assert outcome.downloaded_so_far, f"seed {seed}: what was downloaded before the end differs"
        return
    assert outcome.uploaded, f"seed {seed}: the upload differs: {outcome.notes}"
    assert outcome.downloaded, f"seed {seed}: the download differs: {outcome.notes}"


@pytest.mark.parametrize("first", range(0, COUNT, CHUNK))
def test_every_byte_arrives_once_and_in_order_whatever_the_network_does(first: int) -> None:
    for seed in range(first, min(first + CHUNK, COUNT)):
        judge(seed)


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_seed_that_failed_once_stays_fixed(seed: int) -> None:
    judge(seed)
