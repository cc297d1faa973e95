"""A datagram in fragments leaves once, whole; what never becomes whole is counted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
from frames import CLIENT4, SERVER4, ethernet, extension, fragment6, ipv4, ipv6, tcp, udp
from hypothesis import given
from hypothesis import strategies as st

from pysniff.decode import Decoder
from pysniff.fragments import FragmentTable
from pysniff.limits import SECOND, Limits
from pysniff.packet import Datagram, Rejected, Segment

BODY = bytes(range(256)) * 4
WHOLE = tcp(BODY)
WAITING = Rejected("fragment", "waiting")
Result = Segment | Datagram | Rejected


def v4(start: int, end: int, data: bytes = WHOLE, *, more: bool | None = None, ident: int = 1) -> bytes:
    return ipv4(data[start:end], offset=start, more=end < len(data) if more is None else more, ident=ident)


def v6(start: int, end: int, data: bytes = WHOLE, following: int = 6) -> bytes:
    return ipv6(fragment6(data[start:end], following, start, end < len(data)), 44)


class Wire:
    """A decoder and its clock, in seconds."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.decoder = Decoder(limits or Limits())
        self.now = 0.0

    @property
    def table(self) -> FragmentTable:
        return self.decoder.fragments

    def carry(self, data: bytes, wire_length: int = 0, linktype: int = 101) -> Result:
        (result,) = self.decoder.decode(data, linktype, wire_length, int(self.now * SECOND))
        return result

    def carry_all(self, packets: list[bytes]) -> list[Result]:
        return [self.carry(packet) for packet in packets]


def balanced(table: FragmentTable) -> bool:
    return table.started == table.whole + table.expired + table.evicted + table.waiting


@pytest.mark.parametrize("cut", [v4, v6])
def test_fragments_in_any_order_make_the_datagram_whole(cut: Callable[[int, int], bytes]) -> None:
    for order in permutations([(0, 400), (400, 800), (800, len(WHOLE))]):
        wire = Wire()
        *before, last = wire.carry_all([cut(start, end) for start, end in order])
        assert before == [WAITING, WAITING]
        assert isinstance(last, Segment) and last.payload == BODY and last.missing == 0
        assert (wire.table.whole, wire.table.waiting) == (1, 0)


def test_the_key_is_that_of_an_unfragmented_packet() -> None:
    wire = Wire()
    last = wire.carry_all([v4(0, 400), v4(400, len(WHOLE))])[-1]
    assert last == wire.carry(ipv4(WHOLE))


def test_udp_comes_whole_too() -> None:
    data = udp(BODY, 53)
    wire = Wire()
    wire.carry(ipv4(data[:800], 17, more=True))
    last = wire.carry(ipv4(data[800:], 17, offset=800))
    assert isinstance(last, Datagram) and last.payload == BODY


def test_extension_headers_may_be_inside() -> None:
    wire = Wire()
    data = extension(WHOLE, 6)
    last = wire.carry_all([v6(0, 400, data, 60), v6(400, len(data), data, 60)])[-1]
    assert isinstance(last, Segment) and last.payload == BODY


def test_the_next_header_is_the_first_fragments() -> None:
    """RFC 8200 §4.5: other fragments may say something else."""
    wire = Wire()
    last = wire.carry_all([v6(400, len(WHOLE), following=17), v6(0, 400, following=6)])[-1]
    assert isinstance(last, Segment)


def test_fragments_of_a_tunnel_and_in_it_come_together() -> None:
    wire = Wire()
    inner = [ethernet(v4(0, 400)), ethernet(v4(400, len(WHOLE)))]
    outer = [ipv4(udp(b"\x08" + bytes(7) + frame, 4789), 17, addresses=bytes(8)) for frame in inner]
    results = []
    for ident, packet in enumerate(outer):
        data = packet[20:]
        results.append(wire.carry(ipv4(data[:200], 17, more=True, ident=ident, addresses=bytes(8))))
        results.append(wire.carry(ipv4(data[200:], 17, offset=200, ident=ident, addresses=bytes(8))))
    assert results[:3] == [WAITING] * 3
    assert isinstance(results[3], Segment) and results[3].payload == BODY
    assert wire.table.whole == 3


def test_datagrams_do_not_mix() -> None:
    wire = Wire()
    other = tcp(b"y" * 1024)
    wire.carry_all([v4(0, 400), v4(0, 400, other, ident=2)])
    second = wire.carry(v4(400, len(other), other, ident=2))
    first = wire.carry(v4(400, len(WHOLE)))
    assert isinstance(first, Segment) and isinstance(second, Segment)
    assert (first.payload, second.payload) == (BODY, b"y" * 1024)


def test_what_came_first_stands() -> None:
    wire = Wire()
    forged = bytes(len(WHOLE))
    results = wire.carry_all([v4(0, 400), v4(200, 600, forged), v4(400, 800), v4(800, len(WHOLE))])
    last = results[-1]
    assert isinstance(last, Segment)
    assert last.payload == BODY[:380] + bytes(200) + BODY[580:]
    assert wire.table.overlaps == 2


