"""Redis: commands, replies, pushes; whole, cut, with gaps, hostile."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Talk, cut, in_bytes, played, records

from pysniff.dissector import Match
from pysniff.dissectors.redis import Redis
from pysniff.limits import Limits
from pysniff.message import CLIENT, SERVER, Role, Side


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@pytest.fixture
def talk() -> Talk:
    return Talk(Redis())


SESSION = [
    (CLIENT, b"PING\r\n"),
    (SERVER, b"+PONG\r\n"),
    (CLIENT, command(b"HELLO", b"3")),
    (SERVER, b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n"),
    (CLIENT, command(b"SET", b"key", b"\xff\r\n\x00") + command(b"get", b"key") + command(b"LPUSH", b"l", b"\xc3\xa4")),
    (SERVER, b"+OK\r\n$4\r\n\xff\r\n\x00\r\n-WRONGTYPE not a list\r\n"),
    (CLIENT, command(b"MULTI") + command(b"INCR", b"n") + command(b"EXEC")),
    (SERVER, b"+OK\r\n+QUEUED\r\n*2\r\n:1\r\n-ERR no\r\n"),
    (CLIENT, command(b"SUBSCRIBE", b"a", b"b")),
    (SERVER, b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"),
    (SERVER, b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
    (CLIENT, command(b"DEBUG", b"PROTOCOL")),
    (
        SERVER,
        b"|1\r\n+ttl\r\n:3600\r\n*9\r\n_\r\n#t\r\n,1.5\r\n(123456789012345678901\r\n=8\r\ntxt:text\r\n!3\r\nERR\r\n",
    ),
    (SERVER, b"~1\r\n:1\r\n$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n*?\r\n:1\r\n:2\r\n.\r\n"),
]


def test_a_session_is_read_as_it_was_spoken() -> None:
    talk = played(Redis, SESSION)
    assert talk.malformed is None and not talk.undecoded
    assert [message.summary for message in talk.requests] == [
        "PING",
        "HELLO 3",
        "SET key \\xff\\r\\n\\x00",
        "GET key",
        "LPUSH l \u00e4",
        "MULTI",
        "INCR n",
        "EXEC",
        "SUBSCRIBE a b",
        "DEBUG PROTOCOL",
    ]
    assert len(talk.responses) == len(talk.requests)
    statuses = [(message.status_text, message.ok) for message in talk.responses]
    assert statuses[:5] == [("PONG", True), ("OK", True), ("OK", True), ("OK", True), ("WRONGTYPE", False)]
    assert talk.responses[-1].to_dict(1000) == {
        "type": "array",
        "value": [None, True, 1.5, "123456789012345678901", "text", {"error": "ERR"}, [1], "abc", [1, 2]],
        "size": 127,
        "truncated": False,
        "attributes": [["ttl", 3600]],
    }


def test_binary_is_base64_and_text_is_text(talk: Talk) -> None:
    talk.client(command(b"SET", b"\xc3\xa4", b"\xff\x00"))
    assert talk.requests[0].to_dict(100) == {
        "command": "SET",
        "args": ["\u00e4", {"base64": "/wA="}],
        "size": 29,
        "truncated": False,
    }


def test_body_limit_cuts_where_a_character_ends(talk: Talk) -> None:
    talk.server(b"$4\r\n\xc3\xa4\xc3\xa4\r\n")
    assert talk.responses[0].to_dict(3) == {"type": "bulk_string", "value": "\u00e4", "size": 10, "truncated": True}


def test_every_cut_gives_the_same() -> None:
    assert records(played(Redis, in_bytes(SESSION))) == records(played(Redis, SESSION))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_random_cuts_give_the_same(sizes: list[int]) -> None:
    assert records(played(Redis, cut(SESSION, sizes))) == records(played(Redis, SESSION))


def test_published_messages_stand_alone_in_resp2(talk: Talk) -> None:
    talk.client(command(b"SUBSCRIBE", b"a", b"b"))
    talk.server(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
    talk.server(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n")
    talk.client(command(b"PING"))
    talk.server(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    roles = [message.role for message in talk.messages]
    assert roles == [Role.REQUEST, Role.RESPONSE, Role.ALONE, Role.ALONE, Role.REQUEST, Role.RESPONSE]


def test_an_array_that_looks_published_is_an_answer_to_who_did_not_subscribe(talk: Talk) -> None:
    talk.client(command(b"LRANGE", b"l", b"0", b"2"))
    talk.server(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n")
    assert len(talk.responses) == 1


def test_monitored_commands_stand_alone(talk: Talk) -> None:
    talk.client(command(b"MONITOR"))
    talk.server(b"+OK\r\n", b'+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"\r\n')
    assert len(talk.responses) == 1 and len(talk.alone) == 1


def test_a_client_that_wants_no_replies_waits_for_none(talk: Talk) -> None:
    talk.client(command(b"CLIENT", b"REPLY", b"SKIP") + command(b"SET", b"a", b"1") + command(b"PING"))
    talk.client(
        command(b"CLIENT", b"REPLY", b"OFF") + command(b"SET", b"a", b"1") + command(b"CLIENT", b"REPLY", b"ON")
    )
    assert [message.summary for message in talk.requests] == ["PING", "CLIENT REPLY ON"]
    assert len(talk.alone) == 4


def test_a_replication_stream_ends_the_dissection(talk: Talk) -> None:
    talk.client(command(b"PSYNC", b"?", b"-1"))
    talk.server(b"+FULLRESYNC 0123 0\r\n$5\r\nREDIS")
    assert len(talk.responses) == 1 and talk.malformed and talk.dissector.pending(SERVER) == 9


def test_a_gap_inside_a_string_loses_only_its_bytes(talk: Talk) -> None:
    talk.client(command(b"GET", b"a") + command(b"GET", b"b"))
    talk.server(b"$10\r\n01").gap(SERVER, 5).server(b"789\r\n$1\r\nb\r\n")
    first, second = talk.responses
    assert [fault.kind for fault in first.faults] == ["gap"] and first.faults[0].bytes == 5
    assert first.size == 12 and second.faults == () and second.position == 17


def test_a_gap_over_an_end_goes_on_at_the_next_reply(talk: Talk) -> None:
    talk.server(b"$10\r\n01").gap(SERVER, 50).server(b"garbage\r\n", b":7\r\n")
    assert [each.size for each in talk.undecoded] == [7, 9]
    assert talk.responses[0].to_dict(9)["value"] == 7


def test_a_gap_among_commands_goes_on_at_the_next_command(talk: Talk) -> None:
    talk.client(command(b"SET", b"a", b"b")[:9]).gap(CLIENT, 50).client(b"x\r\n", command(b"GET", b"a"))
    assert [message.summary for message in talk.requests] == ["GET a"]


@pytest.mark.parametrize(
    "bytes_",
    [
        b"hello\r\n",
        b"$5\r\nhelloXX",
        b"*2\r\n%x\r\n",
        b"$-2\r\n",
        b":1_0\r\n",
        b"*99999999999\r\n",
        b"$?\r\n:1\r\n",
        b".\r\n",
    ],
)
def test_what_is_no_resp_is_malformed_and_counted(talk: Talk, bytes_: bytes) -> None:
    talk.server(b"+OK\r\n" + bytes_)
    assert talk.malformed and len(talk.responses) == 1
    assert talk.dissector.pending(SERVER) == len(bytes_)


def test_nesting_is_bounded(talk: Talk) -> None:
    talk.server(b"*1\r\n" * 100_000)
    assert talk.malformed and "nested" in talk.malformed


def test_a_long_string_is_counted_and_its_beginning_kept() -> None:
    talk = Talk(Redis(Limits(body_bytes=1000)))
    talk.server(b"$100000\r\n", *[b"x" * 1000] * 100, b"\r\n:1\r\n")
    record = talk.responses[0].to_dict(10_000)
    assert record["value"] == "x" * 1000 and record["truncated"] and talk.responses[0].size == 100_011
    assert talk.responses[0].faults[0].kind == "truncated" and talk.responses[1].faults == ()


def test_a_long_array_costs_bounded_memory() -> None:
    talk = Talk(Redis(Limits(body_bytes=64_000)))
    talk.server(b"*1000000\r\n")
    tracemalloc.start()
    for _ in range(100):
        talk.server(b":1\r\n" * 1000)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 1_000_000 and talk.dissector.pending(SERVER) == 400_010


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (command(b"GET", b"a"), b"", Match.YES),
        (command(b"JSON.GET", b"a"), b"", Match.YES),
        (command(b"GET", b"a")[:7], b"", Match.UNSURE),
        (command(b"FROB", b"a"), b"", Match.UNSURE),
        (command(b"FROB", b"a"), b"-ERR unknown command\r\n", Match.YES),
        (command(b"FROB", b"a"), b"$1\r\na\r\n", Match.YES),
        (b"PING\r\n", b"", Match.UNSURE),
        (b"PING\r\n", b"+PONG\r\n", Match.YES),
        (b"SET a b\r\n", b"+OK\r\n", Match.YES),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", Match.NO),
        (b"USER joe\r\n", b"+OK POP3 ready\r\n", Match.NO),
        (b"AUTH PLAIN\r\n", b"+OK POP3 ready\r\n", Match.NO),
        (b"get key\r\n", b"VALUE key 0 1\r\na\r\nEND\r\n", Match.NO),
        (b"", b"+OK\r\n", Match.UNSURE),
        (b"", b"+OK\r\n:1\r\n", Match.YES),
        (b"", b"$2\r\nab\r\n", Match.YES),
        (b"", b"+PONG\r\n", Match.YES),
        (b"", b"HTTP/1.1 200 OK\r\n", Match.NO),
        (b"", b"220 smtp ready\r\n", Match.NO),
        (b"", command(b"GET", b"a"), Match.NO),
        (b"\x16\x03\x01\x02", b"", Match.NO),
    ],
)
def test_match_knows_redis_and_nothing_else(client: bytes, server: bytes, expected: Match) -> None:
    assert Redis.match(client, server) is expected
    if expected is Match.YES:
        assert Redis.match(server, client) is not Match.YES


WIRE = st.lists(
    st.one_of(
        st.sampled_from([data for _, data in SESSION]),
        st.binary(max_size=20),
        st.sampled_from([b"*", b"$", b"\r\n", b"1", b"-1", b"?", b";", b".\r\n", b"|1\r\n", b"%1\r\n", b"$1\r\na\r\n"]),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(WIRE, st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), st.integers(0, 60)), max_size=3))
def test_garbage_and_gaps_keep_the_law(pieces: list[bytes], gaps: list[tuple[Side, int]]) -> None:
    talk = Talk(Redis(Limits(body_bytes=500, head_bytes=100)))
    for index, piece in enumerate(pieces):
        talk.feed(SERVER if index % 2 else CLIENT, piece)
        if index < len(gaps):
            talk.gap(*gaps[index])
        Redis.match(piece, b"".join(pieces))
    talk.close()
    for message in talk.messages:
        json.dumps(message.to_dict(50), allow_nan=False)
        assert message.summary.isprintable() and message.status_text.isprintable()
