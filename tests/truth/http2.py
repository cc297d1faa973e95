"""Judges HTTP/2 streams and gRPC calls: whether our entries say what the h2.stream records say."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from pysniff.entry import Entry
from truth.corpus import Capture, Record
from truth.half import text
from truth.stream import SIDES, Call, Part, Stream, is_http2, of_entry, of_truth
from truth.verdict import Difference, Disagreement, Result, canonical, disagree, troubled

UNKNOWN = frozenset({"midstream", "inferred", "gap"})  # marks of what began, or went on, unseen


def judge(capture: Capture, entries: Iterable[Entry]) -> Result:
    """Compare the HTTP/2 streams of one capture, and the calls in them."""
    return compare(capture, [of_entry(entry) for entry in entries if is_http2(entry)])


def compare(capture: Capture, ours: list[Stream]) -> Result:
    connections = {record["stream"]: record for record in capture.of("h2.conn")}
    shelf: defaultdict[object, list[Stream]] = defaultdict(list)
    for mine in ours:
        shelf[mine.ends, mine.id].append(mine)
    judged: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    bad: list[Disagreement] = []
    for record in capture.of("h2.stream"):
        connection = connections[record["stream"]]
        stream = of_truth(record, (canonical(connection["a"]), canonical(connection["b"])))
        frames = {kind for side in SIDES for kind in record.get(f"{side}_frames", ())}
        if frames == {"PRIORITY"}:  # Firefox groups others by such streams
            apart["HTTP/2 streams of priority alone"] += 1
            continue
        judged += records(stream)
        found = shelf[stream.ends, stream.id]
        bad += _judge(capture, stream, found.pop(0) if found else None, connection["preface"])
    left = [mine for found in shelf.values() for mine in found]
    beyond = [mine for mine in left if troubled(capture, mine.ends)]
    bad += [Disagreement(capture.path, f"extra {mine}", str(mine), "nothing") for mine in left if mine not in beyond]
    return Result(judged, apart, len(beyond), bad)


def records(stream: Stream) -> Counter[str]:
    """What there is to agree on: the stream, and where it is a call, the call and each of its messages."""
    kinds = Counter({"h2.stream": 1})
    if stream.call is not None:
        kinds.update({"grpc.call": 1, "grpc.msg": sum(map(len, stream.call.messages.values()))})
    return kinds


def _judge(capture: Capture, stream: Stream, mine: Stream | None, whole: bool) -> Iterator[Disagreement]:
    """`whole`: the connection was seen from its preface on."""
    where = f"stream={stream.truth['stream']} id={stream.id}"
    if mine is None:
        yield Disagreement(capture.path, f"h2.stream {where}", "missing", str(stream), records(stream).total())
        return
    differs = [*_carried(capture, stream, mine, whole), *_ending(stream, mine)]
    if not whole and not mine.marks & UNKNOWN:
        differs.append((f"marked {sorted(mine.marks)}", "joined in the middle"))
    yield from disagree(capture, f"h2.stream {where}", differs)
    if stream.call is not None:
        yield from disagree(capture, f"grpc.call {where}", [*_called(stream.call, mine.call, stream.truth)])


def _carried(capture: Capture, stream: Stream, mine: Stream, whole: bool) -> Iterator[Difference]:
    """What differs in heads and bodies."""
    for side, name in SIDES.items():
        part, ours = stream.parts.get(side), mine.parts.get(side)
        if part is not None and ours is not None:
            yield from ((f"{name} {a}", f"{name} {b}") for a, b in _differences(part, ours, whole))
            yield from _trailing(part, ours, stream.truth.get("grpc", {}).get(f"{side}_web_trailers"))
        elif part is not None and part.start + part.body[:1] != (0,):
            yield f"no {name}", f"{name} {part.start} {part.body}"
        elif ours is not None and not (side == "req" and _upgraded(capture, stream, ours)):
            yield f"{name} {ours.start}", f"no {name}"
    if mine.interim != stream.interim:
        yield f"interim {mine.interim}", f"interim {stream.interim}"


def _differences(part: Part, mine: Part, whole: bool) -> Iterator[Difference]:
    if whole:
        heads = [("start", mine.start, part.start), ("headers", mine.headers, part.headers)]
        yield from ((f"{what} {a!r}", f"{what} {b!r}") for what, a, b in heads if a != b)
    else:
        # References to entries from before the capture vanish in tshark: its lists are what we show at least.
        known = [one for one in part.headers if one not in mine.headers]
        known += [(":", word) for word in part.start if word and word not in mine.start]
        if known:
            yield f"{mine.start} {mine.headers}", f"at least {known}"
    size, sha256 = part.body
    raw, sent = mine.raw, mine.body
    if not part.ended and sent[0] > size:
        # Of a stream that is cut off tshark shows whole DATA frames only; we have the beginning of the next too.
        sent = (size, hashlib.sha256(raw[:size]).hexdigest())
    if sent[0] != size or (sha256 is not None and size and sent[1] != sha256):
        yield f"body {mine.body}", f"body {part.body}"
    if part.decoded is not None and mine.decoded != part.decoded:
        yield f"content {mine.decoded}", f"content {part.decoded}"


def _trailing(part: Part, mine: Part, web: list[int] | None) -> Iterator[Difference]:
    """`web`: sizes of the frames of gRPC-Web that hold the trailers; of those tshark tells no more."""
    lines = sum(len(f"{name}: {value}\r\n") for name, value in mine.trailers)
    if web is None and mine.trailers != part.trailers:
        yield f"trailers {mine.trailers}", f"trailers {part.trailers}"
    if web is not None and lines != sum(web):
        yield f"trailers {mine.trailers}", f"trailers of {web} bytes"


def _upgraded(capture: Capture, stream: Stream, ours: Part) -> bool:
    """Whether a request without frames is the one that upgraded its connection (RFC 7540 §3.2: stream 1)."""
    if stream.id != 1:
        return False
    asked = (one for one in capture.of("http1.req") if one["stream"] == stream.truth["stream"])
    return any(ours.start == (text(one["method"]), text(one["uri"]), one["host"] or "") for one in asked)


def _ending(stream: Stream, mine: Stream) -> Iterator[Difference]:
    """Who did not come to an end must be marked, and whoever did, and was not reset, must not be."""
    reset = stream.truth.get("rst")
    failed = reset is not None and reset[1] != 0
    cut = [name for side, name in SIDES.items() if side in stream.parts and not stream.parts[side].ended]
    if (cut or failed) and not mine.marks:
        yield "unmarked", f"reset with {reset[1]}" if failed and reset else f"{' and '.join(cut)} cut off"
    if len(stream.parts) == len(SIDES) and not cut and not failed and mine.marks - UNKNOWN:
        yield f"marked {sorted(mine.marks)}", "whole"


def _called(call: Call, mine: Call | None, record: Record) -> Iterator[Difference]:
    if mine is None:
        yield "no call", f"call {call.path}"
        return
    for side, name in SIDES.items():
        if mine.messages[side] != call.messages[side]:
            yield f"{name} messages {mine.messages[side]}", f"{name} messages {call.messages[side]}"
    if mine.path != call.path:
        yield mine.path, call.path
    if "rsp_web_trailers" in record["grpc"]:
        # Only the size of these trailers is known (_trailing); what they say must be what the call says.
        call = Call(call.path, call.messages, mine.status if mine.status is not None else -1, mine.message)
    if (mine.status, mine.message) != (call.status, call.message):
        yield f"status {mine.status} {mine.message!r}", f"status {call.status} {call.message!r}"
