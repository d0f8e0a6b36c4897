"""A decorator that makes the same dataclasses in a third of the time (docs/adr/0004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, **options: bool) -> object:
        """Make a dataclass as `dataclasses.dataclass` does, with methods that are shared instead of compiled.

        The standard decorator writes and compiles the source of up to six methods for each class. Here only
        ``__init__`` is compiled. A type checker treats this as the standard decorator. Only the type checker rejects
        changes to ``frozen`` classes.
        """

        def decorate(cls: type) -> type:
            own = cls.__dict__
            if options.keys() - {"slots"}:
                return dataclasses.dataclass(cls, frozen=frozen, **options)
            made = dataclasses.dataclass(cls, eq=False, repr=False, **options)
            made._compared = tuple(field.name for field in dataclasses.fields(made) if field.compare)
            if "__eq__" not in own:
                made.__eq__ = _equal
            if own.get("__hash__") is None:
                made.__hash__ = _hash if frozen else None
            if "__repr__" not in own:
                made.__repr__ = _repr
            return made

        return decorate if cls is None else decorate(cls)

    def _values(instance: object) -> tuple[object, ...]:
        return tuple([getattr(instance, name) for name in instance._compared])

    def _equal(self: object, other: object) -> bool:
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self: object) -> int:
        return hash(_values(self))

    def _repr(self: object) -> str:
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr]
        return f"{self.__class__.__qualname__}({', '.join(shown)})"
