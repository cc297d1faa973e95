"""TLS decrypted: what two ends said is what comes out, byte for byte, however the bytes are cut and ordered."""

from __future__ import annotations

import ssl
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import Step, cut, in_bytes
from test_contract import Told, outcome
from tls_recorded import RECORDED
from tls_sealing import (
    AES_GCM_13,
    ALERT,
    CHANGE,
    DATA,
    FINISHED,
    HANDSHAKE,
    RETRY,
    TLS13_CHOSEN,
    TLS13_OFFERED,
    CbcSealer,
    Sealer,
    client_hello,
    message,
    record,
    scripted,
    server_hello,
)
from tls_talk import Knowing, Line, Spoken, contexts, knowing, recorded, spoken

from pysniff.dissector import Inside, InsideEnd, InsideGap
from pysniff.message import CLIENT, SERVER, Side
from pysniff.secrets import Secret
from pysniff.tls.dissector import Tls
from pysniff.tls.schedule import traffic_keys
from pysniff.tls.suites import suite

TLS10, TLS11, TLS12, TLS13 = (
    ssl.TLSVersion.TLSv1,
    ssl.TLSVersion.TLSv1_1,
    ssl.TLSVersion.TLSv1_2,
    ssl.TLSVersion.TLSv1_3,
)
SUITES = [
    (TLS13, "", "TLS_AES_256_GCM_SHA384"),
    (TLS12, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (TLS12, "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (TLS12, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (TLS12, "AES128-CCM", "TLS_RSA_WITH_AES_128_CCM"),
    (TLS12, "AES256-CCM8", "TLS_RSA_WITH_AES_256_CCM_8"),
    (TLS12, "ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (TLS12, "AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (TLS11, "AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (TLS10, "AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
]
GET = (CLIENT, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
LONG = (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + Random(7).randbytes(40_000))
SHORT = (SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")


class Keyed(Tls):
    """Knows some secrets, and no others will come."""

    secrets: tuple[Secret, ...] = ()

    def begin(self, context: object) -> object:  # type: ignore[override]
        return super().begin(knowing(self.secrets))


def told(steps: list[Step] | tuple[Step, ...], secrets: tuple[Secret, ...]) -> Told:
    kind = type("Keyed", (Keyed,), {"secrets": secrets})
    talk = Told(kind())
    for side, data in steps:
        talk.feed(side, data)
    talk.close()
    return talk


def is_whole(talk: Told, lines: tuple[Line, ...]) -> bool:
    """Everything was read, and nothing besides."""
    halves = [b"".join(text for sender, text in lines if sender is side) for side in (CLIENT, SERVER)]
    return [talk.plain(CLIENT), talk.plain(SERVER)] == halves and not talk.undecoded and talk.malformed is None


@pytest.mark.parametrize(("version", "ciphers", "name"), SUITES, ids=[suite[2] for suite in SUITES])
def test_each_suite_opens_and_says_what_it_is(version: ssl.TLSVersion, ciphers: str, name: str) -> None:
    conversation = spoken([GET, LONG, GET, SHORT], contexts(version, ciphers, ["http/1.1"]))
    talk = told(conversation.steps, conversation.secrets)
    assert is_whole(talk, conversation.lines)
    assert talk.within is not None
    known = talk.within.encryption
    assert (known.cipher_suite, known.alpn, known.sni) == (name, "http/1.1", "shop.example")
    assert (known.key_source, known.resumed) == ("keylog", False)
    hello, answer = talk.messages
    assert (hello.version, answer.to_dict(0)["not_decrypted"], answer.ok) == (known.version, "", True)
    assert [type(one) for one in talk.carried][-2:] == [InsideEnd, InsideEnd]


@pytest.mark.parametrize(
    ("secret", "key", "iv"),
    [
        (
            "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
            "3fce516009c21727d0f2e4e86ee403bc",
            "5d313eb2671276ee13000b30",
        ),
        (
            "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
            "dbfaa693d1762c5b666af5d950258d01",
            "5bd3c71b836e0b76bb73265f",
        ),
    ],
    ids=["server", "client"],
)
def test_the_handshake_keys_of_rfc_8448(secret: str, key: str, iv: str) -> None:
    found = suite(AES_GCM_13)
    assert found is not None
    keys = traffic_keys(found, bytes.fromhex(secret))
    assert (keys.key.hex(), keys.iv.hex()) == (key, iv)


def test_alpn_chooses_what_is_within() -> None:
    both = contexts(alpn=["h2", "http/1.1"])
    assert (found := told(*spoken([GET], both)[:2]).within) is not None and found.protocol == "http2"
    assert (found := told(*spoken([GET])[:2]).within) is not None and found.protocol is None


@pytest.mark.parametrize("name", RECORDED)
def test_cut_anywhere_it_is_the_same(name: str) -> None:
    steps = recorded(name).steps

    def plain(pieces: list[Step] | tuple[Step, ...]) -> tuple[object, ...]:
        talk = Told(Knowing())
        for side, data in pieces:
            talk.feed(side, data)
        talk.close()
        return outcome(talk), talk.plain(CLIENT), talk.plain(SERVER), places(talk)

    whole = plain(steps)
    assert plain(in_bytes(steps)) == whole
    for size in (2, 3, 5, 29, 30, 31, 97):
        assert plain(cut(steps, [size])) == whole


def places(talk: Told) -> list[tuple[Side, int, int]]:
    return [(one.side, one.position, len(one.data)) for one in talk.carried if isinstance(one, Inside)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=5), st.sampled_from([TLS12, TLS13]))
def test_long_ones_cut_at_random(sizes: list[int], version: ssl.TLSVersion) -> None:
    conversation = long(version)
    assert is_whole(told(cut(conversation.steps, sizes), conversation.secrets), conversation.lines)


LONGS: dict[ssl.TLSVersion, Spoken] = {}


def long(version: ssl.TLSVersion) -> Spoken:
    if version not in LONGS:
        LONGS[version] = spoken([GET, LONG, GET, LONG, GET, SHORT], contexts(version))
    return LONGS[version]


@pytest.mark.parametrize("version", [TLS10, TLS12, TLS13], ids=str)
@pytest.mark.parametrize("first", [CLIENT, SERVER])
def test_one_half_before_the_other(version: ssl.TLSVersion, first: Side) -> None:
    """As when the capture has lost the order: what was asked is still told before what answers it."""
    conversation = spoken([GET, LONG, GET, SHORT], contexts(version, "AES128-SHA" if version is TLS10 else ""))
    halves: list[Step] = [(side, conversation.half(side)) for side in (first, first.other)]
    assert is_whole(told(halves, conversation.secrets), conversation.lines)


def test_places_are_those_of_the_records_on_the_wire() -> None:
    conversation = long(TLS13)
    talk = told(conversation.steps, conversation.secrets)
    for one in talk.carried:
        if isinstance(one, Inside):
            half = conversation.half(one.side)
            assert half[one.position - 5 : one.position - 2] == b"\x17\x03\x03"
            assert int.from_bytes(half[one.position - 2 : one.position], "big") == len(one.data) + 17


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=str)
def test_a_resumed_session_says_that_it_is(version: ssl.TLSVersion) -> None:
    ends = contexts(version)
    sessions: list[ssl.SSLSession] = []
    first = spoken([GET, SHORT], ends, then=lambda tls: sessions.append(tls.session))  # type: ignore[arg-type]
    again = spoken([GET, SHORT], ends, sessions[0])
    for conversation, resumed in ((first, False), (again, True)):
        talk = told(conversation.steps, conversation.secrets)
        assert is_whole(talk, conversation.lines)
        assert talk.messages[1].to_dict(0)["resumed"] is resumed


def test_a_server_that_wants_another_key_share_first() -> None:
    client, server = contexts()
    server.set_ecdh_curve("secp384r1")
    conversation = spoken([GET, LONG], (client, server))
    talk = told(conversation.steps, conversation.secrets)
    assert is_whole(talk, conversation.lines)
    assert talk.messages[1].to_dict(0)["retried"] is True
    assert talk.messages[1].to_dict(0)["group"] == "secp384r1"


def test_keys_change_in_both_halves() -> None:
    script = scripted()
    steps = [
        *script.opening,
        (CLIENT, script.client.seal(DATA, b"one") + script.client.update() + script.client.seal(DATA, b"two")),
        (SERVER, script.server.update() + script.server.update() + script.server.seal(DATA, b"three")),
        (SERVER, script.server.seal(DATA, b"")),
        (SERVER, script.server.seal(DATA, b"four", padding=300)),
    ]
    talk = told(steps, script.secrets)
    assert (talk.plain(CLIENT), talk.plain(SERVER), talk.undecoded) == (b"onetwo", b"threefour", [])


def test_early_data_that_was_taken_comes_first() -> None:
    script = scripted(early=b"early, ", accepted=True)
    steps = [*script.opening, (CLIENT, script.client.seal(DATA, b"late")), (SERVER, script.server.seal(DATA, b"fine"))]
    talk = told(steps, script.secrets)
    assert (talk.plain(CLIENT), talk.plain(SERVER), talk.undecoded) == (b"early, late", b"fine", [])
    assert talk.within is not None and talk.within.encryption.early_data
    assert talk.messages[0].to_dict(0)["early_data"] is True


def test_early_data_that_was_refused_was_said_to_nobody() -> None:
    script = scripted(early=b"early, ")
    talk = told([*script.opening, (CLIENT, script.client.seal(DATA, b"late"))], script.secrets)
    assert talk.plain(CLIENT) == b"late"
    assert {one.reason for one in talk.undecoded} == {"early data, refused"}
    assert talk.within is not None and not talk.within.encryption.early_data


def test_early_data_refused_by_a_retry() -> None:
    script = scripted(early=b"early")
    (_, hello), *rest = script.opening
    retry = record(HANDSHAKE, server_hello(RETRY, TLS13_CHOSEN))
    second = record(HANDSHAKE, client_hello(script.secrets[0].random, TLS13_OFFERED))
    steps = [(CLIENT, hello), (SERVER, retry), (CLIENT, second), *rest, (CLIENT, script.client.seal(DATA, b"late"))]
    talk = told(steps, script.secrets)
    assert talk.plain(CLIENT) == b"late"
    assert {one.reason for one in talk.undecoded} == {"early data, refused"}


@pytest.mark.parametrize("accepted", [True, False])
def test_early_data_without_its_key_costs_itself(accepted: bool) -> None:
    script = scripted(early=b"early", accepted=accepted)
    steps = [*script.opening, (CLIENT, script.client.seal(DATA, b"late"))]
    talk = told(steps, script.secrets[1:])
    assert talk.plain(CLIENT) == b"late"
    assert {one.reason for one in talk.undecoded} == {"early data, no key" if accepted else "early data, refused"}
    assert any(isinstance(one, InsideGap) for one in talk.carried) is accepted


def test_whether_early_data_was_taken_may_be_unknown() -> None:
    """The server says so under a key that is missing: what opens was said."""
    script = scripted(early=b"early, ", accepted=True)
    steps = [*script.opening, (SERVER, script.server.seal(DATA, b"fine")), (CLIENT, script.client.seal(DATA, b"late"))]
    known = tuple(secret for secret in script.secrets if secret.label != "SERVER_HANDSHAKE_TRAFFIC_SECRET")
    talk = told(steps, known)
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"early, late", b"fine")


def test_the_keys_of_the_handshake_may_be_missing() -> None:
    script = scripted()
    steps = [*script.opening, (CLIENT, script.client.seal(DATA, b"ask")), (SERVER, script.server.seal(DATA, b"answer"))]
    talk = told(steps, script.secrets[3:])
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"ask", b"answer")
    assert {one.reason for one in talk.undecoded} == {"handshake, no key"}
    assert talk.messages[1].to_dict(0)["alpn"] == ""


def test_the_key_of_one_half_may_be_missing() -> None:
    script = scripted()
    steps = [*script.opening, (CLIENT, script.client.seal(DATA, b"ask")), (SERVER, script.server.seal(DATA, b"answer"))]
    talk = told(steps, script.secrets[:4])
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"ask", b"")
    assert {one.reason for one in talk.undecoded} == {"encrypted, no key"}


def test_what_comes_behind_close_notify_is_not_said_any_more() -> None:
    script = scripted()
    said = script.client.seal(DATA, b"ask") + script.client.seal(ALERT, b"\1\0") + script.client.seal(DATA, b"more")
    talk = told([*script.opening, (CLIENT, said)], script.secrets)
    assert [type(one) for one in talk.carried][:2] == [Inside, InsideEnd]
    assert [one.reason for one in talk.undecoded] == ["after its end"]


def test_an_encrypted_refusal_of_the_handshake() -> None:
    """A client that does not know the authority, in TLS 1.3."""
    script = scripted()
    ours = Sealer(script.secrets[1].value)
    talk = told([*script.opening[:2], (CLIENT, ours.seal(ALERT, b"\2\x30"))], script.secrets)
    assert (talk.messages[1].status_text, talk.messages[1].ok) == ("alert unknown_ca", False)


MASTER = bytes(range(48))
RANDOMS = bytes([1]) * 32, bytes([2]) * 32  # of the server, then of the client, as the keys are made


def by_cbc(number: int, version: int, etm: bool) -> tuple[list[Step], tuple[Secret, ...]]:
    client, server = (CbcSealer(number, version, MASTER, RANDOMS[::-1], side) for side in (CLIENT, SERVER))
    extensions = [(22, b"")] if etm else []
    hello = client_hello(RANDOMS[1], *extensions, suites=(number,), version=version)
    answer = server_hello(RANDOMS[0], *extensions, chosen=number, version=version)
    done = [one.seal(HANDSHAKE, message(FINISHED, bytes(12)), etm=etm) for one in (client, server)]
    steps = [
        (CLIENT, record(HANDSHAKE, hello, version)),
        (SERVER, record(HANDSHAKE, answer + message(14), version)),
        (CLIENT, record(CHANGE, b"\1", version) + done[0]),
        (SERVER, record(CHANGE, b"\1", version) + done[1]),
        (CLIENT, client.seal(DATA, b"", etm=etm) + client.seal(DATA, b"ask", 3, etm=etm)),
        (SERVER, server.seal(DATA, bytes(16_384), etm=etm) + server.seal(DATA, b"answer", etm=etm)),
    ]
    return steps, (Secret("CLIENT_RANDOM", RANDOMS[1], MASTER),)


@pytest.mark.parametrize("etm", [False, True], ids=["mac then encrypt", "encrypt then mac"])
@pytest.mark.parametrize("version", [0x0301, 0x0302, 0x0303])
@pytest.mark.parametrize("number", [0x000A, 0xC012, 0x002F, 0x0035])
def test_cbc_of_any_age(number: int, version: int, etm: bool) -> None:
    """3DES, which no library offers any more, and AES; empty records, much padding."""
    steps, secrets = by_cbc(number, version, etm)
    talk = told(steps, secrets)
    assert (talk.plain(CLIENT), talk.plain(SERVER), talk.undecoded) == (b"ask", bytes(16_384) + b"answer", [])


def test_a_renegotiation_is_not_followed_and_says_so() -> None:
    steps, secrets = by_cbc(0x002F, 0x0303, False)
    talk = told([*steps, (CLIENT, record(CHANGE, b"\1") + record(HANDSHAKE, bytes(64)))], secrets)
    assert talk.plain(CLIENT) == b"ask"
    assert [one.reason for one in talk.undecoded] == ["encrypted, renegotiated"]
    client = [one for one in talk.carried if one.side is CLIENT]
    assert [type(one) for one in client] == [Inside, InsideGap, InsideEnd]
