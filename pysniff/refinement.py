"""What one protocol says in the messages of another: gRPC in HTTP's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pysniff.limits import DEFAULT, Limits
from pysniff.message import Message
from pysniff.protobuf.schema import NOTHING, Schemas

if TYPE_CHECKING:
    from pysniff.kfl.schema import Variable


class Refinement(ABC):
    """Says more of another protocol's messages once they are in an entry; keeps nothing between entries.

    `schemas`: the names of protobuf messages, where the user gave a descriptor set.
    """

    protocol: ClassVar[str]
    refines: ClassVar[str]
    # A word that the head of the one or the other message mentions; only such are asked about.
    mark: ClassVar[bytes]
    # What filters may name of them, as of a Dissector.
    variables: ClassVar[Sequence[Variable]] = ()

    def __init__(self, limits: Limits = DEFAULT, schemas: Schemas = NOTHING) -> None:
        self.limits = limits
        self.schemas = schemas

    @abstractmethod
    def refine(self, request: Message | None, response: Message | None) -> tuple[Message | None, Message | None] | None:
        """The two as this protocol sees them, None where they are not its own; one of them may be missing.

        They still are messages of the protocol that is refined, and say of it what they said before.
        """
