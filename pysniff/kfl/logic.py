"""`&&` and `||` where parts may fail: what decides makes up for errors on either side (langdef, "Logical Operators").

A missing key is common (`request.headers["x"] == "1" || ...`), so this is generated code's own, not left to exact.py.
"""

from __future__ import annotations

from collections.abc import Callable

from pysniff.kfl.limits import TooExpensive

Part = Callable[[], object]


def either(*parts: Part) -> bool:
    """True if any part is; else the last error; else False. Each part gives True or False."""
    return _decided(True, parts)


def both(*parts: Part) -> bool:
    """False if any part is; else the last error; else True."""
    return _decided(False, parts)


def _decided(by: bool, parts: tuple[Part, ...]) -> bool:
    failed: Exception | None = None
    for part in parts:
        try:
            if part() is by:
                return by
        except TooExpensive:
            raise
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed
    return not by
