"""read() and sniff(): entries from files and interfaces, in for loops and in event loops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packets import pcap, pcap_record
from wire import Watched, Wire, summaries

import pysniff
from pysniff.capture.writer import Writer
from pysniff.errors import FileError, FilterError, ReadError
from pysniff.limits import SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Packet

ROOT = Path(__file__).parent.parent


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def ok(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def calls(*paths: str, sport: int = 51000, dport: int = 80, now: int = SECOND, pause: int = 0) -> list[Packet]:
    """One connection; `pause` ns before each call."""
    wire = Wire(sport=sport, dport=dport, now=now)
    packets = wire.handshake()
    for path in paths:
        wire.now += pause
        packets += [wire.send(CLIENT, get(path)), wire.send(SERVER, ok(path))]
    return packets + wire.farewell()


def saved(path: Path, packets: list[Packet]) -> Path:
    path.write_bytes(pcap([(packet.time_ns, packet.data) for packet in packets], nano=True))
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return saved(tmp_path / "shop.pcap", calls("/1", "/2", "/3"))


ALL = [("GET /1", "200"), ("GET /2", "200"), ("GET /3", "200")]


def opened(path: Path) -> bool:
    """Whether this process has the file open."""
    links = [os.path.realpath(name) for name in Path("/proc/self/fd").iterdir()]
    return str(path.resolve()) in links


# Files


def test_a_file_is_entries(shop: Path) -> None:
    assert summaries(pysniff.read(shop)) == ALL
    assert summaries(pysniff.read(str(shop))) == ALL


def test_what_is_read_is_what_the_sniffer_says(shop: Path) -> None:
    sniffer = pysniff.Sniffer()
    entries = sniffer.feed(calls("/1", "/2", "/3")) + sniffer.close()
    assert [entry.to_dict() for entry in pysniff.read(shop)] == [entry.to_dict() for entry in entries]


def test_several_files_are_one_capture(tmp_path: Path) -> None:
    """Each half of the connection was captured on its own."""
    packets = calls("/1", "/2")
    halves = [[packet for packet in packets if packet.data[34:36] == port] for port in (b"\xc7\x38", b"\0\x50")]
    client, server = (saved(tmp_path / name, half) for name, half in zip(("c.pcap", "s.pcap"), halves, strict=True))
    assert summaries(pysniff.read(server, client)) == ALL[:2]
    assert [entry.response for entry in pysniff.read(client)] == [None, None]


def test_a_capture_filter(tmp_path: Path) -> None:
    packets = calls("/1") + calls("/2", dport=8080)
    path = saved(tmp_path / "two.pcap", packets)
    entries = pysniff.read(path, bpf="tcp port 8080")
    assert summaries(entries) == [("GET /2", "200")]
    assert entries.ledger.filtered == len(packets) // 2
    assert entries.ledger.imbalances() == []


def test_a_capture_filter_that_does_not_compile(shop: Path) -> None:
    with pytest.raises(FilterError):
        list(pysniff.read(shop, bpf="tcp prot 80"))


def test_duration_is_packet_time(tmp_path: Path) -> None:
    path = saved(tmp_path / "slow.pcap", calls("/1", "/2", "/3", pause=2 * SECOND))
    entries = pysniff.read(path, duration=5)
    assert summaries(entries) == ALL[:2]
    assert entries.ledger.imbalances() == []


def test_decode_as_and_limits(tmp_path: Path) -> None:
    wire = Wire(dport=9000)
    packets = [*wire.handshake(), wire.send(CLIENT, b"PING\r\n"), wire.send(SERVER, b"+PONG\r\n"), *wire.farewell()]
    path = saved(tmp_path / "9000.pcap", packets)
    assert [entry.protocol for entry in pysniff.read(path, decode_as={("tcp", 9000): "redis"})] == ["redis"]
    (entry,) = pysniff.read(saved(path, calls("/" + "x" * 100)), limits=Limits(body_bytes=10))
    assert len(entry.response.body.raw) == 10


@pytest.mark.parametrize("name", ["copy.pcap", "copy.pcapng"])
def test_write_copies_what_the_filter_let_through(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "two.pcap", calls("/1") + calls("/2", dport=8080))
    with Writer(tmp_path / name) as writer:
        found = [entry.to_dict() for entry in pysniff.read(path, bpf="tcp port 80", write=writer)]
    assert writer.packets == len(calls("/1"))
    assert [entry.to_dict() for entry in pysniff.read(tmp_path / name)] == found


def test_progress_goes_up_to_the_size(shop: Path) -> None:
    told: list[tuple[int, int | None]] = []
    list(pysniff.read(shop, progress=lambda done, size: told.append((done, size))))
    size = shop.stat().st_size
    assert told[-1] == (size, size)
    assert told == sorted(told)


def test_the_ledger_of_a_file(shop: Path) -> None:
    entries = pysniff.read(shop)
    assert entries.ledger.packets == 0
    list(entries)
    assert (entries.ledger.packets, entries.ledger.answered) == (12, 3)
    assert entries.ledger.lossless()


# What is wrong with files


def test_no_path_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        pysniff.read()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        pysniff.read(tmp_path / "none.pcap")


def test_a_file_that_is_no_capture_leaves_no_other_open(shop: Path) -> None:
    other = shop.with_name("text.pcap")
    other.write_text("hello\n")
    with pytest.raises(FileError, match="text"):
        pysniff.read(shop, other)
    assert not opened(shop)


def test_a_cut_file_gives_every_entry_before_the_cut_then_the_error(shop: Path) -> None:
    whole = shop.read_bytes()
    shop.write_bytes(whole[:-30])
    found: list[str] = []
    entries = pysniff.read(shop)
    with pytest.raises(ReadError):
        found.extend(entry.summary for entry in entries)
    assert found == ["GET /1", "GET /2", "GET /3"]
    assert entries.ledger.imbalances() == []
    assert list(entries) == []


def test_what_is_still_open_where_a_file_breaks_off_is_an_entry_too(shop: Path) -> None:
    packets = calls("/1")[:4]
    shop.write_bytes(pcap([(packet.time_ns, packet.data) for packet in packets]) + b"\0" * 7)
    found: list[tuple[str, str]] = []
    with pytest.raises(ReadError):
        found.extend((entry.summary, entry.status) for entry in pysniff.read(shop))
    assert found == [("GET /1", "")]


# Ending early


def test_close_in_the_middle_releases_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "many.pcap", calls(*(f"/{n}" for n in range(5000))))
    entries = pysniff.read(path)
    assert next(entries).summary == "GET /0"
    assert opened(path)
    entries.close()
    assert not opened(path)
    assert list(entries) == []
    entries.close()


def test_leaving_the_block_releases_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "many.pcap", calls(*(f"/{n}" for n in range(5000))))
    with pysniff.read(path) as entries:
        for entry in entries:
            assert entry.summary == "GET /0"
            break
    assert not opened(path)
    assert entries.ledger.packets > 0


def test_an_exception_in_the_block_releases_the_file(shop: Path) -> None:
    with pytest.raises(KeyError), pysniff.read(shop) as entries:
        raise KeyError(next(entries).id)
    assert not opened(shop)


def test_close_before_the_first_entry(shop: Path) -> None:
    entries = pysniff.read(shop)
    entries.close()
    assert not opened(shop)
    assert list(entries) == []


def test_reading_to_the_end_releases_the_file(shop: Path) -> None:
    list(pysniff.read(shop))
    assert not opened(shop)


def test_stop_ends_a_file_that_is_followed(shop: Path) -> None:
    entries = pysniff.read(shop, follow=True)
    assert [next(entries).summary for _ in range(3)] == ["GET /1", "GET /2", "GET /3"]
    timer = threading.Timer(0.2, entries.stop)
    timer.start()
    assert list(entries) == []
    timer.join()
    assert not opened(shop)


def test_a_file_that_grows(shop: Path) -> None:
    entries = pysniff.read(shop, follow=True)
    assert [next(entries).summary for _ in range(3)] == ["GET /1", "GET /2", "GET /3"]
    with shop.open("ab") as file:
        for packet in calls("/4", sport=52000, now=9 * SECOND):
            file.write(pcap_record(packet.data, packet.time_ns, nano=True))
    assert next(entries).summary == "GET /4"
    entries.close()


# Display filters


def test_entries_that_do_not_match_are_counted_and_not_given(shop: Path) -> None:
    with pysniff.read(shop, filter='path != "/2"') as entries:
        assert summaries(entries) == [ALL[0], ALL[2]]
    ledger = entries.ledger
    assert (ledger.entries, ledger.not_matching, ledger.filter_errors) == (3, 1, 0)
    assert ledger.imbalances() == []
    assert summaries(pysniff.read(shop, filter=" ")) == ALL
    assert list(pysniff.read(shop, filter="dns").batches()) == []


def test_entries_on_which_a_filter_fails_do_not_match_and_are_counted(shop: Path) -> None:
    filter = pysniff.compile('1 / size(path) == 5 || request.headers["x"] == "y"')
    entries = pysniff.read(shop, filter=filter)
    assert summaries(entries) == []
    assert (entries.ledger.not_matching, entries.ledger.filter_errors) == (3, 3)
    assert entries.ledger.lossless()
    assert (filter.errors, filter.failure) == (3, "no key 'x'")


def test_a_filter_serves_many_sources_and_each_has_its_own_account(shop: Path) -> None:
    filter = pysniff.compile('request.headers["x"] == "y" || path == "/3"')
    for _ in range(2):
        entries = pysniff.read(shop, filter=filter)
        assert summaries(entries) == [ALL[2]]
        assert entries.ledger.filter_errors == 2
    assert filter.errors == 4
    assert filter.failure


def test_a_wrong_filter_is_told_before_anything_is_opened(shop: Path) -> None:
    with pytest.raises(FilterError, match="unknown variable") as caught:
        pysniff.read(shop, filter="pth == '/'")
    assert (caught.value.line, caught.value.column) == (1, 1)
    assert caught.value.excerpt == "pth == '/'\n^"
    assert not opened(shop)
    with pytest.raises(FilterError):
        pysniff.sniff("no-such-interface", filter="http &&")


# Event loops


def test_async_iteration(shop: Path) -> None:
    async def run() -> list[str]:
        async with pysniff.read(shop, filter='path != "/2"') as entries:
            return [entry.summary async for entry in entries]

    assert asyncio.run(run()) == ["GET /1", "GET /3"]
    assert not opened(shop)


def test_leaving_an_async_loop_releases_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "many.pcap", calls(*(f"/{n}" for n in range(5000))))

    async def run() -> None:
        async with pysniff.read(path) as entries:
            async for entry in entries:
                assert entry.summary == "GET /0"
                break

    asyncio.run(run())
    assert not opened(path)


def test_a_task_that_waits_can_be_cancelled(shop: Path) -> None:
    """A followed file waits for ever; a notebook's user does not."""

    async def run() -> list[str]:
        found: list[str] = []
        async with pysniff.read(shop, follow=True) as entries:

            async def take() -> None:
                async for entry in entries:
                    found.append(entry.summary)  # noqa: PERF401 - as they come

            task = asyncio.create_task(take())
            async with asyncio.timeout(60):
                while len(found) < 3:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        return found

    assert asyncio.run(run()) == ["GET /1", "GET /2", "GET /3"]
    assert not opened(shop)


