"""Listing accounts and roles: every page, sorted, and no faster than the service allows."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_runas.errors import CredentialsError
from aws_runas.identity.sso_assignments import CALLS_PER_SECOND, Assignment, Pace, list_assignments


class FakePortal:
    """Three accounts in pages of two, each with two roles in pages of one."""

    def __init__(self) -> None:
        self.sizes: set[int] = set()

    def list_accounts(self, **values: Any) -> dict[str, Any]:
        assert values["accessToken"] == "t"
        self.sizes.add(values["maxResults"])
        accounts = [{"accountId": f"{number}", "accountName": name} for number, name in ((1, "b"), (2, "a"), (3, "c"))]
        more = "nextToken" in values
        return {"accountList": accounts[2:]} if more else {"accountList": accounts[:2], "nextToken": "more"}

    def list_account_roles(self, **values: Any) -> dict[str, Any]:
        assert values["accessToken"] == "t"
        self.sizes.add(values["maxResults"])
        more = "nextToken" in values
        role = {"roleName": "z" if more else "y", "accountId": values["accountId"]}
        return {"roleList": [role]} | ({} if more else {"nextToken": "more"})


def test_every_page_of_every_account_is_read_and_sorted() -> None:
    portal = FakePortal()
    found = list_assignments(portal, "t", Pace(1e6))
    assert found == [
        Assignment(name, account, role) for name, account in (("a", "2"), ("b", "1"), ("c", "3")) for role in ("y", "z")
    ]
    assert portal.sizes == {100}


def test_calls_are_no_faster_than_the_rate_whoever_makes_them() -> None:
    now = [0.0]
    lock = threading.Lock()
    turns: list[float] = []

    def sleep(seconds: float) -> None:
        with lock:
            turns.append(now[0] + seconds)

    pace = Pace(CALLS_PER_SECOND, lambda: now[0], sleep)
    threads = [threading.Thread(target=pace.wait) for _ in range(37)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 36  # the first call need not wait
    assert max(turns) == pytest.approx(2.0)
    now[0] = 100.0
    turns.clear()
    pace.wait()
    assert turns == []


def test_an_answer_that_is_not_of_aws_is_an_error() -> None:
    portal = FakePortal()
    portal.list_accounts = lambda **_: {"accountList": [{"accountId": 5}]}  # type: ignore[method-assign]
    with pytest.raises(CredentialsError) as caught:
        list_assignments(portal, "t", Pace(1e6))
    assert caught.value.code == "endpoint-not-aws"


def test_a_dead_token_has_its_code() -> None:
    portal = FakePortal()

    def refuse(**_: Any) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "UnauthorizedException", "Message": "x"}}, "ListAccounts")

    portal.list_accounts = refuse  # type: ignore[method-assign]
    with pytest.raises(CredentialsError) as caught:
        list_assignments(portal, "t", Pace(1e6))
    assert caught.value.code == "sso-token-dead"
