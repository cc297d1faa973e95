"""Size and hash of a body's content, decoded as it arrives: what is known of a body that is not kept."""

from __future__ import annotations

import hashlib

from pysniff.coding import BadCoding, Bomb, Chain, codings
from pysniff.limits import Limits
from pysniff.message import Fault


class Digest:
    """Decodes a body that arrives in pieces and keeps its size and hash; with `keep`, its first bytes too, in `kept`.

    `size`: bytes after decoding, up to limits.decoded_bytes. `broken`: why decoding ended early.
    """

    def __init__(self, content_encoding: str, limits: Limits, keep: bool = False) -> None:
        self.size = 0
        self.kept: list[bytes] = []
        self.broken: Fault | None = None
        self._chain: Chain | None = None
        names = codings(content_encoding)
        try:
            self._chain = Chain(names, limits.decoded_bytes) if names else None
        except BadCoding as error:
            self.broken = Fault("malformed", str(error))
        self._room = limits.body_bytes if keep else 0
        self._hash = hashlib.sha256()

    @property
    def content_sha256(self) -> str:
        """Hexadecimal, of the decoded bytes."""
        return self._hash.hexdigest()

    def add(self, piece: bytes) -> None:
        """Take the next bytes as sent; none are looked at after an error."""
        if self.broken is not None:
            return
        if self._chain is None:
            self._take(piece)
            return
        try:
            for block in self._chain.feed(piece):
                self._take(block)
        except Bomb as error:
            self.broken = Fault("truncated", str(error))
        except BadCoding as error:
            self.broken = Fault("malformed", f"content coding: {error}")

    def _take(self, block: bytes) -> None:
        self.size += len(block)
        self._hash.update(block)
        if self._room > 0:
            self.kept.append(block[: self._room])
            self._room -= len(block)

    def faults(self) -> tuple[Fault, ...]:
        """What went wrong so far, as if the body ended here."""
        if self.broken is not None:
            return (self.broken,)
        if self._chain is not None and not self._chain.done:
            return (Fault("truncated", "the content coding ends early"),)
        return ()
