"""Resolvers for DNS names: the name has the address of an instance, or its TXT record holds an instance id."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aws_runas.aws.ec2 import Instance, describe_instances
from aws_runas.errors import AwsRunasError
from aws_runas.targets.by_address import instances_with
from aws_runas.targets.dns import NoAnswer, Questions
from aws_runas.targets.model import Found
from aws_runas.targets.spelling import is_instance_id

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

_LABEL = re.compile(r"[^\s:/\\\"']{1,63}")
_LAST = 253  # characters of a name, RFC 1035 2.3.4 less the length bytes
_SEPARATORS = re.compile(r"[\s\"'=,;]+")


def is_dns_name(text: str) -> bool:
    """Return True if a text can be a host name: labels of 1 to 63 characters, at most 253 in all.

    Args:
        text: the target as typed.
    """
    bare = text.removesuffix(".")
    return 0 < len(bare) <= _LAST and all(_LABEL.fullmatch(label) for label in bare.split("."))


def by_dns_address(text: str, access: Access, questions: Questions) -> Found:
    """Find the running instance at the address of a name (A, AAAA).

    Args:
        text: the name.
        access: the profile.
        questions: to DNS.
    """
    try:
        addresses = questions.addresses(text)
    except NoAnswer as none:
        return Found("DNS address", reason=str(none))
    listed = ", ".join(addresses)
    instances = instances_with(addresses, access)
    return Found(f"DNS address {listed}", tuple(instances), "" if instances else "no running instance has it")


def by_dns_text(text: str, access: Access, questions: Questions) -> Found:
    """Return the instance whose id is in a TXT record of the name, in any state.

    Args:
        text: the name.
        access: the profile.
        questions: to DNS.
    """
    try:
        records = questions.texts(text)
    except NoAnswer as none:
        return Found("DNS TXT record", reason=str(none))
    ids = ids_in(records)
    if not ids:
        return Found("DNS TXT record", reason="no instance id in it")
    if len(ids) == 1:
        return Found("DNS TXT record", (Instance(ids[0]),))
    return Found("DNS TXT records", tuple(_described(ids, access)))


def ids_in(records: Iterable[tuple[str, ...]]) -> list[str]:
    """Collect the instance ids of TXT records in order, without duplicates.

    Args:
        records: the strings of each record. The strings are joined first, because a long text can be split anywhere.
            If the joined text holds no id, each string is read separately. Quotes and ``key=`` before it are ignored.
    """
    found: list[str] = []
    for strings in records:
        joined = _ids("".join(strings))
        found += joined or [one for string in strings for one in _ids(string)]
    return list(dict.fromkeys(found))


def _ids(text: str) -> list[str]:
    return [word.lower() for word in _SEPARATORS.split(text) if is_instance_id(word)]


def _described(ids: list[str], access: Access) -> list[Instance]:
    """Add names and addresses if EC2 returns them; without permission, return the bare ids instead of an error."""
    known: dict[str, Instance] = {}
    with contextlib.suppress(AwsRunasError):
        in_ec2 = [one for one in ids if one.startswith("i-")]
        known = {one.instance_id: one for one in describe_instances(access, {"instance-id": in_ec2})} if in_ec2 else {}
    return [known.get(one, Instance(one, state="")) for one in ids]
