"""What addresses are called: by sources that are asked, and by what is learnt while packets are read.

A conversation has the name that was the newest when it began, and keeps it. Where nobody knew one, it has the first
that is learnt afterwards, in entries made from then on: an entry never changes, and the same packets give the same
names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from pysniff.entry import Called
from pysniff.limits import DEFAULT, Limits

# A name longer than those of DNS (RFC 1035 §2.3.4) is nobody's.
LONGEST = 255
# Beside its text a version takes about so many bytes.
_EACH = 200


class NameSource(Protocol):
    """Somebody who knows names: a file, an orchestrator."""

    def name_at(self, address: bytes, time_ns: int) -> str:
        """What an address (4 or 16 bytes) was called then, "" where that is not known.

        Asked once for each end of a conversation, with the time of its first packet. The answer to one question must
        be the same whenever it is asked, or a capture read again has other names.
        """


class Names:
    """`sources` are asked in this order, before what is learnt. `dns`: learn from answers of DNS. `captures`: learn
    what a capture file says of its addresses (pcapng's name resolution blocks)."""

    __slots__ = ("sources", "dns", "captures")

    def __init__(self, *sources: NameSource, dns: bool = True, captures: bool = True) -> None:
        self.sources = sources
        self.dns = dns
        self.captures = captures


NOTHING = Names()


class Lesson(NamedTuple):
    """That an address has had a name from a packet of this time on."""

    time_ns: int
    address: bytes
    name: str


class Learnt:
    """The table that one Sniffer fills: of each address its names, in the order in which they were learnt.

    Bounded by Limits.names, .name_versions and .names_bytes; the oldest goes first, and is counted in `forgotten`.
    `lessons`: how often something new was learnt, which is how entries know what was known when they were made.
    `news`: takes every lesson, new or not, where it is a list, for whoever empties it.
    """

    def __init__(self, names: Names = NOTHING, limits: Limits = DEFAULT) -> None:
        self.dns = names.dns
        self.lessons = 0
        self.forgotten = 0
        self.news: list[Lesson] | None = None
        self._sources = names.sources
        self._limits = limits
        self._known: dict[bytes, list[Called]] = {}  # the address that was named last is the last one
        self._bytes = 0
        # Addresses that nobody has named, of conversations that somebody still has.
        self._awaited: WeakValueDictionary[bytes, Called] = WeakValueDictionary()

    def learn(self, address: bytes, name: str, time_ns: int) -> bool:
        """From now on that is its name; whether that is new."""
        if self.news is not None:
            self.news.append(Lesson(time_ns, address, name))
        versions = self._known.get(address)
        if versions is not None and versions[-1].name == name:
            return False
        if not 0 < len(name) <= LONGEST or not is_nameable(address):
            return False
        self.lessons += 1
        called = None if versions is not None else self._awaited.pop(address, None)
        if called is None:
            called = Called()
        called.name, called.time_ns, called.since = name, time_ns, self.lessons
        self._bytes += len(name) + _EACH
        if versions is None:
            versions = []
        else:
            del self._known[address]
        self._known[address] = versions
        versions.append(called)
        if len(versions) > self._limits.name_versions:
            self._forget(versions, 1)
        while len(self._known) > self._limits.names or self._bytes > self._limits.names_bytes:
            oldest = self._known.pop(next(iter(self._known)))
            self._forget(oldest, len(oldest))
        return True

    def _forget(self, versions: list[Called], count: int) -> None:
        self.forgotten += count
        self._bytes -= sum(len(one.name) + _EACH for one in versions[:count])
        del versions[:count]

    def called(self, key: bytes, time_ns: int) -> tuple[Called, Called]:
        """Of both ends of a conversation that began then; `key` as of Flow."""
        size = (len(key) - 4) // 2
        return self._called(key[:size], time_ns), self._called(key[size : 2 * size], time_ns)

    def _called(self, address: bytes, time_ns: int) -> Called:
        versions = self._known.get(address)
        if versions is not None:
            return _newest(versions, time_ns) or versions[0]
        called = self._awaited.get(address)
        if called is None:
            called = self._awaited[address] = Called()
        return called

    def given(self, key: bytes, time_ns: int) -> tuple[str, str]:
        """The same by the sources, "" where none knows."""
        if not self._sources:
            return "", ""
        size = (len(key) - 4) // 2
        return self._given(key[:size], time_ns), self._given(key[size : 2 * size], time_ns)

    def _given(self, address: bytes, time_ns: int) -> str:
        return next((name for source in self._sources if (name := source.name_at(address, time_ns))), "")

    def name_at(self, address: bytes, time_ns: int) -> str:
        """What it was called then: the newest name that is not newer, "" where there is none."""
        given = self._given(address, time_ns)
        found = None if given else _newest(self._known.get(address, []), time_ns)
        return given if found is None else found.name

    def __iter__(self) -> Iterator[Lesson]:
        """What is known, as lessons from which another one learns the same: of an address that was named earlier
        first."""
        for address, versions in self._known.items():
            for one in versions:
                yield Lesson(one.time_ns, address, one.name)

    def __len__(self) -> int:
        """Addresses that have a name."""
        return len(self._known)


def _newest(versions: list[Called], time_ns: int) -> Called | None:
    """The last one learnt of those that are not newer."""
    return next((one for one in reversed(versions) if one.time_ns <= time_ns), None)


def is_nameable(address: bytes) -> bool:
    """Whether it is one machine's for others: not of a group, not the own one, not "no address".

    Filters answer with 0.0.0.0 or 127.0.0.1 for what they block.
    """
    if len(address) == 4:
        return address[0] not in (0, 127) and address[0] < 224  # RFC 6890, RFC 5771 and above
    return len(address) == 16 and address[0] != 0xFF and address[:15] != bytes(15)  # RFC 4291 §2.4: ff00::/8, ::, ::1
