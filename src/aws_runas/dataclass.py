"""A decorator that makes the same dataclasses in a fraction of the time (docs/adr/0004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses

    def dataclass(
        cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True, **options: bool
    ) -> object:
        """Make a dataclass as `dataclasses.dataclass` does, but compile nothing until an instance is made.

        The standard decorator writes and compiles the source of up to six methods for each class. Here all classes
        share the methods except ``__init__``, which is compiled when the first instance is made. A type checker treats
        this as the standard decorator. Only the type checker rejects changes to ``frozen`` classes.

        Raises:
            TypeError: a field is not a plain parameter of ``__init__`` (``init``, ``kw_only``).
        """

        def decorate(cls: type) -> type:
            if options:
                return dataclasses.dataclass(cls, frozen=frozen, slots=slots, eq=eq, **options)
            own = cls.__dict__
            cls.__doc__ = cls.__doc__ or cls.__qualname__  # or the standard decorator would format a signature
            made = dataclasses.dataclass(cls, init=False, eq=False, repr=False, slots=slots)
            if any(field.kw_only or not field.init for field in dataclasses.fields(made)):
                raise TypeError(f"{cls.__qualname__} needs the standard decorator")
            if "__init__" not in own:
                made.__init__ = _compiling_init(made)
            if eq:
                made._compared = tuple(field.name for field in dataclasses.fields(made) if field.compare)
                if "__eq__" not in own:
                    made.__eq__ = _equal
                if own.get("__hash__") is None:
                    made.__hash__ = _hash if frozen else None
            if "__repr__" not in own:
                made.__repr__ = _repr
            return made

        return decorate if cls is None else decorate(cls)

    def _compiling_init(cls: type) -> object:
        """Return an ``__init__`` that puts the compiled one in its place: of a hundred classes, few have instances."""

        def __init__(self: object, *arguments: object, **named: object) -> None:  # noqa: N807 - it becomes the method
            cls.__init__ = _init(cls)
            cls.__init__(self, *arguments, **named)

        return __init__

    def _init(cls: type) -> object:
        """Compile ``__init__``: a third of the time of the standard one, which has annotations too."""
        values, parameters, lines = {}, ["self"], []
        for field in dataclasses.fields(cls):
            name = field.name
            if field.default_factory is not dataclasses.MISSING:
                values[f"_default_{name}"] = field.default_factory
                lines.append(f"self.{name} = _default_{name}() if {name} is _default_{name} else {name}")
            else:
                lines.append(f"self.{name} = {name}")
                if field.default is not dataclasses.MISSING:
                    values[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}" if f"_default_{name}" in values else name)
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"]), values)  # noqa: S102
        made = values["__init__"]
        made.__module__, made.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
        return made

    def _values(instance: object) -> tuple[object, ...]:
        return tuple([getattr(instance, name) for name in instance._compared])

    def _equal(self: object, other: object) -> bool:
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self: object) -> int:
        return hash(_values(self))

    def _repr(self: object) -> str:
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr]
        return f"{self.__class__.__qualname__}({', '.join(shown)})"
