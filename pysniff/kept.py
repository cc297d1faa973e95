"""What messages keep of long bodies until they are given: bounded for all conversations of a Sniffer together.

What is free of that bound is weighed now and then (holding.py).
"""

from __future__ import annotations

from pysniff.limits import DEFAULT, KIB, Limits

# Bytes that every message may keep: most are shorter.
FREE = 64 * KIB
# About what a message takes beside its bytes.
MESSAGE = 600


class Kept:
    """`cut`: messages of which less was kept than each may, for all together would have been too much.

    `beside`: about how many bytes of memory were taken so far that the bytes that came do not tell of, as where few
    stand for many; it never falls, and says only when to weigh again.
    """

    __slots__ = ("cut", "beside", "_left")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.cut = 0
        self.beside = 0
        self._left = limits.bodies_total

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be kept."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class Share:
    """Of one message, beyond what is free; given back with it.

    `most`: bytes that the message may keep if there is room, what is free included.
    """

    __slots__ = ("_kept", "_most", "_taken")

    def __init__(self, kept: Kept, most: int) -> None:
        self._kept = kept
        self._most = most
        self._taken = 0

    def room(self, size: int) -> int:
        """For how many bytes there is room, of a message of `size` so far: less than that where it is full."""
        have = FREE + self._taken
        if size <= have or have >= self._most:
            return min(have, self._most)
        more = min(max(size, 2 * have), self._most) - have
        if self._kept.take(more):
            self._taken += more
        else:
            self._most = have
            self._kept.cut += 1
        return FREE + self._taken

    def __del__(self) -> None:
        self._kept.give_back(self._taken)
