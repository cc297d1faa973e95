"""Header blocks of HTTP/2 (RFC 7541): one direction's decoder, whole or joined in the middle.

**Joined in the middle.** Entries of the dynamic table are found by counting back from the newest one, so what was
inserted since we listen is right wherever we began; only older entries are unknown. An index that points at one of
those gives an `Unknown`: a field, printable as `?-12`, with an `Identity` that stays the same for as long as the
entry lives: how many insertions before (negative) or after the beginning its own one was. A value literal with such an
entry's name gives an Unknown too, of which only the name is, and which goes into the table as any other field.

Nothing depends on what unknown entries weigh: eviction takes the oldest ones, and an encoder never points at what it
evicted. So the table forgets what surely left it, or what is more than `limits.table_bytes`, and never less.
How large the encoder's table is is known again with the first size update; after one to 0, or when the known
entries fill it, no entry from before is left, and an index beyond the known ones is an error again.

**Blocks that were lost** may have inserted anything: with `forget()` a new *epoch* begins, in which every entry from
before is unknown again, with other identities, since how far it moved is not known.

**Late decoding.** A literal that is not to be indexed changes nothing, and there are blocks with several of them a
call. `later()` finds those blocks, in which everything that moves the table is missing, without decoding them: it gives
a `Later` with the table as it is now. The indexed fields at the beginning, mostly the same ones, are looked up in one
step.

**Who knows better.** `resolve`, if set, is asked for each unknown identity and may give the field (a tuple of a class
of its own, if it wants to be known again later). `learned`, if set, is told of each insertion with its identity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pysniff.dissectors import hpack_huffman
from pysniff.dissectors.hpack_strings import integer, octets, text
from pysniff.limits import DEFAULT, Limits

Field = tuple[str, str]

# RFC 7541 Appendix A; a name without a value has an empty one.
_STATIC = """
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|
:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|
accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|
content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|
cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|
last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|
server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate
""".replace("\n", "")
STATIC: Final[tuple[Field, ...]] = (
    ("", ""),
    *[(name, value) for name, _, value in [field.partition(" ") for field in _STATIC.split("|")]],
)
FIRST: Final = 62  # index of the newest entry of the dynamic table
CAPACITY: Final = 4_096  # of the table, in octets, until the encoder says otherwise (RFC 9113 §6.5.2)
_OVERHEAD = 32  # octets that each entry counts beside its strings (§4.1)
_FARTHEST = 65_536  # entries back that an index may point, where their number is unknown
_STRINGS = 1_024  # Huffman coded strings remembered, of at most so many bytes
_STRING = 256
_LEADS, _LEAD = 256, 64  # beginnings of blocks remembered, and their bytes
_TELLING = ("content-type", ":protocol")  # fields that are asked for before all is decoded
_indexed = re.compile(rb"[\x81-\xfe]+").match


class HpackError(Exception):
    """The block is broken: `lines` came before that."""

    def __init__(self, words: str, lines: list[Field]) -> None:
        super().__init__(words)
        self.lines = lines


class Identity(NamedTuple):
    """An entry of the dynamic table: the `number`th insertion of an epoch, negative for those before it began."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"?{self.number}" if not self.epoch else f"?{self.epoch}{self.number:+d}"


class Marked(tuple[str, str]):
    """A field that is not as plainly known as others."""

    def with_value(self, value: str) -> Field:
        """What a literal makes of its name."""
        raise NotImplementedError


class Unknown(Marked):
    """A field whose name, or name and value, nobody saw; they read `?-12`.

    `name`, `value`: whose they are, None where known.
    """

    name: Identity
    value: Identity | None

    @classmethod
    def of(cls, name: Identity, value: str | None = None) -> Unknown:
        field = cls((str(name), str(name) if value is None else value))
        field.name = name
        field.value = name if value is None else None
        return field

    def with_value(self, value: str) -> Field:
        return Unknown.of(self.name, value)


