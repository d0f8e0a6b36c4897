"""How long credentials are used: until a tenth of their life is left."""

from __future__ import annotations

from aws_runas.aws.credentials import Credentials

RESERVE = 0.1  # of the life, product rule
CLOCK_TOLERANCE = 300  # seconds; AWS itself accepts five minutes


def usable_until(credentials: Credentials) -> float | None:
    """Return the moment from which new credentials are fetched: a tenth of the lifetime before the end.

    Args:
        credentials: to judge.

    Returns:
        Seconds since the epoch, None for credentials that do not end.
    """
    if credentials.expiration is None:
        return None
    end = credentials.expiration.timestamp()
    if credentials.issued is None:
        return end
    life = end - credentials.issued.timestamp()
    return end - life * RESERVE


def is_usable(credentials: Credentials, now: float) -> bool:
    """Return True if credentials may still be given out.

    Args:
        now: seconds since the epoch.
    """
    until = usable_until(credentials)
    if until is None:
        return True
    if credentials.issued is not None and credentials.issued.timestamp() > now + CLOCK_TOLERANCE:
        return False  # the clock was set back: their end cannot be trusted
    return now < until
