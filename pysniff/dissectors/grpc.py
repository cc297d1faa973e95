"""gRPC and gRPC-Web: what they say in messages of HTTP.

A call is known by the Content-Type of its request or response; where a capture began within the connection and
nobody knows that, by the fields that only gRPC has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pysniff.kfl.schema import Rows
from pysniff.limits import DEFAULT, Limits
from pysniff.message import Message
from pysniff.protobuf.schema import NOTHING, Schemas
from pysniff.refinement import Refinement

Messages = tuple[Message | None, Message | None]


class Grpc(Refinement):
    """Calls of gRPC over HTTP/2, and of gRPC-Web over any HTTP; what reads them is imported for the first one."""

    protocol: ClassVar[str] = "grpc"
    refines: ClassVar[str] = "http"
    mark: ClassVar[bytes] = b"application/grpc"
    variables = Rows("pysniff.dissectors.grpc_variables")

    def __init__(self, limits: Limits = DEFAULT, schemas: Schemas = NOTHING) -> None:
        super().__init__(limits, schemas)
        self._refined: Callable[[Message | None, Message | None, Limits, Schemas], Messages | None] | None = None

    def refine(self, request: Message | None, response: Message | None) -> Messages | None:
        if self._refined is None:
            from pysniff.dissectors.grpc_messages import refined

            self._refined = refined
        return self._refined(request, response, self.limits, self.schemas)
