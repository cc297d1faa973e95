"""Of a finished file each call once, as it ended: what is open after ten seconds is not news there, as it is live."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pysniff.limits import MIB

if TYPE_CHECKING:
    from pysniff.cli.output import Sink
    from pysniff.entry import Entry

CALLS, BYTES = 4_096, 8 * MIB  # of open calls that wait for their end; the oldest beyond is shown as it stands


class Outcomes:
    """A sink before another, which gets open calls whose end never comes at its close."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0

    def show(self, entries: Iterable[Entry]) -> None:
        self._sink.show(self._known(entries))

    def close(self) -> None:
        waiting, self._open, self._bytes = self._open, OrderedDict(), 0
        self._sink.show(waiting.values())
        self._sink.close()

    def _known(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if (before := self._open.pop(entry.id, None)) is not None:
                self._bytes -= _bytes(before)
            if entry.state != "open":
                yield entry
                continue
            self._open[entry.id] = entry
            self._bytes += _bytes(entry)
            while len(self._open) > CALLS or self._bytes > BYTES:
                _, oldest = self._open.popitem(last=False)
                self._bytes -= _bytes(oldest)
                yield oldest


def _bytes(entry: Entry) -> int:
    return sum(message.size for message in (entry.request, entry.response) if message is not None)
