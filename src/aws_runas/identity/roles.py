"""The roles that a user may assume, from all policies that reach them; the calls are made side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_runas.aws.iam import Holder, Iam
from aws_runas.aws.sts import caller_identity
from aws_runas.errors import CredentialsError
from aws_runas.identity.policy import Judged, assumable_roles

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

CALLS_AT_ONCE = 10  # botocore keeps as many connections to one host

_Names = Future[list[str]]

_USER = re.compile(r"arn:[^:]+:iam::[0-9]{12}:user/(?:.*/)?([^/]+)")
_ASSUMED = re.compile(r"arn:[^:]+:sts::[0-9]{12}:assumed-role/([^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity whose policies are read.

    Args:
        arn: as STS tells it.
        account: twelve digits.
        holder: who holds its policies in IAM.
    """

    arn: str
    account: str
    holder: Holder


def caller_of(arn: str) -> Caller:
    """Return whose policies count for a caller.

    Args:
        arn: of the caller.

    Raises:
        CredentialsError: the root user or a federated one, who hold no policies in IAM.
    """
    for pattern, kind in ((_USER, "user"), (_ASSUMED, "role")):
        match = pattern.fullmatch(arn)
        if match:
            return Caller(arn, arn.split(":")[4], Holder("user" if kind == "user" else "role", match[1]))
    raise CredentialsError(
        f"{arn} is not an IAM user or role, so it has no policies to read",
        code="caller-not-a-user",
        hint="use a profile with the access keys of an IAM user",
    )


def own_roles(access: Access) -> tuple[Caller, Judged]:
    """Return the user behind a profile, and the roles that this user may assume.

    Args:
        access: its user's own keys ask.
    """
    caller = caller_of(caller_identity(access, user=True).arn)
    return caller, roles_of(caller, access)


def roles_of(caller: Caller, access: Access) -> Judged:
    """Walk inline, attached and group policies, and judge them together.

    Args:
        caller: whose.
        access: its user's own keys ask IAM.

    Raises:
        AwsRunasError: IAM refused one of the calls; a part of the policies would give wrong answers.
    """
    with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="iam") as pool:
        documents = _Walk(Iam(access), pool).documents(caller.holder)
    variables = {"aws:username": caller.holder.name} if caller.holder.kind == "user" else {}
    return assumable_roles(documents, variables)


class _Walk:
    """Rounds of calls that do not wait for each other."""

    def __init__(self, iam: Iam, pool: ThreadPoolExecutor) -> None:
        self._iam = iam
        self._pool = pool

    def documents(self, holder: Holder) -> list[tuple[str, Mapping[str, object]]]:
        groups = self._pool.submit(self._iam.groups, holder.name) if holder.kind == "user" else None
        first = self._begin([holder])
        holders = [*first, *self._begin(Holder("group", name) for name in (groups.result() if groups else ()))]
        inline = [
            (f"{held.kind} {held.name}: {name}", self._pool.submit(self._iam.inline_document, held, name))
            for held, names, _ in holders
            for name in names.result()
        ]
        arns = sorted({arn for _, _, attached in holders for arn in attached.result()})
        managed = [(arn, self._pool.submit(self._managed, arn)) for arn in arns]
        return [(name, document.result()) for name, document in [*inline, *managed]]

    def _begin(self, holders: Iterable[Holder]) -> list[tuple[Holder, _Names, _Names]]:
        return [
            (one, self._pool.submit(self._iam.inline_names, one), self._pool.submit(self._iam.attached, one))
            for one in holders
        ]

    def _managed(self, arn: str) -> Mapping[str, object]:
        return self._iam.version_document(arn, self._iam.default_version(arn))


def mfa_devices(access: Access) -> list[str]:
    """List the MFA devices of the user behind a profile, sorted: ARNs, and serial numbers of hardware devices.

    Args:
        access: the profile.

    Raises:
        CredentialsError: a role or a federated user is behind it, who have none.
    """
    arn = caller_identity(access, user=True).arn
    if arn.endswith(":root"):
        return Iam(access).mfa_devices(None)
    holder = caller_of(arn).holder
    if holder.kind != "user":
        raise CredentialsError(
            f"{arn} is a role, and roles have no MFA devices",
            code="caller-not-a-user",
            hint="use a profile with the access keys of an IAM user",
        )
    return Iam(access).mfa_devices(holder.name)


def iam_user_of(access: Access) -> str:
    """Return the name of the IAM user whose keys an access has.

    Raises:
        CredentialsError: it is no user, or AWS refused the keys.
    """
    caller = caller_of(caller_identity(access, user=True).arn)
    if caller.holder.kind != "user":
        raise CredentialsError(
            f"{caller.arn} is a role, and roles have no access keys of their own",
            code="caller-not-a-user",
            hint="name the profile of an IAM user",
        )
    return caller.holder.name
