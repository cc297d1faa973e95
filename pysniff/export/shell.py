"""Words of a POSIX shell that stand for any bytes but NUL, and are safe to paste.

Nothing in them acts on a terminal: a tab would complete, an escape sequence move the cursor.
"""

from __future__ import annotations

import shlex

_OCTETS = [chr(one) if 32 <= one < 127 and one not in b"'\\" else f"\\0{one:03o}" for one in range(256)]


def word(value: bytes, *, lines: bool = False) -> str:
    """One word; `lines`: line feeds may stand as they are. What is not plainly visible is written by printf.

    printf %b and its \\0ooo are POSIX, $'...' is not. Its way loses line feeds at the end: only with `lines` may there
    be some.
    """
    plain = inline(value, lines=lines)
    return f'"$({echo(value)})"' if plain is None else plain


def inline(value: bytes, *, lines: bool = False) -> str | None:
    """The word without a command in it, None where there is no such."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    shown = text.replace("\n", "") if lines else text
    return shlex.quote(text) if shown.isprintable() else None


def echo(value: bytes) -> str:
    """A command that writes these bytes."""
    return "printf %b '" + "".join([_OCTETS[one] for one in value]) + "'"
