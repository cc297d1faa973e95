"""Judges WebSocket messages: the truth's frames, put together, against our entries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from pysniff.entry import Entry
from truth.corpus import Capture, Record
from truth.half import MARKS, endpoint
from truth.verdict import Disagreement, Result, canonical, troubled

OPCODES = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}  # RFC 6455 §11.8
CONTINUATION = 0
CONTROL = 8  # opcodes from here on are not fragmented, and may stand between fragments

Way = tuple[str, str]  # sender, receiver


@dataclass
class Shown:
    """One message. `size`: payload bytes as sent, all fragments; `content`: the same once inflated, where known."""

    opcode: str
    size: int
    content: int | None
    marked: bool = False
    frames: int = 1
    where: str = ""  # its first frame, in the truth

    @property
    def identity(self) -> tuple[str, int]:
        return self.opcode, self.size


def judge(capture: Capture, entries: Iterable[Entry]) -> Result:
    """Compare the WebSocket messages of one capture; every frame of the truth is a record."""
    return compare(capture, of_entries(entries))


def compare(capture: Capture, ours: dict[Way, list[Shown]]) -> Result:
    truth, apart = of_truth(capture)
    judged = Counter({"ws.msg": sum(one.frames for shown in truth.values() for one in shown)})
    bad: list[Disagreement] = []
    beyond = 0
    for way in sorted(truth.keys() | ours.keys()):
        for mine, theirs in _aligned(ours.get(way, []), truth.get(way, [])):
            if theirs is None and mine is not None and troubled(capture, way):
                beyond += 1
            elif (difference := _differs(mine, theirs)) is not None:
                selector = f"ws.msg {theirs.where}" if theirs else f"extra ws {way[0]}>{way[1]} {mine}"
                bad.append(Disagreement(capture.path, selector, *difference, theirs.frames if theirs else 1))
    return Result(judged, apart, beyond, bad)


def of_entries(entries: Iterable[Entry]) -> dict[Way, list[Shown]]:
    """Our messages by sender and receiver, in their order."""
    shown: defaultdict[Way, list[tuple[int, Shown]]] = defaultdict(list)
    for entry in entries:
        if entry.protocol != "ws":
            continue
        ends = endpoint(*entry.src[:2]), endpoint(*entry.dst[:2])
        marked = any(fault.kind in MARKS for fault in entry.faults)
        record = entry.to_dict()
        for half, way, message in (("request", ends, entry.request), ("response", ends[::-1], entry.response)):
            if message is not None:
                said = record[half]
                one = Shown(said["opcode"], said["encoded_size"], said["size"], marked)
                shown[way[0], way[1]].append((message.last, one))
    return {way: [one for _, one in sorted(found, key=lambda pair: pair[0])] for way, found in shown.items()}


def of_truth(capture: Capture) -> tuple[dict[Way, list[Shown]], Counter[str]]:
    """The truth's messages by sender and receiver, and the frames that are not judged, by reason."""
    ends = {one["stream"]: (canonical(one["a"]), canonical(one["b"])) for one in capture.of("tcp")}
    frames: defaultdict[tuple[int, Way], list[Record]] = defaultdict(list)
    apart: Counter[str] = Counter()
    for record in capture.of("ws.msg"):
        sender = canonical(record["src"])
        receiver = next(end for end in ends[record["stream"]] if end != sender)
        frames[record["stream"], (sender, receiver)].append(record)
    messages: defaultdict[Way, list[Shown]] = defaultdict(list)
    for (_, way), sent in frames.items():
        messages[way] += _messages(sent)
    return dict(messages), apart


def _messages(frames: list[Record]) -> Iterator[Shown]:
    """The frames of one sender put together, each message where it ends."""
    fragments: list[Record] = []
    for frame in frames:
        if frame["opcode"] >= CONTROL:
            yield _whole([frame])
            continue
        fragments.append(frame)
        if frame["fin"]:
            yield _whole(fragments)
            fragments = []
    if fragments:
        yield _whole(fragments)


def _whole(frames: list[Record]) -> Shown:
    first = frames[0]
    size = sum(frame["len"] for frame in frames)
    where = f"stream={first['stream']} frame={first['frame']} n={first['n']}"
    opcode = OPCODES.get(first["opcode"], "continuation")
    return Shown(opcode, size, None if first.get("rsv1") else size, not frames[-1]["fin"], len(frames), where)


def _aligned(ours: list[Shown], truth: list[Shown]) -> Iterator[tuple[Shown | None, Shown | None]]:
    """Pairs in order; what only one of them has stands alone."""
    matcher = SequenceMatcher(None, [one.identity for one in ours], [one.identity for one in truth], autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            yield from zip(ours[a:b], truth[c:d], strict=True)
        else:
            yield from ((one, None) for one in ours[a:b])
            yield from ((None, one) for one in truth[c:d])


def _differs(mine: Shown | None, theirs: Shown | None) -> tuple[str, str] | None:
    if mine is None or theirs is None:
        return str(mine or "missing"), str(theirs or "nothing")
    if mine.marked != theirs.marked:
        return str(mine), str(theirs)
    if theirs.content is not None and mine.content != theirs.content:
        return str(mine), str(theirs)
    return None
