"""Members of a JSON call: wrong types and values out of bounds get the errors that AWS answers, never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.json_input import (
    Input,
    page,
    read_flag,
    read_integer,
    read_object,
    read_objects,
    read_text,
    read_texts,
    require_text,
)

READERS: dict[str, Callable[[Input], object]] = {
    "text": lambda values: read_text(values, "Name"),
    "required text": lambda values: require_text(values, "Name", 1, 8),
    "integer": lambda values: read_integer(values, "Name", 5, least=1, most=50),
    "flag": lambda values: read_flag(values, "Name"),
    "texts": lambda values: read_texts(values, "Name"),
    "object": lambda values: read_object(values, "Name"),
    "objects": lambda values: read_objects(values, "Name"),
}
GOOD: dict[str, object] = {
    "text": "a", "required text": "a", "integer": 7, "flag": True, "texts": ["a"], "object": {"a": 1}, "objects": [{}],
}  # fmt: skip
ODD: list[object] = ["a", 7, 7.5, True, ["a"], [1], [{}], {"a": 1}]


@pytest.mark.parametrize("reader", READERS)
def test_member_of_its_type_is_returned(reader: str) -> None:
    assert READERS[reader]({"Name": GOOD[reader]}) == GOOD[reader]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_member_of_another_type_is_a_serialization_exception(reader: str, value: object) -> None:
    if type(value) is type(GOOD[reader]) and not (isinstance(value, list) and value != GOOD[reader]):
        assert READERS[reader]({"Name": value}) == value  # the type that it reads
        return
    with pytest.raises(ServiceError) as caught:
        READERS[reader]({"Name": value})
    assert caught.value.code == "SerializationException"


@pytest.mark.parametrize(("value", "constraint"), [(0, "greater than or equal to 1"), (51, "less than or equal to 50")])
def test_integer_out_of_bounds_names_member_and_value(value: int, constraint: str) -> None:
    with pytest.raises(ServiceError, match=f"Value '{value}' at 'maxResults'.*{constraint}") as caught:
        page("Rows", [], {"MaxResults": value}, 50)
    assert caught.value.code == "ValidationException"


def test_missing_member_must_not_be_null() -> None:
    with pytest.raises(ServiceError, match=r"Value null at 'target'.*Member must not be null"):
        require_text({}, "Target", 1, 8)


def test_pages_hold_every_row_once() -> None:
    rows, token, seen = list(range(7)), "", []
    while True:
        answer = page("Rows", rows, {"MaxResults": 3, **({"NextToken": token} if token else {})}, 50)
        part = answer["Rows"]
        assert isinstance(part, list)
        seen += part
        if "NextToken" not in answer:
            break
        token = str(answer["NextToken"])
    assert seen == rows


@pytest.mark.parametrize("token", ["-1", "x", "²", "9" * 20])
def test_token_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(ServiceError) as caught:
        page("Rows", [1], {"NextToken": token}, 50)
    assert caught.value.code == "InvalidNextToken"