class Lead:
    """The indexed fields that a block begins with. `said`: whether they contain words that were asked about."""

    __slots__ = ("fields", "kind", "said")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self.kind = next((value for name, value in fields if name == "content-type"), "")
        self.said: dict[str, bool] = {}

    def says(self, word: str) -> bool:
        said = self.said.get(word)
        if said is None:
            said = self.said[word] = any(word in value for _, value in self.fields)
        return said


class Later:
    """A block whose literals are decoded when somebody asks. `named`: behind the lead there may be a telling field."""

    __slots__ = ("block", "lead", "named", "place", "table", "_decoder")

    def __init__(self, block: bytes, lead: Lead, named: bool, place: int, table: list[Field], decoder: Decoder) -> None:
        self.block = block
        self.lead = lead
        self.named = named
        self.place = place  # where the lead ends
        self.table = table  # as it was then
        self._decoder = decoder

    def lines(self) -> list[Field]:
        """The fields; raise HpackError."""
        return self._decoder.decode(self.block, self)


_ENTRY = 200  # bytes that an entry takes beside what it says


class Table(NamedTuple):
    """A dynamic table as Decoder.remember() gives it: `fields`, the newest one last, and what each weighs.

    `odd`: octets of names that are not ASCII. The others are those of Decoder.
    """

    fields: tuple[Field, ...]
    sizes: tuple[int, ...]
    odd: tuple[tuple[str, int], ...]
    capacity: int
    exact: bool
    whole: bool
    allowed: int | None
    epoch: int
    inserted: int


