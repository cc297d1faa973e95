"""TLS: suites, hellos, fingerprints, and how the handshake looks as an entry."""

from __future__ import annotations

import json
from hashlib import md5
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talk import in_bytes, records
from test_contract import Told
from tls_sealing import (
    ALPN,
    HANDSHAKE,
    RETRY,
    TLS13_CHOSEN,
    TLS13_OFFERED,
    VERSIONS,
    alpn,
    client_hello,
    message,
    record,
    server_hello,
    server_name,
    vector,
)
from tls_talk import recorded

from pysniff.dissector import Malformed, Match
from pysniff.message import CLIENT, SERVER
from pysniff.tls.dissector import Tls
from pysniff.tls.fingerprints import ja3, ja3s, ja4
from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.numbers import version_name
from pysniff.tls.suites import Suite, suite, suite_name

RANDOM = bytes(range(32))
# A hello of Chrome, as FoxIO's description of JA4 takes it apart.
CHROME_SUITES = tuple(
    int(word, 16)
    for word in "1A1A 1301 1302 1303 C02B C02F C02C C030 CCA9 CCA8 C013 C014 009C 009D 002F 0035".split()  # noqa: SIM905
)
CHROME_EXTENSIONS = tuple(
    int(word, 16)
    for word in "001B 0000 0033 0010 4469 0017 002D 000D 0005 0023 0012 002B FF01 000B 000A 0015".split()  # noqa: SIM905
)
CHROME_ALGORITHMS = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def numbers(*each: int) -> bytes:
    return b"".join(pack("!H", number) for number in each)


def chrome() -> ClientHello:
    contents = {
        0x0000: server_name(b"Shop.Example")[1],
        0x0010: alpn(b"h2", b"http/1.1")[1],
        0x000D: vector(2, numbers(*CHROME_ALGORITHMS)),
        0x002B: vector(1, numbers(0x0A0A, 0x0304, 0x0303)),
        0x000A: vector(2, numbers(0x3A3A, 29, 23, 24)),
        0x000B: b"\1\0",
    }
    extensions = [(0x2A2A, b""), *((number, contents.get(number, b"")) for number in CHROME_EXTENSIONS), (0xBABA, b"")]
    return ClientHello(client_hello(RANDOM, *extensions, suites=CHROME_SUITES)[4:])


def test_suites_have_the_names_of_iana_and_the_parameters_that_follow() -> None:
    assert suite_name(0x1301) == "TLS_AES_128_GCM_SHA256"
    assert suite_name(0xC030) == "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    assert suite_name(0xCCAC) == "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"
    assert suite_name(0x00FF) == "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"
    assert (suite_name(0x0A0A), suite_name(0xFAFA), suite_name(0x0A1A)) == ("GREASE", "GREASE", "0x0A1A")
    assert suite(0x1305) == Suite("ccm", 16, 8, "sha256")
    assert suite(0xC0A3) == Suite("ccm", 32, 8, "sha256")  # TLS_DHE_RSA_WITH_AES_256_CCM_8
    assert suite(0x000A) == Suite("3des_cbc", 24, 0, "sha256", "sha1")
    assert suite(0xC028) == Suite("aes_cbc", 32, 0, "sha384", "sha384")
    assert suite(0x003D) == Suite("aes_cbc", 32, 0, "sha256", "sha256")
    assert [suite(number) for number in (0x0005, 0x0041, 0x00FF, 0x0A0A, 0x1399, 0x0001)] == [None] * 6


def test_fingerprints_are_those_of_their_inventors() -> None:
    assert ja4(chrome()) == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    text = "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
    text += "27-0-51-16-17513-23-45-13-5-35-18-43-65281-11-10-21,29-23-24,0"
    assert ja3(chrome()) == md5(text.encode()).hexdigest()


