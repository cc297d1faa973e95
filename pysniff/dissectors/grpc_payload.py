"""One message of a gRPC call: decompressed, and read as protobuf where it is that."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from pysniff.body import Body
from pysniff.coding import codings
from pysniff.dissectors.grpc_call import Call, Kind
from pysniff.dissectors.grpc_framing import Frame
from pysniff.dissectors.http import HttpMessage, HttpResponse
from pysniff.limits import Limits
from pysniff.media import media, text
from pysniff.message import Fault
from pysniff.protobuf.named import named
from pysniff.protobuf.schema import MessageType, Schemas
from pysniff.protobuf.schemaless import FIELDS, view
from pysniff.protobuf.wire import Exhausted, NotWire, Steps, read

_TEXT = media("")


class Form:
    """What the messages of one half are, as its head says it: looked up when one is read."""

    __slots__ = ("_http", "_kind", "_call")

    def __init__(self, http: HttpMessage, kind: Kind, call: Call) -> None:
        self._http = http
        self._kind = kind
        self._call = call

    @property
    def limits(self) -> Limits:
        return self._call.limits

    @property
    def schemas(self) -> Schemas:
        return self._call.schemas

    @property
    def coding(self) -> str:
        """Of the compressed messages."""
        return self._http.header("grpc-encoding")

    @property
    def is_protobuf(self) -> bool:
        return self._kind.subtype in ("", "proto", "protobuf")

    @property
    def type(self) -> MessageType | None:
        """None where nobody knows it."""
        if not self.schemas:
            return None
        taken, given = self.schemas.method(*self._call.names)
        return given if isinstance(self._http, HttpResponse) else taken


class LengthPrefixedMessage:
    """One message. `size`: on the wire, as its prefix says. `raw`: as sent, b"" where a part of it was lost.

    `content`: decompressed, None where that cannot be.
    """

    __slots__ = ("compressed", "size", "raw", "content", "_form", "_fields", "_cut")

    def __init__(self, frame: Frame, content: bytes | None, form: Form) -> None:
        self.compressed = frame.compressed
        self.size = frame.size
        self.raw = frame.data or b""
        self.content = content
        self._form = form
        self._fields: dict[str, Any] | None = None
        self._cut: bool | None = None  # None: not read yet

    def __repr__(self) -> str:
        return f"LengthPrefixedMessage({self.size} bytes{', compressed' if self.compressed else ''})"

    @property
    def fields(self) -> dict[str, Any] | None:
        """The fields by name, or by number where nobody knows the schema (docs/grpc.md); None: no protobuf."""
        if self._cut is None:
            self._read()
        return self._fields

    @property
    def truncated(self) -> bool:
        """Whether it has more fields than are read, or a part of it was lost."""
        if self._cut is None:
            self._read()
        return bool(self._cut)

    @property
    def text(self) -> str:
        """The content as text, "" where it is binary; JSON for example."""
        return text(self.content, _TEXT) or "" if self.content else ""

    def to_dict(self, limit: int) -> dict[str, Any]:
        """The contract's record; content of more than `limit` bytes is left out."""
        record: dict[str, Any] = {"compressed": self.compressed, "size": self.size}
        content = self.raw if self.content is None else self.content
        if len(content) > limit:
            return {**record, "truncated": True}
        fields = self.fields
        if fields is not None:
            record["fields"] = fields
        elif content or not self._cut:
            words = text(content, _TEXT) if self.content is not None else None
            if words is None:
                record["base64"] = base64.b64encode(content).decode("ascii")
            else:
                record["text"] = words
        if self._cut:
            record["truncated"] = True
        return record

    def _read(self) -> None:
        form, content = self._form, self.content
        self._cut = content is None and not self.raw
        if content is None or not form.is_protobuf:
            return
        steps = Steps(FIELDS)
        try:
            fields = read(content, steps)
        except NotWire:
            return
        except Exhausted as end:
            fields = end.fields
            steps.cut = True
        kind = form.type
        self._fields = view(fields, steps) if kind is None else named(fields, kind, form.schemas, steps)
        self._cut = steps.cut


def unpack(frames: list[Frame], form: Form) -> tuple[tuple[LengthPrefixedMessage, ...], tuple[Fault, ...]]:
    """The messages of one half, decompressed; together they give no more than about limits.body_bytes."""
    for frame in frames:
        if frame.compressed:
            break
    else:
        return tuple([LengthPrefixedMessage(frame, frame.data, form) for frame in frames]), ()
    limits, coding = form.limits, form.coding
    room = limits.body_bytes
    bounds = replace(limits, decoded_bytes=room)
    messages = []
    troubles: dict[tuple[str, str], list[int]] = {}
    for frame in frames:
        content = frame.data
        if frame.compressed and content:
            body = Body(content, frame.size, coding, "", bounds)
            trouble = _trouble(coding, body, room)
            if trouble is None:
                content = body.content
                room -= len(content)
            else:
                content = None
                troubles.setdefault(trouble, []).append(frame.size)
        messages.append(LengthPrefixedMessage(frame, content, form))
    faults = [Fault(kind, _times(words, len(sizes)), sum(sizes)) for (kind, words), sizes in troubles.items()]
    return tuple(messages), tuple(faults)


def _trouble(coding: str, body: Body, room: int) -> tuple[str, str] | None:
    """Why a message cannot be decompressed: kind of fault and words."""
    names = codings(coding)
    if names is None:
        return "malformed", f"no decoder for messages in {coding[:32]}"
    if not names:
        return "malformed", "a message is compressed, and nothing says how"
    if room <= 0:
        return "truncated", "more comes out of compressed messages than is kept"
    if body.faults:
        return body.faults[0].kind, f"a message does not decompress: {body.faults[0].message}"
    return None


def _times(words: str, times: int) -> str:
    return words if times == 1 else f"{words} (and {times - 1} more)"
