"""Entries for people: one aligned line each, details under it with -v.

20:00:00.123  10.0.0.7:51022 -> 10.0.0.9:8080  http   GET /cart        200      17 B   1.8 ms
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from time import localtime, strftime
from typing import TYPE_CHECKING, NamedTuple

from pysniff.cli.decryption import is_closed, name_within
from pysniff.cli.terminal import Terminal, cells, cut, pad, visible
from pysniff.limits import SECOND
from pysniff.message import SERVER, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pysniff.cli.output import Output
    from pysniff.entry import Endpoint, Entry
    from pysniff.message import Message

OPEN_REMEMBERED = 65_536  # open entries whose closing line says so; as many as conversations (limits.py)
SUMMARY_LEAST = 16  # columns a summary keeps on the narrowest terminal
NAME_MOST = 40  # columns: in DNS a name may have 255 characters; programs get all of it
NOT_DECRYPTED = ("not decrypted",)  # the mark of a handshake
ENDS_MOST = 48  # columns: most IPv4 pairs take 40, a long IPv6 pair juts out instead of widening every line


class Row(NamedTuple):
    """What a line says. `faults`: their kinds. `arrow`: whose turn it was. `status_styles`: how the status looks."""

    id: str
    state: str
    time_ns: int
    src: Endpoint
    arrow: str
    dst: Endpoint
    protocol: str
    headline: str
    status: str
    status_styles: tuple[str, ...]
    size: int
    elapsed_time: int | None
    faults: tuple[str, ...]


class Lines:
    """Writes entries as lines; columns grow with what they have to hold, and never shrink."""

    def __init__(self, output: Output, terminal: Terminal, verbosity: int, body_limit: int) -> None:
        self._output = output
        self._terminal = terminal
        self._verbosity = verbosity
        self._body_limit = body_limit
        self._ends = 30
        self._protocol = 5
        self._summary = 32
        self._status = 7
        self._open: OrderedDict[str, None] = OrderedDict()

    def show(self, entries: Iterable[Entry]) -> None:
        self._output.write(self._texts(entries))

    def show_rows(self, rows: Iterable[Row]) -> None:
        """The same of calls of which there is no more than their line."""
        width = self._terminal.width()
        self._output.write(_encoded(self._line(row, width)) for row in rows if not self._is_shown_open(row))

    def close(self) -> None:
        self._output.flush()

    def _texts(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        width = self._terminal.width()
        body_limit = self._body_limit if self._verbosity > 1 else None
        if self._verbosity:
            from pysniff.cli.details import details
        for entry in entries:
            if self._is_shown_open(entry):
                continue
            yield _encoded(self._line(row_of(entry), width))
            if self._verbosity:
                for text in details(entry, self._terminal, body_limit):
                    yield _encoded(text)

    def _line(self, row: Row, width: int | None) -> str:
        paint = self._terminal.paint
        clock = local_time(row.time_ns)
        ends = f"{endpoint(row.src)} {row.arrow} {endpoint(row.dst)}"
        self._ends = max(self._ends, min(cells(ends), ENDS_MOST))
        protocol = visible(row.protocol)
        self._protocol = max(self._protocol, min(cells(protocol), 12))
        status = visible(row.status)
        self._status = max(self._status, min(cells(status), 16))
        tail = f"{size(row.size):>8}  {duration(row.elapsed_time):>8}"
        marks = self._marks(row)

        fixed = len(clock) + max(self._ends, cells(ends)) + self._protocol + self._status + len(tail) + 10
        summary = visible(row.headline)
        if width is None:
            column = self._summary = max(self._summary, min(cells(summary), 48))
        else:
            room = max(SUMMARY_LEAST, width - fixed - (cells(marks) + 2 if marks else 0))
            summary = cut(summary, room, self._terminal.ellipsis)
            column = min(room, max(self._summary, cells(summary)))
            if not marks:  # which narrow their own line only
                self._summary = column

        line = "  ".join(
            (
                paint(clock, "dim"),
                pad(ends, self._ends),
                paint(pad(protocol, self._protocol), "cyan"),
                pad(summary, column),
                paint(pad(status, self._status), *row.status_styles),
                paint(tail, "dim"),
            )
        )
        return f"{line}  {paint(marks, 'yellow')}" if marks else line

    def _marks(self, row: Row) -> str:
        """What is not as it should be, and whether this line is the first or the last of a long call."""
        marks = list(dict.fromkeys(f"!{visible(kind)}" for kind in row.faults))
        if row.state == "open":
            marks.insert(0, "(open)")
        elif self._open and row.id in self._open:
            del self._open[row.id]
            marks.insert(0, "(closes the open one)")
        return " ".join(marks)

    def _is_shown_open(self, call: Entry | Row) -> bool:
        """Whether an open call has a line already; from now on it has.

        Once is enough until it ends; programs get every revision.
        """
        if call.state != "open":
            return False
        name = call.id
        seen = name in self._open
        self._open[name] = None
        if len(self._open) > OPEN_REMEMBERED:
            self._open.popitem(last=False)
        return seen


def row_of(entry: Entry) -> Row:
    """What the line of an entry says."""
    return Row(
        entry.id,
        entry.state,
        entry.time_ns,
        entry.src,
        arrow(entry),
        entry.dst,
        entry.protocol if entry.tls is None else name_within(entry.protocol),
        entry.headline,
        shown_status(entry),
        status_styles(entry),
        wire_size(entry),
        entry.elapsed_time,
        tuple([fault.kind for fault in entry.faults]) + (NOT_DECRYPTED if is_closed(entry) else ()),
    )


def _encoded(text: str) -> bytes:
    return (text + "\n").encode("utf-8", "backslashreplace")


@lru_cache(maxsize=16)
def _clock(seconds: int) -> str:
    try:
        return strftime("%H:%M:%S", localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a capture may claim any year
        return "--:--:--"


def local_time(time_ns: int) -> str:
    """HH:MM:SS.mmm where the user is."""
    seconds, fraction = divmod(time_ns, SECOND)
    return f"{_clock(seconds)}.{fraction // 1_000_000:03d}"


def endpoint(end: Endpoint) -> str:
    """name:port, 10.0.0.9:8080 or [::1]:53."""
    return f"{cut(visible(end.name), NAME_MOST)}:{end.port}" if end.name else str(end)


def _alone(entry: Entry) -> Message | None:
    """The message of an entry that has one because nobody answers it."""
    message: Message | None = entry.response if entry.request is None else entry.request
    return message if message is not None and message.role is Role.ALONE else None


def arrow(entry: Entry) -> str:
    """<- where all there is came from the server, unasked."""
    message = _alone(entry)
    return "<-" if message is not None and message.side is SERVER else "->"


def shown_status(entry: Entry) -> str:
    """The status, also of what the client sent and nobody answers, such as a WebSocket's close."""
    message = _alone(entry)
    return message.status_text if message is not None else entry.status or "-"


