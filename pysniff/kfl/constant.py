"""What a filter's parts are worth before any entry is seen."""

from __future__ import annotations

from pysniff.kfl.library import LIBRARY
from pysniff.kfl.limits import Steps
from pysniff.kfl.tree import And, Call, Conditional, Has, ListOf, Literal, Loop, MapOf, Node, Not, Or, Select
from pysniff.kfl.values import EvaluationError, Timestamp


def constant(node: Node) -> object | None:
    """The value of a literal or of a list of such (a list then); None of everything else, and of `null`.

    The checked tree of a Filter is folded: `timestamp("...") - duration("1h")` is a literal in it, a Timestamp.
    """
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, ListOf):
        values = [constant(item) for item in node.items]
        return None if None in values else values
    return None


def folded(node: Node, now: int, steps: Steps | None = None) -> Node:
    """The checked tree with calls of literals replaced by what they give; those that fail are left to fail later."""
    steps = Steps() if steps is None else steps
    match node:
        case Call():
            node.arguments = tuple([folded(argument, now, steps) for argument in node.arguments])
            return _called(node, now, steps)
        case And() | Or():
            node.parts = tuple([folded(part, now, steps) for part in node.parts])
        case Not() | Select() | Has():
            node.operand = folded(node.operand, now, steps)
        case Conditional():
            node.test, node.yes, node.no = (folded(part, now, steps) for part in (node.test, node.yes, node.no))
        case ListOf():
            node.items = tuple([folded(item, now, steps) for item in node.items])
        case MapOf():
            node.pairs = tuple([(folded(key, now, steps), folded(value, now, steps)) for key, value in node.pairs])
        case Loop():
            node.over = folded(node.over, now, steps)
            node.test = folded(node.test, now, steps) if node.test is not None else None
            node.result = folded(node.result, now, steps) if node.result is not None else None
    return node


def _called(node: Call, now: int, steps: Steps) -> Node:
    value: object
    if node.function == "now":
        value = Timestamp(now)
    elif not all(isinstance(argument, Literal) for argument in node.arguments):
        return node
    else:
        values = [argument.value for argument in node.arguments if isinstance(argument, Literal)]
        try:
            value = LIBRARY[node.function](steps, *values)
        except EvaluationError:
            return node
    literal = Literal(node.at, value)
    literal.type = node.type
    return literal
