"""A message whose schema nobody knows: every reading that its bytes allow, and no guess which is meant.

Docs: docs/grpc.md has the JSON form.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Any

from pysniff.protobuf.numbers import double, signed, single
from pysniff.protobuf.wire import BYTES, FIXED32, FIXED64, GROUP, VARINT, Exhausted, Field, NotWire, Steps, read

FIELDS = 20_000  # read of one message, guesses included: about 20 ms
DEPTH = 32  # messages inside of messages
# A guess costs a step for so many bytes besides its fields, so that the same bytes are not looked at for ever.
_GUESS = 512
_NEGATIVE = 1 << 63

# What text does not have: C0 but tab and line ends, DEL, C1.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]").search
# Whether a first byte can begin a message: a field number above 0, or more to come, and a wire type that exists.
_BEGINS = [byte >> 3 > 0 and byte & 7 in (VARINT, FIXED64, BYTES, GROUP, FIXED32) for byte in range(256)]


def view(fields: list[Field], steps: Steps, depth: int = 0) -> dict[str, Any]:
    """By number, in the order in which the numbers came: a list of what each occurrence can be."""
    found: dict[str, Any] = {}
    for number, wire, value in fields:
        name = str(number)
        one = {"varint": value} if wire == VARINT and value < _NEGATIVE else readings(wire, value, steps, depth)  # type: ignore[operator]
        if name in found:
            found[name].append(one)
        else:
            found[name] = [one]
    return found


def readings(wire: int, value: int | bytes | list[Field], steps: Steps, depth: int) -> dict[str, Any]:
    """What one value can be, by the name of each reading."""
    if isinstance(value, bytes):
        return _of_bytes(value, steps, depth)
    if isinstance(value, list):
        return {"group": view(value, steps, depth + 1)}
    if wire == VARINT:
        return {"varint": value} if value < _NEGATIVE else {"varint": value, "int": signed(value)}
    if wire == FIXED64:
        return {"fixed64": value, "double": double(value)}
    return {"fixed32": value, "float": single(value)}


def _of_bytes(value: bytes, steps: Steps, depth: int) -> dict[str, Any]:
    words = text(value)
    found: dict[str, Any] = {"base64": b2a_base64(value, newline=False).decode()} if words is None else {"text": words}
    if value and _BEGINS[value[0]] and depth < DEPTH:
        steps.left -= len(value) // _GUESS
        try:
            found["message"] = view(read(value, steps), steps, depth + 1)
        except NotWire:
            steps.left -= 1
        except Exhausted:
            steps.cut = True
    return found


def text(value: bytes) -> str | None:
    """UTF-8 without control characters, or None."""
    try:
        words = value.decode()
    except UnicodeDecodeError:
        return None
    return words if words.isprintable() or not _CONTROLS(words) else None
