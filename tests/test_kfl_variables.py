"""The variables that filters name: all of the list are there, and they say what the entries say."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import ethernet_udp
from transcripts import a_record, dns
from wire import Watched

import pysniff
from pysniff.dissectors.dns import DnsOverTcp
from pysniff.dissectors.hpack import Decoder
from pysniff.dissectors.http import Fields
from pysniff.dissectors.http1_fields import lenient_fields, lenient_target, plain_fields
from pysniff.dissectors.http1_messages import Http1Request
from pysniff.dissectors.http2_head import Head
from pysniff.dissectors.http_variables import joined
from pysniff.entry import Entry
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, BYTES, INT, STRING, TIMESTAMP, ListType, MapType, Type
from pysniff.kfl.variables import assembled, schema
from pysniff.limits import Limits
from pysniff.message import SERVER
from pysniff.packet import Packet
from pysniff.sniffer import Sniffer

SHOP = Path(__file__).parent.parent / "examples" / "shop.pcap"

# int unless marked: s string, b bool, [] list of string, m map(string, string), y bytes, t timestamp.
LIST = """
src.ip:s dst.ip:s src.port dst.port protocol:s
id:s node_id:s stream:s timestamp:t completed:t state:s elapsed_time worker:s conn_id flow_id has_pcap:b
capture_source:s capture_backend:s capture:m
complete:b completeness:s faults:[] gap_bytes
http:b http1:b http2:b grpc:b ws:b gql:b gqlv1:b gqlv2:b dns:b tls:b tlsx:b tcp:b udp:b sctp:b icmp:b redis:b kafka:b
amqp:b ldap:b mongodb:b mysql:b postgresql:b radius:b diameter:b conn:b flow:b tcp_conn:b udp_conn:b tcp_flow:b
udp_flow:b
method:s url:s path:s host:s status_code http_version:s query_string:m request.headers:m response.headers:m
request.cookies:m response.cookies:m request.body:s response.body:s request_headers_size request_body_size
response_headers_size response_body_size request_encoded_size response_encoded_size
grpc_service:s grpc_method:s grpc_status grpc_message:s grpc_request_messages grpc_response_messages
dns_questions:[] dns_answers:[] dns_question_types:[] dns_request:b dns_response:b dns_request_length
dns_response_length dns_total_size
tls_version:s tls_summary:s tls_info:s tls_request_size tls_response_size tls_total_size tlsx_sni:s tlsx_alpn:s
tlsx_version:s tlsx_cipher_suite:s tlsx_cipher_suites:[] tlsx_ja3:s tlsx_ja3s:s tlsx_ja4:s tlsx_summary:s tlsx_info:s
tcp_method:s tcp_payload:y tcp_error_type:s tcp_error_message:s udp_length udp_checksum udp_payload:y sctp_checksum
sctp_chunk_type:s sctp_length icmp_type:s icmp_version icmp_length
ws_opcode:s ws_request:b ws_response:b ws_request_payload_data:s ws_request_payload_length ws_response_payload_length
redis_type:s redis_command:s redis_key:s redis_request_size redis_response_size redis_total_size
kafka_api_key kafka_api_key_name:s kafka_client_id:s kafka_size kafka_request:b kafka_response:b
kafka_request_summary:s kafka_request_size kafka_response_size
amqp_method:s amqp_summary:s amqp_request:b amqp_response:b amqp_request_length amqp_response_length amqp_total_size
ldap_type:s ldap_summary:s ldap_request:b ldap_response:b ldap_request_length ldap_response_length ldap_total_size
diameter_method:s diameter_summary:s diameter_request:b diameter_response:b diameter_request_length
diameter_response_length diameter_total_size
radius_code radius_code_name:s radius_request:b radius_response:b radius_request_authenticator:s
radius_request_length radius_response_length radius_total_size
mongodb_command:s mongodb_database:s mongodb_collection:s mongodb_opcode:s mongodb_request_size mongodb_response_size
mongodb_total_size mongodb_success:b mongodb_error_code mongodb_error_message:s mongodb_error_code_name:s
mysql_command:s mysql_query:s mysql_database:s mysql_statement_id mysql_request_size mysql_response_size
mysql_total_size mysql_success:b mysql_error_code mysql_error_message:s
postgresql_command:s postgresql_query:s postgresql_database:s postgresql_user:s postgresql_request_size
postgresql_response_size postgresql_total_size postgresql_success:b postgresql_error_code:s
postgresql_error_message:s
conn_state:s conn_local_pkts conn_local_bytes conn_remote_pkts conn_remote_bytes conn_l7_detected:[] conn_group_id
flow_state:s flow_local_pkts flow_local_bytes flow_remote_pkts flow_remote_bytes flow_l7_detected:[] flow_group_id
flow_local_pps flow_local_bps flow_remote_pps flow_remote_bps
src.name:s dst.name:s src.namespace:s dst.namespace:s src.pod.name:s src.pod.namespace:s src.service.name:s
src.service.namespace:s dst.pod.name:s dst.pod.namespace:s dst.service.name:s dst.service.namespace:s src.dns:s
dst.dns:s namespaces:[] pods:[] services:[] local_labels:m remote_labels:m local_annotations:m remote_annotations:m
node:m node_name:s node_ip:s local_node_name:s remote_node_name:s local_process_name:s remote_process_name:s
dns_resolutions:[] local_resolution_status:s remote_resolution_status:s
"""
TYPES: dict[str, Type] = {
    "": INT,
    "s": STRING,
    "b": BOOL,
    "[]": ListType(STRING),
    "m": MapType(STRING, STRING),
    "y": BYTES,
    "t": TIMESTAMP,
}
# What Python has for each, and what an entry without it gives; a status of gRPC may be 0.
PYTHON: dict[str, tuple[type, ...]] = {
    "": (int,), "s": (str,), "b": (bool,), "[]": (list, tuple), "m": (dict,), "y": (bytes,), "t": (int,),
}  # fmt: skip
MARKS = {name: mark for name, _, mark in (row.partition(":") for row in LIST.split())}
DEFAULTS = {"grpc_status": -1}

Row = dict[str, Any]


def read(entry: Entry, *names: str) -> list[Any]:
    return [found(name).read(entry) for name in names]


def found(name: str) -> Variable:
    variable = schema().get(name)
    assert variable is not None, name
    return variable


def said(entry: Entry) -> Row:
    """Every variable that says something."""
    row = {variable.name: variable.read(entry) for variable in schema()}
    return {name: value for name, value in row.items() if (value != DEFAULTS[name] if name in DEFAULTS else value)}


@pytest.fixture(scope="module")
def shop() -> list[Row]:
    return [said(entry) for entry in pysniff.read(SHOP)]


def test_the_table_is_the_list() -> None:
    ours = {variable.name: variable.type for variable in schema()}
    assert ours == {name: TYPES[mark] for name, mark in MARKS.items()}


def test_every_variable_says_what_it_is_in_a_line() -> None:
    for variable in schema():
        assert variable.meaning and variable.section, variable.name
        assert "\n" not in variable.meaning and "|" not in variable.meaning, variable.name
    assert len({variable.section for variable in schema()}) == 22


def test_every_value_is_of_its_type_in_every_entry() -> None:
    for entry in [*pysniff.read(SHOP), *unknown().entries]:
        for variable in schema():
            value = variable.read(entry)
            assert type(value) in PYTHON[MARKS[variable.name]], (variable.name, value)


def unknown() -> Watched:
    return Watched().client(b"\x80\x81hello\x90" * 40).server(b"\x91\x92" * 100).bye().close()


def test_what_an_entry_lacks_is_the_default_of_its_type() -> None:
    (entry,) = unknown().entries
    assert set(said(entry)) == {
        "src.ip", "dst.ip", "src.port", "dst.port", "protocol", "id", "node_id", "stream", "timestamp", "completed",
        "elapsed_time", "state", "capture_source", "complete", "completeness", "tcp",
    }  # fmt: skip
    assert read(entry, "grpc_status", "status_code", "host", "request.headers") == [-1, 0, "", {}]


def test_a_call_of_http(shop: list[Row]) -> None:
    row = next(row for row in shop if row.get("url") == "/cart?id=7")
    headers = row.pop("request.headers")
    assert headers["host"] == "shop.example"
    assert list(headers) == [name.lower() for name in headers]
    assert row["response.headers"]["content-type"].startswith("application/json")
    wanted = {
        "protocol": "http", "http": True, "http1": True, "method": "GET", "path": "/cart", "host": "shop.example",
        "status_code": 200, "http_version": "1.1", "query_string": {"id": "7"}, "response_body_size": 23,
        "response_encoded_size": 23, "src.ip": "10.0.0.7", "dst.ip": "10.0.0.9", "src.port": 42194, "dst.port": 80,
        "elapsed_time": 6832, "state": "closed", "complete": True, "completeness": "complete",
        "capture_source": "file", "node_id": "local",
    }  # fmt: skip
    assert wanted.items() <= row.items()
    assert row["response.body"][:1] == "{"
    assert not row.keys() & {"http2", "grpc", "ws", "dns", "redis", "tcp", "udp"}
    assert row["completed"] - row["timestamp"] == pytest.approx(6832 * 1000, abs=1000)


def test_a_body_is_counted_as_sent_and_as_meant(shop: list[Row]) -> None:
    row = next(row for row in shop if row.get("path") == "/catalogue")
    assert (row["response_encoded_size"], row["response_body_size"]) == (338, 1917)
    assert len(row["response.body"]) == 1917


def test_a_call_of_grpc_is_one_of_http_too(shop: list[Row]) -> None:
    first, second, third = (row for row in shop if "grpc" in row)
    assert first["http"] and first["http2"] and "http1" not in first
    assert (first["grpc_service"], first["grpc_method"], first["path"]) == ("shop.Stock", "Find", "/shop.Stock/Find")
    assert (first["status_code"], first["grpc_status"]) == (200, 0)
    assert (second["grpc_status"], second["grpc_message"]) == (5, "no tea № 99")
    assert (third["grpc_request_messages"], third["grpc_response_messages"]) == (1, 3)


def test_dns(shop: list[Row]) -> None:
    first, *_, last = (row for row in shop if "dns" in row)
    assert (first["dns_questions"], first["dns_question_types"]) == (["shop.example"], ["A"])
    assert first["dns_answers"] == ["10.0.0.9"]
    assert first["dns_request"] and first["dns_response"]
    assert first["dns_total_size"] == first["dns_request_length"] + first["dns_response_length"]
    assert "status_code" not in first
    assert "http" not in last
    assert [row["status_code"] for row in shop if "dns" in row and "status_code" in row] == [3]


def test_redis(shop: list[Row]) -> None:
    rows = [row for row in shop if "redis" in row]
    asked = [(row["redis_command"], row["redis_key"], row["redis_type"]) for row in rows]
    assert asked[:3] == [
        ("GET", "cart:7", "bulk_string"),
        ("INCR", "orders", "integer"),
        ("LPUSH", "queue", "integer"),
    ]
    assert all(row["redis_total_size"] == row["redis_request_size"] + row["redis_response_size"] for row in rows)


def test_a_message_of_a_websocket_is_in_its_senders_half(shop: list[Row]) -> None:
    sent, received, *_ = (row for row in shop if "ws" in row)
    assert sent["ws_request"] and "ws_response" not in sent
    assert sent["ws_request_payload_data"] == '{"id": 1, "say": "Assam?"}'
    assert sent["ws_request_payload_length"] == 26
    assert received["ws_response"] and "ws_request" not in received
    assert received["ws_response_payload_length"] == 11
    assert {row["ws_opcode"] for row in shop if "ws" in row} == {"text", "close"}


def test_a_long_key_of_redis_is_cut() -> None:
    key = b"k" * 100
    wire = Watched().client(b"*2\r\n$3\r\nGET\r\n$100\r\n" + key + b"\r\n").server(b"$-1\r\n").bye().close()
    assert read(wire.entries[0], "redis_key") == ["k" * 64]


def test_a_datagram_that_nobody_knows_is_udp() -> None:
    packet = Packet(data := ethernet_udp("10.0.0.1", "10.0.0.2", 7777, 7778, b"\xff\xfe\x80"), 1, len(data))
    sniffer = Sniffer()
    (entry,) = sniffer.feed([packet]) + sniffer.close()
    assert read(entry, "udp", "tcp", "protocol") == [True, False, "udp"]


def test_the_code_of_dns_is_a_number() -> None:
    query, answer = dns(7, b"a.example"), dns(7, b"a.example", flags=0x8182, answers=(a_record(bytes(4)),))
    wires = (
        ethernet_udp("10.0.0.1", "10.0.0.2", 7777, 53, query),
        ethernet_udp("10.0.0.2", "10.0.0.1", 53, 7777, answer),
    )
    sniffer = Sniffer()
    (entry,) = sniffer.feed([Packet(data, place, len(data)) for place, data in enumerate(wires, 1)]) + sniffer.close()
    assert read(entry, "dns", "status_code") == [True, 2]


# Where something is missing or there is more than one of it.


def test_a_call_without_an_answer() -> None:
    wire = Watched().client(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").bye().close()
    (entry,) = wire.entries
    assert read(entry, "status_code", "elapsed_time", "response.headers", "response.body") == [0, 0, {}, ""]
    assert read(entry, "faults", "complete", "method", "http") == [["unanswered"], True, "GET", True]


def test_an_answer_without_its_request() -> None:
    wire = Watched(shaken=False).server(b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n").wait(2).close()
    (entry,) = wire.entries
    assert read(entry, "method", "url", "path", "host", "request.headers", "query_string") == ["", "", "", "", {}, {}]
    assert read(entry, "status_code", "http", "http1", "http_version") == [204, True, True, "1.1"]
    assert "unrequested" in read(entry, "faults")[0]


def test_lost_bytes_are_counted() -> None:
    wire = Watched().client(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    wire.server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    wire.skip(SERVER, 4)
    wire.server(b"xyz").bye().wait(20).close()
    (entry,) = wire.entries
    assert read(entry, "gap_bytes", "complete", "completeness", "faults") == [4, False, "gap", ["gap"]]


def test_values_of_one_name_are_joined() -> None:
    head = b"GET /?a=1&b=2&a=3 HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nx-y: 2\r\nCookie: p=1; q=2; p=3\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nSet-Cookie: t=2\r\nContent-Length: 0\r\n\r\n"
    (entry,) = Watched().client(head).server(answer).bye().close().entries
    (headers,) = read(entry, "request.headers")
    assert headers["x-y"] == "1, 2"
    assert read(entry, "query_string") == [{"a": "1, 3", "b": "2"}]
    assert read(entry, "request.cookies", "response.cookies") == [{"p": "1, 3", "q": "2"}, {"s": "1", "t": "2"}]


def test_the_text_of_a_body_and_not_of_a_binary_one() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    for kind, body, text in ((b"text/plain", b"tea", "tea"), (b"image/png", b"\x89PNG\r\n\x1a\n\0\xff", "")):
        wire = Watched().client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").server(head % (kind, len(body)) + body)
        (entry,) = wire.bye().close().entries
        assert read(entry, "response.body", "response_body_size") == [text, len(body)]


# Reading is lazy.


def compressed() -> Any:
    body = gzip.compress(b"x" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    wire = Watched().client(b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n").server(head + body).bye().close()
    return wire.entries[0]


def test_the_status_is_read_without_headers_or_body() -> None:
    entry = compressed()
    names = ("status_code", "method", "url", "path", "http", "query_string", "elapsed_time", "src.ip", "timestamp")
    assert read(entry, *names)[:4] == [200, "GET", "/a?b=c", "/a"]
    for message in (entry.request, entry.response):
        assert message._fields is None
        assert isinstance(message._body, (bytes, list))


def test_headers_are_read_without_the_body() -> None:
    entry = compressed()
    assert read(entry, "response.headers", "response_headers_size")[0]["content-encoding"] == "gzip"
    assert isinstance(entry.response._body, (bytes, list))
    assert read(entry, "response_encoded_size")[0] < 100
    body: Any = entry.response._body
    assert body._content is None
    assert read(entry, "response_body_size", "response.body") == [1000, "x" * 1000]


# Methods, targets and statuses have a short way each: it says what the long one says.

LINES = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["GET", "M-SEARCH", "G\n", "", "\r\nGET", "get", "\xc0"]),
    st.sampled_from([" ", "  ", "\t"]),
    st.sampled_from(["/a?b=c", "/a b", "*", "", "/\n", "/\xe9", "/ö", "\x85/", "a:443"]),
    st.sampled_from([" ", "  "]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.1 x", "HTTP/1.", "HTTP/2.0", "", "HTTP/1.1 \r\nA: b"]),
)


@given(
    LINES,
    st.sampled_from(["", "\r\nHost: a", "\nHost: a b", "\r\nA: HTTP/1.1 c"]),
    st.sampled_from(["utf-8", "latin-1"]),
)
def test_a_request_line_is_read_the_same_the_short_way_and_the_long_way(line: str, fields: str, coding: str) -> None:
    request = Http1Request(0, 0, 0, 1, (line + fields).encode(coding, "replace"))
    assert request.target == lenient_target(request.head)


# Field lines, too, with what is odd about some: ends, spaces, controls, characters beyond ASCII.
FIELD_LINES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n ", "\r"]),
    st.sampled_from(["Host", "X-A", "a:b", "", "a b", "\xe9"]),
    st.sampled_from([": ", ":", ":  ", " : ", "", ":\t"]),
    st.sampled_from(["v", "", "a b", "v ", "ö", "a:  b", "\x7f", "a\rb"]),
)


@given(st.lists(FIELD_LINES, max_size=4), st.sampled_from(["utf-8", "latin-1"]))
def test_field_lines_are_read_the_same_the_short_way_and_the_long_way(lines: list[str], coding: str) -> None:
    head = ("GET / HTTP/1.1" + "".join(lines)).encode(coding, "replace")
    assert plain_fields(head) in (None, lenient_fields(head))


# 0x88 to 0x8e are statuses in the static table (RFC 7541 Appendix A), 0x82 is :method GET; then a: b, as a literal.
@pytest.mark.parametrize("lead", [b"\x8d", b"\x88\x8d", b"\x82\x8d", b"\x82", b""])
def test_a_status_is_read_the_same_the_short_way_and_the_long_way(lead: bytes) -> None:
    later = Decoder().later(lead + b"\x00\x01a\x01b")
    assert later is not None
    head = Head.of(later, Limits())
    assert head.status == head.pseudo.get(":status", "")


# The table is put together from several.


def row(name: str, kind: Type, value: object, section: str = "Other") -> Variable:
    return Variable(name, kind, f"{name} of {section}", section, lambda entry: value)


def test_protocols_share_a_name() -> None:
    (both,) = assembled([row("code", INT, 0, "One"), row("code", INT, 7, "Two")])
    assert both.meaning == "code of One; code of Two"
    assert both.read(compressed()) == 7


def test_a_variable_of_another_type_is_left_out_with_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (kept,) = assembled([row("code", INT, 1), row("code", STRING, "1", "Plugin")])
    assert kept.type == INT
    assert [str(warning.message) for warning in caught] == ["filter variable code (Plugin) is string, elsewhere int"]


def test_a_plugin_with_wrong_rows_is_left_out_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DnsOverTcp, "variables", ("dns_questions",))
    schema.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="filter variables of dns: "):
            assert {variable.name for variable in schema()} == set(MARKS)
    finally:
        schema.cache_clear()


def test_joined_keeps_the_order_of_the_first() -> None:
    pairs: Fields = (("a", "1"), ("b", "2"), ("a", "3"))
    assert list(joined(pairs).items()) == [("a", "1, 3"), ("b", "2")]
