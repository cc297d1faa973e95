"""Requests and responses of gRPC: HTTP's, and what gRPC says with them. Everything of HTTP stays readable.

Source: grpc/doc/PROTOCOL-HTTP2.md and PROTOCOL-WEB.md.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pysniff.body import Body
from pysniff.dissectors.grpc_call import Call, kind_of, last_of
from pysniff.dissectors.grpc_half import Half
from pysniff.dissectors.grpc_payload import LengthPrefixedMessage
from pysniff.dissectors.http import Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.limits import Limits
from pysniff.message import Fault, Message, printable
from pysniff.protobuf.schema import Schemas

# grpc/doc/statuscodes.md
STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_SLOTS = ("http", "call", "key", "_half")
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]").fullmatch
_MICROSECONDS = {"H": 3600e6, "M": 60e6, "S": 1e6, "m": 1e3, "u": 1, "n": 1e-3}


class GrpcMessage(HttpMessage):
    """`http` is the message of HTTP: whatever that has, this has too. Its body is taken apart when touched."""

    if TYPE_CHECKING:
        __slots__ = _SLOTS
    else:
        __slots__ = ()  # two bases cannot both have some: they are in the subclasses

    protocol = "grpc"
    http: HttpMessage
    key: Hashable
    call: Call
    _half: Half | None

    def __init__(self, http: HttpMessage, call: Call) -> None:
        self.side = http.side
        self.first = http.first
        self.last = http.last
        self.position = http.position
        self.size = http.size
        self.faults = http.faults
        self.key = http.key
        self.http = http
        self.call = call
        self._half = None

    @property
    def half(self) -> Half:
        half = self._half
        if half is None:
            half = self._half = Half(self.http, self.call)
        return half

    def __getattr__(self, name: str) -> Any:
        # What a version of HTTP has of its own, such as stream_id.
        if name == "http":
            raise AttributeError(name)
        return getattr(self.http, name)

    # HTTP

    @property
    def version(self) -> str:
        return self.http.version

    @property
    def headers(self) -> Fields:
        return self.http.headers

    @property
    def trailers(self) -> Fields:
        """With those that gRPC-Web has in the body."""
        http = self.http
        kind = kind_of(http)
        return http.trailers + self.half.trailers if kind is not None and kind.web else http.trailers

    def mentions(self, word: bytes) -> bool:
        return self.http.mentions(word)

    @property
    def index(self) -> dict[str, str]:
        return self.http.index

    @property
    def content_type(self) -> str:
        return self.http.content_type

    @property
    def headers_size(self) -> int:
        return self.http.headers_size

    @property
    def body(self) -> Body:
        return self.http.body

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        return self.http.every_fault + self.half.faults

    # gRPC

    @property
    def messages(self) -> tuple[LengthPrefixedMessage, ...]:
        """The first of them: at most 1,000, and 1 MiB together."""
        return self.half.messages

    @property
    def message_count(self) -> int:
        """All of them, kept or not; one without its end does not count."""
        return self.half.count

    def _record(self, record: dict[str, Any], body_limit: int) -> dict[str, Any]:
        """HTTP's record and the messages; contents up to `body_limit` bytes together."""
        left = max(body_limit, 0)
        messages = []
        for message in self.messages:
            messages.append(message.to_dict(left))
            left = max(0, left - len(message.content or message.raw))
        record["trailers"] = [*map(list, self.trailers)]
        record["message_count"] = self.message_count
        record["messages"] = messages
        return record


class GrpcRequest(GrpcMessage, HttpRequest):
    __slots__ = _SLOTS

    http: HttpRequest

    @property
    def target(self) -> tuple[str, str]:
        return self.http.target

    @property
    def path(self) -> str:
        return self.http.path

    @property
    def host(self) -> str:
        return self.http.host

    @property
    def grpc_service(self) -> str:
        """With its package: shop.Cart; whatever stands before the last slash of the path."""
        return self.call.names[0]

    @property
    def grpc_method(self) -> str:
        return self.call.names[1]

    @property
    def grpc_timeout(self) -> int | None:
        """How long the client waits, in microseconds, as elapsed_time is; None: it does not say."""
        value = self.http.header("grpc-timeout").strip()
        return int(int(value[:-1]) * _MICROSECONDS[value[-1]]) if _TIMEOUT(value) else None

    @property
    def summary(self) -> str:
        return printable(self.path.removeprefix("/"))

    @property
    def headline(self) -> str:
        return self.summary

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = self.http.to_dict(body_limit)
        record["grpc_service"] = self.grpc_service
        record["grpc_method"] = self.grpc_method
        record["grpc_timeout"] = self.grpc_timeout
        return self._record(record, body_limit)


class GrpcResponse(GrpcMessage, HttpResponse):
    __slots__ = _SLOTS

    http: HttpResponse

    def __init__(self, http: HttpResponse, call: Call) -> None:
        super().__init__(http, call)
        self.interim = http.interim

    @property
    def status(self) -> int:
        """HTTP's, 200 in nearly every answer; that of the call is grpc_status."""
        return self.http.status

    @property
    def reason(self) -> str:
        return self.http.reason

    @property
    def grpc_status(self) -> int | None:
        """None where there is none: the call was cancelled, or goes on."""
        value = self._last_word("grpc-status").strip()
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None

    @property
    def grpc_message(self) -> str:
        """Percent-decoded; "" where there is none."""
        return unquote(self._last_word("grpc-message"), errors="replace")

    @property
    def status_text(self) -> str:
        """The name of grpc_status; HTTP's status where that is the error; "" where there is none of them."""
        status = self.grpc_status
        if status is not None:
            return STATUSES[status] if status < len(STATUSES) else str(status)
        return "" if self.http.status in (0, 200) else str(self.http.status)

    @property
    def ok(self) -> bool:
        return self.grpc_status == 0

    @property
    def summary(self) -> str:
        return printable(f"{self.status_text} {self.grpc_message}".strip())

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        faults = super().every_fault
        value = self._last_word("grpc-status")
        if value and self.grpc_status is None and not value.startswith("?"):  # a name that HPACK has not told yet
            faults += (Fault("malformed", "grpc-status is not a number"),)
        return faults

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = self.http.to_dict(body_limit)
        record["grpc_status"] = self.grpc_status
        record["grpc_message"] = self.grpc_message
        return self._record(record, body_limit)

    def _last_word(self, name: str) -> str:
        """A field of the trailers, of the head where there is nothing else, or of the trailers in gRPC-Web's body."""
        return last_of(self.http.trailers, name) or self.index.get(name) or last_of(self.trailers, name)


def refined(
    request: Message | None, response: Message | None, limits: Limits, schemas: Schemas
) -> tuple[Message | None, Message | None] | None:
    """Two messages of HTTP as gRPC sees them, None where they are not its own."""
    asked = request if isinstance(request, HttpRequest) else None
    answered = response if isinstance(response, HttpResponse) else None
    if (asked is None or kind_of(asked) is None) and (answered is None or kind_of(answered) is None):
        return None
    call = Call(asked, answered, limits, schemas)
    return (
        None if asked is None else GrpcRequest(asked, call),
        None if answered is None else GrpcResponse(answered, call),
    )
