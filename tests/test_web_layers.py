"""The page takes packets apart as tshark does: the shop's, and those of the corpus."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_decode_corpus import packets
from truth import corpus
from web_capture_reading import ROOT, Read, bundled, page, tshark

from pysniff.cluster.chunked import pack
from pysniff.cluster.hub.packet_file import PacketFile

pytestmark = [
    pytest.mark.needs("tshark", "editcap", "node"),
    pytest.mark.skipif(not (ROOT / "pysniff/web/node_modules").is_dir(), reason="needs npm ci in pysniff/web"),
]
SMALL = 20_000  # bytes of a capture of the corpus that takes part: hundreds of files, a few seconds
LARGEST = 262_144  # what tshark reads as one packet
EXPECTED = 3_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundled(tmp_path_factory.mktemp("reader"))


def test_the_shops_packets_are_read_as_tshark_reads_them(program: Path, tmp_path: Path) -> None:
    capture = tmp_path / "shop.pcapng"
    subprocess.run(["editcap", "-F", "pcapng", ROOT / "examples/shop.pcap", capture], check=True, timeout=60)
    faults, read = page(program, capture)
    expected = list(tshark(capture))
    assert faults == 0
    assert len(read) == len(expected) > 100
    # Numbers as people read them, counted from the beginning of each connection, too.
    assert read == expected


@pytest.mark.usefixtures("corpus")
def test_captures_of_others_are_read_as_tshark_reads_them(program: Path, tmp_path: Path) -> None:
    capture = tmp_path / "corpus.pcapng"
    capture.write_bytes(b"".join(gathered()))
    faults, read = page(program, capture)
    assert faults == 0
    compared: Counter[str] = Counter()
    wrong: list[tuple[Read, Read]] = []
    for mine, other in zip(read, tshark(capture), strict=True):
        if other is None:
            compared["layers that the page leaves closed"] += 1
            continue
        compared["read"] += 1
        # All captures are one file here: what a connection is counted from is another one's beginning.
        pairs = list(zip(mine._replace(relative=""), other._replace(relative=""), strict=True))
        if any(said not in ("", told) for said, told in pairs):
            wrong.append((mine, other))
        compared["said less"] += any(said != told for said, told in pairs)
    assert not wrong, f"{len(wrong)} of {compared}: {wrong[:3]}"
    # Headers that lie about their own length, a loopback header that is none.
    assert compared["said less"] <= 3, compared
    assert compared["read"] > EXPECTED, compared


def gathered() -> Iterator[bytes]:
    """The corpus' small captures as one file, written as the hub writes its downloads."""
    file = PacketFile(["n1"], "the corpus")
    yield file.begin(["every packet"])
    for capture in corpus.captures():
        if capture.file.stat().st_size > SMALL:
            continue
        for packet in packets(capture):
            if len(packet.data) <= packet.wire_length <= LARGEST:
                yield file.packets([(packet.time_ns, 0, 0, pack(packet, 0, ""))])
