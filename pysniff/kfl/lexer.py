"""A filter's text as tokens (cel-spec, langdef.md, "Syntax")."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from pysniff.kfl.source import Source


class Kind(Enum):
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    NAME = "name"
    QUOTED = "quoted"  # a field's name in backticks
    SIGN = "sign"  # an operator or bracket; `in` too
    END = "end"


class Token(NamedTuple):
    """`at`: offset of its first character."""

    kind: Kind
    text: str
    at: int


# Alternatives without overlap and without nested repetition: each is linear.
_TOKEN = re.compile(
    r"""
      (?P<space>   [ \t\r\n\f]+ | //[^\n]* )
    | (?P<string>  [bB]? [rR]
                   (?: \"\"\" .*? \"\"\" | ''' .*? ''' | "[^"\r\n]*" | '[^'\r\n]*' )
                 | [bB]?
                   (?: \"\"\" (?: [^\\] | \\. )*? \"\"\" | ''' (?: [^\\] | \\. )*? '''
                     | " (?: [^"\\\r\n] | \\. )* " | ' (?: [^'\\\r\n] | \\. )* ' ) )
    | (?P<float>   [0-9]+ \.[0-9]+ (?: [eE][+-]?[0-9]+ )? | [0-9]+ [eE][+-]?[0-9]+ | \.[0-9]+ (?: [eE][+-]?[0-9]+ )? )
    | (?P<int>     0x[0-9a-fA-F]+ [uU]? | [0-9]+ [uU]? )
    | (?P<name>    [_a-zA-Z][_a-zA-Z0-9]* )
    | (?P<quoted>  `[^`\r\n]+` )
    | (?P<sign>    && | \|\| | [<>=!]= | [-+*/%<>!?:.,()\[\]{}] )
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens(source: Source) -> list[Token]:
    """All tokens and an END; raise FilterError at what is none."""
    found = []
    text = source.text
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise source.error(_wrong(text[at]), at)
        at = match.end()
        name = str(match.lastgroup)
        if name == "space":
            continue
        kind = Kind.SIGN if match[0] == "in" else Kind(name)
        found.append(Token(kind, match[0], match.start()))
    found.append(Token(Kind.END, "", len(text)))
    return found


def _wrong(char: str) -> str:
    if char in "\"'`":
        return "a string without an end" if char != "`" else "a name in backticks without an end"
    if char in "&|=":
        return f"`{char}` alone means nothing; write `{char}{char}`"
    return f"unexpected {char!r}"
