"""What may be shown where: colour, width, and text from the wire that cannot act on a terminal."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

# SGR parameters of ECMA-48; the eight base colours follow the user's own palette.
STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


def visible(text: str) -> str:
    """`text` with everything that is not plainly seen as an escape: \\n, \\x1b, \\u202e.

    str.isprintable() is false for controls (C0, C1, DEL), format characters (all bidi controls,
    zero-width ones), line separators, surrogates and what Unicode has not assigned.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cells(text: str) -> int:
    """Columns that printable `text` takes: two for wide East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """`text` in at most `width` columns, ended by `mark` where something is missing."""
    if cells(text) <= width:
        return text
    room = width - cells(mark)
    kept = []
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + mark


def pad(text: str, width: int) -> str:
    """`text` filled with spaces to `width` columns."""
    return text + " " * (width - cells(text))


@dataclass(frozen=True, slots=True)
class Terminal:
    """How output looks on one stream. `interactive`: a person watches it."""

    interactive: bool = False
    colour: bool = False
    ellipsis: str = "…"

    def paint(self, text: str, *styles: str) -> str:
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(STYLES[s] for s in styles)}m{text}\x1b[0m"

    def width(self) -> int | None:
        """Columns now, or None where lines must not be cut."""
        if not self.interactive:
            return None
        from shutil import get_terminal_size

        return get_terminal_size().columns


def terminal(stream: IO[str], environ: Mapping[str, str] = os.environ) -> Terminal:
    """Look at a stream. NO_COLOR wins over FORCE_COLOR, both count when not empty (no-color.org)."""
    interactive = stream.isatty()
    colour = bool(environ.get("FORCE_COLOR")) or (interactive and environ.get("TERM") != "dumb")
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        "…".encode(encoding)
        ellipsis = "…"
    except (UnicodeEncodeError, LookupError):
        ellipsis = "~"
    return Terminal(interactive, colour and not environ.get("NO_COLOR"), ellipsis)
