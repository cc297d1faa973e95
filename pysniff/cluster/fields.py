"""What a field of a frame may hold: how it is packed, and what is refused when read.

A rule stands in the annotation of its field: `id: Annotated[int, Whole(1, LAST)]`.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pysniff.cluster.packed import FrameError


class Rule(Protocol):
    """Both directions of one field. Neither raises anything but FrameError."""

    def pack(self, value: Any) -> object:
        """The msgpack value of a field's value."""

    def read(self, value: object) -> object:
        """The field's value of a msgpack value."""


@dataclass(frozen=True)
class Whole:
    """An integer from `least` to `most`."""

    least: int
    most: int

    def pack(self, value: object) -> object:
        return self.read(value)

    def read(self, value: object) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise FrameError(f"not an integer from {self.least} to {self.most}")
        return value


@dataclass(frozen=True)
class Text:
    """Text of at most `most` characters; what is longer is cut where it is packed."""

    most: int

    def pack(self, value: object) -> object:
        if not isinstance(value, str):
            raise FrameError("not text")
        return value[: self.most]

    def read(self, value: object) -> str:
        if not isinstance(value, str) or len(value) > self.most:
            raise FrameError(f"not text of at most {self.most} characters")
        return value


@dataclass(frozen=True)
class Form:
    """Text of a form that a regular expression describes."""

    expression: str
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(self.expression, re.ASCII))

    def pack(self, value: object) -> object:
        return self.read(value)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or self._pattern.fullmatch(value) is None:
            raise FrameError(f"not text of the form {self.expression}")
        return value


@dataclass(frozen=True)
class Table:
    """A map; packed.py bounds what is in it."""

    def pack(self, value: object) -> object:
        if not isinstance(value, Mapping):
            raise FrameError("not a map")
        return value

    def read(self, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise FrameError("not a map")
        return value


@dataclass(frozen=True)
class Blob:
    """Bytes, as many as a message holds."""

    def pack(self, value: object) -> object:
        return self.read(value)

    def read(self, value: object) -> bytes:
        if not isinstance(value, bytes):
            raise FrameError("not bytes")
        return value


@dataclass(frozen=True)
class Numbers:
    """Integers one behind the other as little-endian bytes: q signed 64 bits, Q unsigned 64, I unsigned 32.

    So a header of a thousand entries is one value to msgpack, and takes no loop to check.
    """

    code: str

    def pack(self, value: Sequence[int]) -> object:
        try:
            numbers = array(self.code, value)
        except (TypeError, OverflowError) as error:
            raise FrameError(f"not numbers: {error}") from None
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()

    def read(self, value: object) -> list[int]:
        numbers: array[int] = array(self.code)
        if not isinstance(value, bytes) or len(value) % numbers.itemsize:
            raise FrameError(f"not numbers of {numbers.itemsize} bytes")
        numbers.frombytes(value)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
