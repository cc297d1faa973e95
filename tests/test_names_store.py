"""A store's entries have the names that reading all packets in order gives, whatever is pruned, noted or gone."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from names_talk import CART, SHOP, answer, call, entries, some_traffic
from stores import KIB, asked, dicts, different, disk_use, question, recorded, segment_files
from test_store_eviction import blocks

from pysniff.entry import Entry
from pysniff.hosts import Hosts
from pysniff.names import Lesson, Names
from pysniff.packet import Block, Packet
from pysniff.store import Store, keeping, naming
from pysniff.store.directory import PAGE, SegmentFiles, segments
from pysniff.store.index import Index
from pysniff.store.naming import Naming, Told
from pysniff.store.naming_keeper import NameKeeper
from pysniff.store.query import Query
from pysniff.store.recording import Recording

TRAFFIC = some_traffic(7, 1600)
WHOLE = entries(TRAFFIC)
MIB = 1024 * KIB


def note(directory: Path, *, total: int = MIB, each: int = MIB) -> None:
    """Beside every finished segment, as the keeper does it."""
    keeper = NameKeeper(directory, total, each)
    while keeper.step():
        pass


def note_some(directory: Path) -> None:
    note(directory)
    for number, path in enumerate(sorted(directory.glob("*.names"))):
        if number % 3 == 1:
            path.unlink()


@pytest.fixture(scope="module", params=["read", "noted", "some noted"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names are found in the packets, or were noted beside each segment, or the one and the other."""
    directory: Path = tmp_path_factory.mktemp("store")
    recorded(directory, blocks(TRAFFIC), segment_size=32 * KIB)
    ways: dict[str, Callable[[Path], None]] = {"read": lambda path: None, "noted": note, "some noted": note_some}
    ways[request.param](directory)
    assert len(segment_files(directory)) > 5
    return directory


def test_the_traffic_of_these_tests_has_names_that_change() -> None:
    found = {entry.dst.name for entry in WHOLE if entry.protocol == "http"}
    assert len(found) > 100 and "" in found and any(name.startswith("t") for name in found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http",
        "dns",
        "dst.ip == '10.0.0.3'",
        "src.port == 60002",
        "dst.port == 53",
        "redis",
        "dst.name == 'n900.example'",
    ],
)
def test_whatever_the_filter_leaves_out(store: Path, text: str) -> None:
    from pysniff.kfl.variables import compile

    matches = compile(text).matches
    assert different(dicts(filter(matches, WHOLE)), dicts(asked(store, text))) == ""


def test_whatever_the_time(store: Path) -> None:
    random = Random(1)
    for _ in range(8):
        start, end = sorted((random.choice(WHOLE).time_ns, random.choice(WHOLE).time_ns))
        want = [entry for entry in WHOLE if start <= entry.time_ns <= end and entry.protocol == "http"]
        assert different(dicts(want), dicts(asked(store, "http", start=start, end=end))) == ""


def test_newest_first_one_connection_and_one_entry(store: Path) -> None:
    last = {entry.id: entry.to_dict() for entry in WHOLE}
    found = asked(store, "http", newest_first=True)
    assert {entry.id: entry.to_dict() for entry in found} == {
        id: one for id, one in last.items() if one["protocol"] == "http"
    }
    for entry in Random(2).sample(WHOLE, 5):
        assert Store(store).entry(entry.id).to_dict() == last[entry.id]
        want = [one for one in WHOLE if one.stream == entry.stream]
        assert different(dicts(want), dicts(asked(store, f'stream == "{entry.stream}"'))) == ""


def test_a_file_of_names_comes_first(store: Path) -> None:
    names = Names(Hosts.parse("10.0.0.2 front\n"))
    want = [entry.to_dict() for entry in entries(TRAFFIC, names=names) if entry.protocol == "http"]
    found = [entry.to_dict() for entry in Store(store).query("http", names=names)]
    assert found == want and {entry["dst"]["name"] for entry in found if entry["dst"]["ip"] == "10.0.0.2"} == {"front"}


