"""The wire format of Protocol Buffers: bytes to fields by number and wire type, no schema needed.

What does not parse whole is no message: read() says so, and what to make of the bytes is the caller's.
Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)
# Number, wire type, value: an int of varint and fixed types, the bytes of BYTES, the fields of a GROUP.
Field = tuple[int, int, "int | bytes | list[Field]"]

GROUPS = 32  # nested groups; nobody has nested more than a few since proto2
_PREFIXED = (VARINT, BYTES)
_FIXED = (FIXED64, FIXED32)
_HIGHEST = (1 << 29) - 1  # field number
_MASK = (1 << 64) - 1


class NotWire(Exception):
    """The bytes are no message."""


class Exhausted(Exception):
    """More fields than may be read; `fields` came before."""

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields


class Steps:
    """What may still be read of one message, everything nested in it included: a field is a step."""

    __slots__ = ("left", "cut")

    def __init__(self, left: int) -> None:
        self.left = left
        self.cut = False  # whether something was left out


def read(data: bytes, steps: Steps) -> list[Field]:
    """The fields in their order; raise NotWire, or Exhausted with those that were read."""
    try:
        return _read(data, steps)
    except IndexError:
        raise NotWire("ends within a field") from None


def _read(data: bytes, steps: Steps) -> list[Field]:
    fields: list[Field] = []
    outer: list[tuple[int, list[Field]]] = []  # the groups that are open: their numbers, and what is around them
    at, end, left = 0, len(data), steps.left
    while at < end:
        left -= 1
        if left < 0:
            steps.left = 0
            raise Exhausted(outer[0][1] if outer else fields)
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _long_varint(data, at, tag, 5)
        number, wire = tag >> 3, tag & 7
        if not 0 < number <= _HIGHEST:
            raise NotWire("field number out of range")
        if wire in _PREFIXED:
            value = data[at]
            at += 1
            if value > 127:
                value, at = _long_varint(data, at, value, 10)
            if wire == VARINT:
                fields.append((number, wire, value))
                continue
            stop = at + value
            fields.append((number, wire, data[at:stop]))
        elif wire in _FIXED:
            stop = at + (8 if wire == FIXED64 else 4)
            fields.append((number, wire, int.from_bytes(data[at:stop], "little")))
        elif wire == GROUP and len(outer) < GROUPS:
            outer.append((number, fields))
            fields = []
            continue
        elif wire == GROUP_END and outer and outer[-1][0] == number:
            inner = fields
            fields = outer.pop()[1]
            fields.append((number, GROUP, inner))
            continue
        else:
            raise NotWire("invalid wire type")
        if stop > end:
            raise NotWire("ends within a field")
        at = stop
    if outer:
        raise NotWire("ends within a group")
    steps.left = left
    return fields


def _long_varint(data: bytes, at: int, first: int, most: int) -> tuple[int, int]:
    """The value of a varint whose first byte was read and is not its last, and where it ends."""
    value = first & 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, at
        shift += 7
        if shift == 7 * most:
            raise NotWire("varint too long")


def varints(data: bytes) -> list[int]:
    """A packed field; raise NotWire."""
    values = []
    at, end = 0, len(data)
    try:
        while at < end:
            value = data[at]
            at += 1
            if value > 127:
                value, at = _long_varint(data, at, value, 10)
            values.append(value)
    except IndexError:
        raise NotWire("ends within a varint") from None
    return values