def test_fingerprints_of_hellos_that_say_little() -> None:
    bare = ClientHello(client_hello(RANDOM, suites=())[4:])
    assert ja4(bare) == "t12i000000_000000000000_000000000000"
    odd = ClientHello(client_hello(RANDOM, (ALPN, vector(2, b"\3\xab\xcd\xef")), suites=(0x2F,), version=0x0301)[4:])
    assert ja4(odd).startswith("t10i0101af_")
    answer = ServerHello(server_hello(RANDOM, (0xFF01, b"\0"), alpn(b"h2"), chosen=0xC02F)[4:])
    assert ja3s(answer) == md5(b"771,49199,65281-16").hexdigest()


def test_what_a_client_offers_reads_as_names() -> None:
    talk = Told(Tls())
    talk.client(
        record(HANDSHAKE, client_hello(RANDOM, server_name(b"Shop.Example"), TLS13_OFFERED, alpn(b"h2", b"\x1b")))
    )
    (shown,) = talk.dissector.open()
    assert shown.summary == "ClientHello shop.example h2,\\x1b"
    talk.close()
    (hello,) = talk.messages
    record_ = hello.to_dict(0)
    assert record_["versions"] == ["1.3"]
    assert record_["cipher_suites"] == ["TLS_AES_128_GCM_SHA256"]
    assert record_["extensions"] == ["server_name", "supported_versions", "application_layer_protocol_negotiation"]
    assert (hello.protocol, hello.version, hello.size) == ("tlsx", "", talk._fed[CLIENT])


def test_a_refusal_is_an_answer_that_says_so() -> None:
    spoken = recorded("refused")
    talk = Told(Tls())
    for side, data in spoken.steps:
        talk.feed(side, data)
    hello, answer = talk.messages
    assert (answer.status_text, answer.ok) == ("alert handshake_failure", False)
    told = answer.to_dict(0)
    assert (told["alert"], told["alert_from"], told["cipher_suite"]) == ("handshake_failure", "server", "")
    assert hello.size + answer.size == sum(len(data) for _, data in spoken.steps)


def test_a_client_that_refuses_says_so_in_the_servers_answer() -> None:
    talk = Told(Tls()).client(record(HANDSHAKE, client_hello(RANDOM, suites=(0xC02F,))))
    talk.server(record(HANDSHAKE, server_hello(RANDOM, chosen=0xC02F)))
    talk.client(record(21, b"\2\x30"))
    _, answer = talk.messages
    assert (answer.status_text, answer.to_dict(0)["alert_from"]) == ("alert unknown_ca", "client")
    assert (answer.version, answer.to_dict(0)["cipher_suite"]) == ("1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")


def test_a_warning_changes_nothing() -> None:
    talk = Told(Tls()).client(record(HANDSHAKE, client_hello(RANDOM, suites=(0xC02F,))))
    talk.server(record(21, b"\1\x70"), record(HANDSHAKE, server_hello(RANDOM, chosen=0xC02F))).close()
    assert talk.responses[0].ok


def test_hellos_in_many_records_and_many_messages_in_one() -> None:
    hello = client_hello(RANDOM, server_name(b"shop.example"), suites=(0xC02F,))
    answer = server_hello(RANDOM, chosen=0xC02F) + message(11, bytes(5000)) + message(14)
    steps = [
        (CLIENT, b"".join(record(HANDSHAKE, hello[at : at + 7]) for at in range(0, len(hello), 7))),
        (SERVER, record(HANDSHAKE, answer[:3000]) + record(HANDSHAKE, answer[3000:])),
    ]
    whole = Told(Tls())
    for side, data in steps:
        whole.feed(side, data)
    whole.close()
    assert [one.size for one in whole.messages] == [len(steps[0][1]), 3005]
    assert not whole.undecoded
    bytewise = Told(Tls())
    for side, data in in_bytes(steps):
        bytewise.feed(side, data)
    assert records(bytewise.close()) == records(whole)


