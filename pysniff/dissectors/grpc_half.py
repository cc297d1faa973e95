"""One half of a gRPC call taken apart: its messages, and in gRPC-Web the trailers, which stand in the body."""

from __future__ import annotations

import re

from pysniff.dissectors.grpc_call import Call, Kind, kind_of
from pysniff.dissectors.grpc_framing import COMPRESSED, Frames, from_base64, split
from pysniff.dissectors.grpc_payload import Form, LengthPrefixedMessage, unpack
from pysniff.dissectors.http import Fields, HttpMessage
from pysniff.message import Fault

_WEB_TRAILER = re.compile(r"([^:\r\n]+):[ \t]*([^\r\n]*)").findall


class Half:
    """What the body of one message of HTTP holds.

    `kind`: None where the body is not gRPC's, as in an error of a proxy. `count`: messages whose end came, kept or
    not. `trailers`: those of gRPC-Web.
    """

    __slots__ = ("kind", "messages", "count", "trailers", "faults")

    def __init__(self, http: HttpMessage, call: Call) -> None:
        kind = self.kind = _kind(http, call)
        self.messages: tuple[LengthPrefixedMessage, ...] = ()
        self.count = 0
        self.trailers: Fields = ()
        self.faults: tuple[Fault, ...] = ()
        if kind is not None and not self._take_plain(http, kind, call):
            self._take_apart(http, kind, call)

    def _take_plain(self, http: HttpMessage, kind: Kind, call: Call) -> bool:
        """The usual body: short, and with nothing but messages in it; False where it is anything else.

        What splits so well needs no look at Content-Encoding, for which the head would have to be decoded.
        """
        sent = None if kind.web else http.short_body
        if sent is None:
            return False
        frames = split(sent)
        if frames.faults or frames.cut:
            return False
        self.count = frames.whole
        self.messages, self.faults = unpack(frames.messages, Form(http, kind, call))
        return True

    def _take_apart(self, http: HttpMessage, kind: Kind, call: Call) -> None:
        body = http.body
        content, holes = body.content, body.holes
        cut: Fault | None = None
        if kind.base64:
            # In base64 no length can be told from that of a hole.
            content, rest = from_base64(content[: holes[0].at] if holes else content)
            holes = ()
            cut = Fault("malformed", "the body is not base64", rest) if rest else None
        frames = split(content, web=kind.web, holes=holes)
        cut = cut or frames.cut
        tally = body.tally
        self.count = frames.whole if tally is None else tally
        faults = frames.faults
        if faults and any(fault.kind in ("midstream", "gap") for fault in http.faults):
            faults = (_UNSURE,)
        if body.encoded_size > len(body.raw):
            if tally is None:
                faults += (Fault("truncated", "messages behind what is kept of the body are not counted"),)
        elif cut is not None and call.ended:
            faults += (cut,)
        self.messages, broken = unpack(frames.messages, Form(http, kind, call))
        self.faults = faults + broken
        if frames.trailers:
            self._read_trailers(frames)

    def _read_trailers(self, frames: Frames) -> None:
        if frames.flags & COMPRESSED:
            self.faults += (Fault("malformed", "compressed trailers are not read", len(frames.trailers)),)
            return
        block = frames.trailers.decode("utf-8", "replace")
        self.trailers = tuple([(name.strip().lower(), value.strip()) for name, value in _WEB_TRAILER(block)])


def _kind(http: HttpMessage, call: Call) -> Kind | None:
    """Its own Content-Type counts; where nobody knows that, the other one's."""
    kind = kind_of(http)
    if kind is None and http.content_type[:1] in ("", "?"):
        other = call.response if http is call.request else call.request
        kind = None if other is None else kind_of(other)
    return kind


# What was lost before is the reason, and no fault of who sent it.
_UNSURE = Fault("midstream", "messages behind what is missing are not told apart")