def test_a_fragment_may_cover_several_and_fill_what_is_between() -> None:
    wire = Wire()
    forged = bytes(len(WHOLE))
    last = wire.carry_all([v4(0, 80), v4(160, 240), v4(320, 400), v4(8, len(WHOLE), forged)])[-1]
    assert isinstance(last, Segment)
    kept = WHOLE[:80] + bytes(80) + WHOLE[160:240] + bytes(80) + WHOLE[320:400] + bytes(len(WHOLE) - 400)
    assert last.payload == kept[20:]


def test_duplicates_change_nothing() -> None:
    wire = Wire()
    results = wire.carry_all([v4(0, 400), v4(0, 400), v4(80, 160), v4(400, len(WHOLE))])
    assert isinstance(results[-1], Segment) and results[-1].payload == BODY
    assert (wire.table.duplicates, wire.table.overlaps) == (2, 0)


def test_tiny_fragments_come_together() -> None:
    wire = Wire()
    results = wire.carry_all([v4(at, min(at + 8, len(WHOLE))) for at in reversed(range(0, len(WHOLE), 8))])
    assert isinstance(results[-1], Segment) and results[-1].payload == BODY


def test_a_snapshot_leaves_the_rest_missing() -> None:
    wire = Wire()
    wire.carry(v4(0, 400)[:120], 420)
    last = wire.carry(v4(400, len(WHOLE)))
    assert isinstance(last, Segment)
    assert (last.payload, last.missing) == (BODY[:80], len(BODY) - 80)


REFUSED = {
    "oversized fragment": [ipv4(bytes(64), offset=65_528)],
    "empty fragment": [ipv4(b"", offset=80, more=True)],
    "bad fragment length": [ipv4(bytes(81), more=True)],
    "fragment past the end": [ipv4(bytes(80), offset=80), ipv4(bytes(80), offset=160, more=True)],
}


@pytest.mark.parametrize("detail", REFUSED)
def test_it_is_malformed_to_send_an(detail: str) -> None:
    wire = Wire()
    assert wire.carry_all(REFUSED[detail])[-1] == Rejected("malformed", detail)
    assert wire.table.refused == 1 and balanced(wire.table)


def test_two_ends_are_one_too_many() -> None:
    wire = Wire()
    assert wire.carry(ipv4(bytes(80), offset=160)) == WAITING
    assert wire.carry(ipv4(bytes(80), offset=80)) == Rejected("malformed", "fragment past the end")
    other = Wire()
    assert other.carry(ipv4(bytes(80), offset=160, more=True)) == WAITING
    assert other.carry(ipv4(bytes(80), offset=80)) == Rejected("malformed", "fragment past the end")


def test_after_its_time_a_datagram_is_given_up() -> None:
    wire = Wire(Limits(fragment_wait=30 * SECOND))
    wire.carry(v4(0, 400))
    wire.now = 29.9
    wire.table.advance(int(wire.now * SECOND))
    assert wire.table.waiting == 1
    wire.now = 30
    assert wire.carry(v4(400, len(WHOLE))) == WAITING
    assert (wire.table.expired, wire.table.lost_packets, wire.table.waiting) == (1, 1, 1)
    assert balanced(wire.table)


def test_datagrams_are_bounded_in_number() -> None:
    wire = Wire(Limits(fragments=10))
    for ident in range(100):
        wire.carry(v4(0, 400, ident=ident))
    assert (wire.table.waiting, wire.table.evicted) == (10, 90)
    assert isinstance(wire.carry(v4(400, len(WHOLE), ident=99)), Segment), "the oldest went, the newest stayed"


@pytest.mark.parametrize("size", [8, 800])
def test_datagrams_are_bounded_in_bytes(size: int) -> None:
    wire = Wire(Limits(fragment_bytes=10_000))
    for ident in range(1000):
        wire.carry(v4(0, size, ident=ident))
    assert 5 < wire.table.waiting < 10_000 / size
    assert balanced(wire.table)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.booleans(), st.integers(0, 3)), max_size=60))
def test_whatever_comes_the_account_balances_and_first_wins(fragments: list[tuple[int, int, bool, int]]) -> None:
    wire = Wire(Limits(fragments=3, fragment_bytes=3_000))
    for number, (start, length, more, ident) in enumerate(fragments):
        data = bytes((number,)) * (8 * length)
        wire.carry(ipv4(data, 17, offset=8 * start, more=more, ident=ident))
        assert balanced(wire.table)
        assert wire.table.waiting <= 3
    assert wire.table.packets == sum(bool(start or more) for start, _, more, _ in fragments)


@given(st.permutations(range(0, len(WHOLE), 104)), st.data())
def test_any_order_with_any_repeats_gives_the_bytes_sent(starts: list[int], data: st.DataObject) -> None:
    wire = Wire()
    segments = []
    for start in starts:
        early = data.draw(st.sampled_from([0, 8, 48])) if start else 0
        result = wire.carry(v4(start - early, min(start + 104, len(WHOLE))))
        segments += [result] if isinstance(result, Segment) else []
    assert [(segment.key[:8], segment.payload) for segment in segments[:1]] == [(CLIENT4 + SERVER4, BODY)]
