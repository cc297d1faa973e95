"""What a worker says of itself: JSON types, cheap enough to be asked every second."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pysniff import __version__
from pysniff.cluster.worker.capturing import CaptureStatus
from pysniff.cluster.worker.memory import resident
from pysniff.cluster.worker.processes import Processes
from pysniff.errors import FileError
from pysniff.store.directory import segments


def capture_figures(status: CaptureStatus) -> dict[str, object]:
    """But for the counters, which are the ledger's, and what is the store's."""
    told = status._asdict()
    for name in ("counters", "segment", "store_bytes"):
        del told[name]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def store_figures(directory: Path, limit: int, status: CaptureStatus) -> dict[str, object]:
    """`bytes` on disk as the one that writes counts them."""
    try:
        found = len(segments(directory))
    except FileError:
        found = 0
    return {
        "path": str(directory),
        "limit": limit,
        "bytes": status.store_bytes,
        "segment": status.segment,
        "segments": found,
    }


def query_figures(processes: Processes) -> dict[str, object]:
    """`running` by what was asked; the others count since the start."""
    figures: Counter[str] = processes.figures
    names = ("answered", "cancelled", "refused", "failed", "died", "untold")
    return {"running": dict(processes.running), "most": processes.most, **{name: figures[name] for name in names}}


def memory_figures(status: CaptureStatus, processes: Processes) -> dict[str, object]:
    """Bytes in memory now: of the worker, of what captures, of what dissects."""
    capture = [status.pid] if status.pid else []
    return {"worker": resident([os.getpid()]), "capture": resident(capture), "queries": resident(processes.pids())}


def life(node: str, session: str, started_ns: int) -> Mapping[str, object]:
    return {
        "node": node,
        "session": session,
        "software": f"pysniff {__version__}",
        "started_ns": started_ns,
        "now_ns": time.time_ns(),
    }