def test_noted_names_spare_the_reading_of_what_told_them(tmp_path: Path) -> None:
    """But for a connection to a resolver that goes on where nothing is noted: a message may have begun before."""
    recorded(tmp_path, blocks(TRAFFIC), segment_size=32 * KIB)
    read = []
    for _ in range(2):
        with Query(tmp_path, question("src.port == 60003")) as query:
            list(query)
        read.append(query.packets_read)
        assert query.packets_read + query.packets_pruned == len(TRAFFIC)
        note(tmp_path)
    datagrams = sum(1 for packet in TRAFFIC if packet.data[23] == 17)
    assert read[0] - read[1] > datagrams * 0.8 > 250  # the rest is in the segment that still grows


@pytest.mark.parametrize("noted", [False, True])
def test_a_follower_sees_the_names_of_what_comes(tmp_path: Path, noted: bool) -> None:
    recording = Recording(tmp_path, 100 * MIB, segment_size=32 * KIB)
    places = iter(range(0, len(TRAFFIC), 150))
    query = Query(tmp_path, question("http", follow=True))

    def write(timeout: float | None = None) -> bool:
        begin = next(places, None)
        if begin is None:
            recording.flush()
            query.finish()
        else:
            for packet in TRAFFIC[begin : begin + 150]:
                recording.add(Block.of(packet))
            recording.flush()
            if noted:
                note(tmp_path)
        return False

    query._stopped.wait = write  # type: ignore[method-assign]
    found = list(query)
    recording.close()
    assert different(dicts(entry for entry in WHOLE if entry.protocol == "http"), dicts(found)) == ""


# What is gone


def evicting(directory: Path, traffic: list[Packet], limit: int = 300 * KIB) -> Recording:
    recording = Recording(directory, limit, segment_size=32 * KIB, wait=True)
    for block in blocks(traffic, 25):
        recording.add(block)
    assert disk_use(directory)[0] <= limit
    recording.close()
    assert disk_use(directory)[1] <= limit
    assert not recording.counts.imbalance()
    return recording


def later(directory: Path, every: list[Entry]) -> list[Entry]:
    """Calls that began in what is still there."""
    index = Index()
    index.extend(segments(directory)[0].index.read_bytes())
    return [entry for entry in every if entry.time_ns > index.earliest and entry.protocol == "http"]


def test_names_outlive_the_packets_that_told_them(tmp_path: Path) -> None:
    traffic = [answer(0, b"shop.example", SHOP), answer(1, b"cart.example", CART)]
    for number in range(1200):
        traffic += call(10 + 20 * number, 20_000 + number, f"10.0.0.{2 + number % 2}")
        if number % 100 == 0:
            traffic.append(answer(20 + 20 * number, b"other.example", bytes([10, 0, 9, 9])))
    recording = evicting(tmp_path, traffic)
    assert recording.counts.evicted_segments > 5 and recording.counts.names_missed == 0
    want = later(tmp_path, entries(traffic))
    assert len(want) > 200 and {entry.dst.name for entry in want} == {"shop.example", "cart.example"}
    found = {entry.id: entry.to_dict() for entry in asked(tmp_path, "http")}
    assert [found.get(entry.id) for entry in want] == dicts(want)
    assert {name: found[name] for name in found} == {
        one.id: one.to_dict() for one in asked(tmp_path) if one.id in found
    }


def test_they_are_noted_long_before_anything_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "UNNOTED", 64 * KIB)
    recording = Recording(tmp_path, 100 * MIB, segment_size=32 * KIB)
    for block in blocks(TRAFFIC, 25):
        recording.add(block)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.names"))) < len(segment_files(tmp_path)) - 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    recording.close()
    assert recording.counts.evicted == 0 and not list(tmp_path.glob("*.part"))
    assert different(dicts(e for e in WHOLE if e.protocol == "http"), dicts(asked(tmp_path, "http"))) == ""


def test_without_a_keeper_what_was_not_noted_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping.Keeping, "look", lambda self: None)
    recording = evicting(tmp_path, [answer(0, b"shop.example", SHOP), *some_traffic(3, 2000)])
    assert recording.counts.names_missed == recording.counts.evicted_segments > 2


