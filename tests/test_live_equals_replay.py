"""The same packets give the same entries and ids, however they are cut, repeated, batched and brought here.

And the ledger balances after every packet.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from dialogue import PLAIN, Wire, datagrams, repeated, segments, shuffled
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import ng_interface, ng_option, ng_packet, ng_section, pcap
from test_schema import complaints
from transcripts import TCP, TRANSCRIPTS, Transcript, parrot

import pysniff
from pysniff.dissectors import BUILT_IN
from pysniff.entry import Entry
from pysniff.limits import SECOND
from pysniff.packet import Block, Packet
from pysniff.sniffer import Sniffer

ROOT = Path(__file__).parent.parent
Record = dict[str, Any]
TIMES = ("timestamp", "completed", "elapsed_time")


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    """The page's plugin beside the built-in dissectors."""
    every = [*BUILT_IN, parrot().Parrot]
    known = {transport: tuple(one for one in every if one.transport == transport) for transport in ("tcp", "udp")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pysniff.sniffer.known", lambda: known)
        yield


def last_revisions(entries: Iterable[Record], without: tuple[str, ...] = ()) -> list[Record]:
    """By id; `without` these fields, and those that name the place of capture."""
    last = {entry["id"]: entry for entry in entries}
    left_out = {"nodes", "capture_source", *without}
    kept = [{name: value for name, value in entry.items() if name not in left_out} for entry in last.values()]
    return sorted(kept, key=lambda entry: str(entry["id"]))


def sniffed(packets: Iterable[Packet]) -> list[Record]:
    """One packet after the other, the ledger checked after each, and once more after the end."""
    sniffer = Sniffer()
    entries: list[Entry] = []
    for packet in packets:
        entries += sniffer.feed([packet])
        assert sniffer.ledger.imbalances() == []
    return finished(sniffer, entries)


def finished(sniffer: Sniffer, entries: list[Entry]) -> list[Record]:
    entries += sniffer.close()
    ledger = sniffer.ledger
    assert ledger.imbalances() == []
    assert ledger.dissector_errors == 0
    assert (ledger.pending_bytes, ledger.waiting, ledger.held_bytes, ledger.conversations_open) == (0, 0, 0, 0)
    closed = [entry.id for entry in entries if entry.state == "closed"]
    assert len(set(closed)) == len(closed)
    return [entry.to_dict() for entry in entries]


def plain(transcript: Transcript) -> list[Packet]:
    return PLAIN.packets(segments(transcript.steps)) if transcript.transport == "tcp" else datagrams(transcript.steps)


transcripts = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
streams = pytest.mark.parametrize("transcript", TCP, ids=str)
a_stream = st.sampled_from(TCP)
seeds = st.integers(0, 1 << 32).map(Random)


@transcripts
def test_every_dialogue_gives_its_entries(transcript: Transcript) -> None:
    entries = sniffed(plain(transcript))
    protocol = {"http2": "http", "tls": "tlsx"}.get(transcript.protocol, transcript.protocol)
    assert protocol in {entry["protocol"] for entry in entries}
    assert [line for entry in entries if entry["protocol"] != "parrot" for line in complaints(entry)] == []


@streams
@pytest.mark.parametrize("mss", [1, 2, 7, 100])
def test_segments_of_any_size(transcript: Transcript, mss: int) -> None:
    whole = last_revisions(sniffed(plain(transcript)), TIMES)
    pieces = last_revisions(sniffed(PLAIN.packets(segments(transcript.steps, mss))), TIMES)
    assert without_packets(pieces) == without_packets(whole)


def without_packets(entries: list[Record]) -> list[Record]:
    """A conversation nobody recognised tells how many packets it had, which cutting changes."""
    for entry in entries:
        for half in (entry["request"], entry["response"]):
            if half is not None and entry["protocol"] == "tcp":
                half.pop("packets", None)
        if entry["protocol"] == "tcp":
            entry["summary"] = ""
    return entries


@settings(deadline=None, max_examples=200)
@given(
    a_stream,
    st.integers(1, 200),
    seeds,
    st.integers(0, 12),
    st.tuples(st.integers(0, (1 << 32) - 1), st.integers((1 << 32) - 400, (1 << 32) - 1)),
    st.booleans(),
)
def test_repeated_and_out_of_order_is_the_same(
    transcript: Transcript, mss: int, random: Random, times: int, numbers: tuple[int, int], v6: bool
) -> None:
    """With sequence numbers that wrap; out of order within a step, as nothing answers what did not arrive."""
    wire = Wire(v6=v6, numbers=numbers)
    in_order = segments(transcript.steps, mss)
    whole = without_packets(last_revisions(sniffed(wire.packets(in_order)), TIMES))
    mixed = repeated(shuffled(in_order, random), random, times)
    assert without_packets(last_revisions(sniffed(wire.packets(mixed)), TIMES)) == whole


@settings(deadline=None, max_examples=150)
@given(a_stream, st.integers(1, 200), seeds, st.floats(0, 0.6), st.booleans(), st.booleans())
def test_with_losses_the_ledger_balances(
    transcript: Transcript, mss: int, random: Random, lost: float, syn: bool, fin: bool
) -> None:
    """And any two packets may change places, or come twice, at any distance in time."""
    sent = [one for one in segments(transcript.steps, mss, syn=syn, fin=fin) if random.random() >= lost]
    sent = repeated(sent, random, 5) if sent else []
    for _ in range(random.randrange(6) if sent else 0):
        sent.insert(random.randrange(len(sent)), sent.pop(random.randrange(len(sent))))
    wire = Wire(step_ns=random.choice([1, 1_000_000, 150_000_000, 3 * SECOND, 40 * SECOND]))
    sniffed(wire.packets(sent))


@settings(deadline=None, max_examples=150)
@given(a_stream, st.integers(5, 200), seeds)
def test_what_a_loss_leaves_is_right_or_says_that_it_may_not_be(
    transcript: Transcript, mss: int, random: Random
) -> None:
    sent = segments(transcript.steps, mss)
    whole = {line for entry in sniffed(PLAIN.packets(sent)) for line in essence(entry)}
    left = [one for one in sent if not one.data or random.random() > 0.15]
    for entry in last_revisions(sniffed(PLAIN.packets(left))):
        if entry["protocol"] != "tcp" and not entry["faults"]:
            assert entry["completeness"] == "complete"
            assert essence(entry)[0] in whole


def essence(entry: Mapping[str, Any]) -> list[str]:
    """The exchange, and each half of it: a message whose other half was lost is right by itself."""
    request, response = entry["request"], entry["response"]
    ways = [[request, response], [request, None], [None, response]]
    return [json.dumps([entry["protocol"], entry["src"], *way]) for way in ways]


@streams
def test_joined_in_the_middle_keeps_the_balance(transcript: Transcript) -> None:
    sent = segments(transcript.steps, 30)
    for skip in range(1, len(sent)):
        sniffed(PLAIN.packets(sent[skip:]))


@streams
@pytest.mark.parametrize("side", [0, 1])
def test_one_half_alone(transcript: Transcript, side: int) -> None:
    for syn in (True, False):
        sent = segments(transcript.steps, 50, syn=syn)
        sniffed(PLAIN.packets(one for one in sent if one.side == side))


# Ways to bring the packets here


@transcripts
def test_the_slow_path_is_the_same(transcript: Transcript) -> None:
    """In a VLAN decode.py takes the packets; ids and all, the entries are those of the packet loop."""
    tagged: list[Packet]
    if transcript.transport == "tcp":
        tagged = Wire(vlan=(7,)).packets(segments(transcript.steps, 60))
        fast = PLAIN.packets(segments(transcript.steps, 60))
    else:
        tagged, fast = datagrams(transcript.steps, vlan=(7, 8)), datagrams(transcript.steps)
    assert sniffed(tagged) == sniffed(fast)


def corpus_of_all() -> list[Packet]:
    """Every dialogue at once, some cut small, repeated and out of order, with 40 s of silence in each."""
    random = Random(8)
    lanes: list[list[Packet]] = []
    for number, transcript in enumerate(TRANSCRIPTS):
        if transcript.transport == "udp":
            lanes.append(datagrams(transcript.steps, 53 + number))
            continue
        sent = segments(transcript.steps, 20 + 17 * number, syn=number % 5 != 3, fin=number % 3 != 1)
        sent = repeated(shuffled(sent, random), random, number % 4)
        wire = Wire(v6=bool(number % 2), ports=(40_000 + number, 8080), numbers=(1, (1 << 32) - 90))
        lanes.append(wire.packets(sent))
    mixed = [packet for group in itertools.zip_longest(*lanes) for packet in group if packet is not None]
    clock, packets = mixed[0].time_ns, []
    for index, packet in enumerate(mixed):
        clock += 40 * SECOND if index == len(mixed) // 2 else random.randrange(3_000) * 1_000
        packets.append(packet._replace(time_ns=clock))
    return packets


ALL = corpus_of_all()


@pytest.fixture(scope="module")
def expected(plugin: None) -> list[Record]:
    return sniffed(ALL)


def test_all_at_once(expected: list[Record]) -> None:
    assert {entry["protocol"] for entry in expected} == {"http", "dns", "redis", "parrot", "tcp", "tlsx", "ws"}
    sniffer = Sniffer()
    assert finished(sniffer, sniffer.feed(ALL)) == expected


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.booleans())
def test_batches_of_any_size(expected: list[Record], sizes: list[int], blocks: bool) -> None:
    """As packets, as blocks, and with time that passes between them."""
    sniffer = Sniffer()
    entries: list[Entry] = []
    at = 0
    for size in itertools.cycle(sizes):
        batch = ALL[at : at + size]
        if not batch:
            break
        entries += sniffer.feed_block(block_of(batch)) if blocks else sniffer.feed(batch)
        at += size
        if at < len(ALL):
            middle = (batch[-1].time_ns + ALL[at].time_ns) // 2
            entries += sniffer.advance(middle)
    assert finished(sniffer, entries) == expected


