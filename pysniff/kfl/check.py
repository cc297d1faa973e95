"""Resolves names and types: a parsed tree becomes a checked one (langdef.md, "Type Checking").

Dotted names are variables as far as a known one goes: of `request.headers.host` the longest is `request.headers`,
and `.host` is a key of its map.
"""

from __future__ import annotations

import json

from pysniff.errors import FilterError
from pysniff.kfl import limits
from pysniff.kfl.functions import FUNCTIONS, TYPE_NAMES, Overload
from pysniff.kfl.infer import Bindings, Parameter, assignable, finished, joined, made_of, resolved
from pysniff.kfl.schema import Schema, nearest
from pysniff.kfl.source import Source
from pysniff.kfl.tree import (
    OPERATORS,
    And,
    Call,
    Conditional,
    Has,
    ListOf,
    Literal,
    Local,
    Loop,
    MapOf,
    Name,
    Node,
    Not,
    Or,
    Read,
    Select,
)
from pysniff.kfl.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    NUMBERS,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    ListType,
    MapType,
    Type,
)
from pysniff.kfl.values import UInt

_LITERALS: dict[type, Type] = {
    bool: BOOL, int: INT, UInt: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip
_COMPARING = frozenset(("==", "!=", "<", "<=", ">", ">="))
_KEYS = frozenset((BOOL, INT, UINT, STRING, DYN))


def check(tree: Node, schema: Schema, source: Source) -> Node:
    """The tree with names resolved and types set, a bool or dyn; raise FilterError."""
    checker = _Checker(schema, source)
    tree = checker.checked(tree)
    for node in tree.walk():
        node.type = finished(node.type, checker.bindings)
    if tree.type not in (BOOL, DYN):
        raise source.error(f"a filter is true or false, this is {_a(tree.type)}", tree.at, _completion(tree.type))
    return tree


def _completion(kind: Type) -> str:
    if kind in NUMBERS:
        return "compare it with a number"
    return 'compare it, as in method == "GET"' if kind == STRING else ""


def _right_literal(variable: Node, literal: Node, wanted: Type, given: Type) -> str:
    """How the value that a variable is compared with is written in its type, or ""."""
    if not isinstance(variable, Read) or not isinstance(literal, Literal):
        return ""
    value, name = literal.value, variable.name
    if wanted == INT and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return f"{name} is an int: write {value}"
    if wanted == STRING and given in NUMBERS:
        return f'{name} is a string: write "{value}"'
    if wanted in (TIMESTAMP, DURATION) and isinstance(value, str) and len(value) < 40:
        return f"{name} is {_a(wanted)}: write {wanted}({json.dumps(value)})"
    return f"{name} is {_a(wanted)}"


def _a(kind: object) -> str:
    """a string, an int"""
    return f"a{'n' if str(kind)[0] in 'aeiou' else ''} {kind}"


class _Checker:
    def __init__(self, schema: Schema, source: Source) -> None:
        self.schema = schema
        self.source = source
        self.bindings: Bindings = {}
        self.scopes: list[tuple[str, Type]] = []  # the variables of the macros around, innermost last

    def checked(self, node: Node) -> Node:
        """The node to put in its place, with its type."""
        match node:
            case Literal():
                node.type = _LITERALS[type(node.value)]
            case Name():
                return self.name(node)
            case Select():
                return self.select(node)
            case Has():
                node.operand = self.checked(node.operand)
                self.field_type(node.operand, node.at)
                node.type = BOOL
            case And() | Or():
                node.parts = tuple([self.boolean(part) for part in node.parts])
                node.type = BOOL
            case Not():
                node.operand = self.boolean(node.operand)
                node.type = BOOL
            case Conditional():
                self.conditional(node)
            case ListOf():
                node.items = tuple([self.checked(item) for item in node.items])
                node.type = ListType(self.join([item.type for item in node.items]))
            case MapOf():
                self.map(node)
            case Call():
                self.call(node)
            case Loop():
                self.loop(node)
        return node

    def shown(self, kind: Type) -> Type:
        return finished(kind, self.bindings)

    def join(self, types: list[Type]) -> Type:
        return joined(types, self.bindings)

    def boolean(self, node: Node) -> Node:
        node = self.checked(node)
        if not assignable(node.type, BOOL, self.bindings):
            raise self.source.error(f"this must be true or false, it is {_a(self.shown(node.type))}", node.at)
        return node

    # Names

    def name(self, node: Name) -> Node:
        if not node.root:
            for level in range(len(self.scopes) - 1, -1, -1):
                name, kind = self.scopes[level]
                if name == node.name:
                    return typed(Local(node.at, name, level), kind)
        return self.global_name(node.at, node.name) or self.unknown(node.at, node.name)

    def global_name(self, at: int, name: str) -> Node | None:
        variable = self.schema.get(name)
        if variable is not None:
            return typed(Read(at, name), variable.type)
        return typed(Literal(at, TYPE_NAMES[name]), TYPE) if name in TYPE_NAMES else None

    def unknown(self, at: int, name: str) -> Node:
        known = [*(variable.name for variable in self.schema), *(name for name, _ in self.scopes)]
        if self.schema.is_stem(name):
            hint = "it begins " + ", ".join([one for one in known if one.startswith(name + ".")][:6])
        else:
            hint = meant(nearest(name, known))
        raise self.source.error(f"unknown variable `{name[:60]}`", at, hint)

    def select(self, node: Select) -> Node:
        path = self.path(node)
        if path is not None:
            known = self.global_name(self.start(node), path)
            if known is not None:
                return known
            if not self.has_variable(node.operand):
                # `src.prt`: no part of it is a variable.
                self.unknown(self.start(node), path)
        node.operand = self.checked(node.operand)
        node.type = self.field_type(node.operand, node.at)
        return node

    def path(self, node: Node) -> str | None:
        """a.b.c as one name, where it is no path into a macro's variable."""
        fields = []
        while isinstance(node, Select):
            fields.append(node.field)
            node = node.operand
        if not isinstance(node, Name) or (not node.root and any(name == node.name for name, _ in self.scopes)):
            return None
        return ".".join((node.name, *reversed(fields)))

    def start(self, node: Node) -> int:
        while isinstance(node, Select):
            node = node.operand
        return node.at

    def has_variable(self, node: Node) -> bool:
        """Whether a path, or what it begins with, is known."""
        while True:
            path = self.path(node)
            if path is None or path in self.schema or path in TYPE_NAMES:
                return True
            if not isinstance(node, Select):
                return False
            node = node.operand

    def field_type(self, operand: Node, at: int) -> Type:
        kind = resolved(operand.type, self.bindings)
        if isinstance(kind, MapType):
            return kind.value
        if kind != DYN and not isinstance(kind, Parameter):
            raise self.source.error(f"a {self.shown(kind)} has no fields", at)
        return DYN

    # What is made of parts

    def conditional(self, node: Conditional) -> None:
        node.test = self.boolean(node.test)
        node.yes, node.no = self.checked(node.yes), self.checked(node.no)
        whole, trial = Parameter(), dict(self.bindings)
        if not all(assignable(part.type, whole, trial) for part in (node.yes, node.no)):
            kinds = f"{self.shown(node.yes.type)} and {self.shown(node.no.type)}"
            raise self.source.error(f"both results of ?: must have one type, they are {kinds}", node.at)
        self.bindings = trial
        node.type = resolved(whole, trial)

    def map(self, node: MapOf) -> None:
        node.pairs = tuple([(self.checked(key), self.checked(value)) for key, value in node.pairs])
        known: set[tuple[type, object]] = set()
        for key, _ in node.pairs:
            if isinstance(key, Literal):
                if (type(key.value), key.value) in known:
                    raise self.source.error("a key for the second time", key.at)
                known.add((type(key.value), key.value))
            if self.shown(key.type) not in _KEYS:
                kind = self.shown(key.type)
                raise self.source.error(f"a map's key is a bool, int, uint or string, not {_a(kind)}", key.at)
        keys = self.join([key.type for key, _ in node.pairs])
        node.type = MapType(keys, self.value_type([value.type for _, value in node.pairs]))

    def value_type(self, types: list[Type]) -> Type:
        """Of a map's values: the first one's if the others may stand in its place, as Google's checker has it."""
        first = types[0] if types else Parameter()
        for kind in types[1:]:
            trial = dict(self.bindings)
            if not assignable(kind, first, trial):
                return DYN
            self.bindings = trial
        return first

    def loop(self, node: Loop) -> None:
        if len(self.scopes) == limits.MACROS:
            raise self.source.error(f"macros nest at most {limits.MACROS} deep", node.at)
        node.over = self.checked(node.over)
        over = resolved(node.over.type, self.bindings)
        if not isinstance(over, ListType | MapType | Parameter) and over != DYN:
            raise self.source.error(f"{node.macro}() goes through a list or map, not {_a(over)}", node.at)
        element = over.parts[0] if over.parts else DYN
        node.level = len(self.scopes)
        self.scopes.append((node.name, element))
        node.test = self.boolean(node.test) if node.test is not None else None
        node.result = self.checked(node.result) if node.result is not None else None
        self.scopes.pop()
        if node.result is not None:
            node.type = ListType(node.result.type)
        else:
            node.type = ListType(element) if node.macro == "filter" else BOOL

    # Calls

    def call(self, node: Call) -> None:
        name = node.function
        overloads = FUNCTIONS.get(name, ())
        written = [overload for overload in overloads if overload.method == node.method]
        if not written:
            raise self.no_function(node, bool(overloads))
        node.arguments = tuple([self.checked(argument) for argument in node.arguments])
        given = [argument.type for argument in node.arguments]
        found: list[Type] = []
        for overload in written:
            trial = dict(self.bindings)
            takes, gives = _fresh(overload)
            if len(takes) == len(given) and all(
                assignable(one, other, trial) for one, other in zip(given, takes, strict=True)
            ):
                # What is not known yet (the elements of an empty list) is what the first overload makes of it.
                self.bindings = trial
                found.append(resolved(gives, trial))
        if not found:
            raise self.no_overload(node, given, written)
        # Which of several overloads it is shows when it runs.
        node.type = found[0] if all(gives == found[0] for gives in found) else DYN

    def no_function(self, node: Call, known: bool) -> FilterError:
        name = node.function
        if known:
            right = f"write {name}(x)" if node.method else f"write x.{name}()"
            return self.source.error(f"`{name}` is not called so", node.at, right)
        names = [one for one in FUNCTIONS if one not in OPERATORS]
        names += ["all", "exists", "exists_one", "map", "filter"] if node.method else ["has"]
        if name in names:
            return self.source.error(f"{name}() takes other arguments", node.at)
        return self.source.error(f"unknown function `{name[:60]}`", node.at, meant(nearest(name, names)))

    def no_overload(self, node: Call, given: list[Type], written: list[Overload]) -> FilterError:
        kinds = [self.shown(kind) for kind in given]
        words = ", ".join(map(str, kinds))
        hint = ""
        if len(kinds) == 2 and kinds[0] != kinds[1] and set(kinds) <= NUMBERS:
            hint = f"convert one of them: {kinds[0]}(x)"
        elif len(kinds) == 2 and node.function in _COMPARING:
            (left, right), (first, second) = node.arguments, kinds
            hint = _right_literal(left, right, first, second) or _right_literal(right, left, second, first)
        if node.function in OPERATORS:
            sign = {"[]": "index", "-_": "minus sign"}.get(node.function, f"`{node.function}`")
            return self.source.error(f"no {sign} for ({words})", node.at, hint)
        skip = 1 if node.method else 0
        takes = sorted({f"({', '.join(_named(kind) for kind in one.takes[skip:])})" for one in written})
        words = ", ".join(map(str, kinds[skip:]))
        receiver = f" of {_a(kinds[0])}" if node.method else ""
        hint = f"it takes {' or '.join(takes)}" if len(takes) <= 4 else ""
        return self.source.error(f"no {node.function}({words}){receiver}", node.at, hint)


def _named(kind: Type) -> str:
    return "any" if isinstance(kind, Parameter) else kind.name


def _fresh(overload: Overload) -> tuple[list[Type], Type]:
    """The signature with parameters of its own."""
    own: dict[Parameter, Parameter] = {}

    def renamed(kind: Type) -> Type:
        if isinstance(kind, Parameter):
            return own.setdefault(kind, Parameter())
        return made_of(kind, [renamed(part) for part in kind.parts])

    return [renamed(kind) for kind in overload.takes], renamed(overload.gives)


def typed(node: Node, kind: Type) -> Node:
    """The same, with its type."""
    node.type = kind
    return node


def meant(name: str | None) -> str:
    """A hint's words."""
    return f"did you mean {name}?" if name else ""
