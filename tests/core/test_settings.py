"""ChannelSettings: what would make a channel impossible is refused where it is said."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.settings import ChannelSettings


@pytest.mark.parametrize("size", [0, -1, 65_537])
def test_payload_size_out_of_range_is_refused_by_its_value(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes; it must be 1 to 65536"):
        ChannelSettings(payload_size=size)


@pytest.mark.parametrize("size", [1, 65_536])
def test_the_ends_of_the_range_are_allowed(size: int) -> None:
    assert ChannelSettings(payload_size=size).payload_size == size


def test_rate_below_one_frame_is_refused_and_no_rate_is_not() -> None:
    with pytest.raises(ValueError, match=r"0\.5 frames a second"):
        ChannelSettings(frame_rate=0.5)
    assert ChannelSettings(frame_rate=None).frame_rate is None


def test_window_must_hold_one_payload() -> None:
    with pytest.raises(ValueError, match="window of 1023 bytes"):
        ChannelSettings(payload_size=1024, window_bytes=1023)
    assert ChannelSettings(payload_size=1024, window_bytes=1024).window_bytes == 1024
