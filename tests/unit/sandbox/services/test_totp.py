"""MFA codes against the table of RFC 6238, and a device that takes each once."""

from __future__ import annotations

import base64

import pytest

from aws_runas.sandbox.services.sts import STEP, Device, code_at

RFC_SEED = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    assert code_at(RFC_SEED, seconds // STEP) == code


def test_seed_may_lack_padding_and_be_in_lower_case() -> None:
    assert code_at("jbswy3dpehpk3pxp", 1) == code_at("JBSWY3DPEHPK3PXP", 1)
    assert code_at("JBSWY3DP", 7) == code_at("JBSWY3DP======"[:8], 7)


def test_device_accepts_a_code_once() -> None:
    device = Device(RFC_SEED)
    assert device.accept("287082", 59)
    assert not device.accept("287082", 60)


def test_device_accepts_its_neighbours_in_time_and_nothing_further_away() -> None:
    now = 1111111111
    for steps, good in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        assert Device(RFC_SEED).accept(code_at(RFC_SEED, now // STEP + steps), now) is good


def test_device_refuses_a_wrong_code_and_still_takes_the_right_one() -> None:
    device = Device(RFC_SEED)
    assert not device.accept("000000", 59)
    assert device.accept("287082", 59)


def test_promised_codes_are_all_different_and_all_good() -> None:
    device = Device(RFC_SEED)
    codes = [device.fresh_code(59) for _ in range(40)]
    assert len(set(codes)) == 40
    assert all(device.accept(code, 59) for code in codes)
    assert not any(device.accept(code, 59) for code in codes)
