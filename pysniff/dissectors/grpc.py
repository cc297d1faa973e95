"""gRPC and gRPC-Web: what they say in messages of HTTP.

A call is known by the Content-Type of its request or response; where a capture began within the connection and
nobody knows that, by the fields that only gRPC has.
"""

from __future__ import annotations

from typing import ClassVar

from pysniff.dissectors.grpc_call import Call, kind_of
from pysniff.dissectors.grpc_messages import GrpcRequest, GrpcResponse
from pysniff.dissectors.grpc_variables import VARIABLES
from pysniff.dissectors.http import HttpRequest, HttpResponse
from pysniff.message import Message
from pysniff.refinement import Refinement


class Grpc(Refinement):
    """Calls of gRPC over HTTP/2, and of gRPC-Web over any HTTP."""

    protocol: ClassVar[str] = "grpc"
    refines: ClassVar[str] = "http"
    mark: ClassVar[bytes] = b"application/grpc"
    variables = VARIABLES

    def refine(self, request: Message | None, response: Message | None) -> tuple[Message | None, Message | None] | None:
        asked = request if isinstance(request, HttpRequest) else None
        answered = response if isinstance(response, HttpResponse) else None
        if (asked is None or kind_of(asked) is None) and (answered is None or kind_of(answered) is None):
            return None
        call = Call(asked, answered, self.limits, self.schemas)
        return (
            None if asked is None else GrpcRequest(asked, call),
            None if answered is None else GrpcResponse(answered, call),
        )
