"""IAM: the policies of an identity, its MFA devices, its console password and its access keys."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from aws_runas.aws import reply
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import translate
from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

Kind = Literal["user", "group", "role"]


@dataclass(frozen=True, slots=True)
class Holder:
    """An identity that has policies: a user, group or role.

    Args:
        kind: kind of identity.
        name: without its path.
    """

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key of a user, as IAM describes it.

    Args:
        active: whether it can sign.
        created: aware, UTC; None if IAM does not say.
    """

    access_key_id: str
    active: bool
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class LastUse:
    """The last use of an access key.

    Args:
        date: aware, UTC; None if it was never used.
        service: such as ``s3``; "" if it was never used.
    """

    date: datetime | None
    service: str


class Iam:
    """The calls, one method each; safe to use from several threads at once.

    Args:
        access: the user's own keys sign the calls, since a role rarely has the permission.
        user: False to sign with the credentials of the access, such as a session token with MFA.
    """

    def __init__(self, access: Access, *, user: bool = True) -> None:
        self._client: Any = access.user_client("iam") if user else access.client("iam")

    def groups(self, user: str) -> list[str]:
        """Return the names of a user's groups. Source: iam ListGroupsForUser."""
        return self._pages("list_groups_for_user", "Groups", "GroupName", UserName=user)

    def inline_names(self, holder: Holder) -> list[str]:
        """Return names of inline policies. Source: iam ListUserPolicies, ListGroupPolicies, ListRolePolicies."""
        return self._pages(f"list_{holder.kind}_policies", "PolicyNames", **_named(holder))

    def inline_document(self, holder: Holder, policy: str) -> Mapping[str, object]:
        """Return one inline policy. Source: iam GetUserPolicy, GetGroupPolicy, GetRolePolicy."""
        answer = self._call(f"get_{holder.kind}_policy", PolicyName=policy, **_named(holder))
        return _document(answer.get("PolicyDocument"))

    def attached(self, holder: Holder) -> list[str]:
        """Return ARNs of attached policies. Source: iam ListAttached{User,Group,Role}Policies."""
        return self._pages(f"list_attached_{holder.kind}_policies", "AttachedPolicies", "PolicyArn", **_named(holder))

    def default_version(self, policy_arn: str) -> str:
        """Return the default version of a managed policy. Source: iam GetPolicy."""
        with translate("iam", "GetPolicy"):
            return reply.text(
                reply.mapping(self._call("get_policy", PolicyArn=policy_arn), "Policy"), "DefaultVersionId"
            )

    def version_document(self, policy_arn: str, version: str) -> Mapping[str, object]:
        """Return one version of a managed policy. Source: iam GetPolicyVersion."""
        answer = self._call("get_policy_version", PolicyArn=policy_arn, VersionId=version)
        with translate("iam", "GetPolicyVersion"):
            return _document(reply.mapping(answer, "PolicyVersion").get("Document"))

    def mfa_devices(self, user: str | None) -> list[str]:
        """Return the serial numbers or ARNs of MFA devices, sorted. Source: iam ListMFADevices."""
        whose = {"UserName": user} if user else {}
        return sorted(self._pages("list_mfa_devices", "MFADevices", "SerialNumber", **whose))

    def account_alias(self) -> str | None:
        """Return the alias of the account, None if it has none. Source: iam ListAccountAliases."""
        return next(iter(self._pages("list_account_aliases", "AccountAliases")), None)

    def change_password(self, old: str, new: str) -> None:
        """Change the caller's own console password. Source: iam ChangePassword."""
        self._call("change_password", OldPassword=old, NewPassword=new)

    def access_keys(self, user: str) -> list[AccessKey]:
        """Return the access keys of a user, the oldest first. Source: iam ListAccessKeys."""
        with translate("iam", "ListAccessKeys"):
            keys = [
                AccessKey(reply.text(item, "AccessKeyId"), reply.text(item, "Status") == "Active", _moment(item))
                for page in reply.limited(self._client.get_paginator("list_access_keys").paginate(UserName=user))
                for item in reply.mappings(page, "AccessKeyMetadata")
            ]
        return sorted(keys, key=lambda key: (key.created is None, str(key.created), key.access_key_id))

    def last_use(self, access_key_id: str) -> LastUse:
        """Return the last use of a key. Source: iam GetAccessKeyLastUsed."""
        answer = self._call("get_access_key_last_used", AccessKeyId=access_key_id)
        with translate("iam", "GetAccessKeyLastUsed"):
            last = reply.mapping(answer, "AccessKeyLastUsed")
            date = _moment(last, "LastUsedDate")
            return LastUse(date, reply.text(last, "ServiceName", "") if date else "")

    def create_access_key(self, user: str) -> Credentials:
        """Create a second access key. Source: iam CreateAccessKey."""
        answer = self._call("create_access_key", UserName=user)
        with translate("iam", "CreateAccessKey"):
            key = reply.mapping(answer, "AccessKey")
            return Credentials(reply.text(key, "AccessKeyId"), reply.text(key, "SecretAccessKey"))

    def deactivate_access_key(self, user: str, access_key_id: str) -> None:
        """Deactivate a key. Source: iam UpdateAccessKey."""
        self._call("update_access_key", UserName=user, AccessKeyId=access_key_id, Status="Inactive")

    def delete_access_key(self, user: str, access_key_id: str) -> None:
        """Delete a key. Source: iam DeleteAccessKey."""
        self._call("delete_access_key", UserName=user, AccessKeyId=access_key_id)

    def _pages(self, method: str, key: str, field: str | None = None, **parameters: str) -> list[str]:
        """Return a list of texts over all pages, or one field from a list of structures."""
        with translate("iam", self._operation(method)):
            found: list[str] = []
            for page in reply.limited(self._client.get_paginator(method).paginate(**parameters)):
                if field is None:
                    found += reply.texts(page, key)
                else:
                    found += [reply.text(item, field) for item in reply.mappings(page, key)]
            return found

    def _call(self, method: str, **parameters: str) -> Any:
        with translate("iam", self._operation(method)):
            return getattr(self._client, method)(**parameters)

    def _operation(self, method: str) -> str:
        name: str = self._client.meta.method_to_api_mapping[method]
        return name


def _moment(item: Mapping[str, Any], key: str = "CreateDate") -> datetime | None:
    moment = item.get(key)
    return moment.astimezone(UTC) if isinstance(moment, datetime) and moment.tzinfo else None


def _named(holder: Holder) -> dict[str, str]:
    return {f"{holder.kind.capitalize()}Name": holder.name}


def _document(raw: object) -> Mapping[str, object]:
    """Return a policy document: botocore decodes most; others are decoded here, and are empty if not JSON."""
    if isinstance(raw, str):
        try:
            raw = json.loads(urllib.parse.unquote(raw))
        except ValueError:
            return {}
    return raw if isinstance(raw, Mapping) else {}
