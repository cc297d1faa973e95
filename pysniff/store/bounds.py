"""How much a store may take, and how long packets may wait for the disk."""

from __future__ import annotations

from pysniff.errors import OptionError
from pysniff.limits import KIB

LIMIT = 200_000_000  # bytes, by default
SMALLEST_LIMIT = 256 * KIB
# Packets reach the disk this long after they came, in seconds, and readers with them, unless told otherwise.
FLUSH = 0.2


def check_limit(limit: int) -> None:
    """Raise OptionError for one that is too small for a store."""
    if limit < SMALLEST_LIMIT:
        raise OptionError(f"a store of {limit} bytes", hint=f"it needs at least {SMALLEST_LIMIT // KIB}k")