def wire_size(entry: Entry) -> int:
    """Bytes of what came back, or of what was sent where nothing did: of the body if the protocol has one."""
    if entry.protocol in ("tcp", "udp"):
        return _message_size(entry.request) + _message_size(entry.response)
    return _message_size(entry.response if entry.response is not None else entry.request)


def _message_size(message: Message | None) -> int:
    if message is None:
        return 0
    encoded: int | None = getattr(getattr(message, "body", message), "encoded_size", None)
    return message.size if encoded is None else encoded


def size(count: int) -> str:
    """Bytes in at most four digits: 17 B, 1.7 kB, 230 MB."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["TB", "GB", "MB", "kB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:.1f} {units[-1]}" if value < 9.95 else f"{value:.0f} {units[-1]}"


def duration(microseconds: int | None) -> str:
    """834 us, 1.8 ms, 23 ms, 2.31 s, 12m05s; "-" where nothing was answered."""
    if microseconds is None:
        return "-"
    if microseconds < 1000:
        return f"{microseconds} us"
    if microseconds < 999_500:
        milliseconds = microseconds / 1000
        return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    if microseconds < 60_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"


def status_styles(entry: Entry) -> tuple[str, ...]:
    message = _alone(entry)
    if message is not None:
        return ("green",) if message.ok else ("red", "bold")
    if entry.response is None or (entry.protocol == "grpc" and not entry.status):  # it goes on, or was cancelled
        return ("yellow",)
    if not entry.ok:
        return ("red", "bold")
    return ("cyan",) if entry.status[:1] == "3" else ("green",)
