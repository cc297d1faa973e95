"""Two halves that talk: who is the client, what do they speak, who answers whom, and what a bad dissector can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from packets import ethernet_udp
from wire import MILLISECOND, Watched, Wire, kinds, summaries

import pysniff.sniffer
from pysniff.dissector import Dissector, Malformed, Match, Output, Undecoded
from pysniff.dissectors import known
from pysniff.limits import DEFAULT, SECOND, Limits
from pysniff.message import CLIENT, SERVER, Message, Role, Side
from pysniff.packet import ACK as ACKED
from pysniff.packet import PSH, SYN, Packet
from pysniff.sniffer import Sniffer

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOISE = bytes(range(128, 250))


def get(path: str) -> bytes:
    return GET.replace(b"/", path.encode(), 1)


def ok(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


# Who is the client


def ends(entry: Any) -> tuple[int, int]:
    return entry.src.port, entry.dst.port


def test_the_sender_of_the_syn_is_the_client() -> None:
    wire = Watched(sport=80, dport=51000).client(GET).server(OK).bye().close()
    assert [ends(entry) for entry in wire.entries] == [(80, 51000)]


def test_the_client_is_known_by_what_it_says() -> None:
    wire = Watched(shaken=False).client(GET).wait(1).server(OK).wait(1).close()
    assert [(ends(entry), entry.status) for entry in wire.entries] == [((51000, 80), "200")]


@pytest.mark.parametrize("ports", [(51000, 80), (80, 51000), (40000, 40000)])
def test_the_server_is_known_by_what_it_says_where_it_is_seen_first(ports: tuple[int, int]) -> None:
    wire = Watched(shaken=False, sport=ports[0], dport=ports[1])
    wire.server(OK).wait(1).client(GET).wait(1).server(OK).wait(1).close()
    assert [(ends(entry), entry.request is not None) for entry in wire.entries] == [(ports, False), (ports, True)]
    assert wire.entries[1].faults == ()


def test_a_server_that_speaks_first_is_the_server() -> None:
    """Its SYN says so, though nobody knows the protocol."""
    wire = Watched().server(b"220 mail ready\r\n").client(NOISE).bye().close()
    assert (wire.protocols, ends(wire.entries[0])) == (["tcp"], (51000, 80))
    assert wire.entries[0].to_dict()["request"] == {"bytes": len(NOISE), "packets": 1}


def test_only_the_answer_to_the_syn_was_seen() -> None:
    wire = Watched(shaken=False)
    wire.skip(CLIENT, 1)
    wire.see(wire.send(SERVER, flags=SYN | ACKED)).client(GET).wait(1).server(OK).bye().close()
    assert [(ends(entry), entry.status) for entry in wire.entries] == [((51000, 80), "200")]


# What is open, as it stands


def test_what_is_open_is_told_when_somebody_asks_and_its_end_later() -> None:
    wire = Watched().client(get("/1") + get("/2")).server(ok("one")).server(OK[:-1])
    assert [(entry.summary, entry.state) for entry in wire.seen] == [("GET /1", "closed")]
    (entry,) = wire.sniffer.ongoing()
    assert (entry.summary, entry.state, entry.status, entry.response.body.text) == ("GET /2", "open", "200", "o")
    assert (entry.faults, wire.ledger.imbalances()) == ((), [])
    assert wire.sniffer.ongoing() == []  # it has not moved on
    wire.server(b"k").bye().close()
    assert [(one.id == entry.id, one.state, one.faults) for one in wire.seen[1:]] == [(True, "closed", ())]


def test_asking_for_what_is_open_changes_nothing_else() -> None:
    """Neither what is told after ten seconds nor what ends."""

    def told(*, ask: bool) -> list[dict[str, Any]]:
        wire = Watched()
        for step in (wire.client, wire.server):
            for byte in get("/slow") if step == wire.client else ok("so gut"):
                step(bytes([byte]))
                if ask:
                    wire.sniffer.ongoing()
            wire.wait(11)
        wire.client(NOISE).bye().close()
        return [entry.to_dict() for entry in wire.seen if entry.state == "closed"]

    assert told(ask=True) == told(ask=False)


def test_what_nobody_recognises_is_told_as_far_as_it_has_come() -> None:
    wire = Watched().client(NOISE).server(NOISE)
    for times in (1, 2):
        (entry,) = wire.sniffer.ongoing()
        assert (entry.state, entry.request.bytes, entry.response.bytes) == ("open", times * len(NOISE), len(NOISE))
        wire.client(NOISE)
    wire.bye()
    assert [(one.id, one.state) for one in wire.seen] == [(entry.id, "closed")]


# Nobody knows it


def test_an_unknown_protocol_is_one_entry_with_bytes_packets_and_times() -> None:
    wire = Watched()
    wire.client(NOISE)
    begun = wire.now
    wire.server(NOISE * 3, NOISE).client(NOISE)
    ended = wire.now
    wire.bye().close()
    (entry,) = wire.entries
    record = entry.to_dict()
    assert (entry.protocol, entry.state, entry.version) == ("tcp", "closed", "")
    assert record["request"] == {"bytes": 2 * len(NOISE), "packets": 2}
    assert record["response"] == {"bytes": 4 * len(NOISE), "packets": 2}
    assert (entry.request.size, entry.response.size) == (2 * len(NOISE), 4 * len(NOISE))
    assert (entry.time_ns, entry.completed_ns) == (begun, ended)
    assert wire.ledger.unrecognised == 1
    assert wire.ledger.unrecognised_bytes + wire.ledger.skipped_bytes == 6 * len(NOISE)


def udp(data: bytes, at: int, sport: int = 51000, dport: int = 9) -> Packet:
    frame = ethernet_udp(sport=sport, dport=dport, payload=data)
    return Packet(frame, at, len(frame))


def test_unknown_datagrams_are_one_entry() -> None:
    sniffer = Sniffer()
    sniffer.feed([udp(NOISE, SECOND), udp(NOISE, 2 * SECOND)])
    (entry,) = sniffer.close()
    assert (entry.protocol, entry.to_dict()["request"]) == ("udp", {"bytes": 2 * len(NOISE), "packets": 2})
    assert (entry.time_ns, entry.completed_ns, entry.response) == (SECOND, 2 * SECOND, None)
    assert sniffer.ledger.imbalances() == []


def test_an_unknown_conversation_that_lasts_is_shown_while_it_is_open() -> None:
    wire = Watched().client(NOISE).server(NOISE).wait(11)
    assert [(entry.protocol, entry.state) for entry in wire.seen] == [("tcp", "open")]
    wire.client(NOISE).bye()
    assert [entry.state for entry in wire.seen] == ["open", "closed"]
    assert len({entry.id for entry in wire.seen}) == 1


def test_a_tunnel_is_shown_while_it_is_open_however_long_it_took() -> None:
    wire = Watched().client(b"CONNECT b:9 HTTP/1.1\r\n\r\n").wait(11).server(b"HTTP/1.1 200 OK\r\n\r\n")
    wire.client(NOISE).server(NOISE).wait(21)
    assert [(entry.protocol, entry.state) for entry in wire.seen] == [
        ("http", "open"), ("http", "closed"), ("tcp", "open"),
    ]  # fmt: skip


def test_what_is_undecided_to_the_end_is_an_entry_too() -> None:
    wire = Watched().client(b"GE").bye().close()
    assert (wire.protocols, wire.entries[0].to_dict()["request"]) == (["tcp"], {"bytes": 2, "packets": 1})


# decode_as


def line_talk(**options: Any) -> Watched:
    return Watched(Sniffer(decode_as={("tcp", 9000): "redis"}), **options)


def test_decode_as_names_the_protocol_of_a_port() -> None:
    """Also where the bytes alone would leave it open."""
    wire = line_talk(dport=9000).client(b"PING\r\n").server(b"+PONG\r\n").bye().close()
    assert [(entry.protocol, entry.summary) for entry in wire.entries] == [("redis", "PING")]


def test_decode_as_knows_the_server_where_it_is_seen_first() -> None:
    wire = line_talk(shaken=False, dport=9000)
    wire.server(b"+OK\r\n").wait(1).client(b"PING\r\n").wait(1).server(b"+PONG\r\n").wait(1).close()
    assert {(entry.protocol, ends(entry)) for entry in wire.entries} == {("redis", (51000, 9000))}
    assert wire.entries[-1].summary == "PING"


@pytest.mark.parametrize("ports", [{"dport": 9000}, {"sport": 9000}])
def test_a_syn_knows_better_than_decode_as_who_the_client_is(ports: dict[str, int]) -> None:
    wire = line_talk(**ports).server(b"+HELLO\r\n").client(b"PING\r\n").server(b"+PONG\r\n").bye().close()
    assert {(entry.protocol, *ends(entry)) for entry in wire.entries} == {
        ("redis", ports.get("sport", 51000), ports.get("dport", 80))
    }
    assert ("PING", "PONG") in [
        (entry.summary, entry.response.value) for entry in wire.entries if entry.request and entry.response
    ]


def test_decode_as_leaves_other_ports_alone() -> None:
    wire = line_talk(dport=9001).client(GET).server(OK).bye().close()
    assert wire.protocols == ["http"]


def test_decode_as_of_bytes_that_are_something_else_is_no_failure() -> None:
    wire = line_talk(dport=9000).client(NOISE * 10).server(OK).bye().close()
    assert wire.ledger.imbalances() == []
    assert wire.ledger.dissector_errors == 0


# Who answers whom


def paired(wire: Watched) -> list[tuple[str, str]]:
    """Path and body of the exchanges that claim to be right."""
    whole = [entry for entry in wire.entries if entry.protocol == "http" and entry.request and entry.response]
    return [(entry.request.path, "/" + entry.response.body.text) for entry in whole if not entry.faults]


@pytest.mark.parametrize("lost", range(8))
def test_no_pair_is_wrong_without_a_mark_where_an_answer_is_lost_in_a_pipeline(lost: int) -> None:
    wire = Watched().client(*(get(f"/{n}") for n in range(8)))
    for n in range(8):
        if n == lost:
            wire.skip(SERVER, len(ok(f"{n}")))
        else:
            wire.server(ok(f"{n}"))
    wire.see(wire.packet(CLIENT)).wait(1)
    for n in range(8, 12):
        wire.client(get(f"/{n}")).server(ok(f"{n}"))
    wire.bye().close()
    assert all(path == answer for path, answer in paired(wire))
    assert paired(wire)[-1:] == [("/11", "/11")]


@pytest.mark.parametrize("lost", range(6))
def test_no_pair_is_wrong_where_an_answer_is_lost_in_turn(lost: int) -> None:
    wire = Watched()
    for n in range(6):
        wire.client(get(f"/{n}"))
        if n == lost:
            wire.skip(SERVER, len(ok(f"{n}")))
        else:
            wire.server(ok(f"{n}"))
    wire.bye().close()
    assert all(path == answer for path, answer in paired(wire))
    assert len(paired(wire)) >= 4
    assert [entry.request.path for entry in wire.entries if entry.request] == [f"/{n}" for n in range(6)]


@pytest.mark.parametrize("lost", range(6))
def test_no_pair_is_wrong_where_a_request_is_lost(lost: int) -> None:
    wire = Watched()
    for n in range(6):
        if n == lost:
            wire.skip(CLIENT, len(get(f"/{n}")))
        else:
            wire.client(get(f"/{n}"))
        wire.server(ok(f"{n}")).see(wire.packet(CLIENT)).wait(1)
    wire.bye().close()
    assert all(path == answer for path, answer in paired(wire))
    assert len(paired(wire)) >= 4


def test_requests_without_answers_say_so() -> None:
    wire = Watched().client(get("/1"), get("/2")).bye().close()
    assert [(entry.summary, entry.response, kinds(entry)) for entry in wire.entries] == [
        ("GET /1", None, ["unanswered"]), ("GET /2", None, ["unanswered"]),
    ]  # fmt: skip
    assert (wire.ledger.requests, wire.ledger.unanswered, wire.ledger.answered) == (2, 2, 0)


# Open entries, in packet time


def test_what_is_open_is_shown_once_and_again_only_when_it_changed() -> None:
    wire = Watched().client(GET).wait(10.5)
    assert [(entry.state, entry.status) for entry in wire.seen] == [("open", "")]
    wire.wait(100)
    assert len(wire.seen) == 1
    wire.server(OK[:-1]).wait(11)
    assert [(entry.state, entry.status) for entry in wire.seen] == [("open", ""), ("open", "200")]
    wire.wait(100).server(OK[-1:]).bye().close()
    assert [(entry.state, entry.status) for entry in wire.seen] == [("open", ""), ("open", "200"), ("closed", "200")]
    assert len({entry.id for entry in wire.seen}) == 1
    assert wire.ledger.open_entries == 2
    assert wire.ledger.entries == 1


def test_what_is_done_in_time_is_never_shown_open() -> None:
    wire = Watched()
    for n in range(30):
        wire.client(get(f"/{n}")).wait(1).server(ok("x")).wait(1)
    assert {entry.state for entry in wire.bye().close().seen} == {"closed"}


def quiet_and_slow() -> list[list[Packet]]:
    """Bursts of packets with long pauses: an open exchange, a hole, an idle connection."""
    wire = Wire()
    bursts = [[*wire.handshake(), wire.send(CLIENT, GET), wire.send(SERVER, OK[:20])]]
    wire.now += 12 * SECOND
    wire.skip(SERVER, 5)
    bursts.append([wire.send(SERVER, OK[25:])])
    wire.now += 15 * SECOND
    bursts.append([wire.send(CLIENT, get("/2")), wire.send(SERVER, OK)])
    wire.now += 600 * SECOND
    bursts.append([wire.packet(CLIENT, NOISE, PSH | ACKED, seq=77)])
    return bursts


def told(entries: Iterable[Any]) -> list[dict[str, Any]]:
    return [entry.to_dict() for entry in entries]


@pytest.mark.parametrize("step", [0, 1, 7, 100])
def test_time_may_pass_in_one_step_or_in_many(step: int) -> None:
    bursts = quiet_and_slow()
    plain = Sniffer()
    whole = told([*plain.feed([packet for burst in bursts for packet in burst]), *plain.close()])
    stepping = Sniffer()
    found = []
    now = 0
    for burst in bursts:
        while step and now + step * SECOND < burst[0].time_ns:
            now += step * SECOND
            found += stepping.advance(now)
        found += stepping.advance(burst[0].time_ns - 1)
        for packet in burst:
            found += stepping.feed([packet])
        now = burst[-1].time_ns
    assert told([*found, *stepping.close()]) == whole
    assert [entry["state"] for entry in whole].count("open") >= 1
    assert stepping.ledger.ended == plain.ledger.ended == {"idle": 1, "end of capture": 1}


# Dissectors that misbehave


class Line(Message):
    """`ASK words` from the client, `SAY words` from the server."""

    __slots__ = ("text",)
    protocol = "line"

    def __init__(self, side: Side, at: int, position: int, text: bytes) -> None:
        super().__init__(side, at, at, position, len(text))
        self.text = text

    @property
    def summary(self) -> str:
        return self.text.decode("latin-1").strip()

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return {"text": self.summary}


class Ask(Line):
    __slots__ = ()
    role = Role.REQUEST


class Say(Line):
    __slots__ = ()
    role = Role.RESPONSE

    @property
    def status_text(self) -> str:
        return "said"


class Lines(Dissector):
    """Each piece is a line. Behaves well."""

    protocol = "line"

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits)
        self.taken = [0, 0]
        self.given = [0, 0]

    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        if client[:4] not in (b"ASK ", b"") or server[:4] not in (b"SAY ", b""):
            return Match.NO
        return Match.YES

    def feed(self, side: Side, data: bytes, at: int) -> Iterable[Output]:
        position = self.taken[side]
        self.taken[side] += len(data)
        yield from self.lines(side, data, at, position)

    def lines(self, side: Side, data: bytes, at: int, position: int) -> Iterable[Any]:
        self.given[side] += len(data)
        yield (Say if side else Ask)(side, at, position, data)

    def gap(self, side: Side, size: int, at: int) -> Iterable[Output]:
        return ()

    def close(self, side: Side, at: int) -> Iterable[Output]:
        left = self.pending(side)
        self.given[side] += left
        return [Undecoded(side, left, "left")] if left else []

    def pending(self, side: Side) -> int:
        return self.taken[side] - self.given[side]


def with_plugin(monkeypatch: pytest.MonkeyPatch, plugin: type[Dissector]) -> Sniffer:
    every = {"tcp": (plugin, *known()["tcp"]), "udp": known()["udp"]}
    monkeypatch.setattr(pysniff.sniffer, "known", lambda: every)
    return Sniffer()


def two_talks(sniffer: Sniffer) -> Watched:
    """HTTP and the plugin's protocol side by side; the HTTP one is returned."""
    http = Watched(sniffer, sport=1111)
    line = Watched(sniffer, sport=2222, now=SECOND + MILLISECOND // 2)
    http.client(get("/1"))
    line.client(b"ASK one\n").server(b"SAY 1\n")
    http.server(ok("1"))
    line.client(b"ASK two\n").server(b"SAY 2\n")
    http.client(get("/2")).server(ok("2")).bye()
    line.bye().close()
    http.seen += line.seen
    return http


def test_a_dissector_that_behaves(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = two_talks(with_plugin(monkeypatch, Lines))
    assert sorted(summaries(talk.entries)) == [
        ("ASK one", "said"), ("ASK two", "said"), ("GET /1", "200"), ("GET /2", "200"),
    ]  # fmt: skip
    assert talk.ledger.lossless()


def raises(error: Exception, *, late: bool = False) -> type[Lines]:
    class Failing(Lines):
        def lines(self, side: Side, data: bytes, at: int, position: int) -> Iterable[Any]:
            if late and side is CLIENT:
                yield from super().lines(side, data, at, position)
            if side is SERVER or not late:
                raise error

    return Failing


def gives(*nonsense: object) -> type[Lines]:
    class Nonsense(Lines):
        def lines(self, side: Side, data: bytes, at: int, position: int) -> Iterable[Any]:
            return iter(nonsense)

    return Nonsense


def returns(nonsense: Any) -> type[Lines]:
    class Nonsense(Lines):
        def feed(self, side: Side, data: bytes, at: int) -> Any:
            self.taken[side] += len(data)
            return nonsense

    return Nonsense


class NoInit(Lines):
    def __init__(self, limits: Limits = DEFAULT) -> None:
        raise OSError("no")


class BadOpen(Lines):
    def open(self) -> Iterable[Message]:
        raise KeyError("open")


class BadClose(Lines):
    def close(self, side: Side, at: int) -> Iterable[Output]:
        raise RuntimeError("close")


class BadMatch(Lines):
    @classmethod
    def match(cls, client: bytes, server: bytes) -> Match:
        raise ZeroDivisionError


FAILING: dict[str, type[Dissector]] = {
    "feed raises": raises(ValueError("no idea")),
    "feed raises later": raises(RecursionError(), late=True),
    "feed gives a string": gives("text"),
    "feed gives a number": gives(42),
    "feed gives None": gives(None),
    "feed gives an object": gives(object()),
    "feed returns a number": returns(42),
    "feed returns True": returns(True),
    "it cannot be made": NoInit,
    "close raises": BadClose,
    "match raises": BadMatch,
}


@pytest.mark.parametrize("name", FAILING)
def test_a_dissector_that_fails_spoils_no_other_conversation(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    talk = two_talks(with_plugin(monkeypatch, FAILING[name]))
    http = [entry for entry in talk.entries if entry.protocol == "http"]
    assert [(entry.summary, entry.response.body.text, entry.faults) for entry in http] == [
        ("GET /1", "1", ()), ("GET /2", "2", ()),
    ]  # fmt: skip
    assert talk.ledger.dissector_errors > 0
    assert not talk.ledger.lossless()
    assert talk.entries[2:] != []  # never silence


def test_open_that_raises_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Watched(with_plugin(monkeypatch, BadOpen)).client(b"ASK one\n").wait(11).server(b"SAY 1\n").bye().close()
    assert summaries(line.entries) == [("ASK one", "said")]
    assert line.ledger.dissector_errors > 0


def test_malformed_is_no_error_of_the_dissector(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = two_talks(with_plugin(monkeypatch, raises(Malformed("bad line"))))
    assert talk.ledger.dissector_errors == 0
    assert talk.ledger.undecoded["bad line"] > 0
    assert [entry.protocol for entry in talk.entries].count("http") == 2


def test_after_malformed_the_conversation_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Lines):
        def lines(self, side: Side, data: bytes, at: int, position: int) -> Iterable[Any]:
            if not data.startswith((b"ASK ", b"SAY ")):
                raise Malformed("neither ASK nor SAY")
            return super().lines(side, data, at, position)

    line = Watched(with_plugin(monkeypatch, Strict)).client(b"ASK 1\n").server(b"SAY 1\n", b"what?\n")
    line.client(b"ASK 2\n").server(b"SAY 2\n").bye().close()
    assert summaries(line.entries) == [("ASK 1", "said"), ("ASK 2", "said")]
    assert line.ledger.undecoded == {"neither ASK nor SAY": 6}


def test_a_conversation_that_is_malformed_again_and_again_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Watched(with_plugin(monkeypatch, raises(Malformed("never right"))))
    for _ in range(100):
        line.client(b"ASK x\n")
    line.bye().close()
    assert line.protocols == ["tcp"]
    assert line.ledger.undecoded["never right"] < 20 * len(b"ASK x\n")


@pytest.mark.parametrize("lie", [5, -3, None, "many", 1 << 70])
def test_a_dissector_that_lies_about_what_is_pending_is_found_out(monkeypatch: pytest.MonkeyPatch, lie: Any) -> None:
    """It harms nobody else, and the ledger does not balance, or says that it failed."""

    class Liar(Lines):
        def pending(self, side: Side) -> int:
            return lie  # type: ignore[no-any-return]

    sniffer = with_plugin(monkeypatch, Liar)
    http, line = Watched(sniffer, sport=1111), Watched(sniffer, sport=2222)
    http.client(get("/1"))
    found = [*sniffer.feed([line.send(CLIENT, b"ASK one\n")])]
    assert sniffer.ledger.imbalances() or sniffer.ledger.dissector_errors
    found += sniffer.feed([http.send(SERVER, ok("1")), line.send(SERVER, b"SAY 1\n")])
    found += sniffer.feed([*http.farewell(), *line.farewell()])
    found += sniffer.close()
    assert sorted(summaries(found)) == [("ASK one", "said"), ("GET /1", "200")]
    assert sniffer.ledger.imbalances() or sniffer.ledger.dissector_errors


def test_a_decoder_that_fails_when_touched_leaves_the_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is decoded by whoever reads it; the core never does."""

    class Hollow(Ask):
        __slots__ = ()

        @property
        def summary(self) -> str:
            raise ValueError("hollow")

    class Lazy(Lines):
        def lines(self, side: Side, data: bytes, at: int, position: int) -> Iterable[Any]:
            self.given[side] += len(data)
            yield (Say if side else Hollow)(side, at, position, data)

    line = Watched(with_plugin(monkeypatch, Lazy)).client(b"ASK one\n").server(b"SAY 1\n").bye().close()
    assert len(line.entries) == 1
    assert line.ledger.lossless()
