"""What an answer of DNS calls addresses: the name that was asked for, whatever stands between the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pysniff.dissectors.dns_records import Bad, Cut, name
from pysniff.dissectors.dns_sections import Place

_A, _CNAME, _AAAA = 1, 5, 28
_SIZES = {_A: 4, _AAAA: 16}
_INTERNET = 1
_ANSWERS = 1  # the section; the others say of name servers where they are
# CNAMEs from the question to an address; resolvers follow 8 to 16.
_CHAIN = 16


def names_of(message: bytes, records: Sequence[Place]) -> Iterator[tuple[bytes, str]]:
    """Addresses in the answers of a response, and their names in lower case; `records` as of its survey.

    RFC 1034 §3.6.2: the question's name may be an alias; whoever asked for it knows the machine by it.
    """
    if message[2] & 0x78 or message[3] & 0x0F:  # another operation than a query, or a failure
        return
    answers = [
        (at, kind, start, end)
        # RFC 6762 §10.2: the top bit of the class flushes caches.
        for section, at, kind, group, _, start, end in records
        if section == _ANSWERS and group & 0x7FFF == _INTERNET
    ]
    addresses = [one for one in answers if _SIZES.get(one[1]) == one[3] - one[2]]
    if not addresses:
        return
    aliases: dict[str, str] = {}
    for at, kind, start, _ in answers:
        if kind == _CNAME:
            aliases.setdefault(_name(message, start), _name(message, at))
    for at, _, start, end in addresses:
        owner = _name(message, at)
        for _ in range(_CHAIN if aliases else 0):
            if owner not in aliases:
                break
            owner = aliases[owner]
        if owner not in ("", "."):
            yield message[start:end], owner


def _name(message: bytes, at: int) -> str:
    """The name that begins there, "" for none."""
    try:
        return name(message, at)[0].lower()
    except (Bad, Cut):
        return ""
