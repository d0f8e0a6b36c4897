"""Parameters of STS calls: checks them, and returns errors with the messages of AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aws_runas.sandbox.services.errors import ServiceError

SHORTEST = 900  # seconds, for every session


class Parameters:
    """Form values of one call."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def invalid(self, name: str, value: str, constraint: str) -> ServiceError:
        """Return the AWS error for a value that violates its constraint.

        Args:
            name: the name of the parameter, as AWS spells it.
            value: as sent.
            constraint: the constraint in the AWS message.
        """
        text = f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"
        return ServiceError("ValidationError", text)

    def text(self, name: str, shortest: int, longest: int) -> str | None:
        """Return a string, None if it is missing.

        Args:
            shortest, longest: bounds of the length in characters.

        Raises:
            ServiceError: the length is out of bounds.
        """
        value = self._values.get(name)
        if value is None:
            return None
        lower = name[0].lower() + name[1:]
        if len(value) < shortest:
            raise self.invalid(lower, value, f"Member must have length greater than or equal to {shortest}")
        if len(value) > longest:
            raise self.invalid(lower, value, f"Member must have length less than or equal to {longest}")
        return value

    def required(self, name: str, shortest: int, longest: int) -> str:
        """Return a required string.

        Args:
            shortest, longest: bounds of the length in characters.

        Raises:
            ServiceError: it is missing, or the length is out of bounds.
        """
        value = self.text(name, shortest, longest)
        if value is None:
            lower = name[0].lower() + name[1:]
            text = f"1 validation error detected: Value null at '{lower}' failed to satisfy constraint: "
            raise ServiceError("ValidationError", text + "Member must not be null")
        return value

    def duration(self, default: int, longest: int) -> int:
        """Return DurationSeconds.

        Args:
            default: seconds, used if the parameter is missing.
            longest: maximum in seconds.

        Raises:
            ServiceError: the value is not a number, or out of bounds.
        """
        text = self._values.get("DurationSeconds")
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,9}", text):
            raise ServiceError("MalformedInput", "DurationSeconds is not a number")
        value = int(text)
        if value < SHORTEST:
            raise self.invalid("durationSeconds", text, f"Member must have value greater than or equal to {SHORTEST}")
        if value > longest:
            raise self.invalid("durationSeconds", text, f"Member must have value less than or equal to {longest}")
        return value

    def session_name(self, name: str) -> str:
        """Return RoleSessionName, or raise ServiceError if it has forbidden characters."""
        value = self.required(name, 2, 64)
        if not re.fullmatch(r"[\w+=,.@-]*", value, re.ASCII):
            raise self.invalid("roleSessionName", value, r"Member must satisfy regular expression pattern: [\w+=,.@-]*")
        return value

    def federated_name(self, name: str) -> str:
        """Return the name of a federated user, or raise ServiceError if it has forbidden characters."""
        value = self.required(name, 2, 32)
        if not re.fullmatch(r"[\w+=,.@-]*", value, re.ASCII):
            raise self.invalid("name", value, r"Member must satisfy regular expression pattern: [\w+=,.@\-]*")
        return value

    def external_id(self) -> str | None:
        """Return ExternalId, None if it is missing, or raise ServiceError if it has forbidden characters."""
        value = self.text("ExternalId", 2, 1224)
        if value is not None and not re.fullmatch(r"[\w+=,.@:\/-]*", value, re.ASCII):
            raise self.invalid("externalId", value, r"Member must satisfy regular expression pattern: [\w+=,.@:\/-]*")
        return value

    def members(self, name: str, field: str) -> list[str]:
        """Return the values ``name.member.N.field`` in the order of N."""
        found = []
        for number in range(1, 51):
            value = self._values.get(f"{name}.member.{number}.{field}")
            if value is None:
                break
            found.append(value)
        return found

    def tags(self) -> dict[str, str]:
        """Return the session tags, or raise ServiceError for duplicate or reserved keys."""
        names, values = self.members("Tags", "Key"), self.members("Tags", "Value")
        if len({name.lower() for name in names}) != len(names):
            raise ServiceError(
                "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            )
        for name in names:
            if name.lower().startswith("aws:"):
                raise ServiceError(
                    "InvalidParameterValue", "Tag keys starting with the reserved prefix 'aws:' are not allowed."
                )
        return dict(zip(names, values, strict=False))
