"""The body of one message: the bytes as sent, and what they mean when somebody asks.

Nothing is decoded, hashed or joined before it is touched, and what was is kept. Bytes that go past
limits.body_bytes are not kept, but counted, hashed and decoded for their size.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mypy_extensions import mypyc_attr

from pysniff.coding import CODINGS, GZIP, codings
from pysniff.digest import Digest
from pysniff.kept import Kept, Share
from pysniff.limits import DEFAULT, Limits
from pysniff.media import media, text
from pysniff.message import Fault

_JOIN = 1_024  # pieces put together at a time: a small bytes object weighs thirty times its content


_HOLES = 1_000  # places of one body where bytes are missing that are remembered


class Hole(NamedTuple):
    """Bytes of a body that were lost: how many before position `at` of the bytes that came; 0 where nobody knows."""

    at: int
    size: int


@mypyc_attr(native_class=False, allow_interpreted_subclasses=True)
class Tally(ABC):
    """Counts something in a body that is longer than what is kept, in constant memory."""

    @abstractmethod
    def add(self, piece: bytes) -> None:
        """Take the next bytes as sent."""

    @abstractmethod
    def lost(self, size: int) -> None:
        """So many bytes are missing here; 0: nobody knows how many."""

    @property
    @abstractmethod
    def count(self) -> int:
        """What was counted so far."""


class Tail(NamedTuple):
    """What is known of a body that is longer than what is kept.

    `size`: bytes after decoding. `counted`: by the body's Tally, None where it has none.
    """

    sha256: str
    content_sha256: str
    size: int
    faults: tuple[Fault, ...] = ()
    counted: int | None = None


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Body:
    """One message's body.

    `pieces`: the kept bytes without transfer coding. `encoded_size`: all bytes seen, kept or not. `holes`: where
    bytes are missing between those seen, as far as the dissector says so.
    """

    _faults: tuple[Fault, ...]
    _size: int

    __slots__ = (
        "encoded_size",
        "holes",
        "_pieces",
        "_coding",
        "_type",
        "_limits",
        "_tail",
        "_content",
        "_size",
        "_faults",
    )

    def __init__(
        self,
        pieces: bytes | Sequence[bytes],
        encoded_size: int,
        content_encoding: str = "",
        content_type: str = "",
        limits: Limits = DEFAULT,
        tail: Tail | None = None,
        holes: tuple[Hole, ...] = (),
    ) -> None:
        self._pieces = pieces
        self.encoded_size = encoded_size
        self.holes = holes
        self._coding = content_encoding
        self._type = content_type
        self._limits = limits
        self._tail = tail
        self._content: bytes | None = None

    def labelled(self, content_encoding: str, content_type: str) -> Body:
        """The same bytes, whose coding and type became known when they had come; the coding where all are kept."""
        coding = content_encoding if self._tail is None else self._coding
        return Body(self._pieces, self.encoded_size, coding, content_type, self._limits, self._tail, self.holes)

    def __repr__(self) -> str:
        return f"Body({self.encoded_size} bytes, {self.mime_type!r}, {self.encoding!r})"

    @property
    def raw(self) -> bytes:
        """The kept bytes as they were sent, transfer coding undone, content coding not."""
        pieces = self._pieces
        if isinstance(pieces, bytes):
            return pieces
        joined = self._pieces = b"".join(pieces)
        return joined

    @property
    def content(self) -> bytes:
        """The kept bytes with content coding undone; what decodes where the coding is broken or cut."""
        if self._content is None:
            self._decode()
        assert self._content is not None
        return self._content

    @property
    def size(self) -> int:
        """Bytes after content decoding, kept or not, up to limits.decoded_bytes."""
        if self._content is None:
            self._decode()
        return self._size

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What went wrong in decoding: kinds truncated and malformed."""
        if self._content is None:
            self._decode()
        return self._faults

    @property
    def truncated(self) -> bool:
        """Whether more was seen, or comes out, than is kept."""
        return self.encoded_size > len(self.raw) or self.size > len(self.content) or _cut_short(self.faults)

    @property
    def tally(self) -> int | None:
        """What the body's Tally counted; None where there is none, or the body is kept whole."""
        return None if self._tail is None else self._tail.counted

    @property
    def encoding(self) -> str:
        """The content coding, lower case, or ""."""
        coding = self._coding.strip().lower()
        return "" if coding == "identity" else coding

    @property
    def mime_type(self) -> str:
        """The media type, lower case, without parameters, or ""."""
        return media(self._type).mime_type

    @property
    def is_text(self) -> bool:
        return text(self.content, media(self._type), cut=self.truncated) is not None

    @property
    def text(self) -> str:
        """The content as text, "" where it is binary."""
        return text(self.content, media(self._type), cut=self.truncated) or ""

    def json(self) -> Any:
        """The content as JSON; raise ValueError where it is not."""
        try:
            return json.loads(self.text if self.is_text else self.content)
        except RecursionError:
            raise ValueError("JSON is nested too deep") from None

    @property
    def sha256(self) -> str:
        """Hexadecimal hash of all bytes as sent, also of those that are not kept."""
        return self._tail.sha256 if self._tail else hashlib.sha256(self.raw).hexdigest()

    @property
    def content_sha256(self) -> str:
        """Hexadecimal hash of the decoded bytes, also of those that are not kept, up to limits.decoded_bytes."""
        if self._tail:
            return self._tail.content_sha256
        if self.size == len(self.content):
            return hashlib.sha256(self.content).hexdigest()
        digest = Digest(self._coding, self._limits)
        digest.add(self.raw)
        return digest.content_sha256

    def to_dict(self, limit: int) -> dict[str, Any]:
        """The contract's record: at most `limit` bytes of content, cut where a character ends."""
        content = self._content
        if content is None:
            if not self._coding and self._tail is None:
                # The commonest body by far: kept whole, or nearly, and not encoded.
                self._content = content = self.raw
                self._size = self.encoded_size
                self._faults = ()
            else:
                content = self.content
        size = self._size
        kind = media(self._type)
        cut = size > len(content) or self.encoded_size > len(self.raw) or _cut_short(self._faults)
        if len(content) > limit:
            content = content[: max(limit, 0)]
            cut = True
        record: dict[str, Any] = {
            "size": size,
            "encoded_size": self.encoded_size,
            "mime_type": kind.mime_type,
            "encoding": self.encoding if self._coding else "",
        }
        decoded = text(content, kind, cut=cut) if content else ""
        if decoded is None:
            record["base64"] = base64.b64encode(content).decode("ascii")
        else:
            record["text"] = decoded
        record["truncated"] = cut
        return record

    def _decode(self) -> None:
        raw = self.raw
        names = codings(self._coding) if self._coding else []
        if not names or not raw:
            self._content = raw
            self._size = self.encoded_size
            self._faults = () if names is not None else _unknown(self._coding)
        elif names == [GZIP] and self._decode_gzip(raw):
            pass
        else:
            self._decode_chain(raw, names)
        if self._tail is not None:
            self._size = self._tail.size
            self._faults = self._tail.faults

    def _decode_gzip(self, raw: bytes) -> bool:
        """The usual case, one whole member, in one call; False where it is anything else."""
        inflate = zlib.decompressobj(31)
        try:
            content = inflate.decompress(raw, min(self._limits.body_bytes, self._limits.decoded_bytes))
        except zlib.error:
            return False
        if not inflate.eof or inflate.unused_data:
            return False
        self._content = content
        self._size = len(content)
        self._faults = ()
        return True

    def _decode_chain(self, raw: bytes, names: list[str]) -> None:
        digest = Digest(self._coding, self._limits, keep=True)
        digest.add(raw)
        self._content = b"".join(digest.kept)
        self._size = digest.size
        self._faults = digest.faults()
        if not digest.size and digest.broken:
            # Nothing of it is in that coding: servers do mislabel plain bodies. Show what was sent.
            self._content = raw
            self._size = len(raw)


