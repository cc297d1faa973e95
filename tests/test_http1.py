"""HTTP/1 as it is on the wire, in transcripts; each is read whole, byte by byte and in sevens, with one result."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
import pytest
from talk import Talk, cut, in_bytes, records
from wire import Watched, kinds, summaries

from pysniff.dissectors.http1 import Http1
from pysniff.limits import DEFAULT, Limits
from pysniff.message import CLIENT, SERVER, Side
from pysniff.multipart import multipart
from pysniff.sniffer import Sniffer

Step = tuple[Side, bytes | int]  # an int: so many bytes are lost


def c(data: bytes | int) -> Step:
    return CLIENT, data


def s(data: bytes | int) -> Step:
    return SERVER, data


def get(path: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    return (
        method + b" " + path + b" HTTP/1.1\r\n" + b"".join(field + b"\r\n" for field in (b"Host: a", *fields)) + b"\r\n"
    )


def ok(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (*fields, b"Content-Length: %d" % len(body))
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    sized = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sized + b"0\r\n" + trailers + b"\r\n"


def dissected(steps: list[Step], limits: Limits) -> tuple[object, ...]:
    talk = Talk(Http1(limits))
    for side, data in steps:
        if isinstance(data, int):
            talk.gap(side, data)
        else:
            talk.feed(side, data)
    talk.close()
    lost = [sum(each.size for each in talk.undecoded if each.side is side) for side in Side]
    return records(talk), talk.switches, lost


def read(*steps: Step, limits: Limits = DEFAULT) -> list[Any]:
    """The entries of a connection; however it is cut, the messages are the same."""
    if not any(data for side, data in steps if b" 101 " in bytes(data) or b"CONNECT" in bytes(data)):
        whole = dissected(list(steps), limits)
        for sizes in ([1], [7], [3, 1, 50]):
            pieces: list[Step] = []
            for side, data in steps:
                pieces += [(side, data)] if isinstance(data, int) else cut([(side, data)], sizes)
            assert dissected(pieces, limits) == whole
    wire = Watched(Sniffer(limits=limits))
    losing = any(isinstance(data, int) for _, data in steps)
    for side, data in steps:
        if isinstance(data, int):
            wire.skip(side, data)
        else:
            wire.see(wire.send(side, data))
        if losing:  # the other side has what the capture missed, and time passes
            wire.see(wire.packet(side.other)).wait(1)
    return wire.bye().close().entries


def one(*steps: Step, limits: Limits = DEFAULT) -> Any:
    entries = read(*steps, limits=limits)
    assert len(entries) == 1
    return entries[0]


# What every page has


def test_a_request_and_its_response() -> None:
    entry = one(
        c(b"POST /cart?id=7&x=%20y HTTP/1.1\r\nHost: shop\r\nCookie: a=1; b=2\r\nContent-Length: 4\r\n\r\nbody"),
        s(ok(b"[1]", b"Content-Type: Application/JSON; charset=utf-8", b"Set-Cookie: s=9; Path=/; Secure")),
    )
    request, response = entry.request, entry.response
    assert (request.method, request.url, request.path) == ("POST", "/cart?id=7&x=%20y", "/cart")
    assert (request.host, request.query) == ("shop", (("id", "7"), ("x", " y")))
    assert request.cookies == (("a", "1"), ("b", "2"))
    assert request.headers[0] == ("Host", "shop")
    assert request.body.raw == b"body"
    assert (response.status, response.reason, response.cookies) == (200, "OK", (("s", "9"),))
    assert (response.body.mime_type, response.body.json()) == ("application/json", [1])
    assert (entry.version, entry.summary, entry.status, entry.ok) == ("1.1", "POST /cart", "200", True)
    assert entry.headline == "POST /cart?id=7&x=%20y"
    assert (entry.completeness, entry.faults) == ("complete", ())


def test_headers_size_is_what_har_counts() -> None:
    """HAR 1.2: from the start of the message until and including the double CRLF before the body."""
    head = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
    entry = one(c(head), s(ok(b"12345")))
    assert entry.request.headers_size == len(head)
    assert entry.response.headers_size == len(ok(b"12345")) - 5


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\nHost: shop\n\n", b"\r\nGET / HTTP/1.1\r\nHost: shop\r\n\r\n"])
def test_headers_size_of_heads_that_are_not_written_so(head: bytes) -> None:
    entry = one(c(head), s(ok()))
    assert entry.request.headers_size == len(head.lstrip(b"\r\n"))


def test_keep_alive_gives_an_entry_an_exchange() -> None:
    entries = read(*(step for n in range(5) for step in (c(get(b"/%d" % n)), s(ok(b"%d" % n)))))
    assert summaries(entries) == [(f"GET /{n}", "200") for n in range(5)]
    assert [entry.response.body.raw for entry in entries] == [b"%d" % n for n in range(5)]


def test_pipelined_requests_are_answered_in_order() -> None:
    """RFC 9112 §9.3.2."""
    asked = b"".join(get(b"/%d" % n) for n in range(20))
    entries = read(c(asked), s(b"".join(ok(b"%d" % n) for n in range(20))))
    assert [(entry.request.path, entry.response.body.text) for entry in entries] == [
        (f"/{n}", f"{n}") for n in range(20)
    ]


def test_a_pipelined_request_with_a_body_in_between() -> None:
    post = b"POST /b HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n"
    entries = read(c(get(b"/a") + post + get(b"/c")), s(ok() + ok() + ok()))
    assert [entry.request.path for entry in entries] == ["/a", "/b", "/c"]


# Where a message ends: RFC 9112 §6


def test_chunks_with_extensions_and_trailers() -> None:
    """RFC 9112 §7.1.1, §7.1.2."""
    body = b'5;a=b;c="d"\r\nhello\r\n6 ; x\r\n world\r\n0\r\nExpires: never\r\nX-Sum:  1 \r\n\r\n'
    entries = read(
        c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Expires\r\n\r\n" + body),
        c(get(b"/next")), s(ok()),
    )  # fmt: skip
    assert entries[0].response.body.raw == b"hello world"
    assert entries[0].response.trailers == (("Expires", "never"), ("X-Sum", "1"))
    assert summaries(entries) == [("GET /", "200"), ("GET /next", "200")]
    assert entries[0].faults == ()


def test_a_chunked_request_with_trailers() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n"
    entry = one(c(head + b"3\r\nabc\r\n00\r\nA: b\r\n\r\n"), s(ok()))
    assert (entry.request.body.raw, entry.request.trailers) == (b"abc", (("A", "b"),))


def test_chunk_lines_that_end_with_a_bare_line_feed() -> None:
    entries = read(
        c(get(b"/")), s(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n0\n\n"), c(get(b"/2")), s(ok())
    )
    assert entries[0].response.body.raw == b"ab"
    assert len(entries) == 2


TEXT = b"a page that is long enough to be worth packing " * 20


def zstd(data: bytes) -> bytes:
    try:
        from compression.zstd import compress  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports.zstd import compress
    return bytes(compress(data))


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),  # without the wrapper that RFC 9110 §8.4.1.2 asks for
        ("br", brotli.compress(TEXT)),
        ("zstd", zstd(TEXT)),
    ],
)
def test_content_codings(coding: str, packed: bytes) -> None:
    field = b"Content-Encoding: " + coding.encode()
    entries = read(
        c(get(b"/1") + get(b"/2")),
        s(ok(packed, field) + chunked(packed).replace(b"\r\n", b"\r\n" + field + b"\r\n", 1)),
    )
    assert len(entries) == 2
    for entry in entries:
        body = entry.response.body
        assert (body.content, body.raw, body.encoding) == (TEXT, packed, coding)
        record = entry.to_dict()["response"]["body"]
        assert (record["size"], record["encoded_size"], record["text"]) == (len(TEXT), len(packed), TEXT.decode())


def test_an_answer_to_head_has_no_body() -> None:
    """RFC 9110 §9.3.2."""
    entries = read(
        c(get(b"/", method=b"HEAD")), s(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        c(get(b"/", method=b"HEAD")), s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        c(get(b"/after")), s(ok(b"x")),
    )  # fmt: skip
    assert summaries(entries) == [("HEAD /", "200"), ("HEAD /", "200"), ("GET /after", "200")]
    assert [entry.response.body.raw for entry in entries] == [b"", b"", b"x"]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_204_and_304_have_no_body_whatever_they_say(status: bytes) -> None:
    """RFC 9112 §6.3."""
    entries = read(
        c(get(b"/1")), s(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\n\r\n"), c(get(b"/2")), s(ok(b"x"))
    )
    assert [entry.request.path for entry in entries] == ["/1", "/2"]
    assert entries[0].response.body.raw == b""
    assert all(entry.faults == () for entry in entries)


def test_interim_responses_belong_to_the_final_one() -> None:
    """RFC 9110 §15.2, RFC 8297."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    entries = read(
        c(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        s(b"HTTP/1.1 100 Continue\r\n\r\n"), c(b"hi"), s(hints + ok(b"done")), c(get(b"/2")), s(ok()),
    )  # fmt: skip
    assert summaries(entries) == [("POST /", "200"), ("GET /2", "200")]
    assert [one.status for one in entries[0].response.interim] == [100, 103]
    told = entries[0].to_dict()["response"]["interim"]
    assert told[1] == {"status": 103, "reason": "Early Hints", "headers": [["Link", "</a.css>"]]}
    assert entries[1].response.interim == ()


