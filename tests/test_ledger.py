"""The account balances on every run, and a counter that forgets anything is found out."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packets import ethernet, ethernet_udp, ip
from shapes import netlink, netlink_message
from test_conversations import Line, Lines, with_plugin
from transcripts import GET7, H2, h2
from wire import Watched

import pysniff.core
from pysniff.dissector import Malformed, Overhead, Undecoded
from pysniff.ledger import _BY_REASON, EQUATIONS, Ledger, count
from pysniff.limits import SECOND, Limits
from pysniff.message import CLIENT, SERVER, Role
from pysniff.packet import ACK as ACKED
from pysniff.packet import PSH, RST, SYN, Packet
from pysniff.plain import PlainChunk
from pysniff.sniffer import Sniffer
from pysniff.tcp import reverse

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
NOISE = bytes(range(128, 250))
COUNTERS = sorted({name for equation in EQUATIONS for name in equation.left + equation.right})
# Only a live capture has these; test_reading.py has one. And only a store: test_store_ledger.py.
STORE = {name for name in COUNTERS if name.startswith("store_")}
LIVE = {"kernel_received", "kernel_dropped", "live_packets"} | STORE
# What goes down again, or is looked up when somebody asks: zero at the end.
NOW = {"held_bytes", "pending_bytes", "waiting", "waiting_bytes", "conversations_open", "half_open_waiting"}
NOW |= {"plain_held_bytes"}


def packet(frame: bytes, at: int, keep: int | None = None) -> Packet:
    return Packet(frame[:keep], at, len(frame))


class Note(Line):
    __slots__ = ()
    role = Role.ALONE


class Alone(Lines):
    """Understands lines, some as overhead, leaves others undecoded, and cannot bear some."""

    def lines(self, side: Any, data: bytes, at: int, position: int) -> Any:
        if b"awful" in data:
            raise Malformed("awful")
        if b"odd" in data:
            self.given[side] += len(data)
            return iter([Undecoded(side, len(data), "odd")])
        if b"window" in data:
            self.given[side] += len(data)
            return iter([Overhead(side, len(data))])
        if b"note" in data:
            self.given[side] += len(data)
            return iter([Note(side, at, position, data)])
        return super().lines(side, data, at, position)


class Run:
    """A run in which everything happens that can be counted; `look` is called at many a moment."""

    def __init__(self, sniffer: Sniffer, look: Callable[[Ledger], None]) -> None:
        self.sniffer = sniffer
        self.look = look
        self.port = 2000

    def wire(self, **options: Any) -> Watched:
        self.port += 1
        wire = Quiet(self.sniffer, shaken=False, sport=self.port, now=self.now, **options)
        wire.run = self
        return wire

    now = SECOND

    def feed(self, *packets: Packet) -> None:
        self.sniffer.feed(packets)
        self.now = max(self.now, packets[-1].time_ns)
        self.look(self.sniffer.ledger)

    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.sniffer.advance(self.now)
        self.look(self.sniffer.ledger)


class Quiet(Watched):
    """Does not look whether the ledger balances; the run does."""

    run: Run

    def see(self, *packets: Packet) -> Quiet:
        for each in packets:
            self.run.feed(each)
        return self


def everything(run: Run) -> None:
    run.sniffer.filtered(3)
    calls(run)
    losses(run)
    leftovers(run)
    resumed(run)
    not_tcp(run)
    told(run)
    run.wait(1)
    run.sniffer.close()
    run.look(run.sniffer.ledger)


def calls(run: Run) -> None:
    wire = run.wire()
    wire.see(*wire.handshake()).client(GET).server(OK).client(GET, GET).server(OK, OK[:50]).bye()
    orphan = run.wire()
    orphan.see(*orphan.handshake()).client(GET).server(OK, OK).client(GET).reset()
    line = run.wire()
    line.see(*line.handshake()).client(b"ASK 1\n", b"odd\n", b"window\n").server(b"SAY 1\n", b"note").client(
        b"awful\n", b"ASK 2\n"
    ).bye()
    unknown = run.wire()
    unknown.see(*unknown.handshake()).client(NOISE).server(*[NOISE] * 40).bye()


def told(run: Run) -> None:
    """What a process tells, with a loss."""
    there = bytes([10, 0, 0, 1, 10, 0, 0, 2, 200, 0, 1, 187])
    run.sniffer.feed_plain([PlainChunk(run.now, there, 0, GET, True, True)])
    run.look(run.sniffer.ledger)
    run.wait(1)
    run.sniffer.feed_plain([PlainChunk(run.now, reverse(there), 0, OK, True, False)])
    run.sniffer.feed_plain([PlainChunk(run.now, there, offset, GET, True, True) for offset in (0, len(GET) + 9)])
    run.look(run.sniffer.ledger)
    run.sniffer._overheard.alone = False
    run.sniffer.feed_plain([PlainChunk(run.now, bytes(8) + there[8:], 0, GET)])
    run.wait(1)


def losses(run: Run) -> None:
    wire = run.wire()
    wire.see(*wire.handshake()).client(GET)
    first = wire.next[SERVER]
    wire.server(OK[:40]).see(wire.packet(SERVER, OK[:30], PSH | ACKED, seq=first))
    wire.skip(SERVER, 10)
    wire.server(OK[50:]).see(wire.packet(SERVER, b"far", seq=first + (1 << 30) + 999))
    run.wait(12)
    wire.now = run.now
    wire.client(GET).see(wire.send(SERVER, OK, keep=60)).bye().see(wire.packet(CLIENT, b"late"))
    noise = run.wire()
    noise.see(*noise.handshake()).client(NOISE)
    hole = run.wire()
    hole.see(*hole.handshake())
    hole.skip(CLIENT, 20)
    hole.client(NOISE)
    run.wait(12)
    hole.now = run.now
    hole.bye()


def leftovers(run: Run) -> None:
    for flags in (SYN, SYN, SYN, SYN):
        wire = run.wire()
        wire.see(wire.send(CLIENT, flags=flags))
    refused = run.wire()
    refused.see(refused.send(CLIENT, flags=SYN), refused.packet(SERVER, flags=RST | ACKED))
    wire = run.wire()
    wire.see(*wire.handshake()).client(GET, GET[:10])
    run.wait(400)
    half = run.wire()
    half.see(*half.handshake()).client(GET, GET[:10])


def resumed(run: Run) -> None:
    """Somebody else knows how it began."""
    wire, data = run.wire(), H2 + h2(1, 5, 1, GET7)
    other = Sniffer(limits=LIMITS)
    other.feed([*wire.handshake(), wire.send(CLIENT, data[:-5])])
    for state in other.remember():
        run.sniffer.resume(state)
    wire.client(data[-5:])


def not_tcp(run: Run) -> None:
    fragment = ip("10.0.0.1", "10.0.0.2", 17, bytes(24))
    fragment = fragment[:6] + b"\x20\x00" + fragment[8:]
    for frame in (
        bytes(12) + b"\x08\x06" + bytes(28),
        ethernet(ip("10.0.0.1", "10.0.0.2", 1, b"ping")),
        ethernet(ip("10.0.0.1", "10.0.0.2", 6, b"short")),
        ethernet(fragment),
        *[ethernet_udp(payload=NOISE, dport=9)] * 6,
    ):
        run.feed(packet(frame, run.now))
    ping = ip("10.0.0.1", "10.0.0.2", 1, b"ping")
    several = netlink(netlink_message(4, 9, ping), netlink_message(4, 9, ping))
    run.feed(Packet(several, run.now, len(several), linktype=253))
    question = packet(ethernet_udp(payload=b"\0\1\1\0\0\1" + bytes(6) + b"\1a\0\0\1\0\1"), run.now)
    for interface in ("veth0", "eth0"):
        run.feed(question._replace(interface=interface))


LIMITS = Limits(half_open=3, detect_chunks=4)


def run_of(monkeypatch: pytest.MonkeyPatch, look: Callable[[Ledger], None]) -> Ledger:
    sniffer = with_plugin(monkeypatch, Alone)
    sniffer = Sniffer(limits=LIMITS)
    everything(Run(sniffer, look))
    return sniffer.ledger


def balanced(ledger: Ledger) -> None:
    assert ledger.imbalances() == []


def test_the_run_in_which_everything_happens_balances_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    highest = dict.fromkeys(COUNTERS, 0)

    def look(ledger: Ledger) -> None:
        balanced(ledger)
        for name in COUNTERS:
            highest[name] = max(highest[name], ledger.total(name))

    run_of(monkeypatch, look)
    assert {name for name, value in highest.items() if not value} == LIVE


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize("amount", [1, -1])
def test_each_counter_breaks_the_balance(monkeypatch: pytest.MonkeyPatch, name: str, amount: int) -> None:
    ledger = run_of(monkeypatch, balanced)
    if name in _BY_REASON:
        count(getattr(ledger, name), "anything", amount)
    else:
        setattr(ledger, name, getattr(ledger, name) + amount)
    broken = ledger.imbalances()
    assert len(broken) == sum((name in equation.left) + (name in equation.right) for equation in EQUATIONS)
    assert all(name in line for line in broken)
    assert not ledger.to_dict()["balanced"]
    assert [line for line in ledger.lines() if line.startswith("IMBALANCE")] != []


def forgetful(forgotten: str) -> type[Ledger]:
    """A ledger that loses every change of one counter."""

    class Blind(dict[str, int]):
        def __setitem__(self, key: str, value: int) -> None:
            pass

    class Forgetful(Ledger):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == forgotten:
                value = Blind() if name in _BY_REASON else 0
            super().__setattr__(name, value)

    return Forgetful


@pytest.mark.parametrize("name", [name for name in COUNTERS if name not in LIVE])
def test_code_that_forgets_a_counter_is_found_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The increments themselves are taken away, wherever they stand."""
    monkeypatch.setattr(pysniff.core, "Ledger", forgetful(name))
    broken: list[str] = []
    run_of(monkeypatch, lambda ledger: broken.extend(ledger.imbalances()))
    assert broken != []
    assert all(name in line for line in broken)


