"""A datagram that is captured on every interface it passes is one datagram; one that is sent again is another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pytest
from packets import ethernet, ethernet_udp, ip, udp

from pysniff import Sniffer
from pysniff.copies import Copies
from pysniff.ledger import Ledger
from pysniff.limits import SECOND, Limits
from pysniff.packet import Packet

MS = SECOND // 1000
NOW = 1_700_000_000 * SECOND
KEY, QUESTION = b"abcd" + b"efgh" + b"\x13\x88\0\x35", b"question"


def copies(sightings: Iterable[tuple[str, int]], limits: Limits = Limits()) -> list[bool]:  # noqa: B008
    """Of one datagram seen on interfaces at times in milliseconds, which ones are copies."""
    known = Copies(limits, Ledger())
    return [known.is_copy(KEY, QUESTION, interface, NOW + at * MS) for interface, at in sightings]


@pytest.mark.parametrize(
    ("sightings", "expected"),
    [
        ([("veth", 0), ("eth0", 1)], "-C"),
        ([("veth", 0), ("br0", 0), ("veth2", 0), ("eth0", 1)], "-CCC"),
        ([("eth0", 5), ("veth", 0)], "-C"),  # blocks of interfaces come one after another, whatever their times
        ([("veth", 0), ("veth", 1)], "--"),  # sent twice
        ([("veth", 0), ("veth", 1), ("eth0", 0), ("eth0", 1)], "--CC"),
        ([("veth", 0), ("eth0", 0), ("veth", 1), ("eth0", 1)], "-C-C"),
        ([("veth", 0), ("veth", 1), ("veth", 2), ("eth0", 1), ("eth0", 2)], "---CC"),  # the capture lost one
        ([("bond0", 0), ("eth0", 0), ("bond0", 1), ("eth1", 1)], "-C-C"),
        ([("veth", 0), ("eth0", 101)], "--"),  # later than a copy comes
        ([("veth", 0), ("eth0", 1000), ("veth", 1001)], "--C"),
        ([("veth", 0), ("eth0", 0), ("veth", 5000), ("eth0", 5000)], "-C-C"),
        ([("veth", 999), ("eth0", 1001)], "-C"),  # over the turn of a second
        ([("veth", 0), ("eth0", -5000)], "--"),
    ],
)
def test_the_nth_of_an_interface_is_the_nth_of_another(sightings: list[tuple[str, int]], expected: str) -> None:
    assert "".join("-C"[copy] for copy in copies(sightings)) == expected


def test_other_ends_and_other_payloads_are_no_copies() -> None:
    known = Copies(Limits(), Ledger())
    assert not known.is_copy(KEY, QUESTION, "veth", NOW)
    assert not known.is_copy(KEY[:-1] + b"\x36", QUESTION, "eth0", NOW)
    assert not known.is_copy(KEY, QUESTION + b"!", "eth0", NOW)
    assert known.is_copy(KEY, QUESTION, "eth0", NOW)


def test_the_same_datagram_again_and_again_takes_no_more_room() -> None:
    known = Copies(Limits(), Ledger())
    for number in range(1000):
        at = NOW + number * MS // 10
        assert [known.is_copy(KEY, QUESTION, name, at) for name in ("veth", "eth0", "br0")] == [False, True, True]
    assert len(known._young) == 1
    (repeated,) = known._young.values()
    assert len(repeated.times) <= 64  # type: ignore[union-attr]


def test_too_many_are_forgotten_and_that_is_counted() -> None:
    ledger = Ledger()
    known = Copies(Limits(copies=100), ledger)
    for number in range(1000):
        assert not known.is_copy(KEY, b"%d" % number, "veth", NOW)
        assert len(known._young) + len(known._old) <= 100
    assert ledger.copies_forgotten == 900
    assert known.is_copy(KEY, b"999", "eth0", NOW)
    assert not known.is_copy(KEY, b"0", "eth0", NOW)


def test_what_is_old_is_forgotten_without_a_word() -> None:
    ledger = Ledger()
    known = Copies(Limits(), ledger)
    for number in range(1000):
        known.is_copy(KEY, b"%d" % number, "veth", NOW + number * SECOND)
    assert len(known._young) + len(known._old) <= 3
    assert ledger.copies_forgotten == 0


def dns(number: int, *, answer: bool = False) -> bytes:
    """A question for the address of "a", or its answer."""
    flags, answers = (b"\x81\x80", b"\0\1") if answer else (b"\1\0", b"\0\0")
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x0a\0\0\1" if answer else b""
    return number.to_bytes(2, "big") + flags + b"\0\1" + answers + bytes(4) + b"\1a\0\0\1\0\1" + record


def captured(payload: bytes, at: int, interface: str, *, back: bool = False, linktype: int = 1) -> Packet:
    ends = {"src": "10.0.0.2", "dst": "10.0.0.1", "sport": 53, "dport": 5000} if back else {}
    ends = ends or {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 5000, "dport": 53}
    frame = ethernet_udp(payload=payload, **ends)  # type: ignore[arg-type]
    if linktype == 276:  # LINKTYPE_LINUX_SLL2: protocol, reserved, interface number, hardware, packet type, address
        frame = b"\x08\0\0\0" + int(interface).to_bytes(4, "big") + b"\0\1\0\6" + bytes(8) + frame[14:]
        interface = "any"
    return Packet(frame, NOW + at * MS, len(frame), linktype, interface)


@pytest.mark.parametrize(("interfaces", "linktype"), [(("veth", "br0", "eth0"), 1), (("3", "4", "5"), 276)])
def test_a_call_that_passes_three_interfaces_is_shown_once(interfaces: tuple[str, ...], linktype: int) -> None:
    sniffer = Sniffer()
    entries = sniffer.feed(
        captured(dns(7, answer=back), 10 * back, interface, back=back, linktype=linktype)
        for interface in interfaces
        for back in (False, True)
    )
    entries += sniffer.close()
    assert [(entry.protocol, entry.status, entry.faults) for entry in entries] == [("dns", "NOERROR", ())]
    ledger = sniffer.ledger
    assert (ledger.udp_packets, ledger.udp_copies) == (6, 4)
    assert ledger.imbalances() == []
    assert ledger.lossless()


def test_a_question_that_is_asked_again_is_two_on_every_interface() -> None:
    sniffer = Sniffer()
    entries = sniffer.feed(captured(dns(7), at, interface) for interface in ("veth", "eth0") for at in (0, 1000))
    entries += sniffer.close()
    assert [entry.protocol for entry in entries] == ["dns", "dns"]
    assert sniffer.ledger.udp_copies == 2


def fragments_of(payload: bytes, number: int, interface: str, at: int) -> list[Packet]:
    """A datagram in two fragments."""
    whole = udp("10.0.0.1", "10.0.0.2", 5000, 53, payload)[20:]
    frames = []
    for offset, part in ((0, whole[:16]), (2, whole[16:])):
        packet = bytearray(ip("10.0.0.1", "10.0.0.2", 17, part, ident=number))
        packet[6:8] = (offset | (0 if offset else 0x2000)).to_bytes(2, "big")
        frames.append(ethernet(bytes(packet)))
    return [Packet(frame, NOW + at * MS, len(frame), 1, interface) for frame in frames]


ORDERS = [
    order
    for order in permutations("AaBb")
    if order.index("A") < order.index("a") and order.index("B") < order.index("b")
]


@pytest.mark.parametrize("order", ORDERS, ids="".join)
def test_fragments_of_two_interfaces_make_one_datagram_in_any_order(order: tuple[str, ...]) -> None:
    sniffer = Sniffer()
    (first, last), (copy, end) = (fragments_of(dns(7), 1, interface, 0) for interface in ("veth", "eth0"))
    named = {"A": first, "a": last, "B": copy, "b": end}
    sniffer.feed(named[one] for one in order)
    sniffer.feed(fragments_of(dns(8), 2, "eth0", 1))
    entries = sniffer.advance(NOW + 100 * SECOND) + sniffer.close()
    assert len({entry.id for entry in entries}) == 2  # each was shown open first
    ledger = sniffer.ledger
    assert (ledger.fragments_expired, ledger.imbalances()) == (0, [])


def test_one_interface_may_use_an_identification_again() -> None:
    sniffer = Sniffer()
    entries = sniffer.feed([*fragments_of(dns(7), 1, "veth", 0), *fragments_of(dns(8), 1, "veth", 1)])
    assert len(entries + sniffer.close()) == 2
