"""Asks the refinements of one protocol; compiled, for every entry passes here."""

from __future__ import annotations

from collections.abc import Sequence

from mypy_extensions import mypyc_attr

from pysniff.ledger import Ledger
from pysniff.message import Message
from pysniff.refinement import Refinement


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Refiner:
    """The refinements of one protocol, asked in order."""

    __slots__ = ("_refinements", "_ledger")

    def __init__(self, refinements: Sequence[Refinement], ledger: Ledger) -> None:
        self._refinements = refinements
        self._ledger = ledger

    def refined(self, request: Message | None, response: Message | None) -> tuple[Message | None, Message | None]:
        """The two as the first refinement sees them that knows them."""
        message = request or response
        assert message is not None
        for refinement in self._refinements:
            marked = message.mentions(refinement.mark)
            # Of a request that came only in part the answer may tell more.
            if not marked and not (message.faults and response is not None and response.mentions(refinement.mark)):
                continue
            try:
                refined = refinement.refine(request, response)
            except Exception:  # a refinement's bug costs what it would have said, no more
                self._ledger.dissector_errors += 1
                continue
            if refined is not None:
                return refined
        return request, response
