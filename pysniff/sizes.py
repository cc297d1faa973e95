"""Sizes as people write them."""

from __future__ import annotations

import re

from pysniff.errors import OptionError

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_UNITS |= {f"{unit}ib": factor for unit, factor in list(_UNITS.items()) if unit in "kmg" and unit}
_UNITS |= {"kb": 10**3, "mb": 10**6, "gb": 10**9}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*", re.ASCII)


def bytes_of(text: str) -> int:
    """Bytes of 0, 65536, 64k, 1MiB, 1MB (k, M, G and KiB, MiB, GiB are powers of 1024; kB, MB, GB of 1000)."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise OptionError(f"{text!r} is not a size", hint="give bytes, or 64k, 1MiB, 1MB")
    factor = _UNITS[match[2].lower()]
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
