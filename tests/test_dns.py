"""DNS: what names and records look like, who answers whom, what is not DNS; over UDP and TCP."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Talk, cut, in_bytes, played, records

from pysniff.dissector import Match
from pysniff.dissectors.dns import Dns, DnsOverTcp
from pysniff.dissectors.dns_records import Bad, Cut, data, name
from pysniff.message import CLIENT, SERVER, Role


def wire(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def header(number: int, flags: int, *counts: int) -> bytes:
    return struct.pack("!6H", number, flags, *counts, *[0] * (4 - len(counts)))


def question(kind: int = 1, *labels: bytes) -> bytes:
    return wire(*labels) + struct.pack("!HH", kind, 1)


def record(owner: bytes, kind: int, ttl: int, content: bytes, group: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, group, ttl, len(content)) + content


QUERY = header(7, 0x0100, 1) + question(1, b"Example", b"com")
ANSWER = (
    header(7, 0x8180, 1, 2, 0, 1)
    + question(1, b"eXample", b"com")
    + record(b"\xc0\x0c", 5, 60, b"\x03www\xc0\x0c")
    + record(b"\xc0\x29", 1, 60, b"\x01\x02\x03\x04")
    + record(b"\0", 41, 0x8000, b"\0\x0a\0\x02\xab\xcd", 1232)
)
OTHER = header(8, 0x0100, 1) + question(28, b"example", b"com")
REFUSED = header(8, 0x8185)


@pytest.fixture
def talk() -> Talk:
    return Talk(Dns())


def test_an_answer_is_read_and_has_the_key_of_its_query(talk: Talk) -> None:
    talk.client(QUERY).server(ANSWER)
    query, answer = talk.messages
    assert query.summary == "A Example.com" and answer.key == query.key
    assert query.to_dict(0)["questions"] == [{"name": "Example.com", "type": "A", "class": "IN"}]
    assert (answer.status_text, answer.ok, answer.faults) == ("NOERROR", True, ())
    shown = answer.to_dict(0)
    assert shown["rcode"] == "NOERROR" and shown["flags"] == ["rd", "ra"]
    assert shown["answers"] == [
        {"name": "eXample.com", "type": "CNAME", "class": "IN", "ttl": 60, "data": "www.eXample.com"},
        {"name": "www.eXample.com", "type": "A", "class": "IN", "ttl": 60, "data": "1.2.3.4"},
    ]
    assert shown["additionals"] == []
    assert shown["edns"] == {"version": 0, "udp_size": 1232, "do": True, "options": [{"code": 10, "data": "abcd"}]}


def test_a_refusal_without_question_answers_the_query_with_its_id(talk: Talk) -> None:
    talk.client(QUERY, OTHER).server(REFUSED)
    assert talk.responses[0].key == talk.requests[1].key
    assert (talk.responses[0].status_text, talk.responses[0].ok) == ("REFUSED", False)


def test_a_multicast_response_answers_nobody(talk: Talk) -> None:
    announcement = header(0, 0x8400, 0, 1) + record(wire(b"a b", b"local"), 1, 120, b"\x01\x02\x03\x04", 0x8001)
    talk.client(announcement)
    assert talk.messages[0].role is Role.ALONE
    assert talk.messages[0].to_dict(0)["answers"][0]["class"] == "IN"
    assert talk.messages[0].summary == "A a\\032b.local"


def test_a_cut_answer_keeps_what_is_there(talk: Talk) -> None:
    talk.server(ANSWER[:-20])
    assert [fault.kind for fault in talk.messages[0].faults] == ["truncated"]
    assert len(talk.messages[0].to_dict(0)["answers"]) == 1


def test_what_is_no_dns_on_a_dns_conversation_is_undecoded(talk: Talk) -> None:
    talk.client(QUERY, b"hello", header(1, 0, 1) + b"\xff" * 20, OTHER)
    assert [each.reason for each in talk.undecoded] == ["short", "malformed"]
    assert len(talk.requests) == 2


@pytest.mark.parametrize(
    ("kind", "content", "shown"),
    [
        (15, b"\0\x0a" + wire(b"mx"), "10 mx"),
        (16, b'\x02a"\x03b\\\xff', '"a\\"" "b\\\\\\255"'),
        (28, bytes(15) + b"\x01", "::1"),
        (33, b"\0\x01\0\x02\0\x50" + wire(b"h", b"x"), "1 2 80 h.x"),
        (6, wire(b"a") + wire(b"b") + struct.pack("!5I", 1, 2, 3, 4, 5), "a b 1 2 3 4 5"),
        (35, b"\0\x01\0\x02\x01u\x03sip\x00" + wire(), '1 2 "u" "sip" "" .'),
        (43, b"\x30\x39\x08\x02\xab", "12345 8 2 ab"),
        (46, struct.pack("!HBBIIIH", 1, 8, 2, 60, 5, 4, 9) + wire(b"z") + b"\0\0\0", "A 8 2 60 5 4 9 z AAAA"),
        (47, wire(b"b") + b"\0\x01\x40", "b A"),
        (48, b"\x01\x01\x03\x08\0\0\0", "257 3 8 AAAA"),
        (50, b"\x01\0\0\x05\x01\xaa\x05\0\0\0\0\0\0\x01\x40", "1 0 5 aa 00000000 A"),
        (52, b"\x03\x01\x01\xfe", "3 1 1 fe"),
        (
            65,
            b"\0\x01\0\0\x01\0\x03\x02h2\0\x03\0\x02\x01\xbb\0\x04\0\x04\x01\x02\x03\x04",
            '1 . alpn="h2" port=443 ipv4hint=1.2.3.4',
        ),
        (257, b"\0\x05issueca.org", '0 issue "ca.org"'),
        (65280, b"\x01\x02", "\\# 2 0102"),
        (1, b"\x01", "\\# 1 01"),
        (2, b"\xc0\x50", "\\# 2 c050"),
    ],
)
def test_data_is_shown_as_in_a_zone_file(kind: int, content: bytes, shown: str) -> None:
    assert data(b"\0" + content + b"rest", kind, 1, 1 + len(content)) == shown


def test_names_escape_what_is_odd() -> None:
    assert name(wire(b"a.b", b'"\\', b"\x00 ", b"\xc3\xa4"), 0)[0] == 'a\\.b.\\"\\\\.\\000\\032.\\195\\164'
    assert name(b"\0", 0) == (".", 1)


@pytest.mark.parametrize(
    "loop", [b"\xc0\x00", b"\x01a\xc0\x00", b"\xc0\x02\xc0\x00", b"\xc0\x7f", b"\x80", wire(*[b"x" * 63] * 4)]
)
def test_names_that_loop_or_never_end_are_bad(loop: bytes) -> None:
    with pytest.raises((Bad, Cut)):
        name(loop, 0)


def test_a_chain_of_pointers_is_bounded() -> None:
    chain = b"\0" + b"".join(struct.pack("!H", 0xC000 | max(0, 2 * at - 1)) for at in range(1_000))
    assert name(chain, 41) == (".", 43)
    with pytest.raises(Bad):
        name(chain, 1_001)


def prefixed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


STREAM = [(CLIENT, prefixed(QUERY) + prefixed(OTHER)), (SERVER, prefixed(REFUSED) + prefixed(ANSWER))]


def test_answers_on_tcp_come_in_any_order() -> None:
    talk = played(DnsOverTcp, STREAM)
    assert [message.key for message in talk.responses] == [message.key for message in reversed(talk.requests)]
    assert [message.position for message in talk.responses] == [0, 14]


def test_every_cut_on_tcp_gives_the_same() -> None:
    assert records(played(DnsOverTcp, in_bytes(STREAM))) == records(played(DnsOverTcp, STREAM))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9))
def test_random_cuts_on_tcp_give_the_same(sizes: list[int]) -> None:
    assert records(played(DnsOverTcp, cut(STREAM, sizes))) == records(played(DnsOverTcp, STREAM))


def test_a_gap_inside_a_message_leaves_the_next_one_whole() -> None:
    talk = Talk(DnsOverTcp())
    first, rest = prefixed(ANSWER)[:60], prefixed(ANSWER)[70:]
    talk.server(first).gap(SERVER, 10).server(rest[:3], rest[3:] + prefixed(REFUSED))
    cut_off, whole = talk.responses
    assert [fault.kind for fault in cut_off.faults] == ["gap"] and cut_off.size == len(first) + len(rest)
    assert whole.faults == () and whole.position == cut_off.size + 10


def test_a_gap_over_an_end_goes_on_at_the_next_message() -> None:
    talk = Talk(DnsOverTcp())
    talk.client(prefixed(QUERY)[:5]).gap(CLIENT, 100).client(b"rubbish that is no DNS", prefixed(OTHER))
    assert [message.summary for message in talk.requests] == ["AAAA example.com"]
    assert {each.reason for each in talk.undecoded} == {"short", "after a gap"}


def test_the_first_message_of_a_zone_transfer_is_the_answer() -> None:
    talk = Talk(DnsOverTcp())
    part = header(9, 0x8400, 1, 1) + question(252, b"z") + record(b"\xc0\x0c", 1, 1, b"\1\2\3\4")
    talk.client(prefixed(header(9, 0, 1) + question(252, b"z"))).server(prefixed(part) * 3)
    assert [message.role for message in talk.messages] == [Role.REQUEST, Role.RESPONSE, Role.ALONE, Role.ALONE]


NBNS = header(1, 0x0110, 1) + wire(b"CA" * 16) + b"\0\x20\0\x01"
UPDATE = header(3, 0x2800, 1, 0, 1) + question(6, b"z") + record(b"\xc0\x0c", 1, 0, b"", 255)


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (QUERY, b"", Match.YES),
        (QUERY, ANSWER, Match.YES),
        (b"", ANSWER, Match.YES),
        (b"", ANSWER[:-9], Match.YES),
        (UPDATE, b"", Match.YES),
        (header(1, 0, 0, 0, 0, 1) + record(b"\0", 41, 0, b"", 1232), b"", Match.YES),
        (b"", REFUSED, Match.UNSURE),
        (QUERY, REFUSED, Match.YES),
        (b"", QUERY, Match.NO),
        (NBNS, b"", Match.NO),
        (bytes(12), b"", Match.UNSURE),
        (bytes(40), b"", Match.NO),
        (b"\x80\x60" + bytes(170), b"", Match.NO),
        (b"M-SEARCH * HTTP/1.1\r\n", b"", Match.NO),
        (QUERY[:14], b"", Match.NO),
    ],
)
def test_match_knows_dns_and_nothing_else(client: bytes, server: bytes, expected: Match) -> None:
    assert Dns.match(client, server) is expected
    if expected is Match.YES:
        assert Dns.match(server, client) is not Match.YES


@pytest.mark.parametrize("size", range(len(prefixed(QUERY)) + 1))
def test_match_on_tcp_waits_for_the_question(size: int) -> None:
    expected = Match.YES if size == len(prefixed(QUERY)) else Match.UNSURE
    assert DnsOverTcp.match(prefixed(QUERY)[:size], b"") is expected


@pytest.mark.parametrize(
    "other",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03abcd",
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_other_protocols_are_not_dns_over_tcp(other: bytes) -> None:
    assert DnsOverTcp.match(other, b"") is Match.NO and DnsOverTcp.match(b"", other) is Match.NO


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([QUERY, ANSWER, UPDATE, REFUSED, NBNS])), max_size=6),
    st.integers(0, 100),
    st.integers(0, 255),
)
def test_garbage_keeps_the_law(pieces: list[bytes], at: int, byte: int) -> None:
    for dissector, frame in ((Dns, bytes), (DnsOverTcp, prefixed)):
        talk = Talk(dissector())
        for index, piece in enumerate(pieces):
            side = SERVER if index % 2 else CLIENT
            flipped = bytearray(frame(piece))
            if flipped:
                flipped[at % len(flipped)] = byte
            talk.feed(side, bytes(flipped))
            dissector.match(bytes(flipped), piece)
            if at % 3 == 0 and dissector is DnsOverTcp:
                talk.gap(side, at)
        talk.close()
        assert talk.malformed is None
        for message in talk.messages:
            json.dumps(message.to_dict(0), allow_nan=False)
            assert message.summary.isprintable() and message.status_text.isprintable()
