"""HTTP/2 in a store outlives its first segments: a keeper leaves the tables with which the later ones are read."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from random import Random

import numpy as np
import pytest
from http2_talk import calls
from store_traffic import NOON
from stores import KIB, asked, disk_use, question, segment_files
from wire import Wire, kinds

from pysniff.entry import Entry
from pysniff.limits import SECOND
from pysniff.packet import Block, Packet
from pysniff.resumption import Resumption
from pysniff.sniffer import Sniffer
from pysniff.store import keeping, tables
from pysniff.store.catalogue import Chapter
from pysniff.store.directory import PAGE, SegmentFiles
from pysniff.store.index import Index
from pysniff.store.keeper import Keeper
from pysniff.store.query import Query
from pysniff.store.recording import Recording
from pysniff.store.skimming import Skimming

LIMIT = 600 * KIB
KEY = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + b"\xc7\x38\x00\x50"


def packets(count: int = 150, connections: int = 3) -> list[Packet]:
    """Of connections that take turns, in the order of their times."""
    talks = [
        calls(Wire(sport=40_000 + number, now=NOON + number), Random(number), count) for number in range(connections)
    ]
    turns = chain.from_iterable(zip_longest(*talks, fillvalue=[]))
    return sorted(chain.from_iterable(turns), key=lambda packet: packet.time_ns)


def blocks(packets: list[Packet], size: int = 10) -> Iterator[Block]:
    """As an interface delivers them: some in each buffer."""
    for at in range(0, len(packets), size):
        data, records = bytearray(), []
        for one in packets[at : at + size]:
            records.append((one.time_ns, len(data), len(data) + len(one.data), one.wire_length))
            data += one.data
        yield Block(bytes(data) + bytes(Block.PADDING), records, packets[0].linktype, "")


TRAFFIC = packets()
BLOCKS = [*blocks(TRAFFIC)]


def record(directory: Path, *, wait: bool, limit: int = LIMIT, segment_size: int = 48 * KIB) -> Recording:
    """Everything, within the limit at any moment."""
    recording = Recording(directory, limit, segment_size=segment_size, wait=wait)
    for block in BLOCKS:
        recording.add(block)
        assert disk_use(directory)[0] <= limit
    recording.close()
    assert disk_use(directory)[1] <= limit
    assert not recording.counts.imbalance()
    return recording


@pytest.fixture(scope="module")
def whole() -> dict[str, Entry]:
    """The entries of one who saw everything."""
    sniffer = Sniffer()
    found = [*chain.from_iterable([sniffer.feed([packet]) for packet in TRAFFIC]), *sniffer.close()]
    return {entry.id: entry for entry in found if entry.state == "closed"}


def begins(entry: Entry) -> int:
    message = entry.request if entry.request is not None else entry.response
    assert message is not None
    return int(message.first)


def oldest(directory: Path) -> int:
    """Time of the first packet that is still there."""
    index = Index()
    index.extend(segment_files(directory)[0].with_suffix(".index").read_bytes())
    return index.earliest


def later(directory: Path, whole: dict[str, Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    """The calls that begin in what the store has: as they are, and as it tells them."""
    found = {entry.id: entry for entry in asked(directory)}
    since = oldest(directory)
    for id, entry in whole.items():
        if begins(entry) > since:
            yield entry, found.get(id)


def test_calls_behind_dropped_segments_are_as_if_nothing_were_gone(tmp_path: Path, whole: dict[str, Entry]) -> None:
    recording = record(tmp_path, wait=True)
    assert recording.counts.evicted_segments > 10
    assert recording.counts.tables_missed == 0
    assert recording.notices == []
    told = [*later(tmp_path, whole)]
    assert len(told) > 40
    for entry, found in told:
        assert found is not None and found.to_dict() == entry.to_dict()
        assert "midstream" not in kinds(found)
    with Query(tmp_path, question()) as query:
        found_all = list(query)
    assert query.ledger.resumed_blind == 0
    assert {entry.stream for entry in found_all} == {entry.stream for entry in whole.values()}


def test_whatever_is_pruned_the_tables_are_found(tmp_path: Path) -> None:
    """A query for one of the conversations, or some of the time, or from the newest back."""
    record(tmp_path, wait=True)
    middle = (oldest(tmp_path) + TRAFFIC[-1].time_ns) // 2
    every = [entry for entry in asked(tmp_path) if entry.src.port == 40_001]
    for start, end, back in ((0, 1 << 62, True), (middle, 1 << 62, False), (0, middle, False)):
        found = asked(tmp_path, "http && src.port == 40001", start=start, end=end, newest_first=back)
        want = {entry.id: entry.to_dict() for entry in every if start <= entry.time_ns <= end}
        assert {entry.id: entry.to_dict() for entry in found} == want


def test_without_a_keeper_they_are_midstream_and_counted(
    tmp_path: Path, whole: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping.Keeping, "look", lambda self: None)
    recording = record(tmp_path, wait=False)
    assert recording.counts.tables_missed == recording.counts.evicted_segments > 10
    with Query(tmp_path, question()) as query:
        found = list(query)
    assert query.ledger.resumed_blind == 3
    assert any("midstream" in kinds(entry) for entry in found)
    assert {entry.id for entry in found} & set(whole)  # their ids are right all the same


def test_one_that_is_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_AGAIN", 0.0)
    recording = Recording(tmp_path, LIMIT, segment_size=48 * KIB, wait=True)
    killed = 0
    for block in BLOCKS:
        recording.add(block)
        process = recording._keeping._process
        if process is not None and killed < 2 and recording.counts.evicted_segments > 4 * killed:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    recording.close()
    assert killed == 2
    assert len(recording.notices) == 2 and "-9" in recording.notices[0]
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
    assert recording.counts.evicted_segments > 20 and recording.counts.tables_missed <= killed


def test_it_is_not_started_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_AGAIN", 3600.0)
    recording = Recording(tmp_path, LIMIT, segment_size=48 * KIB)
    for block in BLOCKS:
        recording.add(block)
        process = recording._keeping._process
        if process is not None:
            process.kill()
            process.wait()
    assert recording.notices == []
    recording.close()
    assert recording.counts.tables_missed > 10


def test_it_ends_with_the_one_that_records(tmp_path: Path) -> None:
    Recording(tmp_path, LIMIT).close()
    command = [
        sys.executable,
        "-m",
        "pysniff.store.keeper",
        str(tmp_path),
        "100000",
        "4096",
        "0",
        "100000",
        "4096",
        "0",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"..")
        process.stdin.close()
        assert process.wait(60) == 0


def stored(directory: Path) -> None:
    recording = Recording(directory, 1 << 30, segment_size=48 * KIB)
    for block in BLOCKS:
        recording.add(block)
    recording.close()


def kept(directory: Path) -> dict[str, dict[bytes, Resumption]]:
    return {
        path.stem: tables.load(SegmentFiles(directory, int(path.stem))) for path in sorted(directory.glob("*.tables"))
    }


def test_one_that_goes_on_writes_what_the_first_one_would_have(tmp_path: Path) -> None:
    stored(tmp_path)
    first = Keeper(tmp_path, 1 << 20, 1 << 16)
    while first.step():
        pass
    want = kept(tmp_path)
    assert len(want) == len(segment_files(tmp_path)) - 1
    assert {len(states) for states in [*want.values()][:20]} == {3}
    for path in tmp_path.glob("*.tables"):
        path.unlink()
    steps, keeper = 1, Keeper(tmp_path, 1 << 20, 1 << 16)
    while keeper.step():
        steps += 1
        if steps % 3 == 0:
            keeper = Keeper(tmp_path, 1 << 20, 1 << 16)
    assert kept(tmp_path) == want


def spoilt(packets: list[Packet], random: Random) -> list[Packet]:
    """Some sent again, some swapped with the next, as networks do it."""
    found = list(packets)
    for _ in range(len(found) // 40):
        place = random.randrange(1, len(found) - 2)
        if random.random() < 0.7:
            again = found[place]._replace(time_ns=found[place + 1].time_ns)
            found.insert(place + 2, again)
        else:
            one, other = found[place : place + 2]
            found[place : place + 2] = [other._replace(time_ns=one.time_ns), one._replace(time_ns=other.time_ns)]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_stepping_over_frames_leaves_what_reading_everything_leaves(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path, 1 << 30, segment_size=48 * KIB)
    for block in blocks(spoilt(packets(80, 5), Random(seed))):
        recording.add(block)
    recording.close()
    read: list[dict[str, dict[bytes, Resumption]]] = []
    stepped = []
    go_on = Skimming._go_on

    def counted(self: Skimming, chapter: Chapter, number: int, from_a: bytes, from_b: bytes) -> bool:
        stepped.append(go_on(self, chapter, number, from_a, from_b))
        return stepped[-1]

    monkeypatch.setattr(Skimming, "_go_on", counted)
    for _ in range(2):
        keeper = Keeper(tmp_path, 1 << 24, 1 << 22)
        while keeper.step():
            pass
        read.append(kept(tmp_path))
        for path in tmp_path.glob("*.tables"):
            path.unlink()
        monkeypatch.setattr(Skimming, "plain", lambda self, chapter: np.zeros(len(chapter.index.rows), np.bool_))
    assert read[0] == read[1]
    assert any(stepped)


def test_only_of_what_goes_on_anything_is_kept(tmp_path: Path) -> None:
    """One connection that ends is not read where it does."""
    ends = [packet for packet in TRAFFIC if b"\x9c\x40" in packet.data[34:38]]
    recording = Recording(tmp_path, 1 << 30, segment_size=48 * KIB)
    for block in blocks([packet for packet in TRAFFIC if packet not in ends[len(ends) // 3 : -3]]):
        recording.add(block)
    recording.close()
    keeper = Keeper(tmp_path, 1 << 24, 1 << 22)
    while keeper.step():
        pass
    names: set[bytes] = set()
    for path in reversed(segment_files(tmp_path)):
        index = Index()
        index.extend(path.with_suffix(".index").read_bytes())
        names |= {row.tobytes() for row in index.rows["name"]}
        assert tables.load(SegmentFiles(tmp_path, int(path.stem))).keys() <= names
    assert len(names) == 3


def test_the_newer_half_is_left_alone(tmp_path: Path) -> None:
    stored(tmp_path)
    count = len(segment_files(tmp_path))
    keeper = Keeper(tmp_path, 1 << 20, 1 << 16, patient_from=0)
    while keeper.step():
        pass
    assert len(kept(tmp_path)) == count - count // 2
    assert not Keeper(tmp_path, 1 << 20, 1 << 16, patient_from=1 << 40).step()


def test_it_writes_no_more_than_it_may(tmp_path: Path) -> None:
    stored(tmp_path)
    keeper = Keeper(tmp_path, 5 * PAGE, PAGE)
    while keeper.step():
        assert tables.disk_use(tmp_path) <= 5 * PAGE
    assert tables.disk_use(tmp_path) == 5 * PAGE


# Files


def some_states(count: int = 40) -> list[Resumption]:
    return [
        Resumption(
            "tcp", KEY[:-4] + number.to_bytes(4, "big"), NOON + number, number, (None, 0, 1)[number % 3],
            (None if number % 5 == 0 else number, 7), (number * SECOND, 0), "http2", Random(number).randbytes(300),
        )
        for number in range(count)
    ]  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    files, states = SegmentFiles(tmp_path, 7), some_states()
    assert tables.write(files, states, 1 << 20) == 0
    assert list(tables.load(files).values()) == states
    assert files.tables.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.tables"]


def test_what_does_not_fit_is_left_out_from_the_end(tmp_path: Path) -> None:
    files, states = SegmentFiles(tmp_path, 7), some_states()
    left = tables.write(files, states, 2 * PAGE)
    assert 0 < left < len(states)
    assert files.tables.stat().st_size <= 2 * PAGE
    assert list(tables.load(files).values()) == states[:-left]
    assert tables.write(files, [states[0]._replace(state=bytes(tables.EACH + 1))], 1 << 20) == 1


def test_a_damaged_file_is_as_none() -> None:
    text, _ = tables.encoded(some_states(5), 1 << 20)
    assert len(tables.decoded(text)) == 5
    for place in range(len(text)):
        assert tables.decoded(text[:place]) == []
        assert tables.decoded(text[:place] + bytes([text[place] ^ 0x55]) + text[place + 1 :]) == []


def test_a_file_of_somebody_else_does_no_harm(tmp_path: Path, whole: dict[str, Entry]) -> None:
    """Tables that were spoilt on purpose, with the right checksums."""
    record(tmp_path, wait=True)
    random = Random(1)
    for path in tmp_path.glob("*.tables"):
        states = []
        for one in tables.load(SegmentFiles(tmp_path, int(path.stem))).values():
            state = bytearray(one.state)
            for _ in range(3):
                state[random.randrange(len(state))] = random.randrange(256)
            states.append(one._replace(state=bytes(state), offsets=(random.getrandbits(60), 3), due=(17, None)))
        tables.write(SegmentFiles(tmp_path, int(path.stem)), states, 1 << 20)
    found = asked(tmp_path)
    assert {entry.stream for entry in found} == {entry.stream for entry in whole.values()}
