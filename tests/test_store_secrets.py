"""A store keeps the secrets of the TLS connections that it has packets of: beside them, for its owner alone, and only
when it was told to."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from packets import ethernet_tcp
from stores import SEGMENT, asked, blocks_of, question, recorded, segment_files
from tls_wire import TLS12, TLS13, TlsWire, get, ok
from wire import Wire

import pysniff
from pysniff.errors import FileError
from pysniff.keylogs import key_logs
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Block, Packet
from pysniff.secrets import Secret, Secrets, SecretSource, TlsConnection
from pysniff.sniffer import Sniffer
from pysniff.store import Store
from pysniff.store.directory import PAGE
from pysniff.store.query import Query
from pysniff.store.recording import Recording
from pysniff.store.secrets_file import parsed

KIB = 1024


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return Authority(tmp_path_factory.mktemp("authority"), "shop").issue("shop.example")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def record(directory: Path, packets: Iterable[Packet], keys: Path | None, **options: int) -> Recording:
    """Into a store, with the secrets of a key log that is whole when it begins."""
    options = {"segment_size": SEGMENT, "limit": 4_000_000, **options}
    secrets = None if keys is None else key_logs(keys)
    recording = Recording(directory, **options, secrets=secrets)  # type: ignore[arg-type]
    for packet in packets:
        recording.add(Block.of(packet))
    recording.close()
    return recording


def fed(packets: Iterable[Packet], keys: Path) -> list[dict[str, object]]:
    """What `pysniff -r --keylog` makes of them."""
    sniffer = Sniffer(secrets=Secrets(*key_logs(keys)))
    return [entry.to_dict() for entry in (*sniffer.feed(packets), *sniffer.close())]


def of(directory: Path, text: str = "", **values: object) -> list[dict[str, object]]:
    return [entry.to_dict() for entry in asked(directory, text, **values)]


def kept(directory: Path) -> dict[str, set[bytes]]:
    """Client randoms, by the name of the file where their secrets are."""
    return {
        path.name: {one.secret.random for one in parsed(path.read_bytes())}
        for path in sorted(directory.glob("*.keylog"))
    }


def hello_of(packets: Iterable[Packet]) -> bytes:
    """The client random of a connection."""
    found = re.search(rb"\x16\x03.{3}\x01.{3}\x03\x03(.{32})", b"".join(one.data for one in packets), re.DOTALL)
    assert found
    return found[1]


class Script(SecretSource):
    """Gives what it is told to give."""

    name = "kernel"
    complete = False

    def __init__(self) -> None:
        self.next: list[Secret] = []

    def take(self) -> list[Secret]:
        found, self.next = self.next, []
        return found


# What is kept


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_history_is_read_with_the_secrets_that_are_kept(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path], version: object
) -> None:
    tls = TlsWire(keys, certificate, version=version)  # type: ignore[arg-type]
    packets = [*tls.handshake(), *tls.call(get("/pay"), ok(b"paid")), *tls.farewell()]
    record(tmp_path / "store", packets, keys)
    entries = of(tmp_path / "store")
    assert [entry["protocol"] for entry in entries] == ["tlsx", "http"]
    assert entries == fed(packets, keys)
    told = entries[1]["tls"]
    assert isinstance(told, dict)
    assert told["key_source"] == "keylog"


def test_the_file_is_a_key_log_for_its_owner_alone(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    record(tmp_path / "store", [*tls.handshake(), *tls.farewell()], keys)
    (path,) = (tmp_path / "store").glob("*.keylog")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = {line for line in path.read_text().splitlines() if not line.startswith("#")}
    assert lines == {line for line in keys.read_text().splitlines() if "EXPORTER" not in line and line[0] != "#"}


def test_without_the_option_no_secret_is_written(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    packets = [*tls.handshake(), *tls.call(get("/"), ok(b"")), *tls.farewell()]
    record(tmp_path / "store", packets, None)
    assert kept(tmp_path / "store") == {}
    secrets = [line.split()[2] for line in keys.read_text().splitlines() if line[0] != "#"]
    for path in (tmp_path / "store").iterdir():
        data = path.read_bytes()
        assert not any(secret.encode() in data or bytes.fromhex(secret) in data for secret in secrets)


def test_only_secrets_of_connections_with_packets_here_are_kept(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    ours, others = TlsWire(keys, certificate), TlsWire(keys, certificate, sport=51001)
    packets = ours.handshake()
    others.handshake()
    record(tmp_path / "store", packets, keys)
    assert kept(tmp_path / "store") == {"00000001.keylog": {hello_of(packets)}}


def test_secrets_may_come_after_their_packets(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    packets = [*tls.handshake(), *tls.call(get("/late"), ok(b"")), *tls.farewell()]
    source = Script()
    recording = Recording(tmp_path / "store", secrets=[source])
    for packet in packets:
        recording.add(Block.of(packet))
    recording.flush()
    assert kept(tmp_path / "store") == {}
    (log,) = key_logs(keys)
    source.next = [*log.take()]
    recording.keep_late()
    assert kept(tmp_path / "store") == {"00000001.keylog": {hello_of(packets)}}
    recording.close()
    (_, call) = of(tmp_path / "store")
    assert isinstance(call["tls"], dict)
    assert call["tls"]["key_source"] == "kernel"


def test_a_tunnel_s_secrets_are_kept_as_any(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate, dport=3128)
    wire = tls.wire
    before = [
        *wire.handshake(),
        wire.send(CLIENT, b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n"),
    ]
    before += [wire.send(SERVER, b"HTTP/1.1 200 Connection established\r\n\r\n")]
    packets = [*before, *tls.handshake()[3:], *tls.call(get("/in"), ok(b"")), *tls.farewell()]
    record(tmp_path / "store", packets, keys)
    entries = of(tmp_path / "store")
    assert entries == fed(packets, keys)
    assert [entry["protocol"] for entry in entries] == ["http", "tlsx", "http"]


# How long


def filler(number: int, size: int, now: int) -> Iterator[Packet]:
    """Other traffic, which fills segments."""
    wire = Wire(sport=20_000 + number, dport=6379, now=now)
    yield from wire.handshake()
    for _ in range(size // 1400):
        yield wire.send(CLIENT, b"*2\r\n$3\r\nGET\r\n$1380\r\n" + b"x" * 1380 + b"\r\n")
        yield wire.send(SERVER, b"$-1\r\n")
    yield from wire.farewell()


def test_secrets_go_with_the_packets_that_they_belong_to(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    def traffic() -> Iterator[Packet]:
        now = 1_000_000_000
        for number in range(12):
            tls = TlsWire(keys, certificate, sport=51_000 + number, now=now)
            yield from [*tls.handshake(), *tls.call(get(f"/{number}"), ok(b"")), *tls.farewell()]
            yield from filler(number, 100 * KIB, tls.wire.now)
            now = tls.wire.now + 1_000_000_000

    packets = list(traffic())
    recording = record(tmp_path / "store", packets, keys, limit=512 * KIB)
    assert recording.counts.evicted_segments > 5
    segments = [path.stem for path in segment_files(tmp_path / "store")]
    here = kept(tmp_path / "store")
    assert {name.removesuffix(".keylog") for name in here} <= set(segments)
    there = {
        hello_of([packet])
        for path in segment_files(tmp_path / "store")
        for block in blocks_of(path)
        for packet in block.packets()
        if re.search(rb"\x16\x03.{3}\x01.{3}\x03\x03", packet.data, re.DOTALL)
    }
    assert set().union(*here.values()) == there
    assert 0 < len(there) < 12


def test_secrets_of_a_connection_that_goes_on_are_carried_over(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    tls, over = TlsWire(keys, certificate), TlsWire(keys, certificate, sport=51001)
    packets = tls.handshake()
    long = hello_of(packets)
    packets += [*over.handshake(), *over.farewell()]
    for number in range(10):
        packets += tls.call(get(f"/{number}"), ok(b""))
        packets += filler(number, 100 * KIB, tls.wire.now)
        tls.wait(1)
    recording = record(tmp_path / "store", packets, keys, limit=512 * KIB)
    assert recording.counts.evicted_segments > 5
    oldest, *_ = segment_files(tmp_path / "store")
    assert kept(tmp_path / "store")[f"{oldest.stem}.keylog"] == {long}


def test_the_limit_holds_with_secrets(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    limit, most = 400 * KIB, 0
    recording = None
    for number in range(60):
        tls = TlsWire(keys, certificate, sport=51_000 + number, now=(number + 1) * 1_000_000_000)
        packets = [*tls.handshake(), *tls.call(get("/"), ok(bytes(3000))), *tls.farewell()]
        recording = recording or Recording(tmp_path / "store", limit, secrets=key_logs(keys, follow=True))
        for packet in packets:
            recording.add(Block.of(packet))
        recording.flush()
        sizes = [path.stat().st_size for path in (tmp_path / "store").iterdir()]
        most = max(most, sum(-(-size // PAGE) * PAGE for size in sizes))
    assert recording
    assert recording.counts.evicted_segments
    assert most <= limit
    recording.close()


def test_what_has_no_room_is_said_and_counted(tmp_path: Path, keys: Path) -> None:
    """Somebody makes as many connections as can be: their hellos are small, their secrets are not."""

    def hello(number: int) -> Packet:
        random = number.to_bytes(32, "big")
        body = b"\x03\x03" + random + b"\0\0\x02\x13\x01\x01\0"
        record = b"\x16\x03\x01" + (len(body) + 4).to_bytes(2, "big") + b"\x01\0" + len(body).to_bytes(2, "big") + body
        frame = ethernet_tcp("10.0.0.1", "10.0.0.2", 1024 + number, 443, record, seq=1, ack=1, flags=24)
        return Packet(frame, number * 1000, len(frame))

    labels = ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0")
    keys.write_text("".join(f"{label} {number:064x} {number:064x}\n" for number in range(2000) for label in labels))
    recording = record(tmp_path / "store", map(hello, range(2000)), keys, segment_size=64 * KIB, limit=300 * KIB)
    sizes = [path.stat().st_size for path in (tmp_path / "store").glob("*.keylog")]
    assert max(sizes) <= 64 * KIB // 3
    assert recording.secrets
    assert recording.secrets.missed > 0
    assert len([notice for notice in recording.notices if "no room" in notice]) == 1


# Who left off, and who goes on


def test_another_recording_goes_on(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    first = [*tls.handshake(), *tls.call(get("/1"), ok(b""))]
    record(tmp_path / "store", first, keys)
    (path,) = (tmp_path / "store").glob("*.keylog")
    with path.open("ab") as file:
        file.write(b"CLIENT_RANDOM 00")  # cut off, as by a crash
    (tmp_path / "store" / "00000099.keylog").write_text("CLIENT_RANDOM ff ff\n")  # of no segment
    second = [*tls.call(get("/2"), ok(b"")), *tls.farewell()]
    record(tmp_path / "store", second, keys)
    assert not (tmp_path / "store" / "00000099.keylog").exists()
    assert of(tmp_path / "store") == fed([*first, *second], keys)


def test_files_that_say_anything_are_stepped_over(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    packets = [*tls.handshake(), *tls.call(get("/"), ok(b"")), *tls.farewell()]
    record(tmp_path / "store", packets, keys)
    (path,) = (tmp_path / "store").glob("*.keylog")
    good = path.read_bytes()
    path.write_bytes(b"\0\xff" * 1000 + b"\n# stream=zz\nCLIENT_RANDOM " + b"a" * 100_000 + b"\n" + good + b"no line")
    assert of(tmp_path / "store") == fed(packets, keys)
    path.unlink()
    path.symlink_to("/nowhere")
    assert [entry["protocol"] for entry in of(tmp_path / "store")] == ["tlsx"]


def test_why_a_connection_stayed_closed_is_said_as_without_a_store(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    known, other = TlsWire(keys, certificate), TlsWire(tmp_path / "others", certificate, sport=51001, now=2_000_000_000)
    packets = [
        one for tls in (known, other) for one in (*tls.handshake(), *tls.call(get("/"), ok(b"")), *tls.farewell())
    ]
    record(tmp_path / "store", packets, keys)
    found = of(tmp_path / "store")
    assert found == fed(packets, keys)
    closed = found[-1]["response"]
    assert isinstance(closed, dict)
    assert closed["not_decrypted"].startswith("there are keys, but none for this connection")


# Without secrets


def test_a_store_without_secrets_says_so_once(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    packets: list[Packet] = []
    for number in range(3):
        tls = TlsWire(keys, certificate, sport=51_000 + number, now=(number + 1) * 1_000_000_000)
        packets += [*tls.handshake(), *tls.call(get("/"), ok(b"")), *tls.farewell()]
    recorded(tmp_path / "store", packets)
    for newest_first in (False, True):
        with Store(tmp_path / "store").query(newest_first=newest_first) as query:
            assert {entry.protocol for entry in query} == {"tlsx"}
        (notice,) = query.notices
        assert "3 TLS connections, and no keys were kept" in notice
        assert "--store-secrets" in notice
    with Store(tmp_path / "store").query("dst.port == 53") as query:
        assert list(query) == []
    assert query.notices == []


def test_a_key_log_opens_a_store_that_has_none(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    tls = TlsWire(keys, certificate)
    packets = [*tls.handshake(), *tls.call(get("/pay"), ok(b"paid")), *tls.farewell()]
    recorded(tmp_path / "store", packets)
    with Store(tmp_path / "store").query(keylog=keys) as query:
        entries = list(query)
    assert [entry.to_dict() for entry in entries] == fed(packets, keys)
    assert query.notices == []
    store = pysniff.Store(tmp_path / "store", keylog=keys)
    assert [entry.to_dict() for entry in store.query("http")] == [entries[1].to_dict()]
    assert store.entry(entries[1].id).to_dict() == entries[1].to_dict()
    carried = store.packets(entries[1].id)
    assert carried
    assert set(carried) < set(packets)


def test_a_wrong_key_log_is_said_at_once(tmp_path: Path) -> None:
    recorded(tmp_path / "store", [])
    with pytest.raises(FileError, match="nothing-here"):
        Store(tmp_path / "store").query(keylog=tmp_path / "nothing-here")


# Questions


def test_a_filter_finds_what_is_inside(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    packets: list[Packet] = []
    for number in range(4):
        tls = TlsWire(keys, certificate, sport=51_000 + number, now=(number + 1) * 1_000_000_000)
        packets += [*tls.handshake(), *tls.call(get(f"/{number}"), ok(b"")), *tls.farewell()]
        packets += filler(number, 3 * KIB, tls.wire.now)
    record(tmp_path / "store", packets, keys)
    (entry,) = of(tmp_path / "store", 'http && path == "/2"')
    assert entry in fed(packets, keys)
    assert len(of(tmp_path / "store", "tlsx")) == 4
    with Query(tmp_path / "store", question("redis")) as query:
        assert {entry.protocol for entry in query} == {"redis"}


def test_newest_first_gives_the_same_calls(tmp_path: Path, keys: Path, certificate: tuple[Path, Path]) -> None:
    packets: list[Packet] = []
    for number in range(6):
        tls = TlsWire(keys, certificate, sport=51_000 + number, now=(number + 1) * 1_000_000_000)
        packets += [*tls.handshake(), *tls.call(get(f"/{number}"), ok(b"x" * 40_000)), *tls.farewell()]
    record(tmp_path / "store", packets, keys)
    assert len(segment_files(tmp_path / "store")) > 2
    forwards = {str(entry["id"]): entry for entry in of(tmp_path / "store")}
    assert {str(entry["id"]): entry for entry in of(tmp_path / "store", newest_first=True)} == forwards


def test_who_follows_gets_calls_as_their_secrets_come(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    tls = TlsWire(keys, certificate)
    source = Script()
    recording = Recording(tmp_path / "store", capture_source="libpcap", secrets=[source])
    packets = [*tls.handshake(), *tls.call(get("/soon"), ok(b""))]
    for packet in packets:
        recording.add(Block.of(packet))
    recording.flush()
    with Query(tmp_path / "store", question(follow=True)) as query:
        steps = query.steps()
        assert not any(step.entries for step in (next(steps), next(steps)))
        (log,) = key_logs(keys)
        source.next = [*log.take()]
        recording.keep_late()
        found = next(step.entries for step in steps if any(entry.protocol == "http" for entry in step.entries))
        assert [entry.summary for entry in found if entry.protocol == "http"] == ["GET /soon"]
    recording.close()


# What is told of connections


def told_of(recording: Recording) -> list[TlsConnection]:
    """Those that it tells of from now on."""
    found: list[TlsConnection] = []
    assert recording.secrets is not None
    recording.secrets.on_begun.append(found.append)
    return found


def test_a_connection_is_told_of_once_as_soon_as_it_has_a_key(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    tls = TlsWire(keys, certificate)
    packets = [*tls.handshake(), *tls.call(get("/"), ok(b"1"))]
    script, random = Script(), hello_of(packets)
    recording = Recording(tmp_path / "store", secrets=[script], keep_secrets=False)
    told = told_of(recording)
    for packet in packets:
        recording.add(Block.of(packet))
    recording.flush()
    recording.keep_late()
    assert told == []
    script.next = [Secret("CLIENT_RANDOM", random, b"v" * 48)]
    recording.keep_late()
    script.next = [Secret("SERVER_TRAFFIC_SECRET_0", random, b"v" * 32)]
    recording.keep_late()
    recording.close()
    assert [(one.random, one.keyed) for one in told] == [(random, True)]
    # The ends as the client sent them.
    assert told[0].key[-4:] == (51000).to_bytes(2, "big") + (443).to_bytes(2, "big")


def test_connections_without_keys_are_told_of_at_the_end(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path]
) -> None:
    first, second = TlsWire(keys, certificate), TlsWire(keys, certificate, sport=51001)
    recording = Recording(tmp_path / "store", secrets=[Script()], keep_secrets=False)
    told = told_of(recording)
    for packet in first.handshake():
        recording.add(Block.of(packet))
    recording.flush()
    assert told == []
    for packet in second.handshake():
        recording.add(Block.of(packet))
    recording.flush()
    recording.keep_late()
    assert told == []
    recording.close()
    assert [one.keyed for one in told] == [False, False]
    assert len({one.random for one in told}) == 2


def test_a_connection_without_keys_is_told_of_when_it_has_waited(
    tmp_path: Path, keys: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pysniff.store.secrets_keeping._PATIENCE", 0.0)
    recording = Recording(tmp_path / "store", secrets=[Script()], keep_secrets=False)
    told = told_of(recording)
    for packet in TlsWire(keys, certificate).handshake():
        recording.add(Block.of(packet))
    recording.flush()
    recording.keep_late()
    assert [one.keyed for one in told] == [False]
    recording.close()
    assert len(told) == 1
