"""Questions to a dissector that may have a bug: what it raises is counted, and the answer is that there is nothing."""

from __future__ import annotations

from pysniff.dissector import Dissector
from pysniff.ledger import Ledger
from pysniff.message import CLIENT, SERVER, Message


def begun(dissector: Dissector | None, ledger: Ledger) -> list[Message]:
    """Copies of messages that have begun and not ended."""
    if dissector is None:
        return []
    try:
        return list(dissector.open())
    except Exception:
        ledger.dissector_errors += 1
        return []


def unclaimed(dissector: Dissector | None, ledger: Ledger) -> tuple[int, int]:
    """Bytes of each half, client first, that it has not given back."""
    if dissector is None:
        return 0, 0
    try:
        return int(dissector.pending(CLIENT)), int(dissector.pending(SERVER))
    except Exception:
        ledger.dissector_errors += 1
        return 0, 0


def weight(dissector: Dissector | None, ledger: Ledger) -> int:
    """About how many bytes of memory it takes."""
    if dissector is None:
        return 0
    try:
        return int(dissector.weight())
    except Exception:
        ledger.dissector_errors += 1
        return 0


def relieve(dissector: Dissector | None, ledger: Ledger) -> None:
    """Have it let go of what only makes it faster."""
    try:
        if dissector is not None:
            dissector.relieve()
    except Exception:
        ledger.dissector_errors += 1


def remembered(dissector: Dissector | None, ledger: Ledger) -> tuple[str, bytes] | None:
    """Its protocol, and what it takes to go on from here; None where nothing does."""
    if dissector is None:
        return None
    try:
        state = dissector.remember()
    except Exception:
        ledger.dissector_errors += 1
        return None
    return None if state is None else (dissector.protocol, state)
