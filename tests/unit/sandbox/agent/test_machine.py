"""What an agent makes of its client's version."""

from __future__ import annotations

import pytest

from aws_runas.sandbox.agent.machine import newer_client


@pytest.mark.parametrize(
    ("version", "newer"),
    [
        ("1.2.764.0", True),
        ("1.1.70.0", True),
        ("1.1.70", True),
        ("1.1.69.9", False),
        ("1.1", False),
        ("0.0.1", False),
        ("2.0", True),
        ("pyssm-client/0.1.0", True),
        ("", False),
    ],
)
def test_client_speaks_smux_from_a_version_on(version: str, newer: bool) -> None:
    assert newer_client(version) is newer
