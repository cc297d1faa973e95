"""Times as clients write them."""

from __future__ import annotations

import re

from pysniff.errors import OptionError
from pysniff.kfl.times import parse_duration, parse_timestamp
from pysniff.kfl.values import EvaluationError

_LAST = (1 << 63) - 1  # nanoseconds: the year 2262
_AGO = re.compile(r"\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d)", re.ASCII)
_DAY = 86_400_000_000_000
_HINT = "give 2026-11-21T20:00:00Z, now, 10m for ten minutes ago, or nanoseconds since 1970"


def moment(value: object, name: str, now: int) -> int | None:
    """Nanoseconds since 1970 of text or a whole number of those; None for None and ""; raise OptionError.

    `name` is that of the parameter, `now` the hub's time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _of_text(value.strip(), name, now)
    if type(value) is int and 0 <= value <= _LAST:
        return value
    raise OptionError(f"{name} is not a time", hint=_HINT)


def _of_text(text: str, name: str, now: int) -> int:
    try:
        if text == "now":
            return now
        if re.fullmatch(r"\d{10,19}", text, re.ASCII) and int(text) <= _LAST:
            return int(text)
        if _AGO.fullmatch(text):
            ago = int(float(text[:-1]) * _DAY) if text.endswith("d") else parse_duration(text)
            return max(0, now - int(ago))
        return min(max(0, int(parse_timestamp(text))), _LAST)
    except EvaluationError:
        raise OptionError(f"{name} is not a time: {text[:64]!r}", hint=_HINT) from None