class Decoder:
    """`whole`: every entry that the encoder may point at is known. `changed`: the last block moved the table.

    `allowed`: the largest table that the reader of this direction announced, None where nobody knows.
    """

    __slots__ = (
        "whole", "changed", "allowed", "epoch", "resolve", "learned", "_lent",
        "_limits", "_table", "_sizes", "_size", "_capacity", "_exact", "_inserted", "_strings", "_odd", "_leads",
    )  # fmt: skip

    def __init__(self, limits: Limits = DEFAULT, *, midstream: bool = False) -> None:
        self.whole = not midstream
        self.changed = False
        self.allowed: int | None = None if midstream else CAPACITY
        self.epoch = 0
        self.resolve: Callable[[Identity], Field | None] | None = None
        self.learned: Callable[[Identity, Field], None] | None = None
        self._limits = limits
        self._table: list[Field] = []  # the newest one last
        self._sizes: list[int] = []
        self._size = 0
        self._capacity = limits.table_bytes if midstream else min(CAPACITY, limits.table_bytes)
        self._exact = not midstream  # that is the size of the encoder's table
        self._inserted = 0  # in this epoch
        self._strings: dict[bytes, str] = {}
        self._odd: dict[str, int] = {}  # octets of names that are not ASCII
        self._leads: dict[bytes, Lead] = {}  # while the table stands still
        self._lent = False  # somebody may still look into the table as it is now

    @property
    def highest(self) -> int:
        """The highest index that says something."""
        return FIRST - 1 + len(self._table)

    def weight(self) -> int:
        """About how many bytes of memory its table takes."""
        return self._size + _ENTRY * len(self._table)

    def forget(self) -> None:
        """Blocks were lost: a new epoch begins."""
        self.epoch += 1
        self.whole = False
        self.changed = True
        self.allowed = None
        self._table = []
        self._leads.clear()
        self._sizes.clear()
        self._size = self._inserted = 0
        self._capacity = self._limits.table_bytes
        self._exact = False

    def remember(self) -> Table | None:
        """What it takes to go on from here; None where somebody who knew better named fields of it."""
        fields = tuple(self._table)
        if any(isinstance(field, Marked) and not isinstance(field, Unknown) for field in fields):
            return None
        names = {name for name, _ in fields if not name.isascii()}
        odd = tuple([(name, size) for name, size in self._odd.items() if name in names])
        state = (self._capacity, self._exact, self.whole, self.allowed, self.epoch, self._inserted)
        return Table(fields, tuple(self._sizes), odd, *state)

    def recall(self, table: Table) -> None:
        """Go on from there; raise ValueError for a table that cannot be."""
        fields, sizes = table.fields, table.sizes
        size = sum(sizes)
        if len(fields) != len(sizes) or min(sizes, default=_OVERHEAD) < _OVERHEAD or table.inserted < len(fields):
            raise ValueError("not a table")
        if not size <= table.capacity <= self._limits.table_bytes:
            raise ValueError("a table that is too large")
        self._table, self._sizes, self._size = [*fields], [*sizes], size
        self._odd = dict(table.odd)
        self._capacity, self._exact, self.whole = table.capacity, table.exact, table.whole
        self.allowed, self.epoch, self._inserted = table.allowed, table.epoch, table.inserted
        self._leads.clear()
        self._lent = False

    def entries(self) -> Iterator[tuple[Identity, Field]]:
        """What the table has, oldest first."""
        first = self._inserted - len(self._table)
        for number, field in enumerate(self._table, first):
            yield Identity(self.epoch, number), field

    def later(self, block: bytes) -> Later | None:
        """The block, to be decoded when somebody asks, where that makes no difference."""
        if not self.whole:
            return None
        found = _indexed(block)
        position = found.end() if found is not None else 0
        if position > _LEAD:
            return None
        lead = self._leads.get(block[:position])
        if lead is None:
            lead = self._lead(block[:position])
            if lead is None:
                return None
        end = len(block)
        place = position
        named = False
        try:
            while position < end:
                first = block[position]
                position += 1
                if first >= 0x80:
                    index = first - 0x80
                    if not index or index >= FIRST + len(self._table):
                        return None
                    if index >= FIRST and self._table[61 - index][0] in _TELLING:
                        named = True
                elif first >= 0x20:
                    return None
                else:
                    index = first & 0x0F
                    if index == 0x0F:
                        _, position = integer(block, position, index)
                        named = True
                    elif not index:
                        length = block[position] & 0x7F
                        position += 1
                        if length == 0x7F:
                            length, position = integer(block, position, length)
                        position += length
                        named = True
                    length = block[position] & 0x7F
                    position += 1
                    if length == 0x7F:
                        length, position = integer(block, position, length)
                    position += length
        except (IndexError, ValueError):
            return None
        if position > end:
            return None
        self._lent = True
        self.changed = False
        return Later(block, lead, named, place, self._table, self)

    def _lead(self, run: bytes) -> Lead | None:
        if any(index - 0x80 >= FIRST + len(self._table) for index in run):
            return None
        if len(self._leads) >= _LEADS:
            self._leads.clear()
        lead = self._leads[run] = Lead(tuple(self.decode(run)))
        return lead

    def _move(self) -> None:
        """The table changes: who looks into it as it was keeps that."""
        self.changed = True
        if self._lent:
            self._table = self._table.copy()
            self._lent = False
        if self._leads:
            self._leads.clear()

    def decode(self, block: bytes, later: Later | None = None) -> list[Field]:
        """The fields of a whole block, in order; raise HpackError.

        They may be many and large: who keeps them bounds that.
        `later`: the block as it was found then; the table stays as it is.
        """
        if later is None:
            lines: list[Field] = []
            position, table = 0, self._table
            self.changed = False
        else:
            lines = [*later.lead.fields]
            position, table = later.place, later.table
        end = len(block)
        try:
            while position < end:
                first = block[position]
                position += 1
                if first >= 0x80:  # §6.1
                    index = first & 0x7F
                    if index == 0x7F:
                        index, position = integer(block, position, index)
                    if 0 < index < FIRST:
                        lines.append(STATIC[index])
                    elif FIRST <= index < FIRST + len(table):
                        lines.append(table[61 - index])
                    else:
                        lines.append(self._unknown(index, later))
                    continue
                if first >= 0x40:  # §6.2.1
                    index, full = first & 0x3F, 0x3F
                elif first >= 0x20:  # §6.3
                    capacity = first & 0x1F
                    if capacity == 0x1F:
                        capacity, position = integer(block, position, capacity)
                    self._resize(capacity)
                    table = self._table
                    continue
                else:  # §6.2.2, §6.2.3
                    index, full = first & 0x0F, 0x0F
                if index == full:
                    index, position = integer(block, position, full)
                named: Field | None = None
                if index:
                    if index < FIRST:
                        named = STATIC[index]
                    elif index < FIRST + len(table):
                        named = table[61 - index]
                    else:
                        named = self._unknown(index, later)
                    name = named[0]
                    start = 0
                else:
                    start = position
                    name, position = self._string(block, position)
                value, stop = self._string(block, position)
                field: Field = (name, value)
                if isinstance(named, Marked):
                    field = named.with_value(value)
                lines.append(field)
                if full == 0x3F:
                    size = _OVERHEAD + len(name) + len(value)
                    if not (name.isascii() and value.isascii()):
                        size = _OVERHEAD + self._weigh(name, block, start) + octets(block, position)
                    self._insert(field, size)
                    table = self._table
                position = stop
        except (IndexError, ValueError) as problem:
            words = "it ends too early" if isinstance(problem, IndexError) else str(problem)
            raise HpackError(words, lines) from None
        return lines

    def _unknown(self, index: int, later: Later | None) -> Field:
        """The entry from before that an index beyond the known ones points at."""
        if self.whole or later is not None or not FIRST <= index < FIRST + _FARTHEST:
            raise ValueError("an index that points nowhere")
        identity = Identity(self.epoch, self._inserted - (index - FIRST + 1))
        known = self.resolve(identity) if self.resolve is not None else None
        return Unknown.of(identity) if known is None else known

    def _insert(self, field: Field, size: int) -> None:
        self._move()
        self._table.append(field)
        self._sizes.append(size)
        self._size += size
        self._inserted += 1
        if self._size > self._capacity:
            self._evict()
        if self.learned is not None:
            self.learned(Identity(self.epoch, self._inserted - 1), field)

    def _resize(self, capacity: int) -> None:
        if self.allowed is not None and capacity > self.allowed:
            raise ValueError("a table larger than was allowed")
        self._move()
        self._exact = capacity <= self._limits.table_bytes
        self._capacity = capacity if self._exact else self._limits.table_bytes
        if self._size > self._capacity or not capacity:
            self._evict()

    def _evict(self) -> None:
        size, count = self._size, 0
        for entry in self._sizes:
            if size <= self._capacity:
                break
            size -= entry
            count += 1
        del self._table[:count], self._sizes[:count]
        self._size = size
        # What is older than what left a table as large as the encoder's left it too.
        self.whole = self._exact

    def _string(self, block: bytes, position: int) -> tuple[str, int]:
        """A string and where it ends (§5.2)."""
        first = block[position]
        length = first & 0x7F
        position += 1
        if length == 0x7F:
            length, position = integer(block, position, length)
        stop = position + length
        if stop > len(block):
            raise ValueError("a string that goes beyond its end")
        raw = block[position:stop]
        if first < 0x80:
            return text(raw), stop
        string = self._strings.get(raw)
        if string is None:
            string = text(hpack_huffman.decode(raw))
            if length <= _STRING:
                if len(self._strings) >= _STRINGS:
                    self._strings.clear()
                self._strings[raw] = string
        return string, stop

    def _weigh(self, name: str, block: bytes, start: int) -> int:
        """Octets of a name, which is a literal at `start`, or 0 and it is that of an entry."""
        if name.isascii():
            return len(name)
        if not start:
            return self._odd.get(name, len(name))
        if len(self._odd) >= _STRINGS:
            self._odd.clear()
        self._odd[name] = size = octets(block, start)
        return size
