"""From what the user typed to an instance id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.errors import TargetError
from aws_runas.targets.spelling import is_ecs, is_instance_id, split_port

if TYPE_CHECKING:
    from aws_runas.credentials.build import Access

__all__ = ["resolve_target", "split_port"]


def resolve_target(text: str, access: Access, *, pick: object = None) -> str:  # noqa: ARG001 - soon
    """Return the id of the instance that a target names."""
    if is_instance_id(text) or is_ecs(text):
        return text.lower() if is_instance_id(text) else text
    raise TargetError(f"no instance matches {text!r}", code="target-not-found", hint="give an instance id (i-...)")
