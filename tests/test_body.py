"""Bodies: content codings undone within bounds, text found, hashes right, nothing lost silently."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysniff.body import Body, BodyBuilder
from pysniff.limits import KIB, MIB, Limits
from pysniff.media import media
from pysniff.message import Fault
from pysniff.multipart import HEADER_BYTES, HEADERS, PARTS, Part, multipart

try:
    from compression import zstd
except ImportError:
    from backports import zstd


def raw_deflate(content: bytes) -> bytes:
    return zlib.compress(content)[2:-4]


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "members": ("X-GZip", lambda content: gzip.compress(content[:5]) + gzip.compress(content[5:])),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "frames": ("zstd", lambda content: zstd.compress(content[:5]) + zstd.compress(content[5:])),
    "two": ("gzip, br", lambda content: brotli.compress(gzip.compress(content))),
    "identity": ("identity", bytes),
}


def encoded(how: str, content: bytes) -> Body:
    coding, encode = ENCODERS[how]
    raw = encode(content)
    return Body(raw, len(raw), coding)


@pytest.mark.parametrize("how", ENCODERS)
@pytest.mark.parametrize("size", [0, 1, 6, 65_535, 65_536, 65_537, 400_000])
def test_codings_are_undone(how: str, size: int) -> None:
    content = hashlib.shake_128(b"x").digest(size // 2) + bytes(size - size // 2)
    body = encoded(how, content)
    assert body.content == content and body.size == size and body.faults == () and not body.truncated
    assert body.content_sha256 == hashlib.sha256(content).hexdigest()
    assert body.sha256 == hashlib.sha256(body.raw).hexdigest()


@pytest.mark.parametrize("how", [how for how in ENCODERS if how != "identity"])
def test_a_cut_body_gives_what_decodes_and_says_so(how: str) -> None:
    content = hashlib.shake_128(b"y").digest(200_000)
    coding, encode = ENCODERS[how]
    raw = encode(content)[:-10_000]
    body = Body(raw, len(raw), coding)
    assert content.startswith(body.content) and body.size > 100_000
    assert [fault.kind for fault in body.faults] == ["truncated"]


def test_what_decodes_before_an_error_is_kept() -> None:
    raw = gzip.compress(b"a" * 1000)
    body = Body(raw[:-8] + b"\0" * 8, len(raw), "gzip")
    assert body.content == b"a" * 1000 and [fault.kind for fault in body.faults] == ["malformed"]


def test_a_plain_body_that_claims_a_coding_is_shown_as_sent() -> None:
    body = Body(b"hello", 5, "gzip", "text/plain")
    assert body.text == "hello" and [fault.kind for fault in body.faults] == ["malformed"]


def test_an_unknown_coding_is_left_alone() -> None:
    body = Body(b"\x01\x02", 2, "gzip, exi")
    assert body.content == b"\x01\x02" and body.encoding == "gzip, exi"


@pytest.mark.parametrize("how", ["gzip", "zlib", "br", "zstd", "two"])
def test_a_bomb_is_counted_to_the_limit_and_not_kept(how: str) -> None:
    limits = Limits(body_bytes=100 * KIB, decoded_bytes=MIB)
    coding, encode = ENCODERS[how]
    raw = encode(bytes(20 * MIB))
    body = Body(raw, len(raw), coding, limits=limits)
    assert body.size == MIB and len(body.content) == 100 * KIB and body.truncated
    assert [fault.kind for fault in body.faults] == ["truncated"]


def test_codings_are_not_undone_without_end() -> None:
    raw = b"x"
    for _ in range(5):
        raw = gzip.compress(raw)
    body = Body(raw, len(raw), ",".join(["gzip"] * 5))
    assert body.content == raw and [fault.kind for fault in body.faults] == ["malformed"]
    flood = gzip.compress(b"") * 5_000
    assert [fault.kind for fault in Body(flood, len(flood), "gzip").faults] == ["malformed"]


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        ("h\u00e4".encode(), "text/plain", "h\u00e4"),
        ("h\u00e4".encode(), "", "h\u00e4"),
        (b"h\xe4", "text/html; charset=ISO-8859-1", "h\u00e4"),
        (b"h\xe4", 'text/html; Charset="windows-1252"', "h\u00e4"),
        (b"h\xe4", "application/json", "h\u00e4"),
        (b"h\xe4", "text/plain; charset=idna", "h\u00e4"),
        (b"\xef\xbb\xbfa", "text/plain; charset=latin-1", "a"),
        (b"\xff\xfea\0", "text/plain", "a"),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
        (b"h\xe4", "", None),
        (b"a\0", "application/x-thing", None),
        (b"text", "image/png", None),
    ],
)
def test_text_is_found(content: bytes, content_type: str, text: str | None) -> None:
    body = Body(content, len(content), "", content_type)
    assert body.is_text is (text is not None) and body.text == (text or "")
    assert ("text" in body.to_dict(100)) is body.is_text


def test_a_type_is_lower_case_without_parameters() -> None:
    assert media(" Application/JSON ; charset=utf-8").mime_type == "application/json"


def test_the_record_is_the_contracts() -> None:
    raw = gzip.compress(b'{"items":[1,2,3]}')
    body = Body(raw, len(raw), "gzip", "application/json; charset=utf-8")
    assert body.to_dict(MIB) == {
        "size": 17,
        "encoded_size": len(raw),
        "mime_type": "application/json",
        "encoding": "gzip",
        "text": '{"items":[1,2,3]}',
        "truncated": False,
    }
    assert body.json() == {"items": [1, 2, 3]}
    assert Body(b"", 0, "", "image/png").to_dict(10)["text"] == ""
    assert Body(b"\xff\0", 2).to_dict(1)["base64"] == "/w=="


def test_json_that_is_none_is_a_value_error() -> None:
    for content in (b"{", b"", b"\xff\0", b"[" * 100_000):
        with pytest.raises(ValueError):
            Body(content, len(content), "", "application/json").json()


def test_a_record_is_cut_where_a_character_ends() -> None:
    content = "h\u00e4\u00e4".encode()
    shown = Body(content, 5, "", "text/plain").to_dict(4)
    assert (shown["text"], shown["size"], shown["truncated"]) == ("h\u00e4", 5, True)


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(0, 200), st.sampled_from(["", "gzip"]))
def test_size_and_hashes_go_on_past_what_is_kept(content: bytes, step: int, kept: int, coding: str) -> None:
    raw = gzip.compress(content) if coding else content
    builder = BodyBuilder(Limits(body_bytes=kept), coding)
    for at in range(0, len(raw), step):
        builder.add(raw[at : at + step])
    body = builder.body()
    assert body.raw == raw[:kept] and body.encoded_size == len(raw) == builder.size
    assert body.sha256 == hashlib.sha256(raw).hexdigest()
    assert body.size == len(content) and body.content_sha256 == hashlib.sha256(content).hexdigest()
    assert body.truncated == (len(raw) > kept or len(content) > kept)


def test_a_snapshot_is_left_alone_by_later_pieces() -> None:
    builder = BodyBuilder(Limits(body_bytes=4))
    builder.add(b"ab")
    first = builder.body()
    builder.add(b"cd")
    second = builder.body()
    builder.add(b"ef")
    third = builder.body()
    assert [body.raw for body in (first, second, third)] == [b"ab", b"abcd", b"abcd"]
    assert [body.encoded_size for body in (first, second, third)] == [2, 4, 6]
    assert first.sha256 == hashlib.sha256(b"ab").hexdigest() and third.truncated


def test_many_small_pieces_are_put_together() -> None:
    builder = BodyBuilder()
    for _ in range(5_000):
        builder.add(b"xy")
    assert builder.body().raw == b"xy" * 5_000


def test_parts_are_read_leniently() -> None:
    content_type = 'multipart/form-data; boundary="b"'
    body = b'preamble\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n2\r\n--b\n\nx\n--b--\r\nepilogue'
    assert multipart(body, content_type) == [
        Part((("Content-Disposition", 'form-data; name="a"'),), b"1\r\n2"),
        Part((), b"x"),
    ]
    assert multipart(b"--b\r\n\r\nno end", content_type) == [Part((), b"no end")]
    assert multipart(body, "multipart/form-data") == []


def test_parts_and_headers_past_the_bounds_leave_a_trace() -> None:
    part, field = b"--b\r\n\r\nx\r\n", b"name: value\r\n"
    parts = multipart(part * (PARTS + 2) + b"--b--", "multipart/mixed; boundary=b")
    assert len(parts) == PARTS and not any(each.faults for each in parts[:-1])
    assert parts[-1] == Part((), b"x", (Fault("truncated", f"more than {PARTS} parts", 2 * len(part) + 5),))
    assert multipart(part * PARTS + b"--b--", "multipart/mixed; boundary=b")[-1].faults == ()
    for fields, kept, left in (
        (field * HEADERS, HEADERS, 0),
        (field * (HEADERS + 3), HEADERS, 3 * len(field) - 2),
        (field + b"long: " + b"x" * HEADER_BYTES + b"\r\n" + field, 1, HEADER_BYTES + 8 + len(field) - 2),
    ):
        (one,) = multipart(b"--b\r\n" + fields + b"\r\ncontent", "multipart/mixed; boundary=b")
        assert one.headers == (("name", "value"),) * kept and one.content == b"content"
        assert [(fault.kind, fault.bytes) for fault in one.faults] == ([("truncated", left)] if left else [])
