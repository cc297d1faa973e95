"""A checked tree as Python's syntax tree: one expression.

Where the types are certain, a comparison is Python's comparison, `&&` its `and`; everything else calls the library.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable

from pysniff.kfl import arithmetic, containers, patterns
from pysniff.kfl.certain import CHECKS, Made, calculation, common, element, of_value, plain, result
from pysniff.kfl.exact import FREE, WRAPPERS, cost
from pysniff.kfl.library import LIBRARY, matcher
from pysniff.kfl.limits import Steps
from pysniff.kfl.logic import both, either
from pysniff.kfl.schema import Schema
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
from pysniff.kfl.types import BOOL, BYTES, DYN, STRING, ListType, MapType, Type

_PLAIN = frozenset((bool, int, float, str, bytes, type(None)))
_LOAD = ast.Load()

_SUMS: dict[Type, Callable[..., object]] = {STRING: arithmetic.add_strings, BYTES: arithmetic.add_bytes}

Access = Callable[["Emitter", str], ast.expr]


class Emitter:
    """`access` gives the expression that reads a variable.

    `failing`: parts of && and || that may raise, by id; they are what `failed` has after a first run.
    """

    def __init__(self, tree: Node, schema: Schema, access: Access, failing: frozenset[int] = frozenset()) -> None:
        self.failing = failing
        self.failed: set[int] = set()
        self.schema = schema
        self.access = access
        self.uses = Counter(node.name for node in tree.walk() if isinstance(node, Read))
        self.names: dict[str, object] = {}  # what the code has as globals
        self.stored: set[str] = set()  # variables that have been read wherever the code has come to
        self.locals: list[Type] = []  # of the macros around
        self.closed = 0  # inside a comprehension, where nothing can be stored
        self.fails = False  # what was made since this was unset may raise
        self.made_up = False  # an error may be made up for: exact.py must have a look

    # Names

    def bind(self, value: object, prefix: str = "k") -> ast.expr:
        """A global name for a value."""
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return ast.Name(name, _LOAD)

    def function(self, function: Callable[..., object], *arguments: ast.expr) -> ast.expr:
        """A call of ours, which may raise."""
        self.fails = True
        return ast.Call(self.bind(function, "f"), list(arguments), [])

    def library(self, name: str, function: Callable[..., object], *arguments: ast.expr) -> ast.expr:
        """A call that spends steps."""
        self.names["Steps"] = Steps
        own = name in FREE and not self.locals
        steps = ast.Call(ast.Name("Steps", _LOAD), [], []) if own else ast.Name("steps", _LOAD)
        return self.function(function, steps, *arguments)

    # Any node

    def raw(self, node: Node) -> Made:
        """The node's code; of a timestamp variable it may give a plain int."""
        match node:
            case Literal():
                return self.literal(node)
            case Read():
                return self.read(node)
            case Local():
                return Made(ast.Name(f"v{node.level}", _LOAD), self.locals[node.level])
            case Select() | Has():
                return self.field(node)
            case And() | Or():
                return self.logical(node)
            case Not():
                return Made(ast.UnaryOp(ast.Not(), self.truth(node.operand)), BOOL)
            case Conditional():
                return self.conditional(node)
            case ListOf():
                items = [self.value(item) for item in node.items]
                return Made(ast.List([item.code for item in items], _LOAD), ListType(common(items)))
            case MapOf():
                return self.map(node)
            case Call():
                return self.call(node)
            case Loop():
                return self.loop(node)
        raise AssertionError(node)

    def value(self, node: Node) -> Made:
        """The node's code, giving a value of the language."""
        return self.boxed(self.raw(node))

    def boxed(self, made: Made) -> Made:
        """The same, giving a value of the language."""
        if not made.raw:
            return made
        if made.literal is not None:
            return Made(self.bind(made.literal), made.type, literal=made.literal)
        return Made(ast.Call(self.bind(WRAPPERS[made.type], "w"), [made.code], []), made.type)

    def truth(self, node: Node) -> ast.expr:
        """The node's code, giving True or False."""
        made = self.value(node)
        return made.code if made.type == BOOL else self.function(containers.truth, made.code)

    def literal(self, node: Literal) -> Made:
        value, kind = node.value, of_value(node.value)
        if type(value) in _PLAIN:
            return Made(ast.Constant(value), kind, literal=value)  # type: ignore[arg-type]
        if isinstance(value, int):
            return Made(ast.Constant(int(value)), kind, raw=True, literal=value)
        return Made(self.bind(value), kind, literal=value)

    def read(self, node: Read) -> Made:
        variable = self.schema.get(node.name)
        assert variable is not None
        raw = variable.type in WRAPPERS
        name = parameter(node.name)
        if node.name in self.stored:
            return Made(ast.Name(name, _LOAD), variable.type, raw)
        code = self.access(self, node.name)
        if self.uses[node.name] > 1 and not self.closed:
            self.stored.add(node.name)
            code = ast.NamedExpr(ast.Name(name, ast.Store()), code)
        return Made(code, variable.type, raw)

    def field(self, node: Select | Has) -> Made:
        operand = self.value(node.operand)
        name = ast.Constant(node.field)
        known = isinstance(operand.type, MapType) and operand.type.key == STRING
        if isinstance(node, Has):
            if known:
                return Made(ast.Compare(name, [ast.In()], [operand.code]), BOOL)
            return Made(self.function(containers.has_field, operand.code, name), BOOL)
        if known:
            self.fails = True
            return Made(ast.Subscript(operand.code, name, _LOAD), element(operand.type))
        return Made(self.function(containers.field, operand.code, name), element(operand.type))

    def logical(self, node: And | Or) -> Made:
        # The last part's error is that of the whole: all others were evaluated and did not decide.
        failing = [place for place, part in enumerate(node.parts[:-1]) if id(part) in self.failing]
        alone = min(failing, default=len(node.parts))
        before, fails = set(), self.fails
        codes = []
        for place, part in enumerate(node.parts):
            self.fails = False
            self.closed += place >= alone
            codes.append(self.truth(part))
            self.closed -= place >= alone
            if place == 0:
                before = set(self.stored)
            if self.fails:
                self.failed.add(id(part))
            fails |= self.fails
        self.stored = before
        sign = ast.And() if isinstance(node, And) else ast.Or()
        if failing:
            rest = [ast.Lambda(ast.arguments([], [], None, [], [], None, []), code) for code in codes[alone:]]
            codes[alone:] = [self.function(both if isinstance(node, And) else either, *rest)]
        self.fails = fails
        return Made(ast.BoolOp(sign, codes) if len(codes) > 1 else codes[0], BOOL)

    def conditional(self, node: Conditional) -> Made:
        test = self.truth(node.test)
        before = set(self.stored)
        yes = self.value(node.yes)
        self.stored = set(before)
        no = self.value(node.no)
        self.stored = before
        return Made(ast.IfExp(test, yes.code, no.code), common([yes, no]))

    def map(self, node: MapOf) -> Made:
        pairs = [(self.value(key), self.value(value)) for key, value in node.pairs]
        kind = MapType(common([key for key, _ in pairs]), common([value for _, value in pairs]))
        return Made(self.function(containers.make_map, *[part.code for pair in pairs for part in pair]), kind)

    # Macros

    def loop(self, node: Loop) -> Made:
        self.closed += 1
        over = self.value(node.over)
        of = over.type.parts[0] if over.type.parts else DYN
        values = self.library(node.macro, containers.rounds, ast.Constant(cost(node)), over.code)
        fails, self.fails = self.fails, False
        self.locals.append(of)
        target = ast.Name(f"v{node.level}", ast.Store())
        test = self.truth(node.test) if node.test is not None else None
        result = self.value(node.result) if node.result is not None else None
        self.locals.pop()
        self.closed -= 1
        # A later element may decide what an earlier one failed to.
        self.made_up |= self.fails and node.macro in ("all", "exists")
        self.fails |= fails
        if node.macro in ("map", "filter"):
            tests = [ast.comprehension(target, values, [test] if test is not None else [], 0)]
            if result is None:
                return Made(ast.ListComp(ast.Name(f"v{node.level}", _LOAD), tests), ListType(of))
            return Made(ast.ListComp(result.code, tests), ListType(result.type))
        assert test is not None
        rounds = ast.GeneratorExp(test, [ast.comprehension(target, values, [], 0)])
        if node.macro == "exists_one":
            ones = ast.Call(self.bind(sum), [rounds], [])
            return Made(ast.Compare(ones, [ast.Eq()], [ast.Constant(1)]), BOOL)
        return Made(ast.Call(self.bind(all if node.macro == "all" else any), [rounds], []), BOOL)

    # Calls

    def call(self, node: Call) -> Made:
        pattern = patterns.known_pattern(node)
        if pattern is not None:
            return self.match(node, pattern)
        given = [self.raw(argument) for argument in node.arguments]
        gives = result(node.function, given)
        if node.function == "dyn":
            return given[0]
        if node.function == "map_get":
            given = [self.boxed(one) for one in given]
        code = plain(node, given, bool(self.locals))
        if code is not None:
            return Made(code, gives)
        calculated = calculation(node, given)
        if calculated is not None:
            code, gives = calculated
            return Made(self.function(CHECKS[gives], code), gives)
        if node.function == "[]" and given[0].type == MapType(STRING, gives) and given[1].type == STRING:
            self.fails = True
            return Made(ast.Subscript(given[0].code, given[1].code, _LOAD), gives)
        values = [self.boxed(one).code for one in given]
        function = LIBRARY[node.function]
        if node.function == "+" and given[0].type == given[1].type and given[0].type in _SUMS:
            function = _SUMS[given[0].type]
        return Made(self.library(node.function, function, *values), gives)

    def match(self, node: Call, pattern: str) -> Made:
        """A pattern that is known is compiled now; raise PatternError."""
        text = self.value(node.arguments[0])
        if text.type == STRING and not self.locals:
            return Made(ast.Call(self.bind(patterns.compiled(pattern), "m"), [text.code], []), BOOL)
        return Made(self.library("matches", matcher(pattern), text.code), BOOL)


def parameter(variable: str) -> str:
    """A name for the variable in Python; no two variables have one."""
    return "x_" + variable.replace("_", "_u").replace(".", "_d")
