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


@dataclass(slots=True)
class Basket:
    owner: str
    _owner: str = "nobody"
    fruits: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept.append(self.owner)


@dataclass(slots=True)
class FullBasket(Basket):
    weight: float = 1.0


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


def test_each_instance_gets_its_own_default_and_post_init_runs_for_each() -> None:
    first, second = Basket("a"), Basket("b", fruits=["fig"])
    first.fruits.append("apple")
    assert (first, second) == (Basket("a", fruits=["apple"]), Basket("b", "nobody", ["fig"]))
    assert (first.kept, second.kept) == (["a"], ["b"])
    assert FullBasket("c", weight=2.0).kept == ["c"]
    assert FullBasket("c") != Basket("c")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"count": 1}), ((), {"other": 1})],
    ids=["too few", "too many", "twice", "unknown"],
)
def test_wrong_arguments_fail_as_with_the_standard_decorator(arguments: tuple[int, ...], named: dict[str, int]) -> None:
    """Also the first instance of a class, which is made by a method that takes anything."""

    errors = []
    for decorate in (dataclass(slots=True), dataclasses.dataclass(slots=True)):
        namespace = {"__annotations__": {"count": "int", "limit": "int"}, "limit": 9}
        made: Callable[..., object] = decorate(type("Plain", (), namespace))
        with pytest.raises(TypeError) as raised:
            made(*arguments, **named)
        errors.append(str(raised.value))
    assert errors[0] == errors[1]


def test_fields_that_need_the_standard_decorator_are_refused() -> None:
    with pytest.raises(TypeError, match="needs the standard decorator"):

        @dataclass
        class Late:
            name: str = field(default="", init=False)
