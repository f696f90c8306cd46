"""Frozen values with named fields, as a frozen dataclass has them.

A dataclass compiles its methods when its class is made, half a millisecond each; here they are written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from functrans.ir.exact import exact_key


@dataclass_transform(frozen_default=True)
class Record:
    """Base of classes whose annotations are their fields; two are equal when their class and their fields are, by type
    and bits.

    >>> class Point(Record):
    ...     x: float
    ...     y: float
    >>> Point(1.0, y=2.0) == Point(1.0, 2.0), Point(1.0, 2.0)
    (True, Point(x=1.0, y=2.0))
    """

    field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.field_names = (*cls.field_names, *cls.__dict__.get("__annotations__", {}))  # noqa: RUF063

    if not TYPE_CHECKING:  # the type checker makes the signature from the fields (dataclass_transform)

        def __init__(self, *args, **kwargs):
            fields = dict(zip(self.field_names, args), **kwargs)  # a field given twice is dict's own TypeError
            if len(args) > len(self.field_names) or set(fields) != set(self.field_names):
                raise TypeError(f"{type(self).__name__} takes the fields {self.field_names}, got {args} and {kwargs}")
            self.__dict__.update(fields)

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def _values(self) -> tuple[Any, ...]:
        return tuple([exact_key(self.__dict__[name]) for name in self.field_names])

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and other._values() == self._values())

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self.field_names)})"
