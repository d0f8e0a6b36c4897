"""Selectors: parses the values of ``--on`` and matches instances. Does no I/O, except for reading ``file:PATH``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from fnmatch import fnmatchcase

from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

INSTANCE_ID = re.compile(r"(?:i|mi)-[0-9a-f]{8,}")
AUTO_SCALING_TAG = "aws:autoscaling:groupName"
FORMS = "instance id, tag:KEY=VALUE, Name:PATTERN, group:NAME, asg:NAME, file:PATH or all, joined by +"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance that may be selected.

    Args:
        instance_id: ``i-...`` or ``mi-...``.
        name: its Name tag, or the computer name of a managed node; "" if unknown.
        tags: tags of the EC2 instance.
        online: True if its agent is connected.
        platform: ``Linux``, ``Windows``, ``MacOS`` or "".
    """

    instance_id: str
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    online: bool = True
    platform: str = "Linux"


@dataclass(frozen=True, slots=True)
class Part:
    """One condition of a selector.

    Args:
        kind: ``ids``, ``tag``, ``name``, ``group`` or ``all``.
        key: key of a tag, or name of a resource group.
        values: ids, or the pattern that the value must match.
    """

    kind: str
    key: str = ""
    values: tuple[str, ...] = ()

    def matches(self, candidate: Candidate, groups: Mapping[str, frozenset[str]]) -> bool:
        """Return True if the condition holds.

        Args:
            candidate: the instance.
            groups: resource group -> ids of its instances.
        """
        match self.kind:
            case "ids":
                return candidate.instance_id in self.values
            case "tag":
                value = candidate.tags.get(self.key)
                return value is not None and fnmatchcase(value, self.values[0])
            case "name":
                return fnmatchcase(candidate.name, self.values[0])
            case "group":
                return candidate.instance_id in groups.get(self.key, frozenset())
            case _:
                return True


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold."""

    parts: tuple[Part, ...]

    def matches(self, candidate: Candidate, groups: Mapping[str, frozenset[str]]) -> bool:
        """Return True if every condition holds; see `Part.matches`."""
        return all(part.matches(candidate, groups) for part in self.parts)

    def named_ids(self) -> frozenset[str]:
        """Return the ids that the selector names, so that missing instances can be reported."""
        return frozenset(value for part in self.parts if part.kind == "ids" for value in part.values)


def parse_selectors(texts: Iterable[str], read_file: Callable[[str], str]) -> tuple[Selector, ...]:
    """Parse the values of ``--on``.

    Args:
        texts: values of ``--on``; the parts of each are joined by ``+``.
        read_file: path -> content, for ``file:PATH``; raises OSError.

    Raises:
        UsageError: a part has an unknown form, or its file cannot be read or contains something that is not an id.
    """
    return tuple(Selector(tuple(_part(part.strip(), read_file) for part in _split(text))) for text in texts)


def _split(text: str) -> list[str]:
    """Split at ``+``, but only where a new part can begin, because values and paths may contain a ``+``."""
    return re.split(r"\+(?=tag:|Name:|group:|asg:|file:|all$|all\+|(?:i|mi)-[0-9a-f])", text)


def _part(text: str, read_file: Callable[[str], str]) -> Part:
    kind, colon, rest = text.partition(":")
    if text == "all":
        return Part("all")
    if colon and rest:
        if kind == "tag":
            key, _, value = rest.partition("=")
            if key:
                return Part("tag", key, (value or "*",))
        elif kind == "Name":
            return Part("name", values=(rest,))
        elif kind == "group":
            return Part("group", rest)
        elif kind == "asg":
            return Part("tag", AUTO_SCALING_TAG, (rest,))
        elif kind == "file":
            return Part("ids", values=_ids_of_file(rest, read_file))
    ids = tuple(text.split(","))
    if all(INSTANCE_ID.fullmatch(value) for value in ids):
        return Part("ids", values=ids)
    raise UsageError(f"--on {text!r} is not a selector", code="selector-invalid", hint=f"write: {FORMS}")


def _ids_of_file(path: str, read_file: Callable[[str], str]) -> tuple[str, ...]:
    try:
        lines = read_file(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"--on file:{path} cannot be read: {reason}", code="selector-invalid", hint="name a file of instance ids"
        ) from None
    ids = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    for value in ids:
        if not INSTANCE_ID.fullmatch(value):
            raise UsageError(
                f"{path}: {value!r} is not an instance id", code="selector-invalid", hint="write one id on each line"
            )
    if not ids:
        raise UsageError(f"{path} holds no instance id", code="selector-invalid", hint="write one id on each line")
    return ids
