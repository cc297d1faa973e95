"""What -vv shows under the calls of HTTP/2, gRPC, DNS and WebSocket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pysniff
from pysniff.cli.details import details, head_lines
from pysniff.cli.grpc_lines import field_lines, outcome_lines
from pysniff.cli.terminal import Terminal
from pysniff.entry import Entry

EXAMPLES = Path(__file__).parent.parent / "examples"


class Plain(Terminal):
    def __init__(self) -> None:
        pass

    def paint(self, text: str, *styles: str) -> str:
        return text


@pytest.fixture(scope="module")
def shop() -> list[Entry]:
    return list(pysniff.read(EXAMPLES / "shop.pcap", proto=EXAMPLES / "shop.protoset"))


def shown(shop: list[Entry], headline: str, number: int = 0) -> list[str]:
    entry = [entry for entry in shop if entry.headline == headline][number]
    return [line.removeprefix("    ") for line in details(entry, Plain(), 1024)]


def test_a_request_of_http2_says_whom_it_asks(shop: list[Entry]) -> None:
    assert shown(shop, "GET /tea.svg?size=2")[:3] == [
        "> GET /tea.svg?size=2 HTTP/2",
        "> :authority: 10.0.0.9:8080",
        "> accept: */*",
    ]


def test_a_host_field_is_not_said_twice() -> None:
    record = {"method": "GET", "url": "/", "host": "a", "stream_id": 1, "headers": [["Host", "a"]]}
    assert list(head_lines(record, _Http2())) == ["GET / HTTP/2", "Host: a"]  # type: ignore[arg-type]


class _Http2:
    protocol = "http"
    version = "2"


def test_messages_of_grpc_are_fields_under_the_call(shop: list[Entry]) -> None:
    lines = shown(shop, "shop.Stock/Find")
    assert lines[lines.index("< grpc-status: 0") :] == [
        "< grpc-status: 0",
        "< grpc-message: ",
        "< (OK; 1 message)",
        "< ",
        "< message 1: 42 bytes",
        "<   tea {",
        "<     number: 3",
        "<   }",
        '<   leaf: "BLACK"',
        "<   packets: 17",
        "<   kilograms: 4.25",
        '<   notes: "malty"',
        '<   notes: "best before 2027"',
    ]


def test_how_a_call_of_grpc_ended_is_in_words(shop: list[Entry]) -> None:
    assert shown(shop, "shop.Stock/Find", 1)[-2:] == [
        "< grpc-message: no tea %E2%84%96 99",
        "< (NOT_FOUND: no tea № 99; 0 messages)",
    ]


@pytest.mark.parametrize(
    ("status", "words", "line"),
    [(0, "OK", "(OK; 2 messages)"), (None, "", "(no status; 2 messages)"), (99, "odd", "(status 99: odd; 2 messages)")],
)
def test_statuses_of_grpc(status: int | None, words: str, line: str) -> None:
    assert list(outcome_lines({"grpc_status": status, "grpc_message": words, "message_count": 2})) == [line]


@pytest.mark.parametrize(
    ("readings", "line"),
    [
        ({"fixed64": 4616471093031469056, "double": 4.25}, "4.25 (or 4616471093031469056)"),
        ({"fixed64": 17, "double": 8.4e-323}, "17 (or 8.4e-323)"),
        ({"fixed32": 1082654720, "float": 4.25}, "4.25 (or 1082654720)"),
        ({"fixed32": 2143289344, "float": "NaN"}, "2143289344 (or NaN)"),
        ({"varint": 18446744073709551615, "int": -1}, "-1 (or 18446744073709551615)"),
        ({"varint": 150}, "150"),
        ({"text": "88", "message": {"7": [{"varint": 56}]}}, '"88"'),
        ({"text": "a\nb", "message": {"12": [{"varint": 1}]}}, '"a\\nb" (or a message)'),
        ({"base64": "/wA="}, "0xff00"),
    ],
)
def test_the_likeliest_reading_of_a_field_without_a_name_comes_first(readings: dict[str, Any], line: str) -> None:
    assert list(field_lines({"1": [readings]})) == [f"1: {line}"]


def test_a_dns_message_is_told_in_the_words_of_dig(shop: list[Entry]) -> None:
    assert shown(shop, "MX example") == [
        "> QUERY 54758, flags rd ad, 48 bytes",
        "> question: example IN MX",
        "> edns: version 0, 1,232 bytes over UDP, option 10 a8dd1b455266846b",
        "< QUERY 54758, NOERROR, flags aa rd ra, 80 bytes",
        "< question: example IN MX",
        "< answer: example 0 IN MX 1 shop.example",
        "< additional: shop.example 0 IN A 10.0.0.9",
        "< edns: version 0, 1,232 bytes over UDP",
    ]


def test_messages_of_a_websocket(shop: list[Entry]) -> None:
    assert shown(shop, 'text {"seen": 1}') == ["< text, 11 bytes (13 as sent)", "< ", "< {", '<   "seen": 1', "< }"]
    assert shown(shop, "close 1000") == ["> close 1000, 2 bytes"]


def test_what_is_odd_stands_under_the_half_that_it_is_said_of(cut: list[Entry]) -> None:
    lines = shown(cut, cut[-1].headline)
    first, second = (at for at, line in enumerate(lines) if line.startswith("! midstream: "))
    assert lines[first - 1].startswith(("> ", "! "))
    assert any(line.startswith("< ") for line in lines[first:second])


@pytest.fixture
def cut(tmp_path: Path) -> list[Entry]:
    """The pictures of the shop without their first call: later ones point at its header fields."""
    data = (EXAMPLES / "shop.pcap").read_bytes()
    kept, at = [], 24
    while at < len(data):
        end = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        if (8080).to_bytes(2) in (data[at + 50 : at + 52], data[at + 52 : at + 54]):  # ports, behind Ethernet and IPv4
            kept.append(data[at:end])
        at = end
    path = tmp_path / "cut.pcap"
    # 12 packets: the handshake, the settings and the first call.
    path.write_bytes(data[:24] + b"".join(kept[12:]))
    return list(pysniff.read(path))
