"""A store's limit and its flush interval change while it is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from packets import ethernet_udp

from pysniff.errors import OptionError
from pysniff.limits import KIB, MIB, SECOND
from pysniff.packet import Block, Packet
from pysniff.store import Store
from pysniff.store.catalogue import Catalogue
from pysniff.store.directory import pages, size_of
from pysniff.store.recording import Recording

NOW = 1_700_000_000 * SECOND


def block(number: int, count: int = 50) -> Block:
    """Packets of a conversation of its own."""
    frame = ethernet_udp(sport=1024 + number % 60_000, dport=9, payload=bytes(1000))
    packets = [Packet(frame, NOW + number * SECOND // 100 + n, len(frame)) for n in range(count)]
    data = b"".join(packet.data for packet in packets)
    size = len(frame)
    return Block(
        data + bytes(Block.PADDING),
        [(packet.time_ns, n * size, (n + 1) * size, size) for n, packet in enumerate(packets)],
        1,
        "eth0",
    )


def on_disk(directory: Path) -> int:
    return sum(pages(size_of(path)) for path in directory.glob("0*"))


def test_a_smaller_limit_drops_the_oldest_at_once_and_a_larger_one_gives_room(tmp_path: Path) -> None:
    recording = Recording(tmp_path, 16 * MIB, keep_all=True)
    number = 0

    def record(blocks: int) -> None:
        nonlocal number
        for _ in range(blocks):
            recording.add(block(number))
            recording.flush()
            number += 1
            assert on_disk(tmp_path) <= recording.limit

    record(100)
    before = on_disk(tmp_path)
    assert before > 4 * MIB and not recording.counts.evicted
    recording.resize(MIB)
    assert on_disk(tmp_path) <= MIB and recording.counts.evicted > 0
    newest = [chapter.index.latest for chapter in Catalogue(tmp_path).chapters()][-1]
    assert newest == NOW + 99 * SECOND // 100 + 49
    record(60)
    recording.resize(16 * MIB)
    gone = recording.counts.evicted
    record(60)
    assert recording.counts.evicted == gone
    assert recording.used == on_disk(tmp_path) > 2 * MIB
    with pytest.raises(OptionError, match="256k"):
        recording.resize(1)
    recording.close()
    assert recording.counts.imbalance() == ""
    stored = sum(len(chapter.index.offsets) for chapter in Catalogue(tmp_path).chapters())
    assert stored == recording.counts.stored - recording.counts.evicted


def test_a_recorder_takes_another_limit_between_two_blocks(tmp_path: Path) -> None:
    with Store(tmp_path, 16 * MIB).record(keep_all=True, wait=True) as recorder:
        for number in range(100):
            recorder.write(block(number))
            if number == 50:
                recorder.resize(512 * KIB)
    assert on_disk(tmp_path) <= 512 * KIB
    assert recorder.imbalance() == ""


def test_the_flush_interval_holds_from_now_on(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    assert recording.due() == 0.2
    recording.flush_interval = 30.0
    recording.add(block(0))
    assert recording.due() > 20
    recording.flush_interval = 0.0
    assert recording.due() == 0.0
    recording.close()
