"""What comparing one capture gives, whatever the protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from truth.corpus import Capture
from truth.half import endpoint

# Analysis flags of a TCP stream after which tshark may lose messages that the bytes show (README of the corpus).
TROUBLE = ("lost_segment", "ack_lost_segment", "out_of_order", "retransmission", "reused_ports", "overlap")

Difference = tuple[str, str]  # ours, the truth's


class Disagreement(NamedTuple):
    """`record`: the selector that the table of exceptions uses. `weight`: how many records it concerns."""

    capture: str
    record: str
    ours: str
    truth: str
    weight: int = 1


class Result(NamedTuple):
    judged: Counter[str]  # records by kind
    apart: Counter[str]  # records not judged, by reason
    beyond: int  # messages of ours that the truth lacks and the bytes show
    disagreements: list[Disagreement]


def disagree(capture: Capture, record: str, differs: Sequence[Difference]) -> Iterator[Disagreement]:
    """One for everything that differs in a record, none where nothing does."""
    if differs:
        ours, truth = ("; ".join(side) for side in zip(*differs, strict=True))
        yield Disagreement(capture.path, record, ours, truth)


def canonical(address: str) -> str:
    """ "ip:port" of a record as an endpoint."""
    return endpoint(*address.rpartition(":")[::2])


def troubled(capture: Capture, ends: Iterable[str]) -> bool:
    """Whether segments between these ends were lost, reordered or never seen: there tshark loses messages."""
    both = set(ends)
    return any(
        any(stream.get(flag) for flag in TROUBLE) or not stream["syn"]
        for stream in capture.of("tcp")
        if {canonical(stream["a"]), canonical(stream["b"])} == both
    )
