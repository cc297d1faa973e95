"""What is told of each process that has TLS: its library, whether that has a probe or why not, and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pysniff.tracer import processes
from pysniff.tracer.attachments import Attachments, ProbedFile
from pysniff.tracer.connections import Counted, Place
from pysniff.tracer.hook import Mapped
from pysniff.tracer.limits import Limits

# Processes that a report looks at.
_MOST = 16_384
_LEFT_OUT = "left out: it is not among the processes that were asked for"
_NO_LIBRARY = "no TLS library that is known was found in it"
_ENDED = "it has ended before its TLS library was looked at, or has none that is known"


@dataclass(frozen=True, slots=True)
class TracedProcess:
    """One process and one file in it that has TLS. `problem`: why there is no probe, or what it does not see.

    `keys`: secrets of this process seen so far; `with_keys`, `without_keys`: its TLS connections in what was captured
    that a key opens, and those that none does; `running`: whether it still does.
    """

    pid: int
    comm: str
    library: str
    path: str
    attached: bool
    problem: str
    keys: int
    running: bool = True
    with_keys: int = 0
    without_keys: int = 0


@dataclass(frozen=True, slots=True)
class TracerReport:
    """What the tracer does and could not do.

    `files`: that have probes; `keys`: secrets seen; `dropped`: that did not fit into the ring; `unreadable`: calls
    whose memory could not be read; `unlabelled`: whose label could not be, or is none that decrypts; `lost`: new
    mappings that were told too late (all processes were looked at again); `refused`: files for which there was no
    room; `vanished`: those that were gone, or could not be opened, before they were read; `uncounted`: processes whose
    keys or connections are not told any more; `unowned`: connections without keys whose process nobody knows.
    `problems`: what this machine does not let it do, in words.
    """

    processes: tuple[TracedProcess, ...]
    files: int
    keys: int
    dropped: int
    unreadable: int
    unlabelled: int
    lost: int
    refused: int
    vanished: int
    uncounted: int
    unowned: int
    problems: tuple[str, ...]


def traced_processes(
    attachments: Attachments,
    limits: Limits,
    keys: Mapping[Place, tuple[str, int]],
    connections: Mapping[Place, Counted],
    files_of: Callable[[int], Iterable[int]],
) -> list[TracedProcess]:
    """Those that run now, then those that have ended; a line for each file with TLS in a process, and one for a process
    with connections in which there is none. `keys`: names of processes, and how many secrets they gave; `files_of`:
    numbers of the files that one that has ended had mapped."""
    rows = dict(_rows(attachments, limits, keys))
    by_process: dict[int, list[Place]] = {}
    for place in rows:
        by_process.setdefault(place[0], []).append(place)
    for place, counted in connections.items():
        pid = place[0]
        if place not in rows:
            # Connections whose keys came from elsewhere, or not at all: of a library without a probe, if there is one.
            others = by_process.get(pid, [])
            place = min(others, key=lambda other: rows[other].attached, default=place)
        if place not in rows:
            known = [file for number in files_of(pid) if (file := attachments.find(number)) and _tls(file)]
            rows[place] = _unmapped(pid, counted.comm, known, limits)
            by_process[pid] = [place]
        row = rows[place]
        rows[place] = replace(
            row,
            with_keys=row.with_keys + counted.with_keys,
            without_keys=row.without_keys + counted.without_keys,
        )
    return list(rows.values())


def _rows(
    attachments: Attachments, limits: Limits, keys: Mapping[Place, tuple[str, int]]
) -> Iterator[tuple[Place, TracedProcess]]:
    found: dict[Place, tuple[Mapped, ProbedFile]] = {}
    for mapped in processes.now():
        file = attachments.known(mapped)
        if file and _tls(file) and len(found) < _MOST:
            found.setdefault((mapped.pid, file.number), (mapped, file))
    for place, (mapped, file) in found.items():
        comm, count = keys.get(place, ("", 0))
        name = processes.name_of(mapped.pid) or comm
        row = _traced(mapped.pid, name, file, count, mapped.path)
        yield place, row if limits.include(mapped.pid, name) else replace(row, attached=False, problem=_LEFT_OUT)
    for place, (comm, count) in keys.items():
        if place not in found:
            yield place, _traced(place[0], comm, attachments.find(place[1]), count, running=False)


def _traced(
    pid: int, comm: str, file: ProbedFile | None, keys: int, path: str = "", *, running: bool = True
) -> TracedProcess:
    if file is None:
        return TracedProcess(pid, comm, "", path, False, "", keys, running)
    attached = any(hook.kind.reveals_keys for hook in file.hooks)
    problem = file.problem or "; ".join(file.shortcomings)
    return TracedProcess(pid, comm, file.library, path or file.path, attached, problem, keys, running)


def _unmapped(pid: int, comm: str, had: Sequence[ProbedFile], limits: Limits) -> TracedProcess:
    """One that has nothing with TLS mapped, now; what it had while it ran is told if there is anything."""
    running = processes.name_of(pid)
    file = min(had, key=lambda one: bool(one.probes), default=None)
    problem = _NO_LIBRARY if running else _ENDED
    row = TracedProcess(pid, running or comm, "", "", False, problem, 0, running=bool(running))
    if file is not None and not running:
        row = _traced(pid, comm, file, 0, running=False)
    return row if limits.include(pid, comm) else replace(row, attached=False, problem=_LEFT_OUT)


def _tls(file: ProbedFile) -> bool:
    """Not one that only plaintext mode looks into."""
    return bool(file.problem or file.shortcomings) or any(hook.kind.reveals_keys for hook in file.hooks)
