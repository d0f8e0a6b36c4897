"""The accounts and roles that Identity Center assigns to the user, listed at the rate that the service allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aws_runas.aws import sso
from aws_runas.dataclass import dataclass

CALLS_PER_SECOND = 18.0  # the service allows 20; calls may arrive slightly closer together than they were sent
IN_FLIGHT = 8


@dataclass(frozen=True, slots=True, order=True)
class Assignment:
    """A role that the user is assigned to."""

    account_name: str
    account_id: str
    role_name: str


class Pace:
    """Lets calls pass at a steady rate. Safe for several threads.

    Args:
        rate: calls per second.
        clock: returns monotonic seconds.
        sleep: waits for seconds.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._interval = 1.0 / rate
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until the next call may be made."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


def list_assignments(client: object, access_token: str, pace: Pace | None = None) -> list[Assignment]:
    """List every role of every account, sorted by account name, id and role.

    Args:
        client: portal client from `aws.client.Clients`; used by several threads.
        access_token: token of the sign-in.
        pace: limits the rate of the calls; None for CALLS_PER_SECOND.

    Raises:
        CredentialsError: the service refused or could not be reached.
    """
    pace = pace or Pace(CALLS_PER_SECOND)
    accounts = list(sso.list_accounts(client, access_token, pace.wait))

    def roles_of(account: sso.SsoAccount) -> list[Assignment]:
        names = sso.list_account_roles(client, access_token, account.account_id, pace.wait)
        return [Assignment(account.name, account.account_id, name) for name in names]

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return sorted(assignment for found in pool.map(roles_of, accounts) for assignment in found)