def _cut_short(faults: tuple[Fault, ...]) -> bool:
    """Whether decoding stopped at a bound, or where the bytes end."""
    return any(fault.kind == "truncated" for fault in faults)


def _unknown(coding: str) -> tuple[Fault, ...]:
    if coding.count(",") >= CODINGS:
        return (Fault("malformed", f"more than {CODINGS} content codings"),)
    return ()


class BodyBuilder:
    """Collects the body of a message that is arriving; add() costs an append and an addition.

    `tally` makes what is to count in a body that gets too long to be kept: it is fed all of that body, and no other.
    `share`: of what all messages keep; whoever has the body until it is given holds it.
    """

    __slots__ = (
        "size", "share", "_limits", "_coding", "_type", "_pieces", "_joined", "_most", "_hash", "_digest", "_make",
        "_tally", "_holes", "_settled",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits = DEFAULT,
        content_encoding: str = "",
        content_type: str = "",
        tally: Callable[[], Tally] | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.size = 0
        self.share = Share(kept or Kept(limits), limits.body_bytes)
        self._limits = limits
        self._most = self.share.room(0)
        self._coding = content_encoding
        self._type = content_type
        self._pieces: list[bytes] = []
        self._joined: list[bytes] = []
        self._digest: Digest | None = None
        self._make = tally
        self._tally: Tally | None = None
        self._holes: list[Hole] = []
        self._settled = False  # how much is kept

    def add(self, piece: bytes) -> None:
        """Take the next bytes, transfer coding undone."""
        self.size += len(piece)
        if self.size > self._most and not self._grow():
            self._count(piece)
        else:
            self._pieces.append(piece)
            if len(self._pieces) == _JOIN:
                self._joined.append(b"".join(self._pieces))
                self._pieces.clear()

    def lost(self, size: int) -> None:
        """Note that bytes are missing here; 0: nobody knows how many."""
        if self._tally is not None:
            self._tally.lost(size)
        elif len(self._holes) < _HOLES:
            self._holes.append(Hole(self.size, size))
        else:
            self._holes[-1] = Hole(self._holes[-1].at, 0)

    def keep_no_more(self) -> None:
        """From now on only count and hash."""
        self._most = min(self._most, self.size)
        self._settled = True

    def body(self) -> Body:
        """The body so far; what is added later leaves it alone."""
        pieces: bytes | list[bytes]
        if not self._joined and len(self._pieces) < 2:
            pieces = self._pieces[0] if self._pieces else b""
        else:
            pieces = [*self._joined, *self._pieces]
        tail = None
        digest = self._digest
        if digest is not None:
            # A decoder that is not done is only waiting: the message may still be arriving.
            faults = digest.faults()
            count = None if self._tally is None else self._tally.count
            tail = Tail(self._hash.hexdigest(), digest.content_sha256, digest.size, faults, count)
        return Body(pieces, self.size, self._coding, self._type, self._limits, tail, tuple(self._holes))

    def _grow(self) -> bool:
        """Whether there is room for what came last, too."""
        if not self._settled:
            self._most = self.share.room(self.size)
            self._settled = self.size > self._most
        return not self._settled

    def _count(self, piece: bytes) -> None:
        """Past the limit: keep what still fits, hash and count all of it."""
        digest = self._digest
        if digest is None:
            self._hash = hashlib.sha256()
            self._digest = digest = Digest(self._coding, self._limits)
            for kept in (*self._joined, *self._pieces):
                self._hash.update(kept)
                digest.add(kept)
            if self._make is not None:
                self._tally = self._begin_tally(self._make())
            room = self._most - (self.size - len(piece))
            if room:
                self._pieces.append(piece[:room])
        self._hash.update(piece)
        digest.add(piece)
        if self._tally is not None:
            self._tally.add(piece)

    def _begin_tally(self, tally: Tally) -> Tally:
        """One that was fed what is kept, with the holes in it."""
        kept = b"".join((*self._joined, *self._pieces))
        fed = 0
        for hole in self._holes:
            tally.add(kept[fed : hole.at])
            tally.lost(hole.size)
            fed = hole.at
        tally.add(kept[fed:])
        return tally
