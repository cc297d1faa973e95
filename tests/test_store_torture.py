"""A writer that dies anywhere loses nothing but what it had not flushed; damage takes what is damaged and no more."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from disk_faults import Calls, Died, dying, failing
from store_traffic import EVERY, some, traffic
from stores import KIB, asked, dicts, different, disk_use, fed, question, recorded, segment_files, stored
from test_store_eviction import blocks

from pysniff.errors import WriteError
from pysniff.packet import Block, Packet
from pysniff.store.query import Query
from pysniff.store.recording import Recording

TESTS = Path(__file__).parent
KILLS = int(os.environ.get("PYSNIFF_KILLS", "4"))
SEGMENT = 64 * KIB


def is_readable_elsewhere(path: Path) -> bool:
    """Whether tshark reads a file to its end without a complaint."""
    done = subprocess.run(["tshark", "-r", path, "-c", "100000"], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "root" not in line]
    return done.returncode == 0 and not complaints


def content(directory: Path) -> list[Packet]:
    return [packet for block in stored(directory) for packet in block.packets()]


def recovered(directory: Path, given: Sequence[Packet], flushed: int) -> list[Packet]:
    """What a store has after its writer died, which is what was given to it, up to somewhere behind `flushed`."""
    before = dicts(asked(directory)) if segment_files(directory) else []  # a reader needs no recovery
    Recording(directory, 100_000_000).close()
    found = content(directory)
    assert flushed <= len(found) <= len(given)
    assert [(one.time_ns, one.data) for one in found] == [(one.time_ns, one.data) for one in given[: len(found)]]
    want = dicts(fed(found))
    assert different(want, before) == ""
    assert different(want, dicts(asked(directory))) == ""
    return found


@pytest.mark.parametrize("seed", range(40))
def test_a_writer_that_dies_at_any_call_loses_what_it_had_not_flushed(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    given = some(seed, 250)
    whole = Calls(1 << 60, lambda name, arguments: None)
    flushed = 0

    def write(directory: Path) -> None:
        nonlocal flushed
        recording = Recording(directory, 100_000_000, segment_size=32 * KIB, keep_all=True)
        try:
            for number, packet in enumerate(given):
                recording.add(Block.of(packet))
                if number % 40 == 39:
                    recording.flush()
                    flushed = number + 1
            recording.close()
            flushed = len(given)
        except Died:
            recording._lock.release()

    with whole.watched():
        write(tmp_path / "whole")
    flushed = 0
    mortal = Calls(random.randrange(3, whole.count), dying(random))
    with mortal.watched():
        write(tmp_path / "store")
    assert mortal.count > mortal.at
    recovered(tmp_path / "store", given, flushed)


@pytest.mark.needs("tshark")
def test_a_writer_is_killed_again_and_again(tmp_path: Path) -> None:
    """Each takes over from the one before it; at the end the store has every packet once."""
    directory, random, kept = tmp_path / "store", Random(0), 0
    for kill in range(KILLS):
        command = [sys.executable, TESTS / "store_writer.py", directory, "9", "100000000", str(kept)]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(random.randrange(1, 12))]
            with suppress(subprocess.TimeoutExpired):
                writer.wait(random.random() / 20)
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        flushed = max(int(line) for line in told if line.endswith("\n"))
        Recording(directory, 100_000_000).close()
        found = content(directory)
        assert len(found) >= flushed, f"kill {kill}"
        given = some(9, len(found))
        assert [(one.time_ns, one.data) for one in found] == [(one.time_ns, one.data) for one in given]
        kept = len(found)
        assert is_readable_elsewhere(segment_files(directory)[-1])
    assert different(dicts(fed(some(9, kept))), dicts(asked(directory))) == ""
    assert all(is_readable_elsewhere(path) for path in random.sample(segment_files(directory), 6))


@pytest.mark.needs("tshark")
def test_other_tools_read_a_segment_after_every_flush(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "store", 100_000_000, segment_size=1 << 30, keep_all=True)
    packets = some(4, 600)
    for at in range(0, 600, 150):
        for block in blocks(packets[at : at + 150]):
            recording.add(block)
        recording.flush()
        assert is_readable_elsewhere(segment_files(tmp_path / "store")[-1])
        assert [one.data for one in content(tmp_path / "store")] == [one.data for one in packets[: at + 150]]
    recording.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of about ten segments, to be copied and damaged."""
    directory = tmp_path_factory.mktemp("sound") / "store"
    recorded(directory, blocks(some(10, 1600)))
    return directory


def spoil(path: Path, random: Random) -> tuple[int, int]:
    """Damage a file somewhere; the range of bytes that is not what it was."""
    text = bytearray(path.read_bytes())
    at = random.randrange(len(text))
    kind = random.randrange(4)
    if kind == 0:  # cut short
        path.write_bytes(text[:at])
        return at, len(text)
    size = (1, 16, 4096)[kind - 1]
    place = slice(at, min(at + size, len(text)))
    text[place] = bytes(place.stop - at) if random.random() < 0.3 else random.randbytes(place.stop - at)
    path.write_bytes(text)
    return place.start, place.stop


def harmed(directory: Path, ranges: dict[Path, tuple[int, int]]) -> set[int]:
    """Ports of clients that a packet in a damaged range is from or to, by the sound store: no two have the same."""
    found = set()
    for chapter in Query(directory, question())._catalogue.chapters():
        low, high = ranges.get(Path(chapter.files.packets.name), (0, 0))
        index = chapter.index
        ends = [*index.offsets[1:].tolist(), index.covered]
        for begin, end, row in zip(index.offsets.tolist(), ends, index.flows.tolist(), strict=True):
            if begin < high and low < end and row < len(index.rows):
                found |= {int(index.rows[row]["port_a"]), int(index.rows[row]["port_b"])}
    return found


