"""The well-known types that ProtoJSON writes in a form of their own: times, wrappers, Struct, Any.

Each function takes the fields of the message, and raises ValueError where they are not what they should be.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pysniff.protobuf.numbers import double, signed, single
from pysniff.protobuf.wire import BYTES, FIXED32, FIXED64, VARINT, Exhausted, Field, NotWire, Steps, read

# Reads what an Any holds: name of the type, bytes, depth.
Open = Callable[[str, bytes, int], Any]
Form = Callable[[list[Field], Open, int], Any]

_STEPS = 20_000  # fields of one Struct
_DEPTH = 32  # structs inside of structs, three messages each
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 315_576_000_000  # seconds of a Duration: 10,000 years


def _last(fields: list[Field], number: int, wire: int) -> Any:
    """The value that counts, None where there is none."""
    found = [value for at, kind, value in fields if at == number and kind == wire]
    return found[-1] if found else None


def _seconds(fields: list[Field]) -> tuple[int, int]:
    seconds, nanos = _last(fields, 1, VARINT) or 0, _last(fields, 2, VARINT) or 0
    return signed(seconds), signed(nanos, 32)


def _timestamp(fields: list[Field], _: Open, __: int) -> str:
    seconds, nanos = _seconds(fields)
    if not 0 <= nanos < 1_000_000_000:
        raise ValueError("nanoseconds")
    try:
        date = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    except OverflowError:
        raise ValueError("year") from None
    return f"{date}{_fraction(nanos)}Z"


def _duration(fields: list[Field], _: Open, __: int) -> str:
    seconds, nanos = _seconds(fields)
    if abs(seconds) > _LONGEST or abs(nanos) >= 1_000_000_000 or seconds * nanos < 0:
        raise ValueError("duration")
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    """Nothing, or 3, 6 or 9 digits."""
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}"


def _wrapper(wire: int, form: Callable[[int], Any]) -> Form:
    return lambda fields, _, __: form(_last(fields, 1, wire) or 0)


def _string(fields: list[Field], _: Open, __: int) -> str:
    return _text(fields, 1)


def _bytes(fields: list[Field], _: Open, __: int) -> str:
    return base64.b64encode(_last(fields, 1, BYTES) or b"").decode("ascii")


def _text(fields: list[Field], number: int) -> str:
    value: bytes = _last(fields, number, BYTES) or b""
    return value.decode()  # UnicodeDecodeError is a ValueError


def _empty(fields: list[Field], _: Open, __: int) -> dict[str, Any]:
    if fields:
        raise ValueError("not empty")
    return {}


def _field_mask(fields: list[Field], _: Open, __: int) -> str:
    paths = [value.decode() for number, wire, value in fields if number == 1 and isinstance(value, bytes)]
    return ",".join(_camel(path) for path in paths)


def _camel(path: str) -> str:
    first, *rest = path.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _any(fields: list[Field], open_: Open, depth: int) -> dict[str, Any]:
    url = _text(fields, 1)
    name = url.rpartition("/")[2]
    content = open_(name, _last(fields, 2, BYTES) or b"", depth)
    if name in WELL_KNOWN or not isinstance(content, dict):
        return {"@type": url, "value": content}
    return {"@type": url, **content}


def _struct(fields: list[Field], _: Open, depth: int) -> dict[str, Any]:
    return _Struct().struct(fields, depth)


def _value(fields: list[Field], _: Open, depth: int) -> Any:
    return _Struct().value(fields, depth)


def _list(fields: list[Field], _: Open, depth: int) -> list[Any]:
    return _Struct().items(fields, depth)


class _Struct:
    """JSON in protobuf: google/protobuf/struct.proto."""

    def __init__(self) -> None:
        self._steps = Steps(_STEPS)

    def struct(self, fields: list[Field], depth: int) -> dict[str, Any]:
        found = {}
        for entry in self._inner(fields, 1, depth):
            values = self._inner(entry, 2, depth)
            found[_text(entry, 1)] = self.value(values[-1], depth + 1) if values else None
        return found

    def value(self, fields: list[Field], depth: int) -> Any:
        if not fields:
            raise ValueError("a Value of no kind")
        number, wire, value = fields[-1]
        if (number, wire) == (1, VARINT):
            return None
        if (number, wire) == (2, FIXED64) and isinstance(value, int):
            return double(value)
        if (number, wire) == (3, BYTES):
            return _text(fields, 3)
        if (number, wire) == (4, VARINT):
            return bool(value)
        inner = self._inner(fields, number, depth)
        if (number, wire) == (5, BYTES):
            return self.struct(inner[-1], depth + 1)
        if (number, wire) == (6, BYTES):
            return self.items(inner[-1], depth + 1)
        raise ValueError("a Value of no kind")

    def items(self, fields: list[Field], depth: int) -> list[Any]:
        return [self.value(inner, depth + 1) for inner in self._inner(fields, 1, depth)]

    def _inner(self, fields: list[Field], number: int, depth: int) -> list[list[Field]]:
        if depth > 2 * _DEPTH:
            raise ValueError("nested too deep")
        try:
            return [read(value, self._steps) for at, _, value in fields if at == number and isinstance(value, bytes)]
        except (NotWire, Exhausted):
            raise ValueError("no Struct") from None


WELL_KNOWN: dict[str, Form] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Empty": _empty,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.Any": _any,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
    "google.protobuf.ListValue": _list,
    "google.protobuf.StringValue": _string,
    "google.protobuf.BytesValue": _bytes,
    "google.protobuf.BoolValue": _wrapper(VARINT, bool),
    "google.protobuf.Int32Value": _wrapper(VARINT, lambda value: signed(value, 32)),
    "google.protobuf.Int64Value": _wrapper(VARINT, lambda value: str(signed(value))),
    "google.protobuf.UInt32Value": _wrapper(VARINT, lambda value: value & 0xFFFFFFFF),
    "google.protobuf.UInt64Value": _wrapper(VARINT, str),
    "google.protobuf.FloatValue": _wrapper(FIXED32, single),
    "google.protobuf.DoubleValue": _wrapper(FIXED64, double),
}
