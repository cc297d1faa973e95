"""Programs that have TLS, in lines for people: library, probe or why there is none, keys, connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysniff.tracer.traced import TracedProcess, TracerReport

# Programs that are named one by one, and processes of each.
MOST = 40
_PIDS = 4


@dataclass(slots=True)
class Program:
    """Processes of one name, file and verdict. `pids`: of those that run."""

    comm: str
    library: str
    path: str
    attached: bool
    problem: str
    pids: list[int] = field(default_factory=list)
    keys: int = 0
    with_keys: int = 0
    without_keys: int = 0

    @property
    def line(self) -> str:
        where = f"{self.comm} ({_pids(self.pids)})"
        if self.library or self.path:
            where += f": {self.library or 'a TLS library'} in {self.path or 'a file that is gone'}"
        if self.attached:
            return f"{where}: keys can be read{'; ' if self.problem else ''}{self.problem}"
        return f"{where}: {self.problem or 'no probe'}"

    @property
    def figures(self) -> str:
        return (
            f"{_many(self.keys, 'key')} seen, {_many(self.with_keys, 'connection')} decrypted,"
            f" {self.without_keys:,} without keys"
        )

    @property
    def says(self) -> bool:
        """Whether there is anything to count."""
        return bool(self.keys or self.with_keys or self.without_keys)


def programs(processes: Iterable[TracedProcess]) -> list[Program]:
    """Those without a probe first: they are looked for."""
    found: dict[tuple[bool, str, str, str, str], Program] = {}
    for one in processes:
        key = (one.attached, one.comm, one.library, one.path, one.problem)
        program = found.setdefault(key, Program(one.comm, one.library, one.path, one.attached, one.problem))
        if one.running:
            program.pids.append(one.pid)
        program.keys += one.keys
        program.with_keys += one.with_keys
        program.without_keys += one.without_keys
    return [found[key] for key in sorted(found)]


def counted_lines(report: TracerReport) -> Iterator[str]:
    """The programs of which something was seen, with their figures; what nobody has comes last."""
    seen = [program for program in programs(report.processes) if program.says]
    for program in seen[:MOST]:
        yield f"{program.line}; {program.figures}"
    if len(seen) > MOST:
        yield f"and {len(seen) - MOST:,} other programs"
    if report.unowned:
        yield unowned_line(report.unowned)


def unowned_line(count: int) -> str:
    return f"{_many(count, 'connection')} without keys of which no process is known"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _pids(pids: list[int]) -> str:
    if not pids:
        return "ended"
    shown = ", ".join(map(str, sorted(pids)[:_PIDS]))
    return f"{shown} and {len(pids) - _PIDS} more" if len(pids) > _PIDS else shown