def block_of(packets: list[Packet]) -> Block:
    data, records = bytearray(b"before"), []
    for packet in packets:
        records.append((packet.time_ns, len(data), len(data) + len(packet.data), packet.wire_length))
        data += packet.data
    return Block(bytes(data) + bytes(Block.PADDING), records, 1)


def files() -> dict[str, bytes]:
    times = [(packet.time_ns, packet.data) for packet in ALL]
    nanoseconds = ng_interface(1, ng_option(9, b"\x09"))
    return {
        "micro.pcap": pcap(times),
        "nano.pcap": pcap(times, order=">", nano=True),
        "ng.pcapng": ng_section() + nanoseconds + b"".join(ng_packet(data, at) for at, data in times),
    }


@pytest.mark.parametrize("name", ["micro.pcap", "nano.pcap", "ng.pcapng"])
def test_from_a_file(name: str, expected: list[Record], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(files()[name])
    with pysniff.read(path) as entries:
        assert [entry.to_dict() for entry in entries] == expected
        assert entries.ledger.imbalances() == []


def built_in_only(entries: Iterable[Record]) -> list[Record]:
    """Another process does not have the page's plugin: it sees tcp there."""
    streams = {entry["stream"] for entry in sniffed(ALL) if entry["protocol"] == "parrot"}
    return [entry for entry in entries if entry["stream"] not in streams]


@pytest.mark.parametrize("name", ["micro.pcap", "ng.pcapng"])
def test_from_standard_input(name: str, expected: list[Record]) -> None:
    command = [sys.executable, "-m", "pysniff", "-r", "-", "--json"]
    done = subprocess.run(command, input=files()[name], capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert built_in_only(lines) == built_in_only(expected)


LIVE = textwrap.dedent(
    """
    import json, socket, sys, threading
    import pysniff
    from pysniff.capture.writer import Writer
    written, frames = sys.argv[1], [bytes.fromhex(line) for line in sys.stdin.read().split()]
    sender, receiver = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(2))
    sender.bind(("v1", 0))
    receiver.bind(("v2", 3))  # ETH_P_ALL; who came first is given packets last
    def send():
        for frame in frames:
            sender.send(frame)
            while receiver.recv(65536)[6:12] != frame[6:12]:
                pass  # the kernel's own
        entries.stop()
    with Writer(written) as writer, pysniff.sniff("v2", bpf="ether src 02:00:00:00:00:01", write=writer) as entries:
        threading.Thread(target=send).start()
        found = [entry.to_dict() for entry in entries]
        ledger = entries.ledger
    print(json.dumps({"entries": found, "packets": ledger.packets, "imbalances": ledger.imbalances()}))
    """
)


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_live_in_a_namespace(tmp_path: Path) -> None:
    """What -w wrote during the run is read again afterwards."""
    name, written = f"pysniff-live-{os.getpid()}", tmp_path / "live.pcapng"
    for arguments in (
        f"netns add {name}",
        f"-n {name} link add v1 type veth peer name v2",
        f"-n {name} link set v1 up",
        f"-n {name} link set v2 up",
    ):
        made = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
        if made.returncode:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            pytest.skip(f"ip {arguments}: {made.stderr.strip()}")
    try:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", LIVE, str(written)]
        frames = "\n".join(packet.data.hex() for packet in ALL)
        done = subprocess.run(command, input=frames, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    live = json.loads(done.stdout)
    assert (live["packets"], live["imbalances"]) == (len(ALL), [])
    command = [sys.executable, "-m", "pysniff", "-r", str(written), "--json"]
    lines = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60, check=True).stdout.splitlines()
    assert last_revisions(live["entries"]) == last_revisions(map(json.loads, lines))
    assert len(lines) > 30
