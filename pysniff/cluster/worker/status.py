"""What a worker says of itself: JSON types, cheap enough to be asked every second."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pysniff import __version__
from pysniff.cluster.worker.capturing import CaptureStatus
from pysniff.cluster.worker.memory import resident
from pysniff.cluster.worker.processes import Processes
from pysniff.cluster.worker.tracing import Tracing
from pysniff.errors import FileError
from pysniff.store.directory import segments

_DEVICES = Path("/proc/net/dev")


def capture_figures(status: CaptureStatus) -> dict[str, object]:
    """But for the counters, which are the ledger's, and what is the store's. `carried`: packets that each interface
    carried since it is up, captured or not, so that a capture filter that lets nothing through shows."""
    told = status._asdict()
    for name in ("counters", "segment", "store_bytes", "tls"):
        del told[name]
    figures = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    return {**figures, "carried": carried(status.interfaces)}


def carried(interfaces: Collection[str]) -> dict[str, int]:
    """Of those of this network namespace, as the kernel counts, proc_pid_net(5); empty where there is no such file."""
    try:
        lines = _DEVICES.read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, colon, numbers = line.strip().rpartition(":")
        fields = numbers.split()
        if colon and name in interfaces and len(fields) >= 10:
            found[name] = int(fields[1]) + int(fields[9])  # received and sent
    return found


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


def tls_figures(status: CaptureStatus, tracing: Tracing | None, keylogs: Sequence[str]) -> dict[str, object]:
    """Where keys come from: `keylogs` by name, `tracer` as of Tracing.status(), None for none. `connections` that began
    since the start of the worker, and those of them `with_keys`: counted where there is any source of keys."""
    connections, with_keys, untold = status.tls
    told = None if tracing is None else tracing.status(untold)
    return {"connections": connections, "with_keys": with_keys, "keylogs": [*keylogs], "tracer": told}


def memory_figures(status: CaptureStatus, processes: Processes, tracing: Tracing | None = None) -> dict[str, object]:
    """Bytes in memory now: of the worker, of what captures, of what dissects, of what reads keys."""
    capture = [status.pid] if status.pid else []
    return {
        "worker": resident([os.getpid()]),
        "capture": resident(capture),
        "queries": resident(processes.pids()),
        "tracer": resident(tracing.pids() if tracing is not None else []),
    }


def life(node: str, session: str, started_ns: int) -> Mapping[str, object]:
    return {
        "node": node,
        "session": session,
        "software": f"pysniff {__version__}",
        "started_ns": started_ns,
        "now_ns": time.time_ns(),
    }
