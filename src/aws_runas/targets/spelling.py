"""Classification of a target by its spelling: its port, and the kinds of name that it can be."""

from __future__ import annotations

import ipaddress
import re

from aws_runas.errors import UsageError

_INSTANCE_ID = re.compile(r"(?:i|mi)-[0-9a-f]{8,}", re.IGNORECASE)
_ECS = re.compile(r"ecs:.*", re.IGNORECASE)
_PRIVATE_DNS = re.compile(r"ip(?:-\d{1,3}){4}(?:\.[a-z0-9.-]+)?", re.IGNORECASE)
RAW = "raw:"  # prefix of a target that is passed to the service unchanged
_LAST_PORT = 65535  # RFC 9293: sixteen bits


def is_instance_id(text: str) -> bool:
    """Return True for an EC2 instance id or an SSM managed node id: ``i-`` or ``mi-`` and eight or more hex digits.

    Args:
        text: the target as typed.
    """
    return _INSTANCE_ID.fullmatch(text) is not None


def is_ecs(text: str) -> bool:
    """Return True for an ECS task: ``ecs:cluster/service[/container]`` or ``ecs:cluster_task_runtimeid``.

    Args:
        text: the target as typed.
    """
    return _ECS.fullmatch(text) is not None


def is_database(text: str) -> bool:
    """Return True for a database: ``rds:ID`` or ``cache:ID``, also followed by ``/reader`` and the like.

    Args:
        text: the target as typed.
    """
    return text.lower().startswith(("rds:", "cache:"))


def is_private_dns_name(text: str) -> bool:
    """Return True for the private DNS name that EC2 gives an instance: ``ip-10-0-0-5``, alone or with its domain.

    Args:
        text: the target as typed.
    """
    return _PRIVATE_DNS.fullmatch(text) is not None


def ip_address(text: str) -> str | None:
    """Return an IP address in its canonical form without brackets, or None if the text is not an address.

    Args:
        text: the target as typed.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


def split_port(text: str, default: int | None) -> tuple[str, int]:
    """Split the port from the right end of a target.

    Args:
        text: ``target:port``, or ``target`` alone if there is a default. An IPv6 address before a port is in brackets,
            which are removed.
        default: the port to use if the text has none (22 for ssh); None if a port is required.

    Returns:
        The target and its port, 1 to 65535.

    Raises:
        UsageError: there is no port and no default, or the port is not a port number.
    """
    target, port = _split(text)
    if port is None:
        if default is None:
            raise UsageError(
                f"target {text!r} has no port",
                code="port-missing",
                hint="write it as target:port, such as i-deadbeef:9000",
            )
        port = str(default)
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= _LAST_PORT:
        raise UsageError(
            f"{port!r} in {text!r} is not a port",
            code="port-invalid",
            hint=f"a port is a number from 1 to {_LAST_PORT}",
        )
    if not target:
        raise UsageError(
            f"no target in {text!r}", code="target-missing", hint="write it as target:port, such as i-deadbeef:9000"
        )
    return target, int(port)


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or ip_address(address) is None or (rest and not rest.startswith(":")):
            raise UsageError(
                f"{text!r} is not an IPv6 address in brackets",
                code="address-invalid",
                hint="write it as [2001:db8::1]:9000",
            )
        return address, rest[1:] if rest else None
    if ip_address(text) is not None:  # without brackets, the last group of an IPv6 address could be a port
        return text, None
    target, colon, port = text.rpartition(":")
    if not colon or (target + colon).lower() == RAW:
        return text, None
    if port.isdigit() or not port or is_instance_id(target):
        return target, port
    return text, None  # tag:value, ecs:cluster/service