def test_a_cancelled_task_loses_no_entry(shop: Path) -> None:
    """Its thread may still have been waiting for the next ones."""

    async def run() -> list[str]:
        found: list[str] = []
        async with pysniff.read(shop, follow=True) as entries:

            async def take(count: int) -> None:
                async for entry in entries:
                    found.append(entry.summary)
                    if len(found) == count:
                        break

            await take(2)
            for _ in range(2):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(take(99), 0.1)
            with shop.open("ab") as file:
                for packet in calls("/4", "/5", sport=52000, now=9 * SECOND):
                    file.write(pcap_record(packet.data, packet.time_ns, nano=True))
            await asyncio.wait_for(take(5), 60)
        return found

    assert asyncio.run(run()) == ["GET /1", "GET /2", "GET /3", "GET /4", "GET /5"]


def test_the_loop_goes_on_while_a_file_waits(shop: Path) -> None:
    """Nothing blocks the event loop, and none is owned."""

    async def run() -> int:
        entries = pysniff.read(shop, follow=True)
        ticks = 0

        async def take() -> list[str]:
            return [entry.summary async for entry in entries]

        task = asyncio.create_task(take())
        while ticks < 10:
            await asyncio.sleep(0.01)
            ticks += 1
        entries.stop()
        assert await task == ["GET /1", "GET /2", "GET /3"]
        return ticks

    assert asyncio.run(run()) == 10


