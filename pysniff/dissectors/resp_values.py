"""The types of RESP2 and RESP3 (redis.io/docs/reference/protocol-spec): their signs, and values as they were read."""

from __future__ import annotations

from typing import NamedTuple

from pysniff.dissector import Malformed

# By the first byte of a line. A simple one is its line, a string says its length, an aggregate how many items.
SIMPLE = {
    ord("+"): "simple_string",
    ord("-"): "error",
    ord(","): "double",
    ord("("): "big_number",
}
STRINGS = {ord("$"): "bulk_string", ord("!"): "bulk_error", ord("="): "verbatim_string"}
AGGREGATES = {
    ord("*"): "array",
    ord("%"): "map",
    ord("~"): "set",
    ord(">"): "push",
    ord("|"): "attribute",
}
PAIRS = ("map", "attribute")  # aggregates that say how many pairs


class Value(NamedTuple):
    """One value; `kind` is array, map and so on. A map's value is its keys and values in turn.

    `size`: bytes of a string, or items of an aggregate, kept or not.
    """

    kind: str
    value: bytes | int | bool | tuple[Value, ...] | None
    size: int = 0

    @property
    def items(self) -> tuple[Value, ...]:
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def text(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else b""


class Found(NamedTuple):
    """A whole value and where it was. `cut`: more was seen than is kept. `lost`: bytes of it in gaps."""

    value: Value
    first: int
    last: int
    position: int
    size: int
    cut: bool
    lost: int
    attributes: Value | None


def integer(digits: bytes) -> int:
    """A number as RESP writes it, int() alone takes spaces and underscores; raise Malformed."""
    if len(digits) > 20 or not (digits[1:] if digits[:1] in (b"-", b"+") else digits).isdigit():
        raise Malformed("a number is not a number")
    return int(digits)
