"""What the place of a field in its block, and the body behind it, say of a field that nobody saw inserted.

Names follow from places; values only where gRPC leaves no choice. Nothing here remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache

Names = tuple[str | None, ...]  # of a block's fields in order, None where unknown


class Kind(IntEnum):
    """Which block of a stream it is; 1xx answers are RESPONSE too."""

    REQUEST = 0
    RESPONSE = 1
    TRAILERS = 2
    REQUEST_TRAILERS = 3


# How gRPC implementations begin and end a block, as recorded; custom fields stand between, those in () may be missing.
# grpcio 1.85; grpc-java-netty 1.3; grpc-go 1.50; grpc-js 1.14.
_REQUESTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((":path", ":authority", ":method", ":scheme", "content-type", "te", "(grpc-encoding)", "grpc-accept-encoding",
      "(grpc-timeout)", "user-agent"), ()),
    ((":authority", ":path", ":method", ":scheme", "content-type", "te", "user-agent", "grpc-accept-encoding"), ()),
    ((":method", ":scheme", ":path", ":authority", "content-type", "user-agent", "te"), ()),
    ((":authority", ":method", ":path", ":scheme"),
     ("grpc-accept-encoding", "accept-encoding", "user-agent", "content-type", "te")),
)  # fmt: skip
_RESPONSES = (((":status", "content-type"), ()),)
FIXED = {"content-type": "application/grpc", "te": "trailers"}


def fits(names: Sequence[str | None], known: Sequence[str | None]) -> bool:
    """Whether two readings of as many places agree wherever both know."""
    return all(one is None or other is None or one == other for one, other in zip(names, known, strict=True))


def pseudo_places(names: Names) -> dict[int, tuple[str, ...]]:
    """The places of :path and :authority among a request's fields, and what may stand there.

    RFC 9113 §8.3.1: :method, :scheme and :path once each, before every regular field. Empty where it is not clear-cut.
    """
    head = names[:4]
    known = [name for name in head if name is not None and name.startswith(":")]
    missing = {":method", ":scheme", ":path", ":authority"} - set(known)
    free = [place for place, name in enumerate(head) if name is None]
    if len(known) + len(free) != 4 or not missing <= {":path", ":authority"} or len(missing) != len(free):
        return {}
    return {place: tuple(sorted(missing)) for place in free}


def usual_path(places: tuple[int, int]) -> int:
    """Of two places that of :path, as programs have it that index paths; those with nghttp2 (curl, node) do not."""
    # grpcio :path :authority :method :scheme; grpc-go :method :scheme :path :authority
    # against h2 (httpx) :method :authority :scheme :path; Go's net/http :authority :method :path :scheme.
    return places[0] if places[1] - places[0] == 1 else places[1]


@lru_cache(maxsize=512)
def grpc_names(kind: Kind, names: Names) -> Names:
    """The names, and those on which the orders of all fitting gRPC implementations agree."""
    options: list[set[str | None]] = [set() for _ in names]
    for order in _REQUESTS if kind is Kind.REQUEST else _RESPONSES if kind is Kind.RESPONSE else ():
        for fitting in _fittings(order, names):
            for place, name in enumerate(fitting):
                options[place].add(name)
    agreed = [next(iter(option)) if len(option) == 1 else None for option in options]
    return tuple([name or other for name, other in zip(names, agreed, strict=True)])


def _fittings(order: tuple[tuple[str, ...], tuple[str, ...]], names: Names) -> Iterator[Names]:
    """The readings of a block by one implementation's order."""
    begin, end = order
    optional = [name for name in begin if name.startswith("(")]
    for chosen in range(1 << len(optional)):
        left_out = {name for bit, name in enumerate(optional) if not chosen >> bit & 1}
        first = tuple([name.strip("()") for name in begin if name not in left_out])
        free = len(names) - len(first) - len(end)
        reading = (*first, *(None,) * free, *end)
        if free >= 0 and fits(reading, names):
            yield reading


def is_grpc(body: bytes, size: int) -> bool:
    """Whether `size` bytes that begin so can be gRPC messages: flag, length of 4 bytes, message, and again."""
    place = 0
    while place + 5 <= len(body):
        if body[place] > 1:
            return False
        place += 5 + int.from_bytes(body[place + 1 : place + 5], "big")
    # Of a longer body only the beginning is here: its first message must lie in it.
    return place > 0 and (place == size if len(body) == size else place <= size)
