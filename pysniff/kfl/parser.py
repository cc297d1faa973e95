"""A filter's text as a tree: CEL's grammar (cel-spec, langdef.md, "Syntax"), macros expanded to Has and Loop.

Recursion is bounded by DEPTH and HEIGHT, work by TEXT and NODES.
"""

from __future__ import annotations

from pysniff.kfl import limits, literals
from pysniff.kfl.lexer import Kind, Token, tokens
from pysniff.kfl.source import Source
from pysniff.kfl.tree import (
    MACROS,
    And,
    Call,
    Conditional,
    Has,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Name,
    Node,
    Not,
    Or,
    Select,
)

# Binary operators and how much they bind; each associates to the left.
_SIGNS = (("||",), ("&&",), ("<", "<=", ">=", ">", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
_LEVELS = {sign: level for level, signs in enumerate(_SIGNS) for sign in signs}
_WORDS = {"true": True, "false": False, "null": None}
# langdef.md, "Syntax", RESERVED
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    )
)


def parse(source: Source) -> Node | None:
    """The tree, None of an empty filter; raise FilterError."""
    if len(source.text) > limits.TEXT:
        hint = "match with a regular expression, or with `in` and a list"
        raise source.error(f"a filter has at most {limits.TEXT:,} characters, this one {len(source.text):,}", 0, hint)
    parser = _Parser(source)
    return None if parser.token.kind is Kind.END else parser.whole()


