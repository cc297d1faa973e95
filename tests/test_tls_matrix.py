"""What PySniff reads out of TLS is what the programs said, and what tshark reads, byte for byte.

Real programs talk in a namespace of this test's own (tls_recorder.py); every connection is then decrypted with the
secrets that the programs wrote down.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tls_openssl
import tls_programs
from tls_recorder import Recording, Talked, record
from tls_truth import Followed, followed

import pysniff
import pysniff.sniffer
from pysniff.capture.files import open_capture
from pysniff.dissector import Dissector, Inside, InsideGap, Output, Receiver
from pysniff.dissectors import known
from pysniff.entry import Entry
from pysniff.keylogs import KeyLogFile
from pysniff.ledger import Ledger
from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Block, Packet
from pysniff.secrets import Secret, Secrets
from pysniff.sniffer import Sniffer

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs("openssl", "tcpdump", "tshark", "nginx", "curl", "node", "ip", "ethtool", "unshare"),
]

CASES = [*tls_openssl.CASES, *tls_programs.CASES]
# tshark opens early data that the server refused: the client said it, but nobody took it.
REFUSED_EARLY_DATA = "early data rejected"
# tshark goes on behind a renegotiation, whose handshake is encrypted itself; we refuse, with a reason.
RENEGOTIATED = "renegotiation"

Ports = tuple[int, int]


class Matrix(NamedTuple):
    """`packets`, `truth`: by the ports of client and server; `connections`: of each case, in order."""

    recording: Recording
    packets: dict[Ports, list[Packet]]
    truth: dict[Ports, Followed]
    connections: dict[str, list[tuple[Ports, Talked]]]

    def __repr__(self) -> str:
        return "Matrix()"  # what a failed test shows of its arguments

    def of(self, name: str) -> list[tuple[list[Packet], Talked, Followed]]:
        assert not self.recording.failed.get(name), self.recording.failed[name]
        assert self.connections[name]
        return [(self.packets[ports], talked, self.truth[ports]) for ports, talked in self.connections[name]]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    recording = record(("tls_openssl", "tls_programs"), (), tmp_path_factory.mktemp("tls"))
    truth = {(one.client_port, one.server_port): one for one in followed(recording.capture, recording.keys)}
    connections: dict[str, list[tuple[Ports, Talked]]] = {}
    for name, each in recording.talked.items():
        there = {
            port: iter([ports for ports in truth if ports[1] == port]) for port in {talked.port for talked in each}
        }
        connections[name] = [(next(there[talked.port]), talked) for talked in each]
    packets: dict[Ports, list[Packet]] = {}
    for packet in all_packets(recording.capture):
        ports = ports_of(packet)
        packets.setdefault(ports if ports in truth else ports[::-1], []).append(packet)
    return Matrix(recording, packets, truth, connections)


def all_packets(capture: Path) -> Iterator[Packet]:
    with open_capture(capture) as file:
        for block in file:
            assert isinstance(block, Block)
            yield from block.packets()


def ports_of(packet: Packet) -> Ports:
    at = 54 if packet.data[12:14] == b"\x86\xdd" else 34
    source, target = struct.unpack_from(">HH", packet.data, at)
    return source, target


class Heard:
    """What a Sniffer heard of one connection inside TLS; holes are None."""

    def __init__(self, sniffer: Sniffer) -> None:
        self.pieces: tuple[list[bytes | None], list[bytes | None]] = ([], [])
        self.sniffer = sniffer
        self.entries: list[Entry] = []

    def half(self, side: Side) -> bytes:
        """Without holes, but for one at its end: there nothing more could be opened."""
        assert None not in self.pieces[side][:-1]
        return b"".join(piece for piece in self.pieces[side] if piece is not None)

    @property
    def is_whole(self) -> bool:
        return not any(None in pieces for pieces in self.pieces)

    @property
    def client(self) -> bytes:
        return self.half(CLIENT)

    @property
    def server(self) -> bytes:
        return self.half(SERVER)

    @property
    def ledger(self) -> Ledger:
        return self.sniffer.ledger

    @property
    def handshake(self) -> Any:
        (entry,) = (entry for entry in self.entries if entry.protocol == "tlsx")
        return entry


Listen = Callable[..., Heard]


@pytest.fixture
def listen(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> Listen:
    """Feeds packets to a Sniffer, all at once or as `feed` does, and notes what TLS hands to what it carries."""
    (tls,) = (one for one in known()["tcp"] if one.protocol == "tls")
    heard: list[Heard] = []

    def noted(outputs: Iterable[Output]) -> Iterator[Output]:
        for output in outputs:
            if isinstance(output, Inside):
                heard[-1].pieces[output.side].append(output.data)
            elif isinstance(output, InsideGap):
                heard[-1].pieces[output.side].append(None)
            yield output

    class Noted(tls):  # type: ignore[misc, valid-type]
        def feed(self, side: Side, data: bytes, at: int) -> Iterator[Output]:
            return noted(super().feed(side, data, at))

        def receiver(self, side: Side) -> Receiver:
            receive = super().receiver(side)
            return lambda data, at: noted(receive(data, at))

        def gap(self, side: Side, size: int, at: int) -> Iterator[Output]:
            return noted(super().gap(side, size, at))

        def close(self, side: Side, at: int) -> Iterator[Output]:
            return noted(super().close(side, at))

        def again(self, at: int) -> Iterator[Output]:
            return noted(super().again(at))

    others: list[type[Dissector]] = [Noted if one is tls else one for one in known()["tcp"]]
    monkeypatch.setattr(pysniff.sniffer, "known", lambda: {**known(), "tcp": tuple(others)})

    def listened(packets: Iterable[Packet], secrets: Secrets | None = None, feed: Feed = together) -> Heard:
        sniffer = Sniffer(secrets=Secrets(KeyLogFile(matrix.recording.keys)) if secrets is None else secrets)
        heard.append(Heard(sniffer))
        heard[-1].entries += feed(sniffer, list(packets))
        heard[-1].entries += sniffer.close()
        assert sniffer.ledger.imbalances() == []
        return heard[-1]

    return listened


Feed = Callable[[Sniffer, list[Packet]], list[Entry]]


def together(sniffer: Sniffer, packets: list[Packet]) -> list[Entry]:
    return sniffer.feed(packets)


def one_by_one(sniffer: Sniffer, packets: list[Packet]) -> list[Entry]:
    return [entry for packet in packets for entry in sniffer.feed([packet])]


@pytest.mark.parametrize("name", CASES)
def test_every_byte_inside_is_what_the_programs_said_and_what_tshark_reads(
    matrix: Matrix, listen: Listen, name: str
) -> None:
    for packets, talked, truth in matrix.of(name):
        heard = listen(packets)
        client, server = talked.client, talked.server
        assert truth.client
        assert truth.server
        if name == RENEGOTIATED:
            assert (truth.client, truth.server) == (client, server)
            client, server = (
                b"".join(what for side, what in tls_openssl.BEFORE if side == wanted) for wanted in ("client", "server")
            )
            assert any("renegotiat" in reason for reason in heard.ledger.undecoded)
        elif name == REFUSED_EARLY_DATA and truth.client != client:
            assert truth.client.startswith(b"early bird")
            assert truth.client.endswith(client or b"?")
        else:
            assert (client is None or client == truth.client) and (server is None or server == truth.server)
            client, server = truth.client, truth.server
        assert (heard.client, heard.server) == (client, server)
        assert heard.is_whole is not (name == RENEGOTIATED)
        assert (heard.handshake.response.key_source, heard.handshake.response.not_decrypted) == ("keylog", "")


SOME = ["1.0 no etm", "1.1", "1.2 long", "1.2 long cbc", "1.3 long", "1.3 long chacha", "small records", "nginx h2 1.3"]


@pytest.mark.parametrize("name", SOME)
def test_packets_late_and_twice_and_one_by_one_say_the_same(matrix: Matrix, listen: Listen, name: str) -> None:
    chance = random.Random(5)
    for packets, _, truth in matrix.of(name):
        begun = packets[:3]
        rest = [packet for packet in packets[3:] for _ in range(chance.choice((1, 1, 2)))]
        for at in range(0, len(rest) - 1, 7):
            rest[at], rest[at + 1] = rest[at + 1], rest[at]
        times = [packets[0].time_ns + 1000 * number for number in range(len(rest) + 3)]
        shuffled = [packet._replace(time_ns=time) for packet, time in zip([*begun, *rest], times, strict=True)]
        heard = listen(shuffled, feed=one_by_one)
        assert (heard.client, heard.server) == (truth.client, truth.server)


class Late:
    """A source that knows nothing until it is told to."""

    name = "kernel"
    complete = False

    def __init__(self, keys: Path) -> None:
        self.silent = True
        self._log = KeyLogFile(keys)

    def take(self) -> Iterable[Secret]:
        return () if self.silent else self._log.take()


@pytest.mark.parametrize("name", SOME)
def test_secrets_that_come_after_the_last_packet_still_open_everything(
    matrix: Matrix, listen: Listen, name: str
) -> None:
    for packets, _, truth in matrix.of(name):
        source = Late(matrix.recording.keys)

        def feed(sniffer: Sniffer, packets: list[Packet], source: Late = source) -> list[Entry]:
            before_the_end = [packet for packet in packets if not is_end(packet)]
            entries = sniffer.feed(before_the_end)
            source.silent = False
            return entries + sniffer.advance(before_the_end[-1].time_ns + 1000)

        heard = listen(packets, Secrets(source), feed)
        assert (heard.client, heard.server) == (truth.client, truth.server)
        assert heard.handshake.response.key_source == "kernel"


def is_end(packet: Packet) -> bool:
    """Whether it has FIN or RST."""
    return bool(packet.data[(54 if packet.data[12:14] == b"\x86\xdd" else 34) + 13] & 5)


@pytest.mark.parametrize("name", SOME)
def test_a_loss_costs_the_records_that_it_hit_and_no_others(matrix: Matrix, listen: Listen, name: str) -> None:
    for packets, _, truth in matrix.of(name):
        # Behind the handshake, whose own loss leaves nothing to open anything with.
        behind = [at for at in range(len(packets) // 2, len(packets)) if len(packets[at].data) > 200]
        assert behind
        for lost in behind[:: max(1, len(behind) // 3)]:
            heard = listen(packet for at, packet in enumerate(packets) if at != lost)
            for side, said in ((CLIENT, truth.client), (SERVER, truth.server)):
                missing = len(said) - sum(len(piece or b"") for piece in heard.pieces[side])
                assert in_order(heard.pieces[side], said)
                # Two records of 16 KiB are the most that one segment can be part of, of this length.
                assert missing <= 2 * 16384
            if heard.is_whole:
                assert (heard.client, heard.server) == (truth.client, truth.server)


@pytest.mark.parametrize("share", [0.03, 0.3])
def test_whatever_is_lost_what_is_heard_was_said_and_holes_are_told(
    matrix: Matrix, listen: Listen, share: float
) -> None:
    chance = random.Random(11)
    for name in CASES:
        for packets, _, truth in matrix.of(name):
            for _ in range(20 if name == "key update" else 2):
                heard = listen(packet for packet in packets if chance.random() > share)
                for side, said in ((CLIENT, truth.client), (SERVER, truth.server)):
                    # Where its beginning is lost nobody is told of a hole there.
                    assert in_order([None, *heard.pieces[side]], said), name


def in_order(pieces: Sequence[bytes | None], said: bytes) -> bool:
    """Whether the pieces are what was said, but for the holes."""
    places = {0}  # where what was heard so far may end
    is_after_hole = False
    for piece in pieces:
        if piece is None:
            is_after_hole = True
            continue
        if is_after_hole:
            places = {at for at in range(min(places), len(said)) if said.startswith(piece, at)}
        places = {at + len(piece) for at in places if said.startswith(piece, at)}
        is_after_hole = False
        if not places:
            return False
    return True


def test_without_secrets_a_handshake_is_told_and_why_nothing_else_is(matrix: Matrix, listen: Listen) -> None:
    for name in CASES:
        for packets, _, _ in matrix.of(name):
            heard = listen(packets, Secrets())
            assert (heard.client, heard.server) == (b"", b"")
            assert heard.handshake.response.not_decrypted
            assert heard.handshake.response.key_source == ""


def test_a_connection_joined_in_the_middle_says_why_it_stays_closed(matrix: Matrix, listen: Listen) -> None:
    ((packets, _, _),) = matrix.of("1.3 long")
    heard = listen(packets[len(packets) // 2 :])
    assert (heard.client, heard.server) == (b"", b"")
    assert heard.handshake.response.not_decrypted


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_calls_inside_are_read_by_what_alpn_says(matrix: Matrix, listen: Listen, version: str) -> None:
    for name, protocol, alpn in (("nginx h2", "http2", "h2"), ("nginx http/1.1", "http1", "http/1.1")):
        ((packets, _, _),) = matrix.of(f"{name} {version}")
        calls: list[Any] = [entry for entry in listen(packets).entries if entry.protocol == "http"]
        assert [(call.request.path, call.status) for call in calls] == [
            ("/small", "200"),
            ("/large", "200"),
            ("/small", "200"),
        ], protocol
        assert calls[1].response.body.raw == tls_programs.BODY
        assert {(call.tls.version, call.tls.alpn, call.tls.key_source) for call in calls} == {(version, alpn, "keylog")}
        assert {(call.src.port, call.dst.port) for call in calls} == {ports_of(packets[0])}
        assert {call.capture_source for call in calls} == {"file"}


def test_a_request_that_came_as_early_data_is_a_call_like_others(matrix: Matrix, listen: Listen) -> None:
    first, second = (listen(packets) for packets, _, _ in matrix.of("nginx 0-RTT"))
    for heard in (first, second):
        (call,) = (entry for entry in heard.entries if entry.protocol == "http")
        assert (call.request.path, call.status) == ("/small", "200")
    assert [heard.handshake.response.early_data for heard in (first, second)] == [False, True]
    assert [heard.handshake.response.resumed for heard in (first, second)] == [False, True]


def test_the_library_reads_the_same_calls_with_a_key_log(matrix: Matrix) -> None:
    entries: list[Any] = list(pysniff.read(str(matrix.recording.capture), keylog=str(matrix.recording.keys)))
    paths = [entry.request.path for entry in entries if entry.protocol == "http" and entry.tls]
    assert paths.count("/large") == 4
    assert paths.count("/through") == 2  # on both sides of the proxy
    assert [paths.count(path) for path in ("/a", "/b", "/c", "/n")] == [2, 2, 2, 2]
