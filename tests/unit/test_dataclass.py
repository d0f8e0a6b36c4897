"""Our dataclass decorator makes what the standard one makes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import asdict, field, replace

import pytest

from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    secret: str = field(repr=False)
    uses: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Other:
    name: str
    secret: str = field(repr=False)
    uses: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Named:
    name: str

    def __repr__(self) -> str:
        return "its own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named)

    def __hash__(self) -> int:
        return 7


@dataclass(slots=True)
class Counter:
    count: int = 0


@dataclass(slots=True, eq=False)
class Connection:
    number: int


@dataclass(frozen=True, slots=True)
class Empty:
    pass


def test_equality_looks_at_the_class_and_the_compared_fields() -> None:
    assert Key("a", "b") == Key("a", "b", 5)
    assert Key("a", "b") != Key("a", "c")
    others: list[object] = [Other("a", "b"), ("a", "b")]
    assert Key("a", "b") not in others
    assert Empty() == Empty()


def test_frozen_values_can_be_keys_and_others_cannot() -> None:
    assert len({Key("a", "b"), Key("a", "b", 5), Key("a", "c")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter())
    assert Counter(1) == Counter(1)
    assert Counter.__hash__ is None


def test_identity_counts_where_equality_is_off() -> None:
    first, second = Connection(1), Connection(1)
    assert first != second
    assert len({first, second}) == 2


def test_a_secret_is_not_shown() -> None:
    assert repr(Key("a", "b")) == "Key(name='a', uses=0)"
    assert repr(Empty()) == "Empty()"


def test_methods_of_the_class_itself_stay() -> None:
    assert repr(Named("a")) == "its own"
    assert Named("a") == Named("b")
    assert hash(Named("a")) == 7


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda key: pickle.loads(pickle.dumps(key))])
def test_values_can_be_copied(duplicate: Callable[[Key], Key]) -> None:
    assert duplicate(Key("a", "b", 3)) == Key("a", "b")


def test_functions_of_the_standard_library_work() -> None:
    assert asdict(Key("a", "b")) == {"name": "a", "secret": "b", "uses": 0}
    assert replace(Key("a", "b"), name="c") == Key("c", "b")
    assert [each.name for each in dataclasses.fields(Key)] == ["name", "secret", "uses"]
    match Key("a", "b"):
        case Key(name, secret):
            assert (name, secret) == ("a", "b")
    assert not hasattr(Key("a", "b"), "__dict__")
