"""A checked condition written as a filter again, in one way of writing: for explanations."""

from __future__ import annotations

import math

from pysniff.entry import rfc3339
from pysniff.kfl.tree import (
    And,
    Call,
    Conditional,
    Has,
    ListOf,
    Literal,
    Local,
    Loop,
    MapOf,
    Node,
    Not,
    Or,
    Read,
    Select,
)
from pysniff.kfl.types import BOOL, DURATION, INT, TIMESTAMP, UINT
from pysniff.kfl.values import kind
from pysniff.limits import SECOND

# How tightly each way of writing binds (cel-spec, langdef.md, "Syntax").
_CHOICE, _OR, _AND, _RELATION, _SUM, _PRODUCT, _SIGN, _MEMBER = range(8)
_BINDING = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _RELATION),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
}


def written(node: Node) -> str:
    """The text; what was folded stands as its value."""
    return _text(node)[0]


def _within(node: Node, binding: int) -> str:
    text, own = _text(node)
    return f"({text})" if own < binding else text


def _listed(items: tuple[Node, ...]) -> str:
    return ", ".join(written(item) for item in items)


def _text(node: Node) -> tuple[str, int]:
    match node:
        case Literal():
            return _value(node.value)
        case Read() | Local():
            return node.name, _MEMBER
        case Select():
            return f"{_within(node.operand, _MEMBER)}.{_field(node.field)}", _MEMBER
        case Has():
            return f"has({_within(node.operand, _MEMBER)}.{_field(node.field)})", _MEMBER
        case And():
            return " && ".join(_within(part, _RELATION) for part in node.parts), _AND
        case Or():
            return " || ".join(_within(part, _AND) for part in node.parts), _OR
        case Not():
            return f"!{_within(node.operand, _MEMBER)}", _SIGN
        case Conditional():
            test, yes, no = _within(node.test, _OR), _within(node.yes, _OR), written(node.no)
            return f"{test} ? {yes} : {no}", _CHOICE
        case ListOf():
            return f"[{_listed(node.items)}]", _MEMBER
        case MapOf():
            pairs = ", ".join(f"{written(key)}: {written(value)}" for key, value in node.pairs)
            return f"{{{pairs}}}", _MEMBER
        case Loop():
            inner = [node.name, *(written(each) for each in (node.test, node.result) if each is not None)]
            return f"{_within(node.over, _MEMBER)}.{node.macro}({', '.join(inner)})", _MEMBER
        case Call():
            return _call(node)
    raise TypeError(f"{type(node).__name__} is not in a checked tree")


def _call(node: Call) -> tuple[str, int]:
    name, arguments = node.function, node.arguments
    if name in _BINDING:
        binding = _BINDING[name]
        return f"{_within(arguments[0], binding)} {name} {_within(arguments[1], binding + 1)}", binding
    if name == "-_":
        return f"-{_within(arguments[0], _MEMBER)}", _SIGN
    if name == "[]":
        return f"{_within(arguments[0], _MEMBER)}[{written(arguments[1])}]", _MEMBER
    if node.method:
        return f"{_within(arguments[0], _MEMBER)}.{name}({_listed(arguments[1:])})", _MEMBER
    return f"{name}({_listed(arguments)})", _MEMBER


def _value(value: object) -> tuple[str, int]:
    sort = kind(value)
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"', _MEMBER
    if isinstance(value, bytes):
        return f'b"{"".join(map(_byte, value))}"', _MEMBER
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item)[0] for item in value)}]", _MEMBER
    if isinstance(value, int) and sort in (TIMESTAMP, DURATION):
        return _time(value, is_moment=sort == TIMESTAMP), _MEMBER
    if isinstance(value, int) and sort in (INT, UINT):
        return f"{int(value)}{'u' if sort == UINT else ''}", _SIGN if value < 0 else _MEMBER
    if isinstance(value, float):
        text = repr(value) if math.isfinite(value) else f'double("{value}")'
        return text, _SIGN if value < 0 else _MEMBER
    return ("null" if value is None else str(value).lower() if sort == BOOL else str(value)), _MEMBER


def _time(value: int, *, is_moment: bool) -> str:
    if is_moment:
        return f'timestamp("{rfc3339(value)}")'
    return f'duration("{value // SECOND}s")' if value % SECOND == 0 else f'duration("{int(value)}ns")'


def _field(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _byte(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}"
