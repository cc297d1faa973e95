"""--json: one JSON object a line, as the contract has it.

Lines are UTF-8, split by \\n alone, and safe on a terminal: whatever could end a line for a lenient
reader (U+0085, U+2028, U+2029) or act on a screen (C1 controls, bidi controls) is a \\u escape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysniff.cli.output import Output
    from pysniff.entry import Entry

# orjson: 2.3 us an entry of 2.5 KB where json takes 13-15 us, of 25 us that an entry may cost in all.
fast_dumps: Callable[[object, None, int], bytes] | None
try:
    from orjson import OPT_APPEND_NEWLINE
    from orjson import dumps as fast_dumps
except ImportError:  # no wheel for this machine: slower, the same lines
    OPT_APPEND_NEWLINE, fast_dumps = 0, None

# C0 is escaped by JSON itself; this is DEL, C1, Arabic letter mark, zero-width and bidi controls, line separators, BOM.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
_plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def line(record: object) -> bytes:
    """One record as a line, with its end."""
    if fast_dumps is None:
        return _lenient(record)
    try:
        text = fast_dumps(record, None, OPT_APPEND_NEWLINE)
    except TypeError:  # orjson refuses lone surrogates and integers beyond 64 bits
        return _lenient(record)
    if text.isascii() and text.find(b"\x7f") < 0:  # `in` tries whether it is a number first
        return text
    return _escaped(text.decode())


def _lenient(record: object) -> bytes:
    return _escaped(_plain.encode(record) + "\n")


def _escaped(text: str) -> bytes:
    # Every one of these can only stand inside a string, where an escape means the same.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


class JsonLines:
    """Writes entries as JSON lines; `body_limit` bytes of each body."""

    def __init__(self, output: Output, body_limit: int) -> None:
        self._output = output
        self._body_limit = body_limit

    def show(self, entries: Iterable[Entry]) -> None:
        limit = self._body_limit
        self._output.write(line(entry.to_dict(limit)) for entry in entries)

    def close(self) -> None:
        self._output.flush()
