"""A HAR has every call of HTTP, is valid whatever was on the wire, and Chromium's network panel opens it."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from chromium import browser, program
from har_schema import HAR
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from transcripts import H2, MASK, h2, ws
from wire import Watched

import pysniff
from pysniff.entry import Entry
from pysniff.errors import WriteError
from pysniff.export import har_websocket
from pysniff.export.har import NO_HTTP, NO_UPGRADE, Har
from pysniff.limits import MIB

SHOP = Path(__file__).parent.parent / "examples" / "shop.pcap"
GET = b"GET /cart?id=7 HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
)
UPGRADE += b"Sec-WebSocket-Key: WdyZ2+Qm3gLP+Isbz/06TA==\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
SWITCH += b"Sec-WebSocket-Accept: 58CU3400+eLDr+OiyEoPjtrk4bk=\r\n\r\n"


def exported(tmp_path: Path, entries: Iterable[Entry], body_limit: int = MIB) -> tuple[list[dict[str, Any]], Har]:
    """The entries of a valid file, and what wrote it."""
    har = Har(str(tmp_path / "x.har"), body_limit)
    for entry in entries:
        har.add(entry)
    har.close()
    log = json.loads((tmp_path / "x.har").read_text(encoding="ascii"))
    assert [error.message for error in Draft202012Validator(HAR).iter_errors(log)] == []
    records = log["log"]["entries"]
    for record in records:
        spans = record["timings"]
        assert record["time"] == pytest.approx(sum(spans[name] for name in ("send", "wait", "receive")))
    return records, har


def call(tmp_path: Path, request: bytes, response: bytes, body_limit: int = MIB) -> dict[str, Any]:
    wire = Watched().client(request).server(response).bye().close()
    [record] = exported(tmp_path, wire.entries, body_limit)[0]
    return record


def test_a_call_has_its_url_times_sizes_and_heads(tmp_path: Path) -> None:
    record = call(tmp_path, GET, OK)
    assert record["startedDateTime"] == "1970-01-01T00:00:01.004000Z"
    assert (record["time"], record["timings"]["wait"]) == (1.0, 1.0)
    assert record["serverIPAddress"] == "10.0.0.2"
    request, response = record["request"], record["response"]
    assert (request["method"], request["url"]) == ("GET", "http://shop/cart?id=7")
    assert request["queryString"] == [{"name": "id", "value": "7"}]
    assert request["headers"] == [{"name": "Host", "value": "shop"}]
    assert (request["headersSize"], request["bodySize"]) == (len(GET), 0)
    assert (response["status"], response["statusText"], response["httpVersion"]) == (200, "OK", "HTTP/1.1")
    assert (response["headersSize"], response["bodySize"], response["_transferSize"]) == (len(OK) - 2, 2, len(OK))
    assert response["content"] == {"size": 2, "mimeType": "x-unknown", "text": "hi"}
    assert record["_pysniff"]["completeness"] == "complete"


def test_the_four_spans_of_a_slow_call(tmp_path: Path) -> None:
    wire = Watched().client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", b"ab").wait(1)
    wire.server(OK[:10], OK[10:]).bye().close()
    [record] = exported(tmp_path, [entry for entry in wire.seen if entry.state == "closed"])[0]
    assert [record["timings"][name] for name in ("send", "wait", "receive")] == [1.0, 1001.0, 1.0]


def test_an_answer_that_begins_before_its_request_ends_takes_the_rest_of_the_time(tmp_path: Path) -> None:
    wire = Watched().client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").server(OK[:10])
    wire.client(b"ab", b"cd").server(OK[10:]).bye().close()
    [record] = exported(tmp_path, wire.entries)[0]
    assert [record["timings"][name] for name in ("send", "wait", "receive")] == [1.0, 0.0, 3.0]


def test_bodies_are_text_decoded_or_base64(tmp_path: Path) -> None:
    text = b"tea, " * 100
    zipped = gzip.compress(text, mtime=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\n"
    head += b"Content-Length: %d\r\n\r\n"
    content = call(tmp_path, GET, head % len(zipped) + zipped)["response"]["content"]
    assert content == {
        "size": 500,
        "compression": 500 - len(zipped),
        "mimeType": "text/plain; charset=utf-8",
        "text": text.decode(),
    }
    image = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n\x89PN\xff"
    content = call(tmp_path, GET, image)["response"]["content"]
    assert (content["encoding"], base64.b64decode(content["text"])) == ("base64", b"\x89PN\xff")


def test_a_body_beyond_the_limit_is_cut_and_says_so(tmp_path: Path) -> None:
    record = call(tmp_path, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nteas", OK, body_limit=1)
    assert record["request"]["postData"]["text"] == "t"
    assert record["request"]["postData"]["comment"] == "cut: only the beginning of 4 bytes is here"
    assert record["request"]["bodySize"] == 4
    assert (record["response"]["content"]["text"], record["response"]["content"]["size"]) == ("h", 2)


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        (b"application/json", b'{"tea":3}', {"text": '{"tea":3}'}),
        (
            b"application/x-www-form-urlencoded",
            b"a=1&b=%26",
            {"text": "a=1&b=%26", "params": [{"name": "a", "value": "1"}, {"name": "b", "value": "&"}]},
        ),
        (b"image/png", b"\x89\xff", {"text": "if8=", "_encoding": "base64", "comment": "binary: the text is base64"}),
    ],
)
def test_what_was_posted(tmp_path: Path, kind: bytes, body: bytes, data: dict[str, Any]) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        kind,
        len(body),
        body,
    )
    assert call(tmp_path, request, OK)["request"]["postData"] == {"mimeType": kind.decode(), **data}


def test_cookies_with_what_browsers_show_of_them(tmp_path: Path) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\n\r\n"
    response = (
        b"HTTP/1.1 302 Found\r\nLocation: /in\r\nSet-Cookie: id=7; Path=/; Domain=a; HttpOnly; Secure; SameSite=Lax\r\n"
    )
    response += (
        b"Set-Cookie: old=; Expires=Wed, 21-Oct-2015 07:28:00 GMT\r\nSet-Cookie: new=1; Max-Age=59; Expires=junk\r\n"
    )
    response += b"Set-Cookie: junk; Max-Age=999999999999999999999; Expires=99\r\nContent-Length: 0\r\n\r\n"
    record = call(tmp_path, request, response)
    assert record["request"]["cookies"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    plain = {"httpOnly": False, "secure": False}
    assert record["response"]["cookies"] == [
        {"name": "id", "value": "7", "httpOnly": True, "secure": True, "path": "/", "domain": "a", "sameSite": "Lax"},
        {"name": "old", "value": "", **plain, "expires": "2015-10-21T07:28:00.000Z"},
        {"name": "new", "value": "1", **plain, "expires": "1970-01-01T00:01:00.004Z"},
        {"name": "junk", "value": "", **plain},
    ]
    assert record["response"]["redirectURL"] == "/in"


def test_a_missing_half_still_gives_a_valid_entry(tmp_path: Path) -> None:
    [record] = exported(tmp_path, Watched().client(GET).close().entries)[0]
    assert (record["response"]["status"], record["response"]["bodySize"]) == (0, -1)
    assert record["comment"].startswith("no response was seen; unanswered: ")
    assert record["_pysniff"]["faults"][0]["kind"] == "unanswered"

    [record] = exported(tmp_path, Watched().server(OK).close().entries)[0]
    assert record["comment"].startswith("the request was not seen")
    assert (record["request"]["method"], record["request"]["url"]) == ("", "http://10.0.0.2")
    assert record["response"]["status"] == 200


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        (b"/a b?c=\xff|<d>", b"shop:8080", "http://shop:8080/a%20b?c=%C3%BF%7C%3Cd%3E"),
        (b"/x", b"no host", "http://10.0.0.2/x"),
        (b"/x", b"shop:99999", "http://10.0.0.2/x"),
        (b"/x", b"[::1]:80", "http://[::1]:80/x"),
        (b"/x", b"[:::]", "http://10.0.0.2/x"),
        (b"http://other/x", b"shop", "http://other/x"),
        (b"*", b"shop", "http://shop"),
    ],
)
def test_urls_are_absolute_and_plain_whatever_was_sent(tmp_path: Path, target: bytes, host: bytes, url: str) -> None:
    request = b"OPTIONS %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host)
    assert call(tmp_path, request, OK)["request"]["url"] == url


def test_http2_has_its_authority_and_chromes_name_for_it(tmp_path: Path) -> None:
    from hpack import Encoder

    head = Encoder().encode([(":method", "GET"), (":scheme", "http"), (":path", "/tea"), (":authority", "shop")])
    answer = Encoder().encode([(":status", "204")])
    wire = Watched().client(H2 + h2(1, 5, 1, head)).server(h2(4, 0, 0) + h2(1, 5, 1, answer)).bye().close()
    [record] = exported(tmp_path, wire.entries)[0]
    assert (record["request"]["url"], record["request"]["httpVersion"]) == ("http://shop/tea", "http/2.0")
    assert record["request"]["headersSize"] == len(head)


def test_messages_of_a_websocket_stand_on_its_upgrade(tmp_path: Path) -> None:
    wire = Watched().client(UPGRADE).server(SWITCH).client(ws(0x81, b"tea?", MASK)).server(ws(0x82, b"\xff"))
    wire.client(ws(0x88, b"\x03\xe8", MASK)).server(ws(0x88, b"\x03\xe8")).bye().close()
    [record], har = exported(tmp_path, wire.entries)
    assert record["_resourceType"] == "websocket"
    assert [(said["type"], said["opcode"], said["data"]) for said in record["_webSocketMessages"]] == [
        ("send", 1, "tea?"),
        ("receive", 2, "/w=="),
        ("send", 8, "A+g="),
        ("receive", 8, "A+g="),
    ]
    assert record["_webSocketMessages"][0]["time"] == pytest.approx(1.006)
    assert not har.left_out


def test_an_upgrade_that_never_ends_is_there_at_the_end(tmp_path: Path) -> None:
    wire = Watched().client(UPGRADE).server(SWITCH).client(ws(0x81, b"tea?", MASK)).close()
    [record], _ = exported(tmp_path, wire.entries)
    assert len(record["_webSocketMessages"]) == 1


def test_messages_that_wait_are_bounded_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(har_websocket, "_HELD", 1000)
    wire = Watched().client(UPGRADE).server(SWITCH)
    for _ in range(9):
        wire.client(ws(0x81, b"tea?", MASK))
    [record], har = exported(tmp_path, wire.close().entries)
    assert len(record["_webSocketMessages"]) == 5
    assert har.left_out == {NO_UPGRADE: 4}

    monkeypatch.setattr(har_websocket, "_CHATS", 1)
    wires = [Watched(sport=port).client(UPGRADE).server(SWITCH) for port in (5001, 5002)]
    records, har = exported(tmp_path, [*wires[0].entries, *wires[1].entries])
    assert [record["_webSocketMessages"] for record in records] == [[], []]


def test_what_is_no_http_is_left_out_and_counted(tmp_path: Path) -> None:
    entries = list(pysniff.read(SHOP))
    records, har = exported(tmp_path, entries)
    protocols = [record["_pysniff"]["protocol"] for record in records]
    assert protocols.count("grpc") == 3
    assert len(records) == sum(entry.protocol in ("http", "grpc") for entry in entries)
    assert har.left_out == {NO_HTTP: sum(entry.protocol in ("dns", "redis") for entry in entries)}
    find = next(record for record in records if record["request"]["url"].endswith("/shop.Stock/Find"))
    assert {"name": "grpc-status", "value": "0"} in find["_pysniff"]["responseTrailers"]
    assert find["response"]["content"]["encoding"] == "base64"


def test_a_har_without_entries_is_valid(tmp_path: Path) -> None:
    assert exported(tmp_path, [])[0] == []


_heads = st.sampled_from(
    [b"Host: ", b"Cookie: ", b"Set-Cookie: ", b"Content-Type: ", b"Content-Encoding: ", b"Upgrade: "]
)
_line = st.builds(bytes.__add__, _heads, st.binary(max_size=20).map(lambda raw: raw.translate(None, b"\r\n")))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=30), st.lists(_line, max_size=4), st.lists(_line, max_size=4), st.binary(max_size=30))
def test_a_har_is_valid_whatever_the_peers_say(
    tmp_path_factory: pytest.TempPathFactory, target: bytes, asked: list[bytes], told: list[bytes], body: bytes
) -> None:
    length = b"Content-Length: %d" % len(body)
    request = b"\r\n".join([b"POST /" + target.translate(None, b"\r\n ") + b" HTTP/1.1", *asked, length, b"", body])
    response = b"\r\n".join([b"HTTP/1.1 200 OK", *told, length, b"", body])
    wire = Watched().client(request).server(response).bye().close()
    exported(tmp_path_factory.getbasetemp(), wire.entries)


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    path.write_text("precious")
    path.chmod(0o640)
    wire = Watched().client(GET).server(OK)
    har = Har(str(path))
    har.abandon()
    assert path.read_text() == "precious"
    har = Har(str(path))
    har.add(wire.entries[0])
    assert path.read_text() == "precious"
    har.close()
    assert json.loads(path.read_text())["log"]["entries"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert [*tmp_path.iterdir()] == [path]


def test_after_a_failure_what_came_is_whole(tmp_path: Path) -> None:
    har = Har(str(tmp_path / "x.har"))
    har.add(Watched().client(GET).server(OK).entries[0])
    har.abandon()
    har.close()
    assert len(json.loads((tmp_path / "x.har").read_text())["log"]["entries"]) == 1


def test_a_link_is_followed_and_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.har").write_text("old")
    (tmp_path / "link.har").symlink_to("real.har")
    Har(str(tmp_path / "link.har")).close()
    assert (tmp_path / "link.har").is_symlink()
    assert json.loads((tmp_path / "real.har").read_text())["log"]["entries"] == []

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    Har(str(pipe)).close()
    assert json.loads(os.read(reader, 4096))["log"]["version"] == "1.2"
    os.close(reader)


def test_what_cannot_be_written_is_a_write_error(tmp_path: Path) -> None:
    for target in (str(tmp_path), str(tmp_path / "no" / "x.har"), "a\0b"):
        with pytest.raises(WriteError):
            Har(target)
    full = Har("/dev/full")
    with pytest.raises(WriteError, match="/dev/full: No space left"):
        full.add(Watched().client(GET).server(OK).entries[0])
    full.close()


@pytest.mark.skipif(program() is None, reason="needs chromium-headless-shell or chromium")
def test_chromiums_network_panel_opens_it(tmp_path: Path) -> None:
    zipped = gzip.compress("Grüße".encode(), mtime=0)
    wires = [
        Watched(sport=1001)
        .client(b"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nteas")
        .server(
            b"HTTP/1.1 201 Created\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(zipped), zipped)
        ),
        Watched(sport=1002)
        .client(GET)
        .server(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n\x89PN\xff"),
        Watched(sport=1003).client(GET).close(),
        Watched(sport=1004).server(OK).close(),
        Watched(sport=1005).client(UPGRADE).server(SWITCH).client(ws(0x81, b"tea?", MASK)).server(ws(0x81, b"yes")),
    ]
    exported(tmp_path, [entry for wire in wires for entry in wire.entries])
    executable = program()
    assert executable is not None
    with browser(executable) as page:
        shop = page.import_har((tmp_path / "x.har").read_text())
        [posted, image, unanswered, unasked, chat] = shop
    assert [posted[name] for name in ("method", "url", "status", "form", "text")] == [
        "POST", "http://shop/a", 201, "teas", "Grüße",
    ]  # fmt: skip
    assert posted["duration"] == pytest.approx(0.001)
    assert [image[name] for name in ("mime", "type", "base64")] == ["image/png", "image", "iVBO/w=="]
    assert [(pair["name"], pair["value"]) for pair in image["query"]] == [("id", "7")]
    assert (unanswered["url"], unanswered["status"]) == ("http://shop/cart?id=7", 0)
    assert (unasked["status"], unasked["text"]) == (200, "hi")
    assert (chat["type"], chat["frames"]) == ("websocket", [["send", 1, "tea?"], ["receive", 1, "yes"]])
