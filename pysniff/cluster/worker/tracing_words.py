"""What a worker and its child that reads keys out of programs say to each other: a JSON object a line, each way.

To the child: `settings` first, later `number` and what changes. From it: `ready` once, a report every three seconds,
`answer` with the number of a command, `failed` before it ends for a reason. No secret is ever among these: those go
through memory (secret_ring.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pysniff.cluster.worker.capturing_words import LENGTH

# Processes that a report names; those with keys first, then those with connections, then those without a probe.
MOST_PROCESSES = 200
MODES = ("off", "keys", "plaintext")
COUNTERS = ("keys", "dropped", "unreadable", "unlabelled", "lost", "refused", "vanished", "uncounted", "unowned")
# Of plain text: bytes that were read, and those for which there was no room on their way to the store.
PLAIN = ("plain_bytes", "plain_dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """`mode`: one of MODES. `only`: processes, as pysniff.tracing.traced() takes them; all where there are none."""

    mode: str = "off"
    only: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> TracingSettings:
        """Settings from to_dict()."""
        return cls(mode=str(told["mode"]), only=tuple(map(str, told["only"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingReport:
    """`processes`: as TracedProcess, in JSON types; `unnamed`: how many more there are. `counters`: as TracerReport.
    `problems`: what this machine does not let it do."""

    processes: tuple[dict[str, object], ...] = ()
    unnamed: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def report_of(said: Mapping[str, Any]) -> TracingReport:
    """A report from its line; what is missing or strange in it is left out."""
    processes, counters, problems = said.get("processes"), said.get("counters"), said.get("problems")
    return TracingReport(
        processes=tuple(
            _process(one)
            for one in (processes if isinstance(processes, list) else [])[:MOST_PROCESSES]
            if isinstance(one, dict)
        ),
        unnamed=_number(said.get("unnamed")),
        counters=_counters(counters) if isinstance(counters, dict) else {},
        problems=tuple(str(one)[:LENGTH] for one in problems[:20]) if isinstance(problems, list) else (),
    )


def _counters(told: Mapping[str, object]) -> dict[str, int]:
    return {name: _number(told.get(name)) for name in (*COUNTERS, *PLAIN)}


def _process(told: Mapping[str, object]) -> dict[str, object]:
    texts = {name: str(told.get(name, ""))[:LENGTH] for name in ("name", "library", "path", "problem")}
    flags = {name: told.get(name) is True for name in ("attached", "running")}
    numbers = {name: _number(told.get(name)) for name in ("pid", "keys", "with_keys", "without_keys")}
    return {**texts, **flags, **numbers}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
