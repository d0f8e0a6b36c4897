"""Durations in Go's notation: ``90m``, ``1h30m``, ``12h``."""

from __future__ import annotations

MINUTE = 60
HOUR = 3600

SESSION_TOKEN_RANGE = (15 * MINUTE, 36 * HOUR)  # seconds, AWS: GetSessionToken DurationSeconds
ROLE_RANGE = (15 * MINUTE, 12 * HOUR)  # seconds, AWS: AssumeRole DurationSeconds
CHAINED_ROLE_LIMIT = HOUR  # seconds, AWS: role chaining

SESSION_TOKEN_DEFAULT = 12 * HOUR
ROLE_DEFAULT = HOUR

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> int:
    """Read a duration with units.

    Args:
        text: for instance ``12h``, ``1h30m`` or ``1.5h``.

    Returns:
        Whole seconds, rounded down.

    Raises:
        ValueError: the text is not a duration; the message says why and can be shown.
    """
    rest = text.strip()
    if not rest:
        raise ValueError("a duration is missing, for instance 1h30m")
    if _is_number(rest):
        raise ValueError(f"duration {text!r} has no unit: write {rest}s, {rest}m or {rest}h")
    total = 0.0
    while rest:
        number = _leading(rest, "0123456789.")
        rest = rest[len(number) :]
        unit = _unit(rest)
        if not _is_number(number) or unit is None:
            raise ValueError(f"duration {text!r} is not like 90m, 1h30m or 12h")
        total += float(number) * _UNITS[unit]
        rest = rest[len(unit) :]
    if total > 1e9:
        raise ValueError(f"duration {text!r} is too long")
    return int(total + 1e-9)


def parse_age(text: str) -> int:
    """Read the age of a key: whole days such as ``90d``, or a duration.

    Returns:
        Seconds.

    Raises:
        ValueError: the text is neither; the message can be shown.
    """
    days = text.strip().removesuffix("d")
    if text.strip().endswith("d") and days.isascii() and days.isdigit() and len(days) < 6:
        return int(days) * 24 * HOUR
    return parse_duration(text)


def check_range(seconds: int, limits: tuple[int, int], what: str) -> None:
    """Check a duration against AWS's limits.

    Args:
        seconds: the duration.
        limits: minimum and maximum, both allowed.
        what: names the thing that has the duration, for the message.

    Raises:
        ValueError: the duration is outside the limits; the message can be shown.
    """
    low, high = limits
    if not low <= seconds <= high:
        allowed = f"{format_duration(low)} to {format_duration(high)}"
        raise ValueError(f"{what} of {format_duration(seconds)} is out of range: AWS allows {allowed}")


def format_duration(seconds: int) -> str:
    """Format a duration for `parse_duration`: ``1h30m``, ``15m``, ``45s``.

    Args:
        seconds: of the duration.
    """
    hours, rest = divmod(seconds, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(parts) or "0s"


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").removeprefix("+").replace(".", "", 1)
    return digits.isascii() and digits.isdigit()


def _leading(text: str, characters: str) -> str:
    end = 0
    while end < len(text) and text[end] in characters:
        end += 1
    return text[:end]


def _unit(text: str) -> str | None:
    for length in (2, 1):
        if text[:length] in _UNITS:
            return text[:length]
    return None
