"""The static types of the filter language, as the checker and the schema name them.

Google's CEL (cel-spec, langdef.md, "Type Checking"), without messages, enums and wrappers.
"""

from __future__ import annotations


class Type:
    """A type without parameters: there is one object of each, told apart by identity. str() gives its CEL name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def parts(self) -> tuple[Type, ...]:
        """The types it is made of: of a list its elements', of a map its keys' and values'."""
        return ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})" if self.parts else self.name

    def __repr__(self) -> str:
        return f"<{self}>"


class _Made(Type):
    """A type made of others; two are equal when their parts are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Made) and self.name == other.name and self.parts == other.parts)

    def __hash__(self) -> int:
        return hash((self.name, self.parts))


class ListType(_Made):
    """A list whose elements are all of one type."""

    __slots__ = ("of",)

    def __init__(self, of: Type) -> None:
        super().__init__("list")
        self.of = of

    @property
    def parts(self) -> tuple[Type, ...]:
        return (self.of,)


class MapType(_Made):
    """A map; its keys are bool, int, uint or string."""

    __slots__ = ("key", "value")

    def __init__(self, key: Type, value: Type) -> None:
        super().__init__("map")
        self.key = key
        self.value = value

    @property
    def parts(self) -> tuple[Type, ...]:
        return (self.key, self.value)


BOOL = Type("bool")
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string")
BYTES = Type("bytes")
TIMESTAMP = Type("timestamp")
DURATION = Type("duration")
DYN = Type("dyn")  # anything: known when the filter runs
NULL = Type("null")
TYPE = Type("type")  # what type(x) gives
# What type(x) gives for any list and any map.
LIST = Type("list")
MAP = Type("map")

NUMBERS = frozenset((INT, UINT, DOUBLE))
