"""Input of a JSON call: its members, read with their types in the model of the service.

AWS returns SerializationException for a member of the wrong type, and ValidationException for one out of bounds.

Source: AWS JSON 1.1 protocol (Smithy); the messages are those of AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from aws_runas.sandbox.services.errors import Reply, ServiceError
from aws_runas.sandbox.services.principals import Key

Item = TypeVar("Item")
JsonObject = dict[str, object]
Input = Mapping[str, object]
JsonService = Callable[[str, Input, Key, str], Reply]  # action, input, signing key, region; LookupError: moto answers


def invalid(name: str, value: object, constraint: str, code: str = "ValidationException") -> ServiceError:
    """Return the AWS error for a value that violates its constraint.

    Args:
        name: the name of the member, as the caller wrote it; AWS reports it with a lower-case first letter.
        value: None if it is missing.
        code: the error code; the query protocol has a different one.
    """
    shown = "null" if value is None else f"'{value}'"
    member = name[:1].lower() + name[1:]
    text = f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: {constraint}"
    return ServiceError(code, text)


def _typed(name: str, wanted: str) -> ServiceError:
    return ServiceError("SerializationException", f"{name} is not {wanted}")


def read_text(values: Input, name: str, default: str = "") -> str:
    """Return a string, or the default if it is missing.

    Args:
        values: input of the call.
        name: the name of the member.
        default: for a missing member.

    Raises:
        ServiceError: the value is not a string.
    """
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _typed(name, "a string")
    return value


def require_text(values: Input, name: str, shortest: int, longest: int) -> str:
    """Return a required string.

    Args:
        shortest: minimum length in characters.
        longest: maximum length in characters.

    Raises:
        ServiceError: the value is missing, not a string, or not within the bounds.
    """
    if values.get(name) is None:
        raise invalid(name, None, "Member must not be null")
    value = read_text(values, name)
    if len(value) < shortest:
        raise invalid(name, value, f"Member must have length greater than or equal to {shortest}")
    if len(value) > longest:
        raise invalid(name, value, f"Member must have length less than or equal to {longest}")
    return value


def read_integer(values: Input, name: str, default: int, *, least: int, most: int) -> int:
    """Return an integer, or the default if it is missing.

    Args:
        values: input of the call.
        name: the name of the member.
        default: for a missing member.
        least, most: inclusive bounds.

    Raises:
        ServiceError: the value is not an integer, or not between `least` and `most`.
    """
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise _typed(name, "an integer")
    if value < least:
        raise invalid(name, value, f"Member must have value greater than or equal to {least}")
    if value > most:
        raise invalid(name, value, f"Member must have value less than or equal to {most}")
    return value


def read_flag(values: Input, name: str) -> bool:
    """Return a boolean, False if it is missing.

    Raises:
        ServiceError: the value is not a boolean.
    """
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise _typed(name, "a boolean")
    return bool(value)


def read_texts(values: Input, name: str) -> list[str]:
    """Return a list of strings, empty if it is missing.

    Raises:
        ServiceError: the value is not a list of strings.
    """
    return _read_list(values, name, str, "a list of strings")


def read_object(values: Input, name: str) -> JsonObject:
    """Return a JSON object, empty if it is missing.

    Raises:
        ServiceError: the value is not an object.
    """
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _typed(name, "an object")
    return value


def read_objects(values: Input, name: str) -> list[JsonObject]:
    """Return a list of JSON objects, empty if it is missing.

    Raises:
        ServiceError: the value is not a list of objects.
    """
    return _read_list(values, name, dict, "a list of objects")


def _read_list(values: Input, name: str, kind: type[Item], description: str) -> list[Item]:
    value = values.get(name)
    if value is None:
        return []
    items = [item for item in value if isinstance(item, kind)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(items) != len(value):
        raise _typed(name, description)
    return items


def page(member: str, rows: Sequence[object], values: Input, longest: int) -> JsonObject:
    """Return one page of rows, with the token of the next page if there is one.

    Args:
        member: name of the list in the answer.
        values: input of the call, with MaxResults and NextToken.
        longest: rows in one page, and the largest MaxResults.

    Raises:
        ServiceError: MaxResults is out of range, or the token is not valid.
    """
    size = read_integer(values, "MaxResults", longest, least=1, most=longest)
    token = read_text(values, "NextToken") or "0"
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise ServiceError("InvalidNextToken", "The specified token is not valid.")
    start = int(token)
    reply: JsonObject = {member: list(rows[start : start + size])}
    if start + size < len(rows):
        reply["NextToken"] = str(start + size)
    return reply
