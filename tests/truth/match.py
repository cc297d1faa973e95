"""Finds for every record of the truth the one message of ours that it is, by endpoints and content.

What is left over on either side, or differs in a matched pair, is a Disagreement.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable

from truth.corpus import Capture, Record
from truth.half import Half, of_truth
from truth.verdict import Disagreement, Result, disagree, troubled


def selector(half: Half) -> str:
    """Names a truth record by where tshark has it, one of ours by what it is."""
    if half.truth:
        where = half.truth
        return f"{where['t']} stream={where['stream']} frame={where['frame']} n={where['n']}"
    return f"extra {half}"


def judge(capture: Capture, ours: list[Half]) -> Result:
    """Compare the HTTP/1 messages of one capture."""
    apart: Counter[str] = Counter()
    wanted: list[Half] = []
    for record in capture.of("http1.req", "http1.rsp", "http1.partial", "http1.cont"):
        reason = _apart(record)
        if reason:
            apart[reason] += 1
        else:
            wanted.append(of_truth(record))
    judged = Counter(half.truth["t"] for half in wanted)
    pairs = _assign(wanted, ours)
    truths = {id(mine): half for half, mine in pairs.items()}
    bad = [d for half in wanted for d in _compare(capture, half, pairs.get(half), truths, ours)]
    beyond = 0
    for mine in ours:
        if id(mine) in truths:
            continue
        if _shown(capture, mine):
            beyond += 1
        else:
            bad.append(Disagreement(capture.path, selector(mine), f"{mine} {mine.body}", "nothing"))
    return Result(judged, apart, beyond, bad)


def _apart(record: Record) -> str:
    if record.get("transport"):
        return "HTTP over SCTP"
    if record["t"] == "http1.cont":
        return "continuation (bytes, not a message)"
    return ""


def _assign(wanted: list[Half], ours: list[Half]) -> dict[Half, Half]:
    """Truth to ours; equal ones are taken in their order, the more they have in common the earlier."""
    pairs: dict[Half, Half] = {}
    taken: set[int] = set()
    levels: tuple[tuple[Callable[[Half], Hashable], Callable[[Half], bool]], ...] = (
        (lambda half: half.whole, lambda half: half.body is not None),
        (lambda half: (half.head, half.marked), lambda half: half.marked),
        (lambda half: half.head, lambda half: True),
        (lambda half: half.start, lambda half: True),
        (lambda half: half.start[:2] if half.kind == "req" else half.start[0], lambda half: True),
    )
    for content, wants in levels:
        shelf: defaultdict[Hashable, list[Half]] = defaultdict(list)
        for mine in sorted(ours, key=lambda half: half.order, reverse=True):
            if id(mine) not in taken:
                shelf[(mine.ends, content(mine))].append(mine)
        for half in wanted:
            if half in pairs or not wants(half):
                continue
            candidates = shelf[(half.ends, content(half))]
            if candidates:
                pairs[half] = candidates.pop()
                taken.add(id(pairs[half]))
    return pairs


def _compare(
    capture: Capture, half: Half, mine: Half | None, truths: dict[int, Half], ours: list[Half]
) -> Iterable[Disagreement]:
    if mine is None:
        near = next((str(one) for one in ours if one.ends == half.ends), "nothing between these ends")
        yield Disagreement(capture.path, selector(half), f"missing (near: {near})", f"{half} {half.body}")
        return
    differs = [
        (f"{what} {a!r}", f"{what} {b!r}")
        for what, a, b in (("start", mine.start, half.start), ("headers", mine.headers, half.headers))
        if a != b
    ]
    if half.body is None and not mine.marked:
        differs.append((f"whole, unmarked, body {mine.body}", "partial"))
    elif half.body is not None and mine.body != half.body:
        differs.append((f"body {mine.body}{' marked' if mine.marked else ''}", f"body {half.body}"))
    differs += _pairing(half, mine, truths)
    yield from disagree(capture, selector(half), differs)


def _pairing(half: Half, mine: Half, truths: dict[int, Half]) -> list[tuple[str, str]]:
    """Of a response: `req_in` is tshark's request, `pair` that of first-in-first-out; either will do."""
    if half.kind != "rsp" or half.truth["t"] == "http1.partial" or half.interim:
        return []
    frames = {frame for frame in (half.truth.get("req_in"), half.truth.get("pair")) if frame is not None}
    request = truths.get(id(mine.partner))
    if request is not None and request.truth["t"] == "http1.partial":
        # Partial requests were added after the truth was paired.
        return []
    got = request.truth["frame"] if request else None
    if got in frames or (got is None and not frames):
        return []
    if mine.partner is not None and request is None and not frames:
        return []  # the request itself is beyond the truth, and judged as such
    return [(f"answers frame {got} ({mine.partner})", f"answers frame {sorted(frames)}")]


def _shown(capture: Capture, mine: Half) -> bool:
    """Whether a message that the truth lacks stands in the capture, in a stream where tshark loses messages."""
    if not troubled(capture, (mine.src, mine.dst)):
        return False
    version = f"HTTP/{mine.start[2]}"
    line = f"{mine.start[0]} {mine.start[1]} {version}" if mine.kind == "req" else f"{version} {mine.start[0]}"
    texts = [line, *(value for _, value in mine.headers)]
    spelt = ((text.encode(), text.encode("latin-1", "replace")) for text in texts)
    return all(any(raw in capture.content for raw in either) for either in spelt)
