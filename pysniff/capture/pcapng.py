"""Reads pcapng (draft-ietf-opsawg-pcapng): bytes in, cut anywhere, Blocks out.

A Block is a run of packets of one interface. What is not understood is skipped and counted, never fatal;
a length that cannot be right ends the reading after everything before it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from pysniff.capture.pcap import LONGEST
from pysniff.errors import FileError, ReadError
from pysniff.limits import MIB
from pysniff.packet import Block

MAGIC = b"\x0a\x0d\x0d\x0a"

SECTION, INTERFACE, PACKET, SIMPLE, NAMES, STATISTICS, ENHANCED, SECRETS = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6, 0x0A

# One block that we read whole: the longest packet and generous options.
LONGEST_BLOCK = LONGEST + MIB
# Kept of decryption secrets in one file; a key log line is 200 bytes.
SECRETS_BYTES = 16 * MIB
# Names that wait to be taken: as many as are remembered (limits.py).
NAMES_WAITING = 65_536
# Interfaces of one section; the descriptions of real ones are a few hundred.
INTERFACES = 65_536
# The latest time, in nanoseconds: the year 2262. A block can name the year 584,554,049,253; we say this then.
LAST_TIME = (1 << 63) - 1

_PADDING = bytes(Block.PADDING)
_Record = tuple[int, int, int, int]


class _Interface(NamedTuple):
    """One interface description. A time is ticks * factor // divisor + offset, in nanoseconds.

    `highest`: upper 32 bits of ticks up to which no time can leave 0..LAST_TIME.
    """

    linktype: int
    snaplen: int
    name: str
    factor: int
    divisor: int
    offset: int
    highest: int


class _Layout:
    """The structures in one byte order."""

    def __init__(self, order: str) -> None:
        self.two = Struct(order + "II")
        self.enhanced = Struct(order + "IIIIIII")
        self.packet = Struct(order + "8xHHIIII")
        self.option = Struct(order + "HH")
        self.signed = Struct(order + "q")
        self.count = Struct(order + "Q")


_LAYOUTS = {b"\x4d\x3c\x2b\x1a": _Layout("<"), b"\x1a\x2b\x3c\x4d": _Layout(">")}


class PcapngParser:
    """`feed()` bytes, then `end()`.

    `names`: addresses and names of name resolution blocks, for whoever takes them; `names_dropped`: beyond the bound.
    `secrets`: (type, bytes) of decryption secrets blocks; `secrets_dropped`: bytes of those beyond the bound.
    `skipped`: blocks of no use here, by type. `dropped`, `received`: packets, as the capturing program
    noted them in its last statistics.
    """

    name = "pcapng"

    def __init__(self) -> None:
        self.secrets: list[tuple[int, bytes]] = []
        self.secrets_dropped = 0
        self.names: list[tuple[bytes, str]] = []
        self.names_dropped = 0
        self.skipped: dict[int, int] = {}
        self._secrets_bytes = 0
        self._closed_statistics = (0, 0)
        self._statistics: dict[int, tuple[int, int]] = {}
        self._layout = _LAYOUTS[b"\x4d\x3c\x2b\x1a"]
        self._interfaces: list[_Interface] = []
        self._sections = 0
        self._time = 0  # of the newest packet, for blocks without one
        self._rest: list[bytes] = []
        self._have = 0
        self._need = 28  # the smallest section header
        self._to_skip = 0
        # By block type: its smallest size, and what takes it.
        self._takers: dict[int, tuple[int, Callable[[bytes, int, int], tuple[int, _Record] | None]]] = {
            SECTION: (28, self._section),
            INTERFACE: (20, self._interface),
            ENHANCED: (32, self._enhanced),
            SIMPLE: (16, self._simple),
            PACKET: (32, self._packet),
            NAMES: (12, self._name_resolution),
            STATISTICS: (24, self._interface_statistics),
            SECRETS: (20, self._decryption_secrets),
        }

    @property
    def received(self) -> int:
        return self._closed_statistics[0] + sum(received for received, _ in self._statistics.values())

    @property
    def dropped(self) -> int:
        return self._closed_statistics[1] + sum(dropped for _, dropped in self._statistics.values())

    def feed(self, data: bytes) -> Iterator[Block]:
        """Yield the packets that are whole now; raise FileError or ReadError where the bytes make no sense."""
        if self._to_skip:
            passed = min(self._to_skip, len(data))
            self._to_skip -= passed
            data = data[passed:]
        self._rest.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        limit = self._have
        self._rest.append(_PADDING)
        buffer = b"".join(self._rest)
        at = 0
        self._need = 0
        while not self._need:
            number, records, at = self._walk(buffer, at, limit)
            if records:
                self._time = records[-1][0]
            else:
                number, records, at = self._other(buffer, at, limit)
            if records:
                interface = self._interfaces[number]
                yield Block(buffer, records, interface.linktype, interface.name)
        if at > limit:
            self._to_skip = at - limit
            at = limit
        self._rest = [buffer[at:limit]]
        self._have = limit - at

    def end(self) -> None:
        """Raise where the capture ends inside a block."""
        if not self._sections:
            raise FileError("a pcapng file that ends inside its header")
        if self._have or self._to_skip:
            raise ReadError("the capture was cut short in the middle of a block", hint="everything before was read")

    def _walk(self, buffer: bytes, at: int, limit: int) -> tuple[int, list[_Record], int]:
        """Enhanced packet blocks from `at` on, of one interface: its number, the packets, where it stopped."""
        records: list[_Record] = []
        add = records.append
        unpack = self._layout.enhanced.unpack_from
        interfaces = self._interfaces
        number = -1
        factor = divisor = offset = highest = base = 0
        base_of = -1  # the upper half of ticks that `base` stands for: it changes once in 4 s or 71 minutes
        last = limit - 32
        while at <= last:
            kind, total, of, high, low, captured, wire = unpack(buffer, at)
            if kind != ENHANCED:
                break
            if of != number:
                if number >= 0 or of >= len(interfaces):
                    break
                number = of
                _, _, _, factor, divisor, offset, highest = interfaces[number]
            following = at + total
            start = at + 28
            end = start + captured
            # Not whole, or odd in some way: _other() has a closer look.
            if following > limit or end > following - 4 or total & 3:
                break
            if high != base_of:
                if high > highest:
                    break
                base_of = high
                base = (high << 32) * factor + offset
            if divisor == 1:
                time = base + low * factor
            else:
                time = (high << 32 | low) * factor // divisor + offset
            add((time, start, end, wire if wire > captured else captured))
            at = following
        return number, records, at

    def _other(self, buffer: bytes, at: int, limit: int) -> tuple[int, list[_Record], int]:
        """Take one block that _walk() left; result as there. The next may begin behind `limit`.

        Sets _need where more bytes are needed.
        """
        if at + 12 > limit:
            self._need = 12
            return 0, [], at
        kind, total = self._layout.two.unpack_from(buffer, at)
        if kind == SECTION:
            layout = _LAYOUTS.get(buffer[at + 8 : at + 12])
            if layout is None:
                raise self._damaged("a section of unknown byte order")
            total = layout.two.unpack_from(buffer, at)[1]
        elif not self._sections:
            raise FileError("not a pcapng file")
        # The length "MUST be a multiple of 4": some writers forget it, their padding is there all the same.
        following = at + (total + 3 & ~3)
        take = self._takers.get(kind)
        if total < (12 if take is None else take[0]):
            raise self._damaged(f"a block of {total} bytes")
        if take is None:
            self.skipped[kind] = self.skipped.get(kind, 0) + 1
            if following > limit:
                self._need = 12
            return 0, [], following
        if total > LONGEST_BLOCK:
            raise self._damaged(f"a block of {total} bytes")
        if following > limit:
            self._need = following - at
            return 0, [], at
        found = take[1](buffer, at, at + total - 4)
        return (0, [], following) if found is None else (found[0], [found[1]], following)

    def _section(self, buffer: bytes, at: int, end: int) -> None:
        layout = _LAYOUTS[buffer[at + 8 : at + 12]]
        major, minor = layout.option.unpack_from(buffer, at + 12)
        if major != 1:
            raise self._damaged(f"pcapng version {major}.{minor}, which is unknown,")
        self._layout = layout
        self._sections += 1
        self._closed_statistics = (self.received, self.dropped)
        self._statistics = {}
        self._interfaces = []

    def _interface(self, buffer: bytes, at: int, end: int) -> None:
        if len(self._interfaces) >= INTERFACES:
            raise self._damaged(f"more than {INTERFACES} interfaces")
        linktype, _ = self._layout.option.unpack_from(buffer, at + 8)
        snaplen = self._layout.two.unpack_from(buffer, at + 8)[1]
        name = str(len(self._interfaces))
        resolution, offset = 6, 0
        for code, value in self._options(buffer, at + 16, end):
            if code == 2 and value:
                name = value.decode("utf-8", "replace")
            elif code == 9 and len(value) == 1:
                resolution = value[0]
            elif code == 14 and len(value) == 8:
                offset = self._layout.signed.unpack(value)[0] * 1_000_000_000
        factor, divisor = _ticks(resolution)
        highest = max((LAST_TIME - offset) * divisor // factor >> 32, 0) - 1 if 0 <= offset < LAST_TIME else -1
        self._interfaces.append(_Interface(linktype, snaplen, name, factor, divisor, offset, highest))

    def _enhanced(self, buffer: bytes, at: int, end: int) -> tuple[int, _Record]:
        _, _, number, high, low, captured, wire = self._layout.enhanced.unpack_from(buffer, at)
        return self._record(number, high << 32 | low, at + 28, end, captured, wire)

    def _packet(self, buffer: bytes, at: int, end: int) -> tuple[int, _Record]:
        number, _, high, low, captured, wire = self._layout.packet.unpack_from(buffer, at)
        return self._record(number, high << 32 | low, at + 28, end, captured, wire)

    def _simple(self, buffer: bytes, at: int, end: int) -> tuple[int, _Record]:
        wire = self._layout.two.unpack_from(buffer, at + 4)[1]
        snaplen = self._interfaces[0].snaplen if self._interfaces else 0
        captured = min(wire, end - at - 12, snaplen or wire)
        # It has no time; that of its predecessor keeps the order.
        return self._record(0, None, at + 12, end, captured, wire)

    def _record(
        self, number: int, ticks: int | None, start: int, end: int, captured: int, wire: int
    ) -> tuple[int, _Record]:
        if number >= len(self._interfaces):
            raise self._damaged(f"a packet of interface {number}, which nobody described,")
        if start + captured > end:
            raise self._damaged(f"a packet of {captured} bytes in a smaller block")
        if ticks is not None:
            interface = self._interfaces[number]
            time = ticks * interface.factor // interface.divisor + interface.offset
            self._time = min(max(time, 0), LAST_TIME)
        return number, (self._time, start, start + captured, max(wire, captured))

    def _interface_statistics(self, buffer: bytes, at: int, end: int) -> None:
        number = self._layout.two.unpack_from(buffer, at + 8)[0]
        if number >= len(self._interfaces):
            return
        received = dropped = 0
        for code, value in self._options(buffer, at + 20, end):
            if len(value) == 8 and code in (4, 5):  # isb_ifrecv, isb_ifdrop
                count = self._layout.count.unpack(value)[0]
                received, dropped = (count, dropped) if code == 4 else (received, count)
        self._statistics[number] = (received, dropped)

    def _name_resolution(self, buffer: bytes, at: int, end: int) -> None:
        """Records of the same shape as options: an address, and its names with a zero behind each."""
        for code, value in self._options(buffer, at + 8, end):
            size = {1: 4, 2: 16}.get(code, 0)
            name = value[size:].partition(b"\0")[0].decode("utf-8", "replace")
            if not size or not name:
                continue
            if len(self.names) < NAMES_WAITING:
                self.names.append((value[:size], name))
            else:
                self.names_dropped += 1

    def _decryption_secrets(self, buffer: bytes, at: int, end: int) -> None:
        kind, size = self._layout.two.unpack_from(buffer, at + 8)
        value = buffer[at + 16 : min(at + 16 + size, end)]
        if self._secrets_bytes + len(value) > SECRETS_BYTES:
            self.secrets_dropped += len(value)
            return
        self._secrets_bytes += len(value) + 64
        self.secrets.append((kind, value))

    def _options(self, buffer: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        unpack = self._layout.option.unpack_from
        while at + 4 <= end:
            code, size = unpack(buffer, at)
            at += 4
            if code == 0 or at + size > end:
                return
            yield code, buffer[at : at + size]
            at += size + 3 & ~3

    def _damaged(self, what: str) -> ReadError | FileError:
        if not self._sections:
            return FileError(f"a damaged pcapng file: {what}")
        return ReadError(f"{what} in the capture: it is damaged from here on", hint="everything before was read")


def _ticks(resolution: int) -> tuple[int, int]:
    """Factor and divisor that make nanoseconds of an if_tsresol: a power of ten, or of two with the upper bit."""
    exponent = resolution & 0x7F
    if resolution & 0x80:
        return 1_000_000_000, 1 << exponent
    if exponent <= 9:
        return 10 ** (9 - exponent), 1
    return 1, 10 ** (exponent - 9)