def test_a_plain_loop_within_a_running_event_loop(shop: Path) -> None:
    """As in a notebook's cell."""

    async def cell() -> list[tuple[str, str]]:
        return summaries(pysniff.read(shop))

    assert asyncio.run(cell()) == ALL


def test_an_error_reaches_an_async_loop(shop: Path) -> None:
    shop.write_bytes(shop.read_bytes()[:-30])

    async def run() -> list[str]:
        found: list[str] = []
        with pytest.raises(ReadError):
            async for entry in pysniff.read(shop):
                found.append(entry.summary)  # noqa: PERF401 - and before the error
        return found

    assert asyncio.run(run()) == ["GET /1", "GET /2", "GET /3"]


def test_watched_and_read_agree(shop: Path) -> None:
    wire = Watched(now=SECOND)
    for path in ("/1", "/2", "/3"):
        wire.client(get(path)).server(ok(path))
    read = [entry.to_dict() for entry in pysniff.read(shop)]
    assert [entry.to_dict() for entry in wire.bye().close().entries] == read


# Interfaces

SNIFF = """
import asyncio, json, socketserver, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
import pysniff

interfaces = []

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Answer)
port = server.server_port
threading.Thread(target=server.serve_forever, daemon=True).start()

def ask(count):
    for n in range(count):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/{n}").read()

def plain():
    with pysniff.sniff("lo", bpf=f"tcp port {port}") as entries:
        interfaces.extend(entries.interfaces)
        threading.Thread(target=ask, args=(3,)).start()
        found = [next(entries).to_dict() for _ in range(3)]
        entries.stop()
        rest = [entry.summary for entry in entries]
        return found, rest, entries

async def asynchronous():
    async with pysniff.sniff("lo", bpf=f"tcp port {port}") as entries:
        interfaces.extend(entries.interfaces)
        threading.Thread(target=ask, args=(3,)).start()
        found = []
        async for entry in entries:
            found.append(entry.to_dict())
            if len(found) == 3:
                break
    return found, [], entries

def timed():
    with pysniff.sniff("lo", bpf=f"tcp port {port}", duration=4) as entries:
        interfaces.extend(entries.interfaces)
        threading.Thread(target=ask, args=(3,)).start()
        return [entry.to_dict() for entry in entries], [], entries

async def cancelled():
    async with pysniff.sniff("lo", bpf=f"tcp port {port}") as entries:
        interfaces.extend(entries.interfaces)
        found = []
        async def take():
            async for entry in entries:
                found.append(entry.to_dict())
        task = asyncio.create_task(take())
        threading.Thread(target=ask, args=(3,)).start()
        while len(found) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    return found, [], entries

how = {"plain": plain, "async": lambda: asyncio.run(asynchronous()), "duration": timed,
       "cancelled": lambda: asyncio.run(cancelled())}[sys.argv[1]]
found, rest, entries = how()
ledger = entries.ledger
print(json.dumps({"found": found, "rest": rest, "imbalances": ledger.imbalances(), "ledger": ledger.to_dict(),
                  "interfaces": interfaces, "lossless": ledger.lossless()}))
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"pysniff-{os.getpid()}r"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no network namespace: {done.stderr.strip()}")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.needs_root
@pytest.mark.needs("ip")
@pytest.mark.parametrize("how", ["plain", "async", "duration", "cancelled"])
def test_sniffing_an_interface(namespace: str, how: str) -> None:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", SNIFF, how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    assert [(entry["summary"], entry["status"]) for entry in told["found"]] == [(f"GET /{n}", "200") for n in range(3)]
    assert [entry["response"]["body"]["text"] for entry in told["found"]] == ["ok"] * 3
    assert {entry["capture_source"] for entry in told["found"]} == {"libpcap"}
    assert all(entry["faults"] == [] for entry in told["found"])
    assert told["rest"] == []
    assert told["interfaces"] == ["lo"]
    if how in ("plain", "duration"):  # the others leave in the middle
        assert told["imbalances"] == []
        assert told["ledger"]["live_packets"] == told["ledger"]["packets"] > 0
        assert told["lossless"]
