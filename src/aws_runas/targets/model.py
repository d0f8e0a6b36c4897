"""Result of a resolver: the instances that it found, or why it found none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.aws.ec2 import Instance

    Pick = Callable[[Sequence[Instance]], Instance | None]  # asks the user to choose; None if the user chose nothing

LISTED = 20  # matches that an error lists


@dataclass(frozen=True, slots=True)
class Found:
    """Result of one interpretation of a target.

    Args:
        way: the interpretation of the target, for messages: ``a Name tag``.
        instances: the candidates; may be empty.
        reason: why there are no candidates, for messages; "" if there are some.
    """

    way: str
    instances: tuple[Instance, ...] = ()
    reason: str = ""


def matches(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Format the first matches for an error, and the number of further ones.

    Args:
        instances: at least one.
    """
    more = len(instances) - LISTED
    return (*listing(instances[:LISTED]), *((f"and {more} more",) if more > 0 else ()))


def listing(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Format instances as a table of id, name, address and zone, one line per instance.

    Args:
        instances: at least one.
    """
    rows = [
        (one.instance_id, one.name or "-", one.addresses[0] if one.addresses else "-", one.zone or "-")
        for one in instances
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return tuple(
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    )
