"""What a resolver answers: the instances it found, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aws_runas.aws.ec2 import Instance

Pick = Callable[[Sequence[Instance]], Instance | None]  # asks the user which one; None when they chose none


@dataclass(frozen=True, slots=True)
class Found:
    """What one way of reading a target led to.

    Args:
        way: how the target was read, for people: ``a Name tag``.
        instances: the candidates, none where it led nowhere.
        reason: why there are none, for people; "" where there are.
    """

    way: str
    instances: tuple[Instance, ...] = ()
    reason: str = ""
