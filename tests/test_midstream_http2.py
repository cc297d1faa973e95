"""HTTP/2 and gRPC joined in the middle: 100 whole connections without their beginning.

What was sent after the cut is right; what was not is unknown, or inferred and says so. How much is inferred stands in
the scorecard.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import recorded.midstream_http2 as midstream
from recorded.connections import Connection, ends
from recorded.http2_blocks import Block, blocks
from recorded.http2_connections import record
from recorded.midstream_http2 import CUTS, Setting, Shares, calls, compare, cut_of, entries, measure_all, whole
from recorded.nodejs import needs_packages

import pysniff
from pysniff.packet import Packet

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs("tcpdump", "node", "nginx", "nghttpd", "h2load"),
    needs_packages,
]


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> list[Connection]:
    return record(tmp_path_factory.mktemp("connections"))


def test_there_are_100_whole_connections_of_many_calls(connections: list[Connection]) -> None:
    assert len(connections) == 100
    assert len({connection.name.split()[0] for connection in connections}) >= 3  # clients
    for name, packets in connections:
        found = entries(pysniff.Sniffer(), packets)
        assert 10 <= len(found) <= 60, name
        assert all(entry.completeness == "complete" for entry in found), name
        assert {entry.protocol for entry in found} <= {"http", "grpc"}, name


def test_fields_are_what_the_hpack_package_reads(connections: list[Connection]) -> None:
    """Every header block of the 100 connections."""
    read = 0
    for name, packets in connections:
        found = calls(entries(pysniff.Sniffer(), packets))
        for stream, (asked, *answered) in by_stream(packets).items():
            request, response = found[stream].request, found[stream].response
            fields = [(":method", request.method), (":path", request.url), *request.headers]
            assert sorted(fields) == sorted(of(asked, ":authority", ":scheme")), (name, stream)
            said = [(":status", str(response.status)), *response.headers, *response.trailers]
            assert said == [field for block in answered for field in of(block)], (name, stream)
            read += 1 + len(answered)
    assert read > 5_000


def by_stream(packets: list[Packet]) -> dict[int, list[Block]]:
    """The request's, the answer's, its trailers."""
    found: dict[int, list[Block]] = {}
    for block in blocks(packets):
        found.setdefault(block.stream, []).append(block)
    return found


def of(block: Block, *but: str) -> list[tuple[str, str]]:
    return [(field.name, field.value) for field in block.fields if field.name not in but]


@pytest.fixture(scope="module")
def measured(connections: list[Connection]) -> dict[tuple[int, Setting], Shares]:
    return measure_all(connections)


@pytest.mark.parametrize("setting", Setting)
@pytest.mark.parametrize("percent", CUTS)
def test_joined_in_the_middle(percent: int, setting: Setting, measured: dict[tuple[int, Setting], Shares]) -> None:
    shares = measured[percent, setting]
    assert shares.wrong == []
    assert shares.unlearnt == []
    assert shares.doubted == []
    assert shares.missing == 0
    # What is inferred and says so may be wrong, rarely.
    assert shares.path_wrong <= shares.calls // 100
    assert shares.status_wrong <= shares.calls // 100


@pytest.mark.parametrize("percent", CUTS)
def test_how_bytes_are_cut_into_segments_does_not_matter(percent: int, connections: list[Connection]) -> None:
    """Nor for what is inferred. (From a packet on in which a request begins: what speaks http2 is found by packets.)"""
    for connection in connections[::9]:
        every = connection.packets
        client = ends(every[0])[0]
        after = range(cut_of(connection, percent), len(every))
        begin = next(n for n in after if ends(every[n])[0] == client and 70 < len(every[n].data) < 3_000)
        packets = every[begin:][:150]
        sizes = random.Random(connection.name)
        pieces = [piece for packet in packets for piece in cut(packet, sizes.choice((1, 7, 9, 40, 1000)))]
        one, other = (entries(pysniff.Sniffer(), some) for some in (packets, pieces))
        assert [entry.to_dict() for entry in one] == [entry.to_dict() for entry in other], connection.name


def cut(packet: Packet, size: int) -> Iterator[Packet]:
    """The same bytes of TCP over IPv4 over Ethernet in segments of `size` bytes."""
    data = packet.data
    head = 34 + (data[46] >> 4) * 4
    payload = data[head : 14 + int.from_bytes(data[16:18], "big")]
    sequence = int.from_bytes(data[38:42], "big")
    size = max(size, len(payload) // 2_000)
    for at in range(0, max(1, len(payload)), size):
        part = payload[at : at + size]
        length = (head - 14 + len(part)).to_bytes(2, "big")
        number = ((sequence + at) & 0xFFFFFFFF).to_bytes(4, "big")
        whole = data[:16] + length + data[18:38] + number + data[42:head] + part
        yield packet._replace(data=whole, wire_length=len(whole))


def test_calls_on_the_same_unknown_path_are_known_to_be_the_same(connections: list[Connection]) -> None:
    seen = 0
    for connection in connections:
        truth = calls(entries(pysniff.Sniffer(), connection.packets))
        found = calls(entries(pysniff.Sniffer(), connection.packets[cut_of(connection, 50) :]))
        unknown: dict[str, set[str]] = {}
        for stream, entry in found.items():
            if entry.request is not None and entry.request.url.startswith("?-"):
                unknown.setdefault(entry.request.url, set()).add(truth[stream].request.path)
                seen += 1
        assert all(len(paths) == 1 for paths in unknown.values()), (connection.name, unknown)
    assert seen


def test_a_call_that_is_shown_wrong_is_seen(connections: list[Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    connection = next(one for one in connections if one.name == "h2load to nghttpd 0")
    truth = whole(connection)
    found = entries(pysniff.Sniffer(), connection.packets[cut_of(connection, 10) :])
    assert compare(truth, 10, found).wrong == []
    assert compare(truth, 10, found[:-1]).missing == 1
    real = midstream.calls

    def shifted(some: Iterable[Any]) -> dict[int, Any]:
        right = real(some)
        return dict(zip(right, [*right.values()][1:], strict=False)) if some is found else right

    monkeypatch.setattr(midstream, "calls", shifted)
    assert compare(truth, 10, found).wrong != []
