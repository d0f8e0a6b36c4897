"""The roles that a user may assume, from all policies that apply to the user. The calls are made in parallel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from aws_runas.aws.iam import Holder, Iam
from aws_runas.aws.sts import caller_identity
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.identity.policy import Judged, assumable_roles

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

CALLS_AT_ONCE = 10  # the number of connections that botocore keeps to one host

_Names = Future[list[str]]

_USER = re.compile(r"arn:[^:]+:iam::[0-9]{12}:user/(?:.*/)?([^/]+)")
_ASSUMED = re.compile(r"arn:[^:]+:sts::[0-9]{12}:assumed-role/([^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity whose policies are read.

    Args:
        arn: the ARN that STS reports.
        account: 12 digits.
        holder: the user or role in IAM that has the policies.
    """

    arn: str
    account: str
    holder: Holder


def caller_of(arn: str) -> Caller:
    """Return the caller with the user or role whose policies apply to it.

    Args:
        arn: ARN of the caller.

    Raises:
        CredentialsError: the caller is the root user or a federated user, which have no policies in IAM.
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
        access: the profile; the calls use the keys of its user.
    """
    caller = caller_of(caller_identity(access, user=True).arn)
    return caller, roles_of(caller, access)


def roles_of(caller: Caller, access: Access) -> Judged:
    """Read inline, attached and group policies, and evaluate them together.

    Args:
        caller: the caller whose policies are read.
        access: the profile; IAM is called with the keys of its user.

    Raises:
        AwsRunasError: IAM refused one of the calls; an incomplete set of policies would give wrong results.
    """
    with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="iam") as pool:
        documents = _Walk(Iam(access), pool).documents(caller.holder)
    variables = {"aws:username": caller.holder.name} if caller.holder.kind == "user" else {}
    return assumable_roles(documents, variables)


class _Walk:
    """Reads the policies of a holder in rounds; the calls of one round run in parallel."""

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
        CredentialsError: the profile belongs to a role or a federated user, which have no MFA devices.
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
    """Return the name of the IAM user that the keys of a profile belong to.

    Raises:
        CredentialsError: the keys do not belong to a user, or AWS refused them.
    """
    caller = caller_of(caller_identity(access, user=True).arn)
    if caller.holder.kind != "user":
        raise CredentialsError(
            f"{caller.arn} is a role, and roles have no access keys of their own",
            code="caller-not-a-user",
            hint="name the profile of an IAM user",
        )
    return caller.holder.name
