"""Resource groups: the members of groups, which moto does not support. moto stores the groups themselves.

Source: AWS Resource Groups API reference, ListGroupResources and SearchResources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import (
    Input,
    JsonObject,
    page,
    read_object,
    read_objects,
    read_text,
    read_texts,
    require_text,
)
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import Key, account_of

PAGE: Final = 50  # maximum number of rows in one answer
ALL_TYPES: Final = "AWS::AllSupported"
INSTANCE_TYPE: Final = "AWS::EC2::Instance"
RESOURCE_TYPE: Final = re.compile(r"AWS::[a-zA-Z0-9]+::[a-zA-Z0-9]+")
GROUP_ARN: Final = re.compile(r"arn:aws[a-z-]*:resource-groups:([a-z0-9-]+):([0-9]{12}):group/(.+)")
TAG_FILTERS, STACK = "TAG_FILTERS_1_0", "CLOUDFORMATION_STACK_1_0"
# Path of a request -> action; the protocol is REST, so no header names it.
ACTIONS: Final = {
    "/list-group-resources": "ListGroupResources",
    "/resources/search": "SearchResources",
    "/groups": "CreateGroup",
    "/groups-list": "ListGroups",
    "/get-group": "GetGroup",
    "/get-group-query": "GetGroupQuery",
    "/delete-group": "DeleteGroup",
}


class ResourceGroups:
    """Members of groups and results of searches: EC2 instances selected by their tags.

    Args:
        moto: provides the groups and the instances.
        wait_for: blocks until moto has loaded a service.
    """

    def __init__(self, moto: Moto, wait_for: Callable[[str], None]) -> None:
        self._moto = moto
        self._wait_for = wait_for

    def call(self, action: str, values: Input, key: Key, region: str) -> Reply:
        """Answer one call.

        Args:
            action: as AWS spells it.
            values: members of the request.
            key: the key that signed it.
            region: the region that it was signed for.

        Raises:
            LookupError: moto answers the action.
            ServiceError: the call is refused.
        """
        if action == "ListGroupResources":
            return json_reply(self._list(values, key, region), content_type="application/json")
        if action == "SearchResources":
            query = read_object(values, "ResourceQuery")
            return json_reply(self._members(query, values, key, region), content_type="application/json")
        raise LookupError(action)

    def _list(self, values: Input, key: Key, region: str) -> JsonObject:
        name, account = _group_name(values, key, region), account_of(key.principal.arn)
        query = self._moto.resource_query(account, region, name)
        if query is None:
            raise ServiceError("NotFoundException", f"Cannot find the group {name}.", 404)
        wanted = _type_filter(values, query)
        answer = self._members(query, values, key, region, wanted)
        rows = answer["ResourceIdentifiers"]
        answer["Resources"] = [{"Identifier": row} for row in rows] if isinstance(rows, list) else []
        return answer

    def _members(
        self, query: Mapping[str, object], values: Input, key: Key, region: str, wanted: frozenset[str] = frozenset()
    ) -> JsonObject:
        """Return a page of the results of a query.

        Args:
            wanted: resource types; empty for all types in the query.
        """
        if read_text(query, "Type") == STACK:  # the sandbox has no stacks
            error = {"ErrorCode": "CLOUDFORMATION_STACK_NOT_EXISTING", "Message": "The stack does not exist."}
            return {"ResourceIdentifiers": [], "QueryErrors": [error]}
        search = _parsed(query)
        types = set(read_texts(search, "ResourceTypeFilters"))
        rows: list[JsonObject] = []
        if types & {ALL_TYPES, INSTANCE_TYPE} and (not wanted or INSTANCE_TYPE in wanted):
            self._wait_for("ec2")
            account = account_of(key.principal.arn)
            rows = [
                {"ResourceArn": f"arn:aws:ec2:{region}:{account}:instance/{instance_id}", "ResourceType": INSTANCE_TYPE}
                for instance_id, tags in self._moto.instance_tags(account, region).items()
                if _matches(tags, read_objects(search, "TagFilters"))
            ]
        try:
            return {**page("ResourceIdentifiers", rows, values, PAGE), "QueryErrors": []}
        except ServiceError as error:
            raise ServiceError("BadRequestException", error.message) from None


def _group_name(values: Input, key: Key, region: str) -> str:
    text = read_text(values, "Group") or read_text(values, "GroupName")
    try:
        require_text({"Group": text or None}, "Group", 1, 1600)
    except ServiceError as error:
        raise ServiceError("BadRequestException", error.message) from None
    arn = GROUP_ARN.fullmatch(text)
    if arn is None:
        return text
    if (arn[1], arn[2]) != (region, account_of(key.principal.arn)):
        raise ServiceError("NotFoundException", f"Cannot find the group {text}.", 404)
    return arn[3]


def _type_filter(values: Input, query: Mapping[str, object]) -> frozenset[str]:
    """Return the resource types in a filter. Types that the group cannot contain are refused."""
    wanted: set[str] = set()
    for item in read_objects(values, "Filters"):
        if read_text(item, "Name") != "resource-type":
            raise ServiceError("BadRequestException", f"Invalid filter name {read_text(item, 'Name')}.")
        wanted |= set(read_texts(item, "Values"))
    allowed = set(read_texts(_parsed(query), "ResourceTypeFilters"))
    for value in wanted:
        if not RESOURCE_TYPE.fullmatch(value) or not allowed & {ALL_TYPES, value}:
            raise ServiceError("BadRequestException", f"Resource type {value} is not in the group's query.")
    return frozenset(wanted)


def _parsed(query: Mapping[str, object]) -> JsonObject:
    if read_text(query, "Type") not in (TAG_FILTERS, STACK):
        raise ServiceError("BadRequestException", "Invalid query: the type is unknown.")
    try:
        search = json.loads(read_text(query, "Query"))
    except (ValueError, RecursionError):
        search = None
    if not isinstance(search, dict):
        raise ServiceError("BadRequestException", "Invalid query: Invalid query format: check JSON syntax")
    return search


def _matches(tags: Mapping[str, str], filters: list[JsonObject]) -> bool:
    """Return True if each filter matches one of its values; a filter without values only requires the key."""
    return all(
        read_text(item, "Key") in tags
        and tags[read_text(item, "Key")] in (read_texts(item, "Values") or [tags[read_text(item, "Key")]])
        for item in filters
    )
