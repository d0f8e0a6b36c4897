"""IAM: the policies that an identity holds, its MFA devices, and its console password."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aws_runas.aws.errors import translate

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

Kind = Literal["user", "group", "role"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds policies.

    Args:
        kind: what it is.
        name: without its path.
    """

    kind: Kind
    name: str


class Iam:
    """The calls, one method each; safe to use from several threads at once.

    Args:
        access: its user's own keys ask, since a role rarely may.
    """

    def __init__(self, access: Access) -> None:
        self._client: Any = access.user_client("iam")

    def groups(self, user: str) -> list[str]:
        """Names of a user's groups. Source: iam ListGroupsForUser."""
        return [one["GroupName"] for one in self._pages("list_groups_for_user", "Groups", UserName=user)]

    def inline_names(self, holder: Holder) -> list[str]:
        """Names of inline policies. Source: iam ListUserPolicies, ListGroupPolicies, ListRolePolicies."""
        return list(self._pages(f"list_{holder.kind}_policies", "PolicyNames", **_named(holder)))

    def inline_document(self, holder: Holder, policy: str) -> Mapping[str, object]:
        """One inline policy. Source: iam GetUserPolicy, GetGroupPolicy, GetRolePolicy."""
        reply = self._call(f"get_{holder.kind}_policy", PolicyName=policy, **_named(holder))
        return _document(reply["PolicyDocument"])

    def attached(self, holder: Holder) -> list[str]:
        """ARNs of attached policies. Source: iam ListAttached{User,Group,Role}Policies."""
        pages = self._pages(f"list_attached_{holder.kind}_policies", "AttachedPolicies", **_named(holder))
        return [one["PolicyArn"] for one in pages]

    def default_version(self, policy_arn: str) -> str:
        """Which version of a managed policy is in force. Source: iam GetPolicy."""
        version: str = self._call("get_policy", PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        return version

    def version_document(self, policy_arn: str, version: str) -> Mapping[str, object]:
        """One version of a managed policy. Source: iam GetPolicyVersion."""
        reply = self._call("get_policy_version", PolicyArn=policy_arn, VersionId=version)
        return _document(reply["PolicyVersion"]["Document"])

    def mfa_devices(self, user: str | None) -> list[str]:
        """Serial numbers, ARNs of virtual devices, of a user or the caller, sorted. Source: iam ListMFADevices."""
        whose = {"UserName": user} if user else {}
        return sorted(one["SerialNumber"] for one in self._pages("list_mfa_devices", "MFADevices", **whose))

    def account_alias(self) -> str | None:
        """The alias of the account, None where it has none. Source: iam ListAccountAliases."""
        return next(iter(self._pages("list_account_aliases", "AccountAliases")), None)

    def change_password(self, old: str, new: str) -> None:
        """Change the caller's own console password. Source: iam ChangePassword."""
        self._call("change_password", OldPassword=old, NewPassword=new)

    def _pages(self, method: str, key: str, **parameters: str) -> Iterator[Any]:
        with translate("iam", self._operation(method)):
            for page in self._client.get_paginator(method).paginate(**parameters):
                yield from page.get(key, [])

    def _call(self, method: str, **parameters: str) -> Any:
        with translate("iam", self._operation(method)):
            return getattr(self._client, method)(**parameters)

    def _operation(self, method: str) -> str:
        name: str = self._client.meta.method_to_api_mapping[method]
        return name


def _named(holder: Holder) -> dict[str, str]:
    return {f"{holder.kind.capitalize()}Name": holder.name}


def _document(raw: object) -> Mapping[str, object]:
    """Botocore decodes documents; what it could not decode is tried once more, and is empty when it is no JSON."""
    if isinstance(raw, str):
        try:
            raw = json.loads(urllib.parse.unquote(raw))
        except ValueError:
            return {}
    return raw if isinstance(raw, Mapping) else {}