def test_a_keeper_goes_on_where_another_one_stopped(tmp_path: Path) -> None:
    recorded(tmp_path, blocks(TRAFFIC), segment_size=32 * KIB)
    note(tmp_path)
    at_once = {path.name: path.read_bytes() for path in tmp_path.glob("*.names")}
    for path in tmp_path.glob("*.names"):
        path.unlink()
    while NameKeeper(tmp_path, MIB, MIB).step():
        pass
    one, other = naming.decoded(at_once[max(at_once)]), naming.load(segments(tmp_path)[-2])
    assert one is not None and other is not None
    assert one.told == other.told and set(one.before) == set(other.before)
    assert {path.name for path in tmp_path.glob("*.names")} == set(at_once)


# The files


def some_names(count: int) -> Naming:
    before = [
        Lesson(number, bytes([10, 1, number >> 8, number & 255]), f"name{number * 7919}") for number in range(count)
    ]
    return Naming(before, [Told(number, number, before[number]) for number in range(0, count, 2)])


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, 3)
    names = some_names(100)
    assert naming.load(files) is None
    assert naming.write(files, names, MIB) == 0
    assert naming.load(files) == names
    assert files.names.stat().st_mode & 0o777 == 0o600
    files.remove()
    assert not files.names.exists()


def test_a_file_has_at_most_its_share_and_the_newest_names_stay() -> None:
    names = some_names(5000)
    text, left = naming.encoded(names, 4 * PAGE)
    assert len(text) <= 4 * PAGE and left > 2500
    found = naming.decoded(text)
    assert found is not None and found.told is None
    assert list(found.before) == list(names.before[-len(found.before) :]) and len(found.before) > 500
    assert naming.encoded(some_names(10), 10)[0] == naming.encoded(Naming([], None), PAGE)[0]


def test_damage_of_any_kind_is_as_if_there_were_no_file() -> None:
    text = naming.encoded(some_names(50), MIB)[0]
    random = Random(4)
    for _ in range(500):
        spoilt = bytearray(text)
        for _ in range(random.randrange(1, 4)):
            spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
        assert bytes(spoilt) == text or naming.decoded(bytes(spoilt)) is None
    for size in range(0, len(text), 7):
        assert naming.decoded(text[:size]) is None


def test_a_forged_file_is_read_within_bounds() -> None:
    """With checksums that are right."""

    def forged(body: bytes, size: int | None = None) -> bytes:
        rest = (len(body) if size is None else size).to_bytes(4, "little") + zlib.compress(body)
        return naming.MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest

    many = (0xFFFFFFFE).to_bytes(4, "little")
    for body in (b"", many + many, many + bytes(100), bytes(4) + many + bytes(64), b"\1\0\0\0" + bytes(40)):
        assert naming.decoded(forged(body)) is None
    assert naming.decoded(forged(bytes(8))) == Naming([], [])
    assert naming.decoded(forged(bytes(64 * MIB), 8)) is None
    assert naming.decoded(forged(bytes(64 * MIB), naming.ALL)) is None


def test_damaged_files_are_read_again_from_the_packets(tmp_path: Path) -> None:
    recorded(tmp_path, blocks(TRAFFIC), segment_size=32 * KIB)
    note(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*.names"))):
        path.write_bytes(b"" if number % 2 else path.read_bytes()[:-5])
    assert different(dicts(e for e in WHOLE if e.protocol == "http"), dicts(asked(tmp_path, "http"))) == ""


def test_forced_protocols_ask_the_packets_again(tmp_path: Path) -> None:
    """What tells names is another thing then."""
    recorded(tmp_path, blocks(TRAFFIC), segment_size=32 * KIB)
    note(tmp_path)
    rules = {("udp", 53): "nobody", ("tcp", 53): "redis"}
    want = [entry for entry in entries(TRAFFIC, decode_as=rules) if entry.protocol == "http"]
    assert different(dicts(want), dicts(asked(tmp_path, "http", decode_as=rules))) == ""
