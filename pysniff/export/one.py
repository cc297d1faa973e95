"""One call in the words of an export format, as bytes and in no file."""

from __future__ import annotations

import os

from pysniff.entry import Entry
from pysniff.errors import OptionError
from pysniff.export.curl import Curl
from pysniff.export.exporter import Exporter
from pysniff.export.har import Har

FORMATS: dict[str, type[Exporter]] = {one.format: one for one in (Curl, Har)}


def exported(entry: Entry, format: str, body_limit: int) -> bytes:
    """What `-o FORMAT` writes of this call alone; raise OptionError where the format has no place for it."""
    made = FORMATS.get(format)
    if made is None:
        raise OptionError(f"{format[:32]!r} is no format of one call", hint=f"there are {', '.join(FORMATS)}")
    # It opens its target with the first byte that is added, and nothing is.
    exporter = made(os.devnull, body_limit)
    data = exporter.encode(entry)
    end = exporter.end()
    if exporter.left_out:
        raise OptionError(f"{format} has no place for it: {', '.join(exporter.left_out)}", hint="copy it as JSON")
    return exporter.begin() + data + end
