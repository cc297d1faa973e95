"""Values of the literals in a filter's text: numbers, strings and bytes with their escapes."""

from __future__ import annotations

import re

from pysniff.kfl.values import UInt

INT_LEAST, INT_MOST, UINT_MOST = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_PREFIX = re.compile(r"[rRbB]*")
_SHORT = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, **{char: ord(char) for char in "\\\"'`?"}}
# Escapes by their first character: what must follow, and the base of its number.
_LONG = {
    "x": (re.compile(r"[0-9a-fA-F]{2}"), 16),
    "X": (re.compile(r"[0-9a-fA-F]{2}"), 16),
    "u": (re.compile(r"[0-9a-fA-F]{4}"), 16),
    "U": (re.compile(r"[0-9a-fA-F]{8}"), 16),
}
_OCTAL = re.compile(r"[0-3][0-7]{2}")


def integer(text: str) -> int:
    """Of `12`, `-0xff`, `7u`; raise ValueError where 64 bits do not hold it."""
    digits = text.removeprefix("-")
    unsigned = digits[-1] in "uU"
    digits = digits.rstrip("uU")
    base = 16 if digits.startswith("0x") else 10
    # Python refuses decimal numbers of more than 4,300 digits itself, with a ValueError too.
    number = int(digits, base)
    if unsigned:
        if text[0] == "-" or number > UINT_MOST:
            raise ValueError("an unsigned number has 64 bits and no sign")
        return UInt(number)
    number = -number if text[0] == "-" else number
    if not INT_LEAST <= number <= INT_MOST:
        raise ValueError("a number has 64 bits")
    return number


def string(text: str) -> str | bytes:
    """Of a string token with its quotes and prefix; raise ValueError with what is wrong."""
    match = _PREFIX.match(text)
    prefix = match[0].lower() if match else ""
    body = text[len(prefix) :]
    triple = len(body) >= 6 and body[:3] in ('"""', "'''")
    body = body[3:-3] if triple else body[1:-1]
    if triple:
        body = body.replace("\r\n", "\n")
    if "r" in prefix:
        return _encoded(body) if "b" in prefix else _known(body)
    return _bytes(body) if "b" in prefix else _known(_text(body))


def _known(text: str) -> str:
    """Surrogates may come in from the command line, where a byte was no UTF-8."""
    _encoded(text)
    return text


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("a character that is no UTF-8") from None


def _pieces(body: str) -> list[tuple[str, int | None, str]]:
    """(plain text, the number an escape after it stands for or None, that escape's first character)."""
    found: list[tuple[str, int | None, str]] = []
    at = 0
    while (slash := body.find("\\", at)) >= 0:
        number, end = _escape(body, slash + 1)
        found.append((body[at:slash], number, body[slash + 1]))
        at = end
    found.append((body[at:], None, ""))
    return found


def _escape(body: str, at: int) -> tuple[int, int]:
    """What the escape whose first character is at `at` stands for, and where it ends."""
    char = body[at]
    if char in _SHORT:
        return _SHORT[char], at + 1
    if char in _LONG:
        pattern, base = _LONG[char]
        match = pattern.match(body, at + 1)
    else:
        pattern, base = _OCTAL, 8
        match = pattern.match(body, at)
    if match is None:
        raise ValueError(f"no escape begins with \\{char if char.isprintable() else '?'}")
    return int(match[0], base), match.end()


def _text(body: str) -> str:
    out = []
    for plain, number, _ in _pieces(body):
        out.append(plain)
        if number is not None:
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError(f"U+{number:04X} is no character")
            out.append(chr(number))
    return "".join(out)


def _bytes(body: str) -> bytes:
    out = []
    for plain, number, first in _pieces(body):
        out.append(_encoded(plain))
        if number is not None:
            if first in "uU":
                raise ValueError("\\u and \\U are not for bytes")
            out.append(bytes((number,)))
    return b"".join(out)