@pytest.mark.parametrize("seed", range(25))
def test_damage_costs_no_conversation_beside_it(seed: int, sound: Path, tmp_path: Path) -> None:
    random = Random(seed)
    directory = tmp_path / "store"
    shutil.copytree(sound, directory)
    ranges = {}
    for path in random.sample(segment_files(directory), random.randrange(1, 4)):
        ranges[Path(path.name)] = spoil(path, random)
    if random.random() < 0.5:
        for path in random.sample(sorted(directory.glob("*.index")), 2):
            path.unlink() if random.random() < 0.5 else spoil(path, random)
    lost = harmed(sound, ranges)
    want = [entry for entry in asked(sound) if entry.src.port not in lost]
    for _ in range(2):
        got = [entry for entry in asked(directory) if entry.src.port not in lost]
        known = {entry.id for entry in want}
        assert different(dicts(want), dicts(entry for entry in got if entry.id in known)) == ""
        some_stream = random.choice(want).stream
        pruned = asked(directory, f'stream == "{some_stream}"')
        assert dicts(pruned) == dicts(entry for entry in want if entry.stream == some_stream)
        Recording(directory, 100_000_000).close()  # a writer that takes over changes nothing of that


@pytest.mark.parametrize("seed", range(12))
def test_an_index_that_is_lost_or_damaged_is_made_again(seed: int, sound: Path, tmp_path: Path) -> None:
    random = Random(seed)
    directory = tmp_path / "store"
    shutil.copytree(sound, directory)
    indexes = sorted(directory.glob("*.index"))
    for path in random.sample(indexes, len(indexes) if seed < 2 else 3):
        path.unlink() if random.random() < 0.5 or not seed else spoil(path, random)
    want = asked(sound)
    assert different(dicts(want), dicts(asked(directory))) == ""
    for text in ("http", "dst.port == 6379", f'stream == "{want[0].stream}"', "dns && src.port > 20010"):
        assert different(dicts(asked(sound, text)), dicts(asked(directory, text))) == ""
    again = Recording(directory, 100_000_000)
    assert again.notices
    again.close()
    assert different(dicts(want), dicts(asked(directory))) == ""
    second = Recording(directory, 100_000_000)
    assert not second.notices
    second.close()


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("seed", range(6))
def test_a_disk_that_fails_costs_what_could_not_be_written(kind: int, seed: int, tmp_path: Path) -> None:
    """Capture goes on; every packet is counted; one notice says it, one that it is over."""
    random = Random(seed)
    given = some(seed, 900)
    calls = Calls(random.randrange(4, 60), failing(kind, random.choice((1, 2, 9)), random))
    recording = Recording(tmp_path / "store", 100_000_000, segment_size=SEGMENT, keep_all=True)
    with calls.watched():
        for number, packet in enumerate(given):
            recording.add(Block.of(packet))
            if number % 20 == 19:
                recording.flush()
                assert not recording.counts.imbalance()
        recording.close()
    counts = recording.counts
    assert counts.full > 0 and counts.stored + counts.full == counts.packets == 900 and counts.waiting == 0
    assert len(recording.notices) == 2, recording.notices
    assert os.strerror(kind) in recording.notices[0] and "room again" in recording.notices[1]
    found = content(tmp_path / "store")
    assert len(found) == counts.stored
    times = {packet.time_ns for packet in found}
    assert different(dicts(fed(found)), dicts(asked(tmp_path / "store"))) == "" or times
    known = {packet.time_ns: packet.data for packet in given}
    assert all(known[packet.time_ns] == packet.data for packet in found)


@pytest.mark.needs_root
@pytest.mark.needs("mount", "umount")
def test_a_full_disk_is_counted_until_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        (disk / "other").write_bytes(bytes(600 * KIB))
        source = traffic(11, kinds=EVERY)
        recording = Recording(disk / "store", 900_000, segment_size=SEGMENT, keep_all=True)
        for number, packet in zip(range(6000), source, strict=False):
            recording.add(Block.of(packet))
            if number == 3000:
                assert recording.counts.full > 0 and len(recording.notices) == 1
                (disk / "other").unlink()
            assert max(disk_use(disk / "store")) <= 900_000
        recording.close()
        counts = recording.counts
        assert not counts.imbalance() and len(recording.notices) == 2
        assert counts.stored - counts.evicted == len(content(disk / "store"))
        assert disk_use(disk / "store")[0] > 500_000
        assert asked(disk / "store")
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    writer = Recording(tmp_path / "store", 1_000_000)
    with pytest.raises(WriteError, match=f"process {os.getpid()} records into it already"):
        Recording(tmp_path / "store", 1_000_000)
    command = [sys.executable, TESTS / "store_writer.py", tmp_path / "store", "1", "1000000", "0"]
    other = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert other.returncode != 0 and f"process {os.getpid()} records into it already" in other.stderr
    writer.close()
    Recording(tmp_path / "store", 1_000_000).close()


def test_who_asks_whether_anybody_records_keeps_nobody_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path / "store", some(1, 10))
    asking = os.open(tmp_path / "store" / "lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr("pysniff.store.directory.sleep", lambda _: os.close(asking))  # it does not ask for long
    Recording(tmp_path / "store", 1_000_000).close()


def test_only_its_owner_reads_a_store(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        recorded(tmp_path / "store", blocks(some(1, 600)), limit=600_000)
    finally:
        os.umask(before)
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "store").iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["notes.txt", "1.pcapng", "00000001.pcapng.bak"])
def test_a_directory_with_files_of_others_is_no_store(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(WriteError, match="holds other files"):
        Recording(tmp_path, 1_000_000)
    assert (tmp_path / name).read_text() == "mine"
