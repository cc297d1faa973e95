"""HTTP/1.0 and 1.1 (RFC 9112) as it is on the wire, odd things included and noted.

Both halves are read here, for only the request tells whether its response has a body.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from mypy_extensions import mypyc_attr

from pysniff.dissector import Context, Dissector, Match, Output, Receiver, Switch, Undecoded
from pysniff.dissectors.http import Content, Fields
from pysniff.dissectors.http1_fields import text
from pysniff.dissectors.http1_framing import Framing
from pysniff.dissectors.http1_head import UNTIL_CLOSE, plain_head
from pysniff.dissectors.http1_messages import Http1Request, Http1Response
from pysniff.dissectors.http_variables import VARIABLES
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, SERVER, Fault, Message, Side

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"
_REQUEST = re.compile(rb"[\r\n]*" + _TOKEN + rb" +\S[^\r\n]* HTTP/1\.\d[ \t]*\r?\n")
_RESPONSE = re.compile(rb"[\r\n]*HTTP/1\.\d [1-5]\d\d[ \r\n]")
# After a loss anything may stand before a start line; a method of any name could be the end of a word there.
_METHODS = (
    rb"(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|"
    rb"SEARCH|NOTIFY|SUBSCRIBE|UNSUBSCRIBE|M-SEARCH|PURGE|LINK|UNLINK|BIND|MERGE|RPC_IN_DATA|RPC_OUT_DATA)"
)
_REQUEST_AGAIN = re.compile(_METHODS + rb" [!-~]+ HTTP/1\.[01]\r?\n")
_RESPONSE_AGAIN = re.compile(rb"HTTP/1\.[01] [1-5]\d\d(?: [^\r\n]*)?\r?\n")
_MAY_BE_REQUEST = re.compile(rb"[\r\n]*(?:" + _TOKEN + rb"(?: +(?:\S[^\r\n]*\r?)?)?)?")
_LONG_REQUEST = re.compile(_METHODS + rb" (?:/|https?://)[!-~]{500}")
_UPGRADE = re.compile(rb"\nupgrade[ \t]*:[ \t]*([!-+\--~]*)")
# Upgrade tokens and the names of their protocols here.
_UPGRADES = {"websocket": "ws", "h2c": "http2"}
_PLAIN, _HEAD, _CONNECT = range(3)
_PLAIN_REQUEST = re.compile(rb"(?!CONNECT )[A-Z]{3,10} [^ \r\n]+ HTTP/1\.[01]\r\n").match
_PLAIN_RESPONSE = re.compile(rb"HTTP/1\.[01] (?!304|204)[2-5]\d\d ").match


@mypyc_attr(native_class=False)
class Http1(Dissector):
    """`expected`: kinds of the requests that were not answered yet. `unsure`: after a loss, that may be off.

    `doubtful`: so many of them, the first ones, may have been answered in a gap. `early`: the answer to a request
    that is still being sent; it is given back after that.
    """

    protocol = "http"
    turns = (b"CONNECT ", b"HTTP/1.1 101", b"HTTP/1.0 101")
    variables = VARIABLES

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self.expected: deque[int] = deque(maxlen=limits.pipeline)
        self.unsure = False
        self.doubtful = 0
        self.early: list[Output] = []
        self.client = _Requests(self)
        self.server = _Responses(self)
        self._halves: tuple[Framing, Framing] = (self.client, self.server)

    def begin(self, context: Context) -> Iterable[Output]:
        self.client.kept = self.server.kept = context.kept
        return ()

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        answers = (_is_request(client), _is_response(server))
        if Match.YES in answers:
            # Requests, or answers, from both ends: YES may hold one way round only, so the bytes decide.
            turned = Match.YES in (_is_request(server), _is_response(client))
            return Match.YES if not turned or client <= server else Match.NO
        return Match.NO if Match.NO in answers else Match.UNSURE

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        return self._halves[side].feed(data, at)

    @classmethod
    def turned(cls, data: bytes) -> str:
        found = _UPGRADE.search(data.lower()) if data.startswith(b"HTTP/1.") else None
        return _UPGRADES.get(text(found[1]), "") if found else ""

    def receiver(self, side: Side) -> Receiver:
        return self._halves[side].feed

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        return self._halves[side].gap(size, at)

    def asked(self, kind: int) -> None:
        """A request begins."""
        if self.doubtful == 1:  # a client that does not pipeline had its answer, as in pairing.py
            self.expected.popleft()
        self.doubtful = 0
        self.expected.append(kind)

    def answered(self) -> int:
        """A response begins: the kind of its request."""
        self.doubtful = max(0, self.doubtful - 1)
        return self.expected.popleft() if self.expected else _PLAIN

    def take_early(self) -> list[Output]:
        early, self.early = self.early, []
        return early

    def close(self, side: Side, at: int) -> Iterable[Output]:
        return self._halves[side].close(at)

    def open(self) -> Iterable[Message]:
        return [message for half in self._halves if (message := half.snapshot()) is not None]

    def weight(self) -> int:
        early = [one.weight() for one in self.early if isinstance(one, Message)]
        return self.client.weight() + self.server.weight() + sum(early)

    def pending(self, side: Side) -> int:
        early = sum(one.size for one in self.early if isinstance(one, (Message, Undecoded))) if side is SERVER else 0
        return self._halves[side].pending() + early


class _Requests(Framing):
    side = CLIENT
    start = _REQUEST
    again = _REQUEST_AGAIN

    def __init__(self, owner: Http1) -> None:
        super().__init__(owner.limits)
        self.owner = owner

    def begin_plain(self, data: bytes, at: int, out: list[Output]) -> int:
        if self.owner.unsure or not _PLAIN_REQUEST(data):
            return 0
        end, need = plain_head(data, 0)
        if not end:
            return 0
        self.owner.expected.append(_HEAD if data.startswith(b"HEAD ") else _PLAIN)
        begin, stop = self.offset, end + need
        if end <= stop <= len(data):
            self.begin = begin + stop
            out.append(Http1Request(at, at, begin, stop, data[: end - 4], data[end:stop]))
            return stop
        self.begin_body(data[: end - 4], need, at)
        return end

    def framed(self, head: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        self.owner.asked(_kind(head))
        if head.startswith(b"CONNECT "):
            self.finish(b"", position, at, out)
            self.plain = False
            self.state = self._after_connect
            return position
        low = head.lower()
        if b"\ntransfer-encoding" in low and self.chunked(low):
            self.collect(self.chunk)
            return position
        need = self.content_length(low) if b"\ncontent-length" in low else 0
        if need > 0:
            return self.fixed(need, data, position, at, out)
        self.finish(b"", position, at, out)
        return position

    def message(self, size: int, at: int, body: Content, trailers: Fields) -> Http1Request:
        head = self.head
        return Http1Request(self.first, at, self.begin, size, head, body, self.faults, trailers)

    def finish(self, body: Content, position: int, at: int, out: list[Output], trailers: Fields = ()) -> None:
        super().finish(body, position, at, out, trailers)
        out += self.owner.take_early()

    def partial(self) -> None:
        self.owner.asked(_kind(self.head))

    def lost(self) -> None:
        self.owner.unsure = True

    def _after_connect(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """What the client sends before it knows whether it has a tunnel."""
        if not self.buffer:
            self.begin = self.offset + position
            self.first = at
        self.buffer += data[position:]
        if len(self.buffer) > self.limits.head_bytes:
            out.append(Undecoded(CLIENT, len(self.buffer), "sent before the answer to CONNECT"))
            self.begin += len(self.buffer)
            self.buffer.clear()
        return len(data)

    def refused(self, at: int) -> list[Output]:
        """There is no tunnel: what was sent meanwhile is HTTP."""
        out: list[Output] = []
        if self.state == self._after_connect:
            sent = bytes(self.buffer)
            self.buffer.clear()
            self.plain = True
            self.state = self.expect_head
            self._read_again(sent, self.last, out)  # it came before the answer
        return out

    def hand_over(self, at: int, out: list[Output]) -> bytes:
        """What was sent and belongs to the protocol that comes after this one."""
        if self.reading:
            self._cut(Fault("truncated", "another protocol took over within this message"), at, out)
        rest = bytes(self.buffer)
        self.buffer.clear()
        self.begin += len(rest)  # empty lines before that stay pending
        return rest


class _Responses(Framing):
    side = SERVER
    start = _RESPONSE
    again = _RESPONSE_AGAIN

    def __init__(self, owner: Http1) -> None:
        super().__init__(owner.limits)
        self.owner = owner
        self._interim: list[Http1Response] = []

    def begin_plain(self, data: bytes, at: int, out: list[Output]) -> int:
        owner, expected = self.owner, self.owner.expected
        # Not where the request says something about the body, is still on its way, or may be another one.
        if not expected or expected[0] or owner.client.reading or owner.unsure or not _PLAIN_RESPONSE(data):
            return 0
        end, need = plain_head(data, UNTIL_CLOSE)
        if not end:
            return 0
        expected.popleft()
        begin, stop = self.offset, end + need
        if end <= stop <= len(data):
            self.begin = begin + stop
            out.append(Http1Response(at, at, begin, stop, data[: end - 4], data[end:stop]))
            return stop
        self.begin_body(data[: end - 4], need, at)
        return end

    def framed(self, head: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        code = head.lstrip(b"\r\n")[9:12]
        if code[:1] == b"1" and code != b"101" and len(self._interim) < _INTERIM:
            return self._inform(head, position, at)
        kind = self.owner.answered()
        low = head.lower()
        if code == b"101" or (kind == _CONNECT and code[:1] == b"2"):
            return self._switch(low, code, data, position, at, out)
        if code == b"204" or code == b"304" or (kind == _HEAD and not self._shows_body(data, position)):
            # RFC 9112 §6.3: these have no body, whatever their fields say.
            self.finish(b"", position, at, out)
        elif b"\ntransfer-encoding" in low:
            self.collect(self.chunk if self.chunked(low) else self.until_close)
        else:
            position = self._sized_body(low, data, position, at, out)
        if kind == _CONNECT:
            out += self.owner.client.refused(at)
        return position

    def _sized_body(self, low: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        need = self.content_length(low) if b"\ncontent-length" in low else -1
        if need < 0:
            self.collect(self.until_close)
        elif not need or (self.owner.unsure and data.startswith(b"HTTP/1.", position)):
            self.finish(b"", position, at, out)
        else:
            return self.fixed(need, data, position, at, out)
        return position

    def message(self, size: int, at: int, body: Content, trailers: Fields) -> Http1Response:
        interim = tuple(self._interim)
        return Http1Response(self.first, at, self.begin, size, self.head, body, self.faults, trailers, interim)

    def finish(self, body: Content, position: int, at: int, out: list[Output], trailers: Fields = ()) -> None:
        owner = self.owner
        early = owner.client.reading and not owner.expected and not owner.early
        super().finish(body, position, at, owner.early if early else out, trailers)
        self._interim.clear()
        if not owner.expected:
            owner.unsure = False

    def partial(self) -> None:
        self.owner.answered()

    def lost(self) -> None:
        self.owner.unsure = True
        self.owner.doubtful = len(self.owner.expected)

    def _cut(self, fault: Fault, at: int, out: list[Output]) -> None:
        if self._interim and not self.reading and not self.start.match(self.buffer):
            # Only 1xx came: the last one is all the answer there is.
            self.head = self._interim.pop().head
            self.buffer.clear()
            self.faults += (fault,)
            self.partial()
            self.finish(b"", 0, at, out)
        else:
            super()._cut(fault, at, out)

    def weight(self) -> int:
        return super().weight() + sum([one.weight() + len(one.head) for one in self._interim])

    def _resume(self, fault: Fault) -> None:
        self._interim.clear()  # their bytes were given back with what was not understood
        super()._resume(fault)

    def _inform(self, head: bytes, position: int, at: int) -> int:
        """A 1xx: the answer is still to come, and its bytes begin here."""
        self._interim.append(Http1Response(self.first, at, self.begin, 0, head))
        self._continued = True
        self.state = self.expect_head
        return position

    def _shows_body(self, data: bytes, position: int) -> bool:
        """After a loss, whether this is no answer to HEAD after all."""
        return self.owner.unsure and position < len(data) and not data.startswith(b"HTTP/1.", position)

    def _switch(self, low: bytes, code: bytes, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """The rest is another protocol."""
        self.finish(b"", position, at, out)
        found = _UPGRADE.search(low) if code == b"101" else None
        protocol = _UPGRADES.get(text(found[1])) if found else None
        self.begin = self.offset + len(data)
        client = self.owner.client.hand_over(at, out)
        answer = next(one for one in reversed(out) if isinstance(one, Http1Response))
        out.append(Switch(protocol, client, data[position:], answer))
        self.plain = False
        self.state = self._behind
        return len(data)

    def _behind(self, data: bytes, position: int, at: int, out: list[Output]) -> int:
        """Bytes that came with the head of a switch, which was read again from a buffer, belong to the switch too."""
        rest = data[position:]
        self.begin = self.offset + len(data)
        if out and isinstance(out[-1], Switch):
            out[-1] = out[-1]._replace(server=out[-1].server + rest)
        else:
            out.append(Undecoded(SERVER, len(rest), "behind a protocol switch"))
        return len(data)


# 1xx responses before a final one.
_INTERIM = 100


def _kind(head: bytes) -> int:
    return _HEAD if head.startswith(b"HEAD ") else _CONNECT if head.startswith(b"CONNECT ") else _PLAIN


def _is_request(head: bytes) -> Match:
    if _REQUEST.match(head) or _LONG_REQUEST.match(head):
        return Match.YES
    return Match.UNSURE if _MAY_BE_REQUEST.fullmatch(head) else Match.NO


def _is_response(head: bytes) -> Match:
    if _RESPONSE.match(head):
        return Match.YES
    begin = head.lstrip(b"\r\n")
    return Match.UNSURE if len(begin) < 13 and b"HTTP/1."[: len(begin)] == begin[:7] else Match.NO