def test_a_second_hello_belongs_to_the_first_exchange() -> None:
    hello = record(HANDSHAKE, client_hello(RANDOM, TLS13_OFFERED))
    talk = Told(Tls()).client(hello)
    talk.server(record(HANDSHAKE, server_hello(RETRY, TLS13_CHOSEN)) + record(20, b"\1"))
    talk.client(record(20, b"\1") + hello)
    talk.server(record(HANDSHAKE, server_hello(RANDOM, TLS13_CHOSEN))).close()
    request, answer = talk.messages
    assert (request.position, answer.to_dict(0)["retried"], answer.version) == (0, True, "1.3")
    assert not talk.undecoded


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x00\x00\x04",  # SSL 2.0
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(40),
        record(HANDSHAKE, message(77, b"no such message")),
        record(HANDSHAKE, message(1, b"\3\3short")),
        record(HANDSHAKE, message(1, b"\3\3" + RANDOM + b"\0\0\2\x13\1\1\0" + b"\0\x09\0\0\0\7xyz")),
        record(HANDSHAKE, message(2, bytes(38))),  # the server's
        b"\x16\3\1\xff\xff" + bytes(100),
        record(HANDSHAKE, bytes([1]) + vector(3, bytes(70_000))[:5000]),
    ],
    ids=range(9),
)
def test_garbage_is_malformed_and_nothing_else(garbage: bytes) -> None:
    for pieces in ([garbage], [garbage[at : at + 1] for at in range(len(garbage))]):
        talk = Told(Tls()).client(*pieces)
        assert talk.malformed
        assert not talk.messages


@given(st.binary(max_size=300), st.booleans())
def test_any_body_of_a_hello_is_read_or_malformed(body: bytes, is_client: bool) -> None:
    kind = ClientHello if is_client else ServerHello
    try:
        hello = kind(b"\3\3" + RANDOM + body)
    except Malformed:
        return
    if isinstance(hello, ClientHello):
        assert len(ja3(hello)) == 32 and len(ja4(hello)) == 36
        json.dumps([hello.sni, str(hello.versions), str(hello.alpn)])


def test_the_second_hello_of_a_server_is_malformed() -> None:
    answer = record(HANDSHAKE, server_hello(RANDOM, TLS13_CHOSEN))
    talk = Told(Tls()).client(record(HANDSHAKE, client_hello(RANDOM, TLS13_OFFERED))).server(answer + answer)
    assert talk.malformed == "a second ServerHello"


HELLO = record(HANDSHAKE, client_hello(RANDOM, TLS13_OFFERED), 0x0301)
ANSWER = record(HANDSHAKE, server_hello(RANDOM, TLS13_CHOSEN))
SEALED = record(23, bytes(40))


@pytest.mark.parametrize(
    ("client", "server", "verdict"),
    [
        (HELLO, b"", Match.YES),
        (HELLO[:10], b"", Match.UNSURE),
        (HELLO, ANSWER, Match.YES),
        (b"", ANSWER, Match.YES),
        (HELLO, record(21, b"\2\x28"), Match.YES),
        (ANSWER, b"", Match.NO),
        (b"", HELLO, Match.NO),
        (HELLO, b"HTTP/1.1 200 OK\r\n", Match.NO),
        (SEALED, b"", Match.YES),
        (SEALED + SEALED[:1], b"", Match.YES),
        (SEALED + b"GET", b"", Match.UNSURE),
        (b"", SEALED, Match.UNSURE),  # nobody can see who is the client
        (SEALED, SEALED, Match.UNSURE),
        (b"\x17\x03\x03\x00\x00", b"", Match.NO),
        (b"\x16\x03", b"", Match.UNSURE),
        (b"\x16\x02", b"", Match.NO),
        (b"\x80\x2e\x01\x03\x01", b"", Match.NO),
        (b"", b"", Match.UNSURE),
    ],
)
def test_what_begins_like_tls(client: bytes, server: bytes, verdict: Match) -> None:
    assert Tls.match(client, server) is verdict


def test_a_version_that_nobody_speaks_is_written_as_a_number() -> None:
    hello = ClientHello(client_hello(RANDOM, (VERSIONS, vector(1, numbers(0x7F1C, 0x5A5A, 0x0303))))[4:])
    assert [version_name(number) for number in hello.versions] == ["0x7F1C", "GREASE", "1.2"]
