"""Makes one Python function of a checked tree.

Its code raises where the filter fails, and also where only a part of it does (`error || true`): exact.py tells.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from pysniff.kfl.emit import Access, Emitter, parameter
from pysniff.kfl.exact import evaluate
from pysniff.kfl.limits import TooExpensive
from pysniff.kfl.schema import Schema
from pysniff.kfl.tree import Node

if TYPE_CHECKING:
    from pysniff.entry import Entry

_LOAD = ast.Load()


def _compiled(
    generator: Emitter, result_: ast.expr, parameters: tuple[str, ...], failed: ast.stmt
) -> Callable[..., bool]:
    """def f(parameters): try: return result; except Exception as error: failed"""
    body: list[ast.stmt] = [ast.Return(result_)]
    if "Steps" in generator.names:
        body.insert(0, ast.Assign([ast.Name("steps", ast.Store())], ast.Call(ast.Name("Steps", _LOAD), [], [])))
    handler = ast.ExceptHandler(ast.Name("Exception", _LOAD), "error", [failed])
    arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
    function = ast.FunctionDef("matches", arguments, [ast.Try(body, [handler], [], [])], [])
    module = ast.Module([function], [])
    for node in ast.walk(module):  # as ast.fix_missing_locations does, which recurses
        if isinstance(node, ast.expr | ast.stmt | ast.excepthandler | ast.arg):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
    names = {"__builtins__": {}, "len": len, "Exception": Exception, **generator.names}
    exec(compile(module, "<filter>", "exec"), names)
    return cast(Callable[..., bool], names["matches"])


def _reading(generator: Emitter, name: str) -> ast.expr:
    """An attrgetter's attributes of the entry, or the call of what reads the variable."""
    variable = generator.schema.get(name)
    assert variable is not None
    entry: ast.expr = ast.Name("entry", _LOAD)
    if isinstance(variable.read, attrgetter):
        paths = variable.read.__reduce__()[1]
        if isinstance(paths, tuple) and len(paths) == 1:
            for attribute in str(paths[0]).split("."):
                entry = ast.Attribute(entry, attribute, _LOAD)
            return entry
    return ast.Call(generator.bind(variable.read, "r"), [entry], [])


def _emitted(tree: Node, schema: Schema, access: Access, stored: tuple[str, ...] = ()) -> tuple[Emitter, ast.expr]:
    """Twice: the first run finds which parts may fail."""
    first = Emitter(tree, schema, access)
    first.truth(tree)
    generator = Emitter(tree, schema, access, frozenset(first.failed))
    generator.stored.update(stored)
    return generator, generator.truth(tree)


def predicate(tree: Node, schema: Schema, failed: Callable[[Exception], None]) -> Callable[[Entry], bool]:
    """Whether an entry is as the checked tree says; an entry on which it fails is not, and tells `failed` why.

    Never raises; raises PatternError when it is made.
    """
    generator, result_ = _emitted(tree, schema, _reading)
    made_up = generator.made_up
    is_first = True

    def second(entry: Entry, error: Exception) -> bool:
        """What exact.py says of an entry for which the code raised `error`."""
        nonlocal is_first
        try:
            # Otherwise the error is the filter's own, and asked about once for better words.
            if (made_up or is_first) and not isinstance(error, TooExpensive):
                found = evaluate(tree, lambda name: reads[name](entry))
                if made_up:
                    return found
        except Exception as problem:  # of hostile values any; RecursionError too, if the caller has used up the stack
            error = problem
        is_first = False
        failed(error)
        return False

    reads = {variable.name: variable.read for variable in schema}
    error = ast.Name("error", _LOAD)
    call = ast.Call(generator.bind(second, "s"), [ast.Name("entry", _LOAD), error], [])
    return _compiled(generator, result_, ("entry",), ast.Return(call))


def function(node: Node, names: tuple[str, ...], schema: Schema) -> Callable[..., bool | None]:
    """A checked boolean expression as a function of its variables, in the order of `names`; None where it fails."""
    generator, result_ = _emitted(node, schema, lambda _, name: ast.Name(parameter(name), _LOAD), names)

    def second(*values: object) -> bool | None:
        try:
            return evaluate(node, dict(zip(names, values, strict=True)).__getitem__)
        except Exception:
            return None

    parameters = tuple(parameter(name) for name in names)
    call = ast.Call(generator.bind(second, "s"), [ast.Name(name, _LOAD) for name in parameters], [])
    return _compiled(generator, result_, parameters, ast.Return(call))
