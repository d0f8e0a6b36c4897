"""What agents can do, by their version (spec 6 and 13.8)."""

from __future__ import annotations

import pytest

from aws_runas.errors import SessionError
from aws_runas.ssm.versions import MULTIPLEXING, NO_KEEPALIVE, at_least, check_forwarding, later_than


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.0.196.0", False),  # strictly later
        ("3.0.196.1", True),
        ("3.0.222.0", True),
        ("2.3.672.0", False),
        ("10.0.0.0", True),  # numbers, not text
        ("3.0.197", False),  # another number of parts is not supported, as with the official client
        ("3.0.197.0-beta", False),
        ("", False),
    ],
)
def test_connections_share_a_session_after_3_0_196_0(version: str, expected: bool) -> None:
    assert later_than(version, MULTIPLEXING) is expected


def test_keepalive_is_left_out_after_3_1_1511_0() -> None:
    assert not later_than("3.1.1511.0", NO_KEEPALIVE)
    assert later_than("3.1.1512.0", NO_KEEPALIVE)


def test_at_least_takes_the_threshold_itself() -> None:
    assert at_least("2.3.672.0", "2.3.672.0")


@pytest.mark.parametrize("version", ["2.3.672.0", "3.3.0.0", "", "unknown"])
def test_forwarding_is_tried_with_agents_that_may_do_it(version: str) -> None:
    check_forwarding(version, remote_host=False)


@pytest.mark.parametrize(
    ("version", "remote_host", "needed"), [("2.3.671.9", False, "2.3.672.0"), ("3.1.1373.0", True, "3.1.1374.0")]
)
def test_agents_too_old_are_named_with_what_is_needed(version: str, remote_host: bool, needed: str) -> None:
    with pytest.raises(SessionError) as caught:
        check_forwarding(version, remote_host=remote_host)
    assert version in caught.value.message
    assert needed in caught.value.message
