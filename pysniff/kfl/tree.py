"""The nodes of a filter's tree, as the parser makes them and the checker leaves them.

`at` is the offset of a node's first character (of an operator: the operator's) in the text; `type` its static type,
set by the checker. A receiver is the first argument of its call: `path.contains("a")` is
Call("contains", (Read("path"), Literal("a"))). Operators are calls too, named by OPERATORS.
"""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.kfl.types import DYN, Type

# Calls that the grammar makes: binary, index, minus sign. `!`, `&&`, `||` and `?:` are nodes of their own.
OPERATORS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "[]", "-_"))
MACROS = frozenset(("all", "exists", "exists_one", "map", "filter"))


class Node:
    """Any node; `children` in the order of evaluation."""

    __slots__ = ("at", "type")

    def __init__(self, at: int) -> None:
        self.at = at
        self.type: Type = DYN

    @property
    def children(self) -> tuple[Node, ...]:
        return ()

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        rest: list[Node] = [self]
        while rest:
            node = rest.pop()
            yield node
            rest.extend(node.children)


class Literal(Node):
    """A value: of the text, or a type's name, which is a value too (`type(x) == string`)."""

    __slots__ = ("value",)

    def __init__(self, at: int, value: object) -> None:
        super().__init__(at)
        self.value = value


class Name(Node):
    """An identifier that the checker has not resolved: no checked tree has one. `root`: written with a dot before."""

    __slots__ = ("name", "root")

    def __init__(self, at: int, name: str, root: bool = False) -> None:
        super().__init__(at)
        self.name = name
        self.root = root


class Read(Node):
    """A variable of the schema."""

    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name


class Local(Node):
    """The variable of an enclosing macro; `level` tells it from others of its name (0 = outermost macro)."""

    __slots__ = ("name", "level")

    def __init__(self, at: int, name: str, level: int) -> None:
        super().__init__(at)
        self.name = name
        self.level = level


class Select(Node):
    """operand.field: a map's value, an error where it is missing."""

    __slots__ = ("operand", "field")

    def __init__(self, at: int, operand: Node, field: str) -> None:
        super().__init__(at)
        self.operand = operand
        self.field = field

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


class Has(Node):
    """has(operand.field): whether the map has it."""

    __slots__ = ("operand", "field")

    def __init__(self, at: int, operand: Node, field: str) -> None:
        super().__init__(at)
        self.operand = operand
        self.field = field

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


class Call(Node):
    """A function, a method (`method`: written with its receiver, the first argument) or an operator."""

    __slots__ = ("function", "arguments", "method")

    def __init__(self, at: int, function: str, arguments: tuple[Node, ...], method: bool = False) -> None:
        super().__init__(at)
        self.function = function
        self.arguments = arguments
        self.method = method

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments


class And(Node):
    """a && b && c: false when any part is, whatever fails."""

    __slots__ = ("parts",)

    def __init__(self, at: int, parts: tuple[Node, ...]) -> None:
        super().__init__(at)
        self.parts = parts

    @property
    def children(self) -> tuple[Node, ...]:
        return self.parts


class Or(Node):
    """a || b || c: true when any part is, whatever fails."""

    __slots__ = ("parts",)

    def __init__(self, at: int, parts: tuple[Node, ...]) -> None:
        super().__init__(at)
        self.parts = parts

    @property
    def children(self) -> tuple[Node, ...]:
        return self.parts


class Not(Node):
    """!operand"""

    __slots__ = ("operand",)

    def __init__(self, at: int, operand: Node) -> None:
        super().__init__(at)
        self.operand = operand

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


class Conditional(Node):
    """test ? yes : no"""

    __slots__ = ("test", "yes", "no")

    def __init__(self, at: int, test: Node, yes: Node, no: Node) -> None:
        super().__init__(at)
        self.test = test
        self.yes = yes
        self.no = no

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.test, self.yes, self.no)


class ListOf(Node):
    """[a, b]"""

    __slots__ = ("items",)

    def __init__(self, at: int, items: tuple[Node, ...]) -> None:
        super().__init__(at)
        self.items = items

    @property
    def children(self) -> tuple[Node, ...]:
        return self.items


class MapOf(Node):
    """{key: value}"""

    __slots__ = ("pairs",)

    def __init__(self, at: int, pairs: tuple[tuple[Node, Node], ...]) -> None:
        super().__init__(at)
        self.pairs = pairs

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(node for pair in self.pairs for node in pair)


class Loop(Node):
    """over.macro(name, test), or over.map(name, result), over.map(name, test, result): one of MACROS.

    `test` is None only for map without a filter, `result` only for the other macros.
    """

    __slots__ = ("macro", "over", "name", "level", "test", "result")

    def __init__(self, at: int, macro: str, over: Node, name: str, test: Node | None, result: Node | None) -> None:
        super().__init__(at)
        self.macro = macro
        self.over = over
        self.name = name
        self.level = 0
        self.test = test
        self.result = result

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(node for node in (self.over, self.test, self.result) if node is not None)
