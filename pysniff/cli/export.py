"""`-o FORMAT FILE`: the option, what contradicts it, and the sink that exports entries on their way to the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.cli.terminal import visible
from pysniff.errors import OptionError, PysniffError, WriteError
from pysniff.limits import MIB

if TYPE_CHECKING:
    from pysniff.cli.output import Sink
    from pysniff.entry import Entry
    from pysniff.export import Exporter

Outputs = tuple[tuple[str, str], ...]  # (format, file) of each -o
# Calls shown as open whose end is waited for, and bytes of what they said.
_OPEN, _OPEN_BYTES = 100_000, 64 * MIB
STILL_OPEN = "still open, and too much to remember"

output_option = click.option(
    "-o",
    "--output",
    "outputs",
    type=(str, str),
    multiple=True,
    metavar="FORMAT FILE",
    help="Export what is shown: har; curl, one command a call; pcapng, the packets of the calls."
    " - is standard output. Repeatable.",
)


def check_outputs(
    outputs: Outputs, *, reads: Sequence[str] = (), write: str | None = None, as_json: bool = False
) -> None:
    """Raise OptionError for formats nobody knows, and where two would write to one file, or to what is read."""
    if not outputs:
        return
    from pysniff.export import known

    for name, path in outputs:
        if name not in known():
            raise OptionError(f"-o {name} {path}: no format {name}", hint=_nearest(name, list(known())))
    places = [(f"-o {name} {path}", path) for name, path in outputs]
    if write is not None:
        places.append((f"-w {write}", write))
    for (one, first), (other, second) in combinations(places, 2):
        if _one_place(first, second):
            raise OptionError(f"{one} and {other} write to one place", hint="give each a file of its own")
    for option, path in places[: len(outputs)]:
        if path == "-" and as_json:
            raise OptionError(f"{option} and --json both write to standard output", hint="export to a file")
        if path != "-" and any(_one_place(path, read) for read in reads):
            raise OptionError(f"{option} would overwrite what -r reads", hint="export to another file")


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"-o FORMAT FILE; formats are {', '.join(names)}"


def _one_place(one: str, other: str) -> bool:
    """Whether both are standard output, or one file; devices and pipes take from many."""
    if "-" in (one, other):
        return one == other
    try:
        if Path(one).exists() and Path(other).exists():
            return Path(one).is_file() and Path(one).samefile(other)
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False


def to_stdout(outputs: Outputs) -> bool:
    """Whether an export takes standard output for itself."""
    return any(path == "-" for _, path in outputs)


def needs_packets(outputs: Outputs) -> bool:
    """Whether an export looks into a store at the end."""
    if not outputs:
        return False
    from pysniff.export import known

    return any(known()[name].needs_packets for name, _ in outputs)


def open_exports(outputs: Outputs, body_limit: int, onward: Sink) -> Exports | None:
    """A sink for -o, which gives entries on to another; None where nothing is exported."""
    if not outputs:
        return None
    from pysniff.export import known

    return Exports([known()[name](path, body_limit) for name, path in outputs], onward)


class Exports:
    """Exports each call once, when it has ended, or as it stands when nothing more comes; gives every entry on.

    An exporter's bug costs the entry in its export, and is told at the end. Raises WriteError.
    """

    def __init__(self, exporters: Sequence[Exporter], onward: Sink) -> None:
        self._exporters = exporters
        self._onward = onward
        self._open: dict[str, Entry | None] = {}  # by id; None: there is no room for it
        self._open_bytes = 0

    def packets_from(self, directory: Path) -> None:
        """Where the packets are."""
        for exporter in self._exporters:
            if exporter.needs_packets:
                exporter.store = directory

    def show(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._export(entry)
            self._onward.show((entry,))

    def close(self) -> None:
        """Everything came: finish each export, also where another fails."""
        for entry in self._open.values():
            if entry is not None:
                self._add(entry)
        self._open = {id: entry for id, entry in self._open.items() if entry is None}
        self._end(failed=False)

    def abandon(self) -> None:
        """The run has failed: keep what came; after close() it does nothing."""
        self._end(failed=True)

    def notes(self) -> Iterable[str]:
        """What is in no export, a line for each reason."""
        for exporter in self._exporters:
            for reason, count in exporter.left_out.items():
                yield f"{_entries(count)} not in {exporter.label}: {reason}"
        if left := sum(entry is None for entry in self._open.values()):
            yield f"{_entries(left)} in no export: {STILL_OPEN}"

    def tell(self) -> None:
        """Print the notes."""
        for note in self.notes():
            click.echo(visible(note), err=True)

    def _export(self, entry: Entry) -> None:
        if self._open:
            before = self._open.pop(entry.id, None)
            self._open_bytes -= 0 if before is None else _size(before)
        if entry.state == "closed":
            self._add(entry)
        elif len(self._open) < _OPEN:
            fits = self._open_bytes + _size(entry) <= _OPEN_BYTES
            self._open[entry.id] = entry if fits else None
            self._open_bytes += _size(entry) if fits else 0

    def _add(self, entry: Entry) -> None:
        for exporter in self._exporters:
            try:
                exporter.add(entry)
            except (PysniffError, BrokenPipeError):
                raise
            except Exception as bug:
                exporter.left_out[f"{type(bug).__name__} in the exporter {exporter.format}, which is a bug"] += 1

    def _end(self, *, failed: bool) -> None:
        failure: Exception | None = None
        for exporter in self._exporters:
            try:
                exporter.abandon() if failed else exporter.close()
            except (PysniffError, BrokenPipeError) as error:
                failure = failure or error
            except Exception as bug:
                words = f"{exporter.label}: {type(bug).__name__} in the exporter {exporter.format}, which is a bug"
                failure = failure or WriteError(words)
        if failure is not None:
            raise failure


def _size(entry: Entry) -> int:
    return sum(half.size for half in (entry.carried_request, entry.carried_response) if half is not None)


def _entries(count: int) -> str:
    return "1 entry is" if count == 1 else f"{count:,} entries are"