def test_a_ledger_that_forgets_nothing_is_not_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pysniff.core, "Ledger", forgetful("no such counter"))
    run_of(monkeypatch, balanced)


def test_no_counter_is_computed_from_others() -> None:
    """Every name in an equation is an attribute of its own that can be set to anything."""
    ledger = Ledger()
    for number, name in enumerate(COUNTERS):
        setattr(ledger, name, {"x": number} if name in _BY_REASON else number)
    assert [ledger.total(name) for name in COUNTERS] == list(range(len(COUNTERS)))


def test_what_only_goes_up_and_what_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict.fromkeys(COUNTERS, 0)

    def look(ledger: Ledger) -> None:
        for name in COUNTERS:
            assert ledger.total(name) >= before[name] or name in NOW, name
            before[name] = ledger.total(name)

    ledger = run_of(monkeypatch, look)
    assert {name: ledger.total(name) for name in sorted(NOW)} == {
        **dict.fromkeys(sorted(NOW), 0),
        "half_open_waiting": ledger.half_open_waiting,
    }


# A run of random packets


@pytest.mark.parametrize("seed", range(12))
def test_random_packets_balance(seed: int) -> None:
    rng = random.Random(seed)
    wire = Watched(
        Sniffer(limits=Limits(held_bytes=500, held_segments=5, conversations=4, closed=3, half_open=3, pipeline=2))
    )
    stream = (GET * 3, OK * 3)
    for _ in range(300):
        wire.ends = (("10.0.0.1", 2000 + rng.randrange(6)), ("10.0.0.2", 80))
        side = rng.choice([CLIENT, SERVER])
        at = rng.randrange(len(stream[side]))
        data = stream[side][at : at + rng.choice([0, 1, 20, 200])]
        wire.now += rng.choice([0, 0, SECOND // 10, 11 * SECOND])
        flags = rng.choice([PSH | ACKED] * 12 + [SYN, SYN | ACKED, 1 | ACKED, RST])
        keep = rng.choice([None] * 9 + [len(data) // 2])
        wire.see(wire.packet(side, data, flags, seq=(1001, 5001)[side] + at, ack=rng.randrange(1000, 6000), keep=keep))
    wire.close()


# For people and programs


def test_lines_say_what_came_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = run_of(monkeypatch, balanced).lines()
    assert [line.split()[0] for line in lines] == ["packets", "bytes", "calls", "plain", "lost"]
    assert "not IP (arp 1)" in lines[0]
    assert "3 filtered out" in lines[0]
    assert "undecoded (" in lines[1]
    assert "unanswered" in lines[2]
    assert "read already" in lines[3]
    assert "bytes missing in streams" in lines[4]


def test_lines_of_a_run_without_loss() -> None:
    wire = Watched().client(GET).server(OK).bye().close()
    assert wire.ledger.lines()[2].startswith("calls     1 entries: 1 answered, 0 unanswered")
    assert wire.ledger.lines()[3] == "lost      nothing"


def test_to_dict_has_every_counter_and_is_a_copy() -> None:
    wire = Watched().client(GET).server(OK).see(packet(bytes(12) + b"\x08\x06" + bytes(28), 5 * SECOND)).bye().close()
    record = wire.ledger.to_dict()
    assert set(COUNTERS) <= set(record)
    assert record["balanced"] is True
    assert record["not_ip"] == {"arp": 1}
    record["not_ip"]["arp"] = 99
    assert wire.ledger.not_ip == {"arp": 1}


def lossless_after(spoil: Callable[[Watched], object]) -> bool:
    wire = Watched().client(GET).server(OK)
    spoil(wire)
    return wire.close().ledger.lossless()


def test_lossless_is_the_question_whether_everything_was_seen_and_understood() -> None:
    assert lossless_after(lambda wire: wire.bye())
    assert lossless_after(lambda wire: wire.server(b"").see(wire.packet(SERVER, OK, seq=5001)).bye())


def _gap(wire: Watched) -> None:
    wire.skip(SERVER, 5)
    wire.client(GET).server(OK).bye()


@pytest.mark.parametrize(
    "spoil",
    [
        _gap,
        lambda wire: wire.server(b"\0garbage\r\n\r\n").bye(),
        lambda wire: wire.client(GET).see(wire.send(SERVER, OK, keep=80)).bye(),
        lambda wire: wire.see(packet(ethernet(ip("10.0.0.1", "10.0.0.2", 6, b"short")), wire.now)).bye(),
    ],
    ids=["gap", "garbage", "snapshot", "malformed"],
)
def test_a_run_with_loss_says_so(spoil: Callable[[Watched], object]) -> None:
    assert not lossless_after(spoil)


def test_reasons_are_bounded() -> None:
    reasons: dict[str, int] = {}
    for n in range(10_000):
        count(reasons, f"reason {n}")
    assert len(reasons) <= 101
    assert sum(reasons.values()) == 10_000


def test_every_counter_and_equation_is_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "ledger.md").read_text()
    for name in Ledger.__slots__:
        assert f"`{name}`" in page, name
    for equation in EQUATIONS:
        left = " + ".join(f"`{name}`" for name in equation.left)
        right = " + ".join(f"`{name}`" for name in equation.right)
        assert f"| {left} | = {right} |" in page, equation.meaning