def test_a_body_that_ends_with_the_connection() -> None:
    """RFC 9112 §6.3, rule 8."""
    entry = one(c(get(b"/")), s(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall "), s(b"of it"))
    assert (entry.response.body.raw, entry.version, entry.response.version) == (b"all of it", "1.1", "1.0")
    assert (entry.completeness, entry.faults) == ("complete", ())


def test_a_request_without_length_has_no_body() -> None:
    """RFC 9112 §6.3, rule 7."""
    entries = read(c(get(b"/1", method=b"POST") + get(b"/2")), s(ok() + ok()))
    assert [entry.request.path for entry in entries] == ["/1", "/2"]


def test_a_transfer_coding_that_does_not_end_in_chunks_goes_on_until_close() -> None:
    """RFC 9112 §6.3, rule 4."""
    entry = one(c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    assert entry.response.body.raw == b"5\r\nhello\r\n0\r\n\r\n"


def test_multipart_stays_as_it_was_sent_and_can_be_taken_apart() -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B\r\n\r\n\x00\xff\r\n--B--\r\n'
    kind = b"multipart/form-data; boundary=B"
    asked = b"POST / HTTP/1.1\r\nContent-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    entry = one(c(asked), s(ok()))
    assert entry.request.body.raw == body
    assert [part.content for part in multipart(body, entry.request.header("content-type"))] == [b"1", b"\x00\xff"]


# Other protocols inside


def test_a_tunnel_holds_what_is_in_it() -> None:
    """RFC 9110 §9.3.6: any 2xx to CONNECT."""
    entries = read(
        c(b"CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n"), s(b"HTTP/1.1 200 Fine\r\nContent-Length: 7\r\n\r\n"),
        c(get(b"/inside")), s(ok(b"in")), c(get(b"/again")), s(ok()),
    )  # fmt: skip
    assert summaries(entries) == [("CONNECT b:80", "200"), ("GET /inside", "200"), ("GET /again", "200")]
    assert (entries[0].request.host, entries[0].request.path) == ("b:80", "")
    assert [entry.faults for entry in entries] == [(), (), ()]


def test_what_is_sent_before_the_tunnel_is_there_goes_into_it() -> None:
    entries = read(c(b"CONNECT b:80 HTTP/1.1\r\n\r\n" + get(b"/early")), s(b"HTTP/1.1 200 OK\r\n\r\n"), s(ok()))
    assert summaries(entries) == [("CONNECT b:80", "200"), ("GET /early", "200")]


def test_a_refused_tunnel_is_an_answer_like_any_other() -> None:
    entries = read(
        c(b"CONNECT b:443 HTTP/1.1\r\n\r\n"), s(ok(b"who are you?", status=b"407 Proxy Authentication Required")),
        c(get(b"/plain")), s(ok()),
    )  # fmt: skip
    assert summaries(entries) == [("CONNECT b:443", "407"), ("GET /plain", "200")]
    assert entries[0].response.body.raw == b"who are you?"
    assert not entries[0].ok


def test_a_tunnel_of_something_unknown_is_counted() -> None:
    wire = Watched().client(b"CONNECT b:9 HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n")
    wire.client(bytes(range(128, 256))).server(b"\xfe" * 40).bye().close()
    assert wire.protocols == ["http", "tcp"]
    assert wire.entries[1].to_dict()["request"] == {"bytes": 128, "packets": 1}
    assert wire.entries[1].to_dict()["response"] == {"bytes": 40, "packets": 1}


def test_an_upgrade_ends_http() -> None:
    """RFC 9110 §7.8; the frames behind it are no HTTP."""
    wire = Watched().client(get(b"/ws", b"Upgrade: websocket", b"Connection: Upgrade"))
    wire.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi").client(b"\x81\x82abcd\0\0")
    wire.bye().close()
    assert summaries(wire.entries)[0] == ("GET /ws", "101")
    assert wire.protocols == ["http", "ws", "ws"]
    assert wire.ledger.undecoded == {}


@pytest.mark.parametrize(
    "before", [b"\r\n", b"\r\n\r\n", b"GET /more HTTP", get(b"/"), b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_no_byte_is_lost_where_the_client_went_on_before_the_upgrade(before: bytes) -> None:
    """Talk checks the law: what was fed came back or is pending."""
    talk = Talk(Http1()).client(get(b"/ws", b"Upgrade: x"), before)
    talk.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    assert len(talk.switches) == 1


def test_no_byte_is_lost_where_an_upgrade_answers_a_request_that_is_not_complete() -> None:
    talk = Talk(Http1()).client(b"POST /ws HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 9\r\n\r\nabc")
    talk.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    assert len(talk.switches) == 1
    assert [message.summary for message in talk.messages] == ["POST /ws", "101 Switching Protocols"]


# What takes long


def test_server_sent_events_are_visible_while_they_come() -> None:
    wire = Watched().client(get(b"/events"))
    wire.server(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire.server(b"9\r\ndata: 1\n\n\r\n").wait(11)
    assert [(entry.state, entry.response.body.text) for entry in wire.seen] == [("open", "data: 1\n\n")]
    assert wire.seen[0].to_dict()["completed"] is None
    wire.server(b"9\r\ndata: 2\n\n\r\n").wait(11)
    assert [entry.response.body.text for entry in wire.seen] == ["data: 1\n\n", "data: 1\n\ndata: 2\n\n"]
    wire.server(b"0\r\n\r\n")
    assert [entry.state for entry in wire.seen] == ["open", "open", "closed"]
    assert len({entry.id for entry in wire.seen}) == 1
    assert wire.seen[0].response.body.text == "data: 1\n\n"  # an emitted entry never changes
    assert wire.bye().close().seen[-1].state == "closed"


def test_an_answer_that_takes_long_is_an_open_entry() -> None:
    wire = Watched().client(get(b"/slow")).wait(9)
    assert wire.seen == []
    wire.wait(2)
    assert [(entry.state, entry.response) for entry in wire.seen] == [("open", None)]
    wire.server(ok(b"at last"))
    assert [(entry.state, entry.status) for entry in wire.seen] == [("open", ""), ("closed", "200")]
    assert wire.seen[0].id == wire.seen[1].id


def test_an_answer_may_come_before_its_request_is_complete() -> None:
    """RFC 9112 §9.3: a server may answer early; the client may go on sending."""
    entries = read(
        c(b"POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345"), s(ok(b"too big", status=b"413 Too Large")),
        c(b"67890"), c(get(b"/next")), s(ok()),
    )  # fmt: skip
    assert summaries(entries) == [("POST /big", "413"), ("GET /next", "200")]
    assert entries[0].request.body.raw == b"1234567890"
    assert [entry.faults for entry in entries] == [(), ()]


def test_an_early_answer_to_a_request_that_never_ends() -> None:
    entry = one(c(b"POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345"), s(ok(status=b"413 Too Large")))
    assert summaries([entry]) == [("POST /big", "413")]
    assert (kinds(entry), entry.completeness) == (["truncated"], "truncated")


def test_both_directions_of_one_slow_exchange_are_one_open_entry() -> None:
    """What is shown while open is replaced by the same id; nothing open stays behind."""
    wire = Watched().client(b"POST /both HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    wire.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n").wait(11)
    assert [entry.state for entry in wire.seen] == ["open"]
    wire.client(b"0\r\n\r\n").server(b"0\r\n\r\n").bye().close()
    assert [(entry.state, entry.status) for entry in wire.entries] == [("closed", "200")]


# Lenient where real servers are, odd things noted


def test_bare_line_feeds() -> None:
    """RFC 9112 §2.2: a recipient may take LF alone for a line end."""
    entries = read(
        c(b"GET /a HTTP/1.1\nHost: b\nX: y\n\n" + get(b"/c")), s(b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx" + ok())
    )
    assert entries[0].request.headers == (("Host", "b"), ("X", "y"))
    assert summaries(entries) == [("GET /a", "200"), ("GET /c", "200")]


def test_folded_lines_are_one_field() -> None:
    """RFC 9112 §5.2: obs-fold becomes spaces."""
    entry = one(c(b"GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n  two\r\n\tthree\r\nY: z\r\n\r\n"), s(ok()))
    assert entry.request.headers == (("Host", "a"), ("X", "one two three"), ("Y", "z"))


def test_space_before_the_colon() -> None:
    """RFC 9112 §5.1: forbidden, sent all the same; the length still counts."""
    entries = read(c(get(b"/1") + get(b"/2")), s(b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc" + ok()))
    assert entries[0].response.body.raw == b"abc"
    assert entries[0].response.headers == (("Content-Length", "3"),)
    assert len(entries) == 2


@pytest.mark.parametrize("fields", [b"Content-Length: 3\r\nContent-Length: 3", b"Content-Length: 3, 3"])
def test_a_length_said_twice_is_noted(fields: bytes) -> None:
    """RFC 9112 §6.3, rule 5: the same value may be taken once."""
    entries = read(c(get(b"/1")), s(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nabc"), c(get(b"/2")), s(ok()))
    assert entries[0].response.body.raw == b"abc"
    assert kinds(entries[0]) == ["malformed"]
    assert entries[1].faults == ()


def test_lengths_that_contradict_are_noted() -> None:
    entry = one(c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"))
    assert entry.response.body.raw == b"abc"
    assert "conflicting" in entry.faults[0].message


@pytest.mark.parametrize("value", [b"abc", b"-1", b"", b"0x3", b"9" * 30])
def test_a_length_without_sense_is_noted(value: bytes) -> None:
    entry = one(c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nContent-Length: " + value + b"\r\n\r\nabc"))
    assert kinds(entry) == ["malformed"]
    assert entry.response.body.raw == b"abc"


def test_chunks_win_over_a_length_and_it_is_noted() -> None:
    """RFC 9112 §6.3, rule 3: the shape of request smuggling."""
    head = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    entries = read(c(head + b"3\r\nabc\r\n0\r\n\r\n" + get(b"/2")), s(ok() + ok()))
    assert entries[0].request.body.raw == b"abc"
    assert kinds(entries[0]) == ["malformed"]
    assert [entry.request.path for entry in entries] == ["/", "/2"]


@pytest.mark.parametrize("method", [b"PROPFIND", b"M-SEARCH", b"X", b"get", b"VERSION-CONTROL", b"$!~"])
def test_a_method_may_be_any_token(method: bytes) -> None:
    """RFC 9110 §9.1."""
    entry = one(c(get(b"/x", method=method)), s(ok()))
    assert entry.request.method == method.decode()


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://shop:8080/a?b=c", "shop:8080", "/a"),
        (b"http://shop", "shop", ""),
        (b"*", "", "*"),
        (b"/a?b=http://c/d", "", "/a"),
    ],
)
def test_forms_of_the_target(target: bytes, host: str, path: str) -> None:
    """RFC 9112 §3.2."""
    entry = one(c(b"OPTIONS " + target + b" HTTP/1.1\r\n\r\n"), s(ok()))
    assert (entry.request.url, entry.request.host, entry.request.path) == (target.decode(), host, path)


def test_the_host_field_names_the_host_of_an_absolute_target_too() -> None:
    entry = one(c(b"GET http://shop/a HTTP/1.1\r\nHost: shop\r\n\r\n"), s(ok()))
    assert (entry.request.host, entry.request.path) == ("shop", "/a")


def test_http_1_0() -> None:
    entry = one(c(b"GET / HTTP/1.0\r\n\r\n"), s(b"HTTP/1.0 200 OK\r\n\r\nold"))
    assert (entry.version, entry.request.host, entry.response.body.raw) == ("1.0", "", b"old")


def test_a_status_line_without_a_reason() -> None:
    """RFC 9112 §4: the space before an absent reason is required, and often left out."""
    entries = read(c(get(b"/1") + get(b"/2")), s(ok(status=b"200") + ok(status=b"404 ")))
    assert [(entry.response.status, entry.response.reason) for entry in entries] == [(200, ""), (404, "")]


def test_header_bytes_that_are_not_ascii() -> None:
    """RFC 9110 §5.5: UTF-8 is what is sent, ISO-8859-1 is what it was."""
    entries = read(c(get(b"/1", b"X: \xc3\xa4") + get(b"/2", b"X: \xe4")), s(ok() + ok()))
    assert [entry.request.header("x") for entry in entries] == ["ä", "ä"]


def test_empty_lines_before_a_start_line_mean_nothing() -> None:
    """RFC 9112 §2.2."""
    entries = read(c(b"\r\n\r\n" + get(b"/1") + b"\r\n" + get(b"/2")), s(ok() + b"\r\n" + ok()))
    assert summaries(entries) == [("GET /1", "200"), ("GET /2", "200")]
    assert [entry.faults for entry in entries] == [(), ()]


def test_garbage_between_messages_is_skipped_and_noted() -> None:
    entries = read(c(get(b"/1")), s(ok()), c(b"\x00garbage\r\n\r\n" + get(b"/2")), s(ok()))
    assert summaries(entries) == [("GET /1", "200"), ("GET /2", "200")]
    assert kinds(entries[1]) == ["malformed"]


def test_a_response_without_a_request() -> None:
    entries = read(c(get(b"/1")), s(ok(b"1") + ok(b"408", status=b"408 Request Timeout")))
    assert summaries(entries) == [("GET /1", "200"), ("408 Request Timeout", "408")]
    assert (entries[1].request, kinds(entries[1]), entries[1].elapsed_time) == (None, ["unrequested"], None)


def test_a_request_without_an_answer() -> None:
    entries = read(c(get(b"/1")), s(ok()), c(get(b"/2")))
    assert summaries(entries) == [("GET /1", "200"), ("GET /2", "")]
    assert (entries[1].response, kinds(entries[1]), entries[1].ok) == (None, ["unanswered"], False)


# Losses


def test_a_gap_in_a_body_leaves_the_rest_in_place() -> None:
    body = b"x" * 100
    entries = read(c(get(b"/1")), s(ok(body)[:-60]), s(20), s(body[:40]), c(get(b"/2")), s(ok()))
    assert entries[0].response.body.raw == b"x" * 80
    assert [(fault.kind, fault.bytes) for fault in entries[0].faults] == [("gap", 20)]
    assert entries[0].completeness == "gap"
    assert (entries[1].summary, entries[1].status, entries[1].faults) == ("GET /2", "200", ())


def test_a_gap_in_a_head_costs_that_message() -> None:
    entries = read(
        c(get(b"/1")), s(ok()), c(b"GET /2 HTTP/1.1\r\nHo"), c(7), c(b"\r\n\r\n"), s(ok(b"2")),
        c(get(b"/3")), s(ok(b"3")),
    )  # fmt: skip
    paths = [entry.request.path for entry in entries if entry.request]
    assert paths == ["/1", "/2", "/3"]
    assert "gap" in kinds(entries[1])
    assert (entries[2].response.body.raw, entries[2].status) == (b"3", "200")


def test_a_gap_over_the_end_of_a_body_and_a_head() -> None:
    entries = read(
        c(get(b"/1")), s(ok(b"1" * 50)[:-10]), c(get(b"/2")), s(60), c(get(b"/3")), s(ok(b"3"))
    )  # fmt: skip
    assert all("gap" in kinds(entry) for entry in entries if entry.response)
    wrong = [
        entry for entry in entries if entry.response and entry.response.body.raw[:1] != entry.request.path[1:].encode()
    ]
    assert all(entry.faults for entry in wrong)  # two answers are gone in part: no pair is right without a doubt


def test_a_gap_in_a_chunk() -> None:
    answer = chunked(b"x" * 50, b"y" * 50)
    entries = read(c(get(b"/1")), s(answer[:80]), s(10), s(answer[90:]), c(get(b"/2")), s(ok()))
    assert entries[0].response.body.raw == b"x" * 40 + b"y" * 50
    assert kinds(entries[0]) == ["gap"]
    assert entries[1].faults == ()


def test_a_chunk_size_without_sense_ends_the_message_and_http_is_found_again() -> None:
    entries = read(
        c(get(b"/1")), s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n?\r\n"),
        c(get(b"/2")), s(ok(b"2")),
    )  # fmt: skip
    assert summaries(entries) == [("GET /1", "200"), ("GET /2", "200")]
    assert entries[0].response.body.raw == b"abc"
    assert "malformed" in kinds(entries[0])
    assert entries[1].response.body.raw == b"2"


def test_a_connection_that_breaks_in_a_body() -> None:
    entry = one(c(get(b"/")), s(ok(b"0123456789")[:-4]))
    assert (entry.response.body.raw, entry.completeness) == (b"012345", "truncated")


def test_a_connection_that_breaks_in_a_head() -> None:
    entries = read(c(get(b"/1")), s(ok()), c(b"GET /2 HTTP/1.1\r\nHost: a\r\nX-Hal"))
    assert entries[1].request.headers[0] == ("Host", "a")
    assert entries[1].completeness == "truncated"


def test_joined_in_the_middle_of_a_body() -> None:
    wire = Watched(shaken=False)
    wire.server(b"the end of a page ", b"that began before").wait(1)
    wire.client(get(b"/1")).server(ok(b"1")).client(get(b"/2")).server(ok(b"2")).bye().close()
    unmarked = [entry for entry in wire.entries if entry.protocol == "http" and not entry.faults]
    assert ("GET /2", "200") in summaries(unmarked)
    assert all((entry.request.path, entry.response.body.raw) in (("/1", b"1"), ("/2", b"2")) for entry in unmarked)


def test_joined_between_messages_nothing_is_marked() -> None:
    wire = Watched(shaken=False).client(get(b"/1")).wait(1).server(ok(b"1")).wait(1).client(get(b"/2")).server(ok(b"2"))
    assert summaries(wire.bye().close().entries) == [("GET /1", "200"), ("GET /2", "200")]


# Bounds


def test_what_is_over_the_body_limit_is_counted_and_hashed() -> None:
    import hashlib

    body = bytes(range(256)) * 8
    limits = Limits(body_bytes=1000)
    for steps in ([s(ok(body))], [s(ok(body)[:500]), s(ok(body)[500:])], [s(chunked(body[:900], body[900:]))]):
        record = one(c(get(b"/")), *steps, limits=limits).response.body
        assert (len(record.raw), record.encoded_size, record.size) == (1000, 2048, 2048)
        assert record.truncated
        assert record.sha256 == hashlib.sha256(body).hexdigest()


def test_what_unpacks_to_more_than_the_limit_is_counted_up_to_it() -> None:
    """A bomb: 1 MB of zeros in 1 kB."""
    packed = gzip.compress(bytes(1_000_000))
    entry = one(
        c(get(b"/")), s(ok(packed, b"Content-Encoding: gzip")), limits=Limits(body_bytes=50_000, decoded_bytes=200_000)
    )
    assert len(entry.response.body.content) == 50_000
    assert entry.response.body.size <= 300_000
    assert (kinds(entry), entry.completeness) == (["truncated"], "truncated")


def test_to_dict_keeps_as_much_of_a_body_as_is_asked() -> None:
    entry = one(c(get(b"/")), s(ok(b"x" * 100, b"Content-Type: text/plain")))
    record = entry.to_dict(body_limit=10)["response"]["body"]
    assert (record["text"], record["size"], record["truncated"]) == ("x" * 10, 100, True)


@pytest.mark.parametrize("size", [1990, 2000, 2010])
def test_a_head_over_the_limit_is_given_up_however_it_comes(size: int) -> None:
    head = get(b"/1", b"X: " + b"y" * (size - 32))
    entries = read(c(head), c(get(b"/2")), limits=Limits(head_bytes=2000))
    assert [entry.request.path for entry in entries] == (["/1", "/2"] if len(head) <= 2000 else ["/2"])


def test_a_head_without_end_is_given_up() -> None:
    limits = Limits(head_bytes=2000)
    wire = Watched(Sniffer(limits=limits)).client(b"GET / HTTP/1.1\r\n")
    for n in range(100):
        wire.client(b"X-%d: " % n + b"y" * 60 + b"\r\n")
    assert wire.ledger.undecoded["header block too long"] > 0
    assert wire.ledger.pending_bytes <= limits.head_bytes + limits.line_bytes
    wire.client(b"\r\n" + get(b"/after")).server(ok()).bye().close()
    assert ("GET /after", "200") in summaries(wire.entries)


def test_a_chunk_line_without_end_is_given_up() -> None:
    limits = Limits(line_bytes=100)
    entries = read(
        c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"x" * 300), limits=limits
    )
    assert "malformed" in kinds(entries[0])


def test_more_requests_than_are_remembered_are_unanswered() -> None:
    entries = read(c(b"".join(get(b"/%d" % n) for n in range(6))), limits=Limits(pipeline=4))
    assert [entry.request.path for entry in entries] == [f"/{n}" for n in range(6)]
    assert all(kinds(entry) == ["unanswered"] for entry in entries)


def test_a_gigabyte_that_never_comes_holds_nothing() -> None:
    entry = one(c(get(b"/")), s(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\nabc"))
    assert (entry.response.body.raw, entry.completeness) == (b"abc", "truncated")


def test_byte_by_byte_is_what_the_transcripts_mean_by_cut() -> None:
    """This file's promise can fail: a dissector that looked at cuts would be seen."""
    steps = [(CLIENT, get(b"/")), (SERVER, ok(b"x"))]
    whole, bytewise = Talk(Http1()), Talk(Http1())
    for side, data in steps:
        whole.feed(side, data)
    for side, data in in_bytes(steps)[:-1]:
        bytewise.feed(side, data)
    assert records(whole) != records(bytewise)
