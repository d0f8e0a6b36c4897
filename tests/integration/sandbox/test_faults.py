"""Each fault over real sockets: what goes through a forward comes back whole, or the session says why it ended."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox, RunAs
from tests.integration.forward.support import Forwarded, echo, forwarding, receive_exactly, serving, wait_until

from .conftest import Faulty

SIZE = 100_000  # bytes each way
FAULTS: dict[str, dict[str, Any]] = {
    "a signature is demanded": {"signature": "required"},
    "the address is presigned": {"presign": True},
    "loss": {"loss": 0.03, "seed": 1},
    "duplicates": {"duplicate": 0.2, "seed": 2},
    "another order": {"reorder": 0.1, "seed": 3},
    "a long way": {"delay": 0.02},
    "all of these": {"loss": 0.01, "duplicate": 0.05, "reorder": 0.05, "delay": 0.005, "seed": 4},
    "closed with Bye": {"close_after": 0.5},
    "closed with Bye and another cell, which wants a signature": {
        "close_after": 0.5,
        "new_cell": True,
        "signature": "required",
    },
    "no start_publication": {"no_start": True},
    "start_publication after the first output": {"start_after_output": True},
    "publication as bare text": {"publication": "text", "pause_undeliverable": True, "close_after": 0.5},
    "publication with a wrong digest": {"publication": "wrong-digest", "pause_undeliverable": True, "close_after": 0.5},
    "publication without a body": {"publication": "empty", "close_after": 0.5},
    "the agent comes late": {"away": 1.0, "pause_undeliverable": True},
    "tokens that may be used again": {"single_use_tokens": False, "close_after": 0.5},
}


def goes_through_and_back(forward: Forwarded, size: int = SIZE) -> None:
    sent = random.Random(9).randbytes(size)
    with forward.connect(60) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent,), daemon=True)
        sender.start()
        received = receive_exactly(connection, size)
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_every_byte_arrives_once_in_spite_of(name: str, faulty: Faulty) -> None:
    sandbox = faulty.play(**FAULTS[name])
    with serving(echo) as server, forwarding(sandbox, "my-profile", f"i-deadbeef:{server.port}") as forward:
        goes_through_and_back(forward)
        assert server.accepted == 1


CUTS: dict[str, Callable[[Sandbox], int]] = {
    "Bye": lambda sandbox: sandbox.cut(),
    "a broken connection": lambda sandbox: sandbox.cut(abort=True),
    "a pause": lambda sandbox: sandbox.publish("pause"),
    "a pause for the agent": lambda sandbox: sandbox.publish("pause", to="agent"),
}


def _goes_on_after(cut: Callable[[Sandbox], int], sandbox: Sandbox) -> None:
    with serving(echo) as server, forwarding(sandbox, "my-profile", f"i-deadbeef:{server.port}") as forward:
        with forward.connect(60) as connection:
            for _ in range(2):
                connection.sendall(b"x" * 30_000)
                assert receive_exactly(connection, 1) == b"x"
                assert cut(sandbox) == 1
                assert receive_exactly(connection, 29_999) == b"x" * 29_999
        assert server.accepted == 1


@pytest.mark.parametrize("name", CUTS)
def test_transfer_goes_on_after(name: str, faulty: Faulty) -> None:
    _goes_on_after(CUTS[name], faulty.play())


def test_transfer_goes_on_after_a_kind_agent_was_away(make_sandbox: MakeSandbox) -> None:
    _goes_on_after(lambda sandbox: sandbox.agents_leave(0.5), make_sandbox(agent_manners="kind"))


def test_every_byte_arrives_once_in_spite_of_a_kind_agent_that_leaves(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(agent_manners="kind", leave_after=0.3, away=0.5, pause_undeliverable=True)
    with serving(echo) as server, forwarding(sandbox, "my-profile", f"i-deadbeef:{server.port}") as forward:
        goes_through_and_back(forward)
        assert server.accepted == 1


def test_official_agent_that_was_away_makes_a_whole_transfer_or_a_reset(faulty: Faulty) -> None:
    """It may execute a message twice when it is cut (12.16): the stream then breaks, and no wrong byte comes out."""
    sandbox = faulty.play()
    sent = random.Random(5).randbytes(30_000)
    received = b""
    with (
        serving(echo) as server,
        forwarding(sandbox, "my-profile", f"i-deadbeef:{server.port}") as forward,
        forward.connect(60) as connection,
    ):
        connection.sendall(sent)
        received = receive_exactly(connection, 1)
        assert sandbox.agents_leave(0.5) == 1
        try:
            while len(received) < len(sent) and (data := connection.recv(65536)):
                received += data
        except ConnectionResetError:
            pass
        else:
            assert len(received) == len(sent)  # an end without a reset would say that this was all
    assert received == sent[: len(received)]


def test_pace_of_the_client_stays_below_the_limit(faulty: Faulty) -> None:
    sandbox = faulty.play(frame_limit=1000)
    with serving(echo) as server, forwarding(sandbox, "my-profile", f"i-deadbeef:{server.port}") as forward:
        goes_through_and_back(forward, 600_000)
        assert [each["connections"] for each in sandbox.sessions() if not each["ended"]] == [1]


def test_service_ends_the_session_with_a_reason_that_is_shown(faulty: Faulty, runas: RunAs) -> None:
    sandbox = faulty.play(end_after=1, end_output="Maintenance of the sandbox")
    done = runas(sandbox, "shell", "my-profile", "i-deadbeef", input=b"sleep 30\n")
    assert done.returncode == 6
    assert b"Maintenance of the sandbox" in done.stderr


@pytest.mark.slow
def test_kms_encrypts_shells_and_commands(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    sandbox = make_sandbox(kms=True)
    done = runas(sandbox, "shell", "my-profile", "i-deadbeef", input=b"echo $((6*7)); exit\n")
    assert (done.returncode, b"42" in done.stdout, b"encrypted" in done.stderr) == (0, True, True)
    assert sandbox.count("GenerateDataKey") == 1


def test_session_ends_when_nobody_has_used_it_for_long(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    sandbox = make_sandbox(clock_speed=1200)  # twenty minutes pass in a second
    done = runas(sandbox, "shell", "my-profile-user", "i-deadbeef", input=b"sleep 30\n")
    assert b"inactivity" in done.stderr
    wait_until(lambda: all(each["ended"] for each in sandbox.sessions()), "the session's end")
