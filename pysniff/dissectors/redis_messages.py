"""Redis commands and replies as entries show them."""

from __future__ import annotations

import base64
import codecs
import math
from typing import Any, ClassVar

from pysniff.dissectors.resp_values import Found, Value
from pysniff.message import Fault, Message, Role, Side

ITEM = 120  # bytes that one takes beside its content
_SUMMARY = 80  # characters of a summary


class RedisCommand(Message):
    """A command; `args` as sent."""

    __slots__ = ("_value",)
    protocol: ClassVar[str] = "redis"
    role: ClassVar[Role] = Role.REQUEST

    def __init__(self, found: Found, side: Side) -> None:
        super().__init__(side, found.first, found.last, found.position, found.size, _faults(found))
        self._value = found.value

    def weight(self) -> int:
        return super().weight() + ITEM * len(self._value.items)

    @property
    def command(self) -> str:
        """Its name in upper case."""
        items = self._value.items
        return items[0].text.decode("utf-8", "backslashreplace").upper() if items else ""

    @property
    def args(self) -> tuple[bytes, ...]:
        return tuple(item.text for item in self._value.items[1:])

    @property
    def summary(self) -> str:
        words = [_printable(item.text) for item in self._value.items[:8]]
        line = " ".join([words[0].upper(), *words[1:]]) if words else ""
        if len(line) > _SUMMARY or self._value.size > 8:
            line = line[:_SUMMARY] + "..."
        return line

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        plain = _Plain(body_limit)
        args = [plain.of(item) for item in self._value.items[1:] if plain.room()]
        cut = plain.cut or len(args) < self._value.size - 1 or _is_cut(self)
        return {"command": self.command, "args": args, "size": self.size, "truncated": cut}


class RedisUnanswered(RedisCommand):
    """A command after which the server says nothing: CLIENT REPLY OFF or SKIP."""

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE


class RedisReply(Message):
    """A reply; `type` is RESP's, `attributes` what RESP3 says about it."""

    __slots__ = ("_value", "_attributes")
    protocol: ClassVar[str] = "redis"
    role: ClassVar[Role] = Role.RESPONSE

    def __init__(self, found: Found, side: Side) -> None:
        super().__init__(side, found.first, found.last, found.position, found.size, _faults(found))
        self._value = found.value
        self._attributes = found.attributes

    @property
    def type(self) -> str:
        return self._value.kind

    @property
    def value(self) -> Any:
        """As in the JSON record: text, or {"base64": ...} where it is binary."""
        return _Plain(self.size + 1).of(self._value)

    @property
    def ok(self) -> bool:
        return self._value.kind not in ("error", "bulk_error")

    @property
    def status_text(self) -> str:
        """The first word of an error, or of a status such as OK, PONG, QUEUED; OK for any other value."""
        word = _printable(self._value.text[:_SUMMARY].partition(b" ")[0]) if self._value.kind != "bulk_string" else ""
        if not self.ok:
            return word
        return word if self._value.kind == "simple_string" and word.isupper() else "OK"

    @property
    def summary(self) -> str:
        value = self._value
        if value.items:
            return " ".join(_printable(item.text) for item in value.items[:2] if item.text)[:_SUMMARY]
        return _printable(value.text[:_SUMMARY])

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        plain = _Plain(body_limit)
        record = {"type": self.type, "value": plain.of(self._value), "size": self.size}
        record["truncated"] = plain.cut or _is_cut(self)
        if self._attributes is not None:
            record["attributes"] = plain.of(self._attributes)
        return record


class RedisPush(RedisReply):
    """What the server sends unasked."""

    __slots__ = ()
    role: ClassVar[Role] = Role.ALONE


def _faults(found: Found) -> tuple[Fault, ...]:
    faults: tuple[Fault, ...] = ()
    if found.lost:
        faults = (Fault("gap", f"{found.lost} bytes lost", found.lost),)
    if found.cut:
        faults += (Fault("truncated", "more was sent than is kept"),)
    return faults


def _is_cut(message: Message) -> bool:
    return any(fault.kind == "truncated" for fault in message.faults)


def _printable(content: bytes) -> str:
    """Text without control characters, for a line that people read."""
    text = content[:_SUMMARY].decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


class _Plain:
    """Writes values as JSON has them, within a number of bytes.

    Strings are text, or {"base64": ...} where they are not UTF-8; a map is a list of pairs, as its keys
    may be anything; an error inside of an aggregate is {"error": ...}; a big number is text.
    """

    def __init__(self, limit: int) -> None:
        self._left = max(limit, 0)
        self.cut = False

    def room(self) -> bool:
        """Whether another item may be written; an empty one costs a byte too."""
        self._left -= 1
        if self._left < 0:
            self.cut = True
        return self._left >= 0

    def of(self, value: Value) -> Any:
        kind, content = value.kind, value.value
        if isinstance(content, tuple):
            # Not deeper than resp.DEPTH.
            items = [_item(self.of(each), each.kind) for each in content if self.room()]
            if kind in ("map", "attribute"):
                return [items[at : at + 2] for at in range(0, len(items) - 1, 2)]
            return items
        if isinstance(content, bytes):
            return self._number(content) if kind == "double" else self._string(content, value.size)
        return content

    def _number(self, content: bytes) -> float | str:
        text = content[:64].decode("ascii", "backslashreplace")
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text  # JSON has no infinity

    def _string(self, content: bytes, size: int) -> Any:
        kept = content[: max(self._left, 0)]
        self._left -= len(kept)
        cut = len(kept) < len(content)
        self.cut |= cut
        try:
            # Of one that was cut, by us or by the reader, the last character may be incomplete.
            return codecs.getincrementaldecoder("utf-8")().decode(kept, not cut and len(content) >= size)
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(kept).decode("ascii")}


def _item(plain: Any, kind: str) -> Any:
    return {"error": plain} if kind in ("error", "bulk_error") else plain
