"""Who captures must be there when packets come; who reads what was captured has time."""

from __future__ import annotations

import contextlib
import os

_NICENESS = -10


def take_precedence() -> None:
    """Put this process ahead of others, where it may: it takes CAP_SYS_NICE."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
