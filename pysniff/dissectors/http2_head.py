"""Decoded header blocks of HTTP/2 (RFC 9113 §8.3), shared by all messages whose blocks are equal.

Most are decoded when somebody asks: see hpack.Later.
"""

from __future__ import annotations

from pysniff.dissectors.hpack import Field, HpackError, Later, Marked, Unknown
from pysniff.dissectors.http import Fields, content_fields
from pysniff.limits import Limits
from pysniff.message import Fault

UNNAMED = "header fields that were named"  # how the words of that fault begin
_FEW = 64  # fields of a block that are never too many
_OVERHEAD = 32  # octets that each field counts beside its strings (RFC 9113 §6.5.2)
_FIELD = 150  # bytes that a decoded one takes beside what it says
_NAMED = 8  # unknown fields that a fault names


class Head:
    """`size`: bytes of the block as it was sent, compressed. `faults`: what was odd about it when it came.

    `late`: what decoding found, once somebody has touched `lines`.
    """

    __slots__ = (
        "size",
        "faults",
        "late",
        "_later",
        "_limits",
        "_lines",
        "_fields",
        "_pseudo",
        "_index",
        "_path",
        "_content",
    )

    _limits: Limits
    _lines: list[Field]
    _fields: Fields
    _pseudo: dict[str, str]
    _index: dict[str, str]
    _path: str
    _content: tuple[str, str]

    def __init__(self, lines: list[Field], size: int, faults: tuple[Fault, ...] = ()) -> None:
        self._lines = lines
        self.size = size
        self.faults = faults
        self.late: tuple[Fault, ...] = ()
        self._later: Later | None = None

    @classmethod
    def of(cls, later: Later, limits: Limits) -> Head:
        """A block that is decoded when it is touched."""
        head = cls.__new__(cls)
        head.size = len(later.block)
        head.faults = head.late = ()
        head._later = later
        head._limits = limits
        return head

    @property
    def lines(self) -> list[Field]:
        """Every field, in order."""
        try:
            return self._lines
        except AttributeError:
            return self._decode()

    def _decode(self) -> list[Field]:
        assert self._later is not None
        try:
            lines = self._later.lines()
        except HpackError as problem:
            lines = problem.lines
            self.late = (Fault("malformed", f"header block: {problem}"),)
        self.late += too_many(lines, self._limits)
        self._lines = lines
        return lines

    def weight(self) -> int:
        """About how many bytes of memory it takes: fields from a table share what they say with it."""
        try:
            return self.size + _FIELD * len(self._lines)
        except AttributeError:
            return self.size

    @property
    def fields(self) -> Fields:
        """The regular fields, in order."""
        try:
            return self._fields
        except AttributeError:
            fields = self._fields = tuple([field for field in self.lines if field[0][:1] != ":"])
            return fields

    @property
    def pseudo(self) -> dict[str, str]:
        """The pseudo-header fields (RFC 9113 §8.3); the first of each name stands."""
        try:
            return self._pseudo
        except AttributeError:
            self._pseudo = {name: value for name, value in reversed(self.lines) if name[:1] == ":"}
            return self._pseudo

    @property
    def status(self) -> str:
        """Of a response: :status, "" where there is none. Where the block begins with it, nothing is decoded."""
        later = self._later
        if later is not None and later.lead.fields:
            name, value = later.lead.fields[0]
            if name == ":status":
                return value
        return self.pseudo.get(":status", "")

    @property
    def index(self) -> dict[str, str]:
        """As HttpMessage.index; of a cookie each crumb may be a field (RFC 9113 §8.2.3)."""
        try:
            return self._index
        except AttributeError:
            index: dict[str, str] = {}
            for name, value in self.fields:
                name = name.lower()
                index[name] = f"{index[name]}{'; ' if name == 'cookie' else ', '}{value}" if name in index else value
            self._index = index
            return index

    @property
    def content_type(self) -> str:
        """The first one, "" where there is none: cheap, where it is among the fields that mostly are the same."""
        later = self._later
        if later is not None and (later.lead.kind or not later.named):
            return later.lead.kind
        return next((value for name, value in self.lines if name == "content-type"), "")

    @property
    def content(self) -> tuple[str, str]:
        """Content-Encoding and Content-Type."""
        try:
            return self._content
        except AttributeError:
            self._content = content_fields(self.fields)
            return self._content

    @property
    def path(self) -> str:
        """Of a request; where nobody saw it, the placeholders that it is among: the same for every call on it."""
        try:
            return self._path
        except AttributeError:
            self._path = self._find_path()
            return self._path

    def _find_path(self) -> str:
        path = self.pseudo.get(":path")
        if path is not None:
            return path
        missing = sum(name not in self.pseudo for name in (":method", ":scheme", ":path", ":authority"))
        names = []
        for field in self.lines:
            if isinstance(field, Unknown) and field.value is not None:
                names.append(field[0])
            elif field[0][:1] != ":":
                break  # RFC 9113 §8.3: pseudo-header fields come first
        return ",".join(names[:missing]) or self.pseudo.get(":authority", "")

    @property
    def unknown(self) -> list[Field]:
        """The fields that are not as plainly known as others."""
        return [field for field in self.lines if isinstance(field, Marked)] if self._later is None else []

    def says(self, word: str) -> bool:
        """Whether a value may contain it."""
        later = self._later
        if later is not None:
            if later.lead.says(word):
                return True
            if not later.named:  # of such a literal the name is in the static table, and no content type
                return False
        return any(word in value for _, value in self.lines)

    def asks_for(self, protocol: str) -> bool:
        """Whether it is an extended CONNECT to this protocol."""
        later = self._later
        if later is not None and not later.named and all(name != ":protocol" for name, _ in later.lead.fields):
            return False
        return self.pseudo.get(":protocol") == protocol

    def begins(self, name: str) -> bool:
        """Whether it begins a message: `name` is :method or :status, which no trailers have."""
        return any(field[0] == name for field in self.lines)


NO_HEAD = Head([], 0)
UNNAMED = "header fields that were named"


def too_many(lines: list[Field], limits: Limits) -> tuple[Fault, ...]:
    """Leave out what is beyond the bounds, for a few bytes may stand for many, and say so."""
    if len(lines) <= _FEW:
        return ()
    room = limits.fields_bytes
    for place, (name, value) in enumerate(lines):
        room -= len(name) + len(value) + _OVERHEAD
        if room < 0:
            dropped = len(lines) - place
            del lines[place:]
            return (Fault("truncated", f"a header block of too many fields: {dropped} are left out"),)
    return ()


def unnamed(lines: list[Field], kind: str) -> tuple[Fault, ...]:
    """The fault of a head with fields that nobody saw: `kind` is midstream or gap."""
    names = [str(field.name) for field in lines if isinstance(field, Unknown)]
    if not names:
        return ()
    when = "before the capture began" if kind == "midstream" else "in bytes that were lost"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (Fault(kind, f"{UNNAMED} {when}: {', '.join(names[:_NAMED])}{more}"),)