class _Parser:
    """Recursive descent; `token` is the next one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rest = tokens(source)
        self.rest.reverse()
        self.token = self.rest.pop()
        self.depth = 0
        self.nodes = 0
        self.heights: dict[int, int] = {}

    def whole(self) -> Node:
        node = self.expression()
        if self.token.kind is not Kind.END:
            raise self.unexpected()
        return node

    # Tokens

    def advance(self) -> Token:
        """The token that was next."""
        token = self.token
        if self.rest:
            self.token = self.rest.pop()
        return token

    def at_sign(self, *signs: str) -> bool:
        return self.token.kind is Kind.SIGN and self.token.text in signs

    def expect(self, sign: str) -> None:
        if not self.at_sign(sign):
            raise self.unexpected(f"expected `{sign}`, found ")
        self.advance()

    def unexpected(self, before: str = "unexpected ") -> Exception:
        found = f"`{self.token.text[:40]}`" if self.token.text else "the end of the filter"
        return self.source.error(before + found, self.token.at)

    # Nodes

    def made(self, node: Node) -> Node:
        """The same, counted."""
        self.nodes += 1
        if self.nodes > limits.NODES:
            raise self.source.error(f"a filter has at most {limits.NODES:,} parts", node.at)
        height = 1 + max((self.heights[id(child)] for child in node.children), default=0)
        if height > limits.HEIGHT:
            raise self.source.error(f"the filter's tree has more than {limits.HEIGHT} levels", node.at)
        self.heights[id(node)] = height
        return node

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > limits.DEPTH:
            raise self.source.error(f"the filter nests deeper than {limits.DEPTH} levels", self.token.at)

    # The grammar

    def expression(self) -> Node:
        self.deeper()
        node = self.binary(0)
        if self.at_sign("?"):
            at = self.advance().at
            yes = self.binary(0)
            self.expect(":")
            node = self.made(Conditional(at, node, yes, self.expression()))
        self.depth -= 1
        return node

    def binary(self, least: int) -> Node:
        """Operators that bind at least so much: precedence climbing, which recurses less than a function a level."""
        left = self.unary()
        while self.token.kind is Kind.SIGN and (level := _LEVELS.get(self.token.text, -1)) >= least:
            sign = self.advance()
            right = self.binary(level + 1)
            if sign.text in ("||", "&&"):
                left = self.chain(sign, left, right, level)
            else:
                left = self.made(Call(sign.at, sign.text, (left, right)))
        return left

    def chain(self, sign: Token, left: Node, right: Node, level: int) -> Node:
        kind = Or if sign.text == "||" else And
        parts = [left, right]
        while self.at_sign(sign.text):
            self.advance()
            parts.append(self.binary(level + 1))
        # (a && b) && c is a && b && c: the parts of a part that is of this kind itself.
        flat = [one for node in parts for one in (node.parts if isinstance(node, kind) else (node,))]
        return self.made(kind(sign.at, tuple(flat)))

    def unary(self) -> Node:
        sign = self.token
        if not self.at_sign("!", "-"):
            return self.member()
        count = 0
        while self.at_sign(sign.text):
            self.advance()
            count += 1
        if sign.text == "-" and count == 1 and self.token.kind in (Kind.INT, Kind.FLOAT):
            # A minus sign before a number belongs to it: the least int has no positive counterpart.
            self.token = Token(self.token.kind, "-" + self.token.text, sign.at)
            count = 0
        node = self.member()
        # An even number of signs is none, whatever they stand before (as in Google's implementations).
        if count % 2:
            node = self.made(Not(sign.at, node) if sign.text == "!" else Call(sign.at, "-_", (node,)))
        return node

    def member(self) -> Node:
        node = self.primary()
        while self.at_sign(".", "["):
            sign = self.advance()
            if sign.text == "[":
                node = self.made(Call(sign.at, "[]", (node, self.expression())))
                self.expect("]")
                continue
            name = self.field()
            if self.at_sign("("):
                self.advance()
                node = self.call(name.at, name.text, self.list_until(")"), node)
            else:
                node = self.made(Select(name.at, node, name.text))
        return node

    def field(self) -> Token:
        token = self.token
        if token.kind is Kind.QUOTED:
            self.advance()
            return token._replace(text=token.text[1:-1])
        if token.kind is not Kind.NAME or token.text in _WORDS:
            raise self.unexpected("expected a field's name, found ")
        return self.advance()

    def list_until(self, close: str) -> tuple[Node, ...]:
        found = []
        while not self.at_sign(close):
            found.append(self.expression())
            if not self.at_sign(close):
                self.expect(",")
                if close == ")" and self.at_sign(close):
                    raise self.unexpected()
        self.advance()
        return tuple(found)

    def primary(self) -> Node:
        token = self.token
        if token.kind in (Kind.INT, Kind.FLOAT, Kind.STRING):
            return self.literal()
        if self.at_sign("("):
            self.advance()
            node = self.expression()
            self.expect(")")
            return node
        if self.at_sign("["):
            self.advance()
            return self.made(ListOf(token.at, self.list_until("]")))
        if self.at_sign("{"):
            return self.map()
        return self.name()

    def literal(self) -> Node:
        token = self.advance()
        value: object
        try:
            if token.kind is Kind.INT:
                value = literals.integer(token.text)
            elif token.kind is Kind.FLOAT:
                value = float(token.text)
            else:
                value = literals.string(token.text)
        except ValueError as error:
            problem = str(error) if len(token.text) < 4_000 else "a number has 64 bits"
            raise self.source.error(problem, token.at) from None
        return self.made(Literal(token.at, value))

    def map(self) -> Node:
        at = self.advance().at
        pairs = []
        while not self.at_sign("}"):
            key = self.expression()
            self.expect(":")
            pairs.append((key, self.expression()))
            if not self.at_sign("}"):
                self.expect(",")
        self.advance()
        return self.made(MapOf(at, tuple(pairs)))

    def name(self) -> Node:
        root = self.at_sign(".")
        if root:
            self.advance()
        if self.token.kind is not Kind.NAME:
            raise self.unexpected()
        if self.token.text in _RESERVED:
            raise self.source.error(f"`{self.token.text}` is a reserved word", self.token.at)
        if self.token.text in _WORDS:
            if root:
                raise self.unexpected()
            token = self.advance()
            return self.made(Literal(token.at, _WORDS[token.text]))
        token = self.advance()
        if self.at_sign("("):
            self.advance()
            return self.call(token.at, token.text, self.list_until(")"), None)
        return self.made(Name(token.at, token.text, root))

    # Calls and macros

    def call(self, at: int, name: str, arguments: tuple[Node, ...], receiver: Node | None) -> Node:
        if receiver is None:
            if name == "has" and len(arguments) == 1:
                return self.has(at, arguments[0])
            return self.made(Call(at, name, arguments))
        if name in MACROS and (len(arguments) == 2 or (name == "map" and len(arguments) == 3)):
            return self.loop(at, name, receiver, arguments)
        return self.made(Call(at, name, (receiver, *arguments), method=True))

    def has(self, at: int, argument: Node) -> Node:
        if not isinstance(argument, Select):
            raise self.source.error("has() takes a field, as in has(request.headers.host)", argument.at)
        return self.made(Has(at, argument.operand, argument.field))

    def loop(self, at: int, macro: str, over: Node, arguments: tuple[Node, ...]) -> Node:
        variable, *rest = arguments
        if not isinstance(variable, Name) or variable.root:
            raise self.source.error(f"{macro}() takes a name first, as in list.{macro}(x, ...)", variable.at)
        test, result = (rest[0], None) if macro != "map" else (rest[0] if len(rest) == 2 else None, rest[-1])
        return self.made(Loop(at, macro, over, variable.name, test, result))
