"""Descriptor sets, as `protoc --include_imports -o` writes them: the names of messages, fields, enums and methods.

Read with our own wire reader: of descriptor.proto little is needed, and what a set lacks (imports that were left
out) costs the names of that message alone. Source: google/protobuf/descriptor.proto, whose field numbers these are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pysniff.protobuf.numbers import signed
from pysniff.protobuf.wire import BYTES, VARINT, Exhausted, Field, NotWire, Steps, read

SET_FIELDS = 5_000_000  # of all descriptors together; the largest public set (googleapis) has about 2,000,000

# FieldDescriptorProto.Type
(
    DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING, GROUP, MESSAGE, RAW, UINT32, ENUM,
    SFIXED32, SFIXED64, SINT32, SINT64,
) = range(1, 19)  # fmt: skip
_REPEATED = 3  # FieldDescriptorProto.Label


# Of a proto2 extension: the message that it extends, its descriptor, and where it was declared.
Extension = tuple[str, list[Field], str]


class BadSchema(Exception):
    """The bytes are no descriptor set."""


@dataclass(slots=True)
class FieldType:
    """One field. `type_name`: of messages and enums, as in Schemas. `oneof`: index of the oneof it is in, or -1."""

    name: str
    type: int
    repeated: bool
    type_name: str
    oneof: int


@dataclass(slots=True)
class MessageType:
    """A message: its fields by number; `oneofs`: the numbers that exclude each other, by index."""

    name: str
    fields: dict[int, FieldType] = field(default_factory=dict)
    oneofs: dict[int, list[int]] = field(default_factory=dict)
    is_map_entry: bool = False


class Schemas:
    """What descriptor sets say. Names are full, without a leading dot; `methods` by service/method."""

    def __init__(self) -> None:
        self.messages: dict[str, MessageType] = {}
        self.enums: dict[str, dict[int, str]] = {}
        self.methods: dict[str, tuple[str, str]] = {}

    def add(self, data: bytes) -> None:
        """Take another descriptor set; what is known already stands. Raise BadSchema where it is none."""
        steps = Steps(SET_FIELDS)
        try:
            files = _messages(read(data, steps), 1, steps)
            if not files or not all(_word(file, 1) for file in files):
                raise BadSchema("no file in it has a name")
            extensions = [extension for file in files for extension in self._add_file(file, steps)]
        except NotWire as error:
            raise BadSchema(str(error)) from None
        except Exhausted:
            raise BadSchema(f"more than {SET_FIELDS} fields") from None
        for extendee, descriptor, scope in extensions:
            if extendee in self.messages:
                self._add_field(self.messages[extendee], descriptor, f"[{scope}{_word(descriptor, 1)}]")

    def __bool__(self) -> bool:
        return bool(self.methods) or bool(self.messages)

    def method(self, service: str, method: str) -> tuple[MessageType | None, MessageType | None]:
        """The messages that a method takes and gives, each None where it is not known.

        A service may stand behind the prefix of a proxy: `api/shop.Cart`.
        """
        names = self.methods.get(f"{service}/{method}") or self.methods.get(f"{service.rpartition('/')[2]}/{method}")
        return (self.messages.get(names[0]), self.messages.get(names[1])) if names else (None, None)

    def _add_file(self, file: list[Field], steps: Steps) -> list[Extension]:
        package = _word(file, 2)
        scope = f"{package}." if package else ""
        extensions = _extensions(file, 7, scope, steps)
        for message in _messages(file, 4, steps):
            extensions += self._add_message(message, scope, steps)
        for enum in _messages(file, 5, steps):
            self._add_enum(enum, scope, steps)
        for service in _messages(file, 6, steps):
            name = scope + _word(service, 1)
            for method in _messages(service, 2, steps):
                self.methods[f"{name}/{_word(method, 1)}"] = (_reference(method, 2), _reference(method, 3))
        return extensions

    def _add_message(self, descriptor: list[Field], scope: str, steps: Steps) -> list[Extension]:
        name = scope + _word(descriptor, 1)
        extensions = _extensions(descriptor, 6, f"{name}.", steps)
        # As protobuf does, the first of several sets stands; they are mostly the same well-known files again.
        message = self.messages.setdefault(name, MessageType(name))
        for one in _messages(descriptor, 2, steps):
            self._add_field(message, one, _word(one, 1))
        for options in _messages(descriptor, 7, steps):
            message.is_map_entry = bool(_number(options, 7))
        for inner in _messages(descriptor, 3, steps):
            extensions += self._add_message(inner, f"{name}.", steps)
        for enum in _messages(descriptor, 4, steps):
            self._add_enum(enum, f"{name}.", steps)
        return extensions

    def _add_field(self, message: MessageType, descriptor: list[Field], name: str) -> None:
        number = _number(descriptor, 3)
        oneof = _number(descriptor, 9) if any(field[0] == 9 for field in descriptor) else -1
        repeated = _number(descriptor, 4) == _REPEATED
        known = FieldType(name, _number(descriptor, 5), repeated, _reference(descriptor, 6), oneof)
        if message.fields.setdefault(number, known) is known and oneof >= 0:
            message.oneofs.setdefault(oneof, []).append(number)

    def _add_enum(self, descriptor: list[Field], scope: str, steps: Steps) -> None:
        values = self.enums.setdefault(scope + _word(descriptor, 1), {})
        for value in _messages(descriptor, 2, steps):
            # Of aliases the first one is the name.
            values.setdefault(signed(_number(value, 2), 32), _word(value, 1))


NOTHING = Schemas()


def _extensions(fields: list[Field], number: int, scope: str, steps: Steps) -> list[Extension]:
    return [(_reference(one, 2), one, scope) for one in _messages(fields, number, steps)]


def _messages(fields: list[Field], number: int, steps: Steps) -> list[list[Field]]:
    return [read(value, steps) for at, wire, value in fields if at == number and isinstance(value, bytes)]


def _word(fields: list[Field], number: int) -> str:
    for at, wire, value in fields:
        if at == number and wire == BYTES and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
    return ""


def _reference(fields: list[Field], number: int) -> str:
    return _word(fields, number).removeprefix(".")


def _number(fields: list[Field], number: int) -> int:
    for at, wire, value in fields:
        if at == number and wire == VARINT and isinstance(value, int):
            return value
    return 0
