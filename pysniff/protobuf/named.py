"""A message read with its schema, as ProtoJSON writes it, under the names of the .proto file.

Lenient, as nobody promises that the schema is the right one: a field that is not declared, or whose bytes are not
what was declared, stands under its number with the readings of schemaless.py, and the rest stands.
Source: protobuf.dev/programming-guides/json.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

from pysniff.protobuf import schema
from pysniff.protobuf.numbers import double, signed, single, zigzag
from pysniff.protobuf.schema import FieldType, MessageType, Schemas
from pysniff.protobuf.schemaless import readings
from pysniff.protobuf.wellknown import WELL_KNOWN
from pysniff.protobuf.wire import BYTES, FIXED32, FIXED64, VARINT, Exhausted, Field, NotWire, Steps, read, varints

DEPTH = 100  # messages inside of messages, as protobuf's own readers allow


class Unfit(Exception):
    """The value is not what the schema says."""


def named(fields: list[Field], kind: MessageType, schemas: Schemas, steps: Steps) -> dict[str, Any]:
    """The fields of a message of `kind` by name."""
    return _Reader(schemas, steps).message(fields, kind, 0)


Value = int | bytes | list[Field]
_EMBEDDED = (schema.MESSAGE, schema.GROUP)


class _Parts(NamedTuple):
    """An embedded message: its fields so far, and the last value as it was sent."""

    known: FieldType
    wire: int
    value: Value
    fields: list[Field]


class _Reader:
    def __init__(self, schemas: Schemas, steps: Steps) -> None:
        self._schemas = schemas
        self._steps = steps

    def message(self, fields: list[Field], kind: MessageType, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        parts: dict[int, _Parts] = {}  # of embedded messages, which are one if they come several times
        for number, wire, value in fields:
            known = kind.fields.get(number)
            try:
                if known is None:
                    raise Unfit
                if known.repeated:
                    self._append(found, known, wire, value, depth)
                    continue
                single = self._single(known, wire, value, parts)
            except Unfit:
                found.setdefault(str(number), []).append(readings(wire, value, self._steps, depth))
                continue
            if known.oneof >= 0:
                for other in kind.oneofs[known.oneof]:
                    if other != number:  # the last one counts
                        found.pop(kind.fields[other].name, None)
                        parts.pop(id(kind.fields[other]), None)
            found[known.name] = single
        for part in parts.values():
            found[part.known.name] = self._embedded(part.known, part.wire, part.value, part.fields, depth)
        return found

    def _single(self, known: FieldType, wire: int, value: Value, parts: dict[int, _Parts]) -> Any:
        if known.type not in _EMBEDDED:
            return self._scalar(known, wire, value)
        inner = self._inner(wire, value)
        before = parts.get(id(known))
        if before is None:
            parts[id(known)] = _Parts(known, wire, value, [*inner])
        else:
            before.fields.extend(inner)
            parts[id(known)] = before._replace(wire=wire, value=value)
        return None  # until all parts are there

    def _append(self, found: dict[str, Any], known: FieldType, wire: int, value: Value, depth: int) -> None:
        if known.type in _EMBEDDED:
            inner = self._inner(wire, value)
            kind = self._schemas.messages.get(known.type_name)
            if kind is not None and kind.is_map_entry:
                key, content = self._map_entry(inner, kind, depth)
                found.setdefault(known.name, {})[key] = content
            else:
                found.setdefault(known.name, []).append(self._embedded(known, wire, value, inner, depth))
        elif wire == BYTES and isinstance(value, bytes) and known.type in _WIRE and _WIRE[known.type] != BYTES:
            found.setdefault(known.name, []).extend(self._packed(known, value))
        else:
            found.setdefault(known.name, []).append(self._scalar(known, wire, value))

    def _inner(self, wire: int, value: Value) -> list[Field]:
        """The fields of an embedded message, or of a group."""
        if isinstance(value, list):
            return value
        if not isinstance(value, bytes):
            raise Unfit
        try:
            return read(value, self._steps)
        except NotWire:
            raise Unfit from None
        except Exhausted as end:
            self._steps.cut = True
            return end.fields

    def _embedded(self, known: FieldType, wire: int, value: Value, inner: list[Field], depth: int) -> Any:
        kind = self._schemas.messages.get(known.type_name)
        special = WELL_KNOWN.get(known.type_name)
        if special is not None:
            try:
                return special(inner, self._any, depth)
            except ValueError:
                pass  # as any other message, then
        if kind is None:
            return readings(wire, value, self._steps, depth)
        if depth >= DEPTH:
            self._steps.cut = True
            return {}
        return self.message(inner, kind, depth + 1)

    def _any(self, name: str, data: bytes, depth: int) -> Any:
        """What an Any holds; raise ValueError where its type is not known."""
        if name not in self._schemas.messages or depth >= DEPTH:
            raise ValueError
        known = FieldType("", schema.MESSAGE, False, name, -1)
        try:
            return self._embedded(known, BYTES, data, self._inner(BYTES, data), depth + 1)
        except Unfit:
            raise ValueError from None

    def _map_entry(self, inner: list[Field], kind: MessageType, depth: int) -> tuple[str, Any]:
        entry = self.message(inner, kind, depth + 1)
        key = entry.get("key", _default(kind.fields.get(1)))
        content = entry.get("value", self._default_value(kind.fields.get(2)))
        return str(key).lower() if isinstance(key, bool) else str(key), content

    def _default_value(self, known: FieldType | None) -> Any:
        if known is not None and known.type == schema.ENUM:
            return self._schemas.enums.get(known.type_name, {}).get(0, 0)
        if known is not None and known.type == schema.MESSAGE:
            return self._embedded(known, BYTES, b"", [], DEPTH - 1)
        return _default(known)

    def _scalar(self, known: FieldType, wire: int, value: Value) -> Any:
        if _WIRE.get(known.type) != wire:
            raise Unfit
        if isinstance(value, int):
            return self._number(known, value)
        assert isinstance(value, bytes)
        if known.type == schema.RAW:
            return base64.b64encode(value).decode("ascii")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unfit from None

    def _number(self, known: FieldType, value: int) -> Any:
        if known.type == schema.ENUM:
            if known.type_name == "google.protobuf.NullValue":
                return None
            number = signed(value, 32)
            return self._schemas.enums.get(known.type_name, {}).get(number, number)
        return _NUMBERS[known.type](value)

    def _packed(self, known: FieldType, value: bytes) -> list[Any]:
        wire = _WIRE[known.type]
        if wire == VARINT:
            try:
                numbers = varints(value)
            except NotWire:
                raise Unfit from None
        else:
            size = 8 if wire == FIXED64 else 4
            if len(value) % size:
                raise Unfit
            numbers = [int.from_bytes(value[at : at + size], "little") for at in range(0, len(value), size)]
        room = max(self._steps.left, 0)
        self._steps.left -= len(numbers)
        self._steps.cut |= len(numbers) > room
        return [self._number(known, number) for number in numbers[:room]]


# The wire type of each type; messages and groups may come as either of theirs.
_WIRE = {
    **dict.fromkeys((schema.INT64, schema.UINT64, schema.INT32, schema.UINT32, schema.BOOL, schema.ENUM), VARINT),
    **dict.fromkeys((schema.SINT32, schema.SINT64), VARINT),
    **dict.fromkeys((schema.DOUBLE, schema.FIXED64, schema.SFIXED64), FIXED64),
    **dict.fromkeys((schema.FLOAT, schema.FIXED32, schema.SFIXED32), FIXED32),
    **dict.fromkeys((schema.STRING, schema.RAW), BYTES),
}
# ProtoJSON: 64-bit integers are text, since JavaScript's numbers end at 53 bits.
_NUMBERS: dict[int, Callable[[int], Any]] = {
    schema.DOUBLE: double,
    schema.FLOAT: single,
    schema.INT64: lambda value: str(signed(value)),
    schema.UINT64: str,
    schema.INT32: lambda value: signed(value, 32),
    schema.FIXED64: str,
    schema.FIXED32: int,
    schema.BOOL: bool,
    schema.UINT32: lambda value: value & 0xFFFFFFFF,
    schema.SFIXED32: lambda value: signed(value, 32),
    schema.SFIXED64: lambda value: str(signed(value)),
    schema.SINT32: lambda value: zigzag(value & 0xFFFFFFFF),
    schema.SINT64: lambda value: str(zigzag(value)),
}


def _default(known: FieldType | None) -> Any:
    """What a map's key or value is where it was left out."""
    if known is None or known.type not in _NUMBERS:
        return ""
    return _NUMBERS[known.type](0)
