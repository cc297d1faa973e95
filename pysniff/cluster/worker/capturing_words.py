"""What a worker and the child that captures, or reads files, say to each other: a JSON object a line, each way.

To the child: `settings`, `exclude` or `files`, `keep_all`, `keys`, `keep_secrets` and `heard` first; later, where it
captures, `number` and what changes. From it: `ready` once, a report twice a second, `answer` with the number of a
command, `failed` before it ends for a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pysniff.limits import KIB
from pysniff.store.bounds import FLUSH, LIMIT, SMALLEST_LIMIT

# The last notices that are kept here and there; names and texts of a report, and their lengths.
NOTICES = 200
NAMES = 2_000
LENGTH = 500
# Seconds between two flushes, at least and at most.
FASTEST_FLUSH, SLOWEST_FLUSH = 0.05, 60.0
# Characters of a capture filter: libpcap takes seconds for more.
LONGEST_BPF = 16 * KIB
# Interfaces and namespaces that may be named.
MOST_NAMED = 256

COUNTERS = (
    "live_packets", "kernel_received", "kernel_dropped", "interface_dropped", "store_packets", "store_written",
    "store_cut", "store_queue_full", "store_disk_full", "store_waiting", "store_evicted", "tables_missed",
    "names_missed", "recorded_drops",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """What may change while it captures. `interfaces`: names; none means all. `netns`: names, paths or process numbers
    of network namespaces, or "all"; none means the worker's own. `storage_limit`: bytes. `flush_interval`: seconds."""

    interfaces: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()
    bpf: str = ""
    storage_limit: int = LIMIT
    flush_interval: float = FLUSH

    def problem(self) -> str:
        """What can be seen to be wrong without trying, else ""."""
        if self.storage_limit < SMALLEST_LIMIT:
            return f"storage_limit: a store of {self.storage_limit} bytes; it needs at least {SMALLEST_LIMIT // KIB}k"
        if not FASTEST_FLUSH <= self.flush_interval <= SLOWEST_FLUSH:
            return f"flush_interval: between {FASTEST_FLUSH} and {SLOWEST_FLUSH:.0f} seconds"
        if len(self.bpf) > LONGEST_BPF or "\0" in self.bpf:
            return f"bpf: at most {LONGEST_BPF} characters, none of them NUL"
        for what, names in (("interfaces", self.interfaces), ("netns", self.netns)):
            if len(names) > MOST_NAMED:
                return f"{what}: at most {MOST_NAMED} names"
            if any(not name or len(name) > LENGTH or "\0" in name for name in names):
                return f"{what}: a name that is empty, longer than {LENGTH} characters, or has a NUL"
        return ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> CaptureSettings:
        """Settings from to_dict()."""
        return cls(
            interfaces=tuple(map(str, told["interfaces"])),
            netns=tuple(map(str, told["netns"])),
            bpf=str(told["bpf"]),
            storage_limit=int(told["storage_limit"]),
            flush_interval=float(told["flush_interval"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the child says of itself; fields as of CaptureStatus. `notices`: those since the last report."""

    counters: dict[str, int] = field(default_factory=dict)
    interfaces: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    segment: int = 0
    store_bytes: int = 0
    bytes_read: int = 0
    bytes_in_all: int = 0
    tls: tuple[int, int, int] = (0, 0, 0)


def line_of(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def report_of(said: Mapping[str, Any]) -> Report:
    """A report from its line; what is missing or strange in it is left out."""
    counters = said.get("counters")
    return Report(
        counters={name: _number(counters.get(name)) for name in COUNTERS} if isinstance(counters, dict) else {},
        interfaces=_texts(said.get("interfaces")),
        absent=_texts(said.get("absent")),
        excluded=_texts(said.get("excluded")),
        notices=_texts(said.get("notices")),
        segment=_number(said.get("segment")),
        store_bytes=_number(said.get("store_bytes")),
        bytes_read=_number(said.get("bytes_read")),
        bytes_in_all=_number(said.get("bytes_in_all")),
        tls=_three(said.get("tls")),
    )


def taken(notices: list[str]) -> list[str]:
    """The first ones of a list, which are not in it any more."""
    some = notices[:NOTICES]
    del notices[: len(some)]
    return [text[:LENGTH] for text in some]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _three(value: object) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        return 0, 0, 0
    return _number(value[0]), _number(value[1]), _number(value[2])


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one)[:LENGTH] for one in value[:NAMES]) if isinstance(value, list) else ()
