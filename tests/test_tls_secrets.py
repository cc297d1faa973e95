"""TLS where keys are missing, late or wrong: what is held, for how long, and what is said about it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from talk import Step
from test_contract import Told, memory
from tls_sealing import ALERT, DATA, HANDSHAKE, client_hello, record, scripted, server_hello
from tls_talk import Source, contexts, knowing, recorded, spoken

from pysniff.dissector import Context, Inside, InsideEnd, InsideGap
from pysniff.limits import KIB, SECOND, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.secrets import Secret, Secrets
from pysniff.tls import openers
from pysniff.tls.dissector import Tls
from pysniff.tls.half import Key

GET, ANSWER = (CLIENT, b"GET / HTTP/1.1\r\n\r\n"), (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
SCRIPT = scripted()
STEPS: tuple[Step, ...] = (
    *SCRIPT.opening,
    (CLIENT, SCRIPT.client.seal(DATA, b"ask")),
    (SERVER, SCRIPT.server.seal(DATA, b"answer")),
)


class Given(Tls):
    """Is told of a source of secrets before anything else."""

    def __init__(self, limits: Limits, context: Context) -> None:
        super().__init__(limits)
        self.given = context

    def begin(self, context: Context) -> Iterable[object]:  # type: ignore[override]
        return super().begin(self.given)


def talk_with(source: Source, limits: Limits | None = None, shared: Context | None = None) -> Told:
    context = Context(secrets=Secrets(source), memory=shared.memory if shared else {})
    return Told(Given(limits or Limits(), context))


def tell(talk: Told, steps: Iterable[Step]) -> Told:
    for side, data in steps:
        talk.feed(side, data)
    return talk


def ask_again(talk: Told) -> None:
    """As the core does."""
    assert isinstance(talk.dissector, Given)
    talk.dissector.given.secrets.poll()
    talk._call(lambda: talk.dissector.again(talk.now))


def waits(talk: Told) -> bool:
    return talk.dissector.waits


def reason(talk: Told) -> str:
    return str(talk.messages[-1].to_dict(0)["not_decrypted"])


def test_without_any_key_the_handshake_is_told_with_the_way_out() -> None:
    talk = tell(Told(Tls()), STEPS)
    assert [message.protocol for message in talk.messages] == ["tlsx", "tlsx"]
    assert "--keylog" in reason(talk) and "--tls" in reason(talk)
    assert {one.reason for one in talk.undecoded} == {"encrypted, no key"}
    assert talk.within is None and talk.dissector.sealed is not None
    assert not talk.dissector.waits


def test_keys_of_others_are_another_reason() -> None:
    others = [secret._replace(random=bytes(32)) for secret in SCRIPT.secrets]
    assert "none for this connection" in reason(tell(talk_with(Source(others)), STEPS))


def test_the_reason_names_who_was_asked() -> None:
    kernel, log = Source(complete=False), Source()
    kernel.name = "kernel"
    for source, words in ((kernel, "the kernel gave no key"), (log, "does the program write to this key log")):
        talk = tell(talk_with(source), STEPS)
        talk.close()
        assert words in reason(talk)


def test_a_key_that_comes_later_opens_everything_that_waited() -> None:
    source = Source(complete=False)
    talk = tell(talk_with(source), STEPS)
    assert waits(talk) and not talk.messages
    assert next(iter(talk.dissector.open())).summary.startswith("ClientHello shop.example")
    source.new = list(SCRIPT.secrets)
    ask_again(talk)
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"ask", b"answer")
    assert not waits(talk) and not talk.undecoded
    # They are as old as their packets, not as the key.
    inside = [one for one in talk.carried if isinstance(one, Inside)]
    assert [one.side for one in inside] == [CLIENT, SERVER]
    assert inside[0].at < inside[1].at < talk.now


def test_a_key_of_another_connection_costs_those_that_wait_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(complete=False)
    talk = tell(talk_with(source), STEPS)
    asked: list[bytes] = []
    find = Secrets.find

    def finding(self: Secrets, label: str, random: bytes) -> tuple[bytes, str] | None:
        asked.append(random)
        return find(self, label, random)

    monkeypatch.setattr(Secrets, "find", finding)
    source.new = [secret._replace(random=bytes(32)) for secret in SCRIPT.secrets]
    ask_again(talk)
    assert waits(talk) and not asked
    source.new = list(SCRIPT.secrets)
    ask_again(talk)
    assert talk.plain(CLIENT) == b"ask" and asked


@pytest.mark.parametrize("known", range(1, 5))
def test_keys_may_come_one_by_one(known: int) -> None:
    source = Source(SCRIPT.secrets[:known], complete=False)
    talk = tell(talk_with(source), STEPS)
    for secret in SCRIPT.secrets[known:]:
        source.new.append(secret)
        ask_again(talk)
    assert [one.data for one in talk.carried if isinstance(one, Inside)] == [b"ask", b"answer"]


def test_nobody_waits_longer_than_the_limit() -> None:
    source = Source(complete=False)
    talk = tell(talk_with(source), STEPS)
    talk.now += 6 * SECOND
    talk.feed(SERVER, SCRIPT.server.seal(DATA, b"later"))
    assert "no key came in time" in reason(talk)
    assert not talk.dissector.waits
    assert [talk.dissector.pending(side) for side in (CLIENT, SERVER)] == [0, 0]


def test_no_more_waits_than_the_limit() -> None:
    talk = tell(talk_with(Source(complete=False), Limits(undecrypted_bytes=4 * KIB)), STEPS)
    for _ in range(3):
        talk.feed(SERVER, SCRIPT.server.seal(DATA, bytes(1500)))
    assert "no key came in time" in reason(talk)


def test_many_small_records_are_bounded_as_a_few_long_ones() -> None:
    talk = tell(talk_with(Source(complete=False), Limits(undecrypted_bytes=64 * KIB)), STEPS)
    talk.feed(SERVER, record(DATA, b"x") * 100)
    assert not talk.messages
    talk.feed(SERVER, record(DATA, b"x") * 100)
    assert "no key came in time" in reason(talk)


def test_all_connections_together_hold_no_more_than_the_limit() -> None:
    shared = Context()
    limits = Limits(undecrypted_total=300 * KIB)
    talks = [tell(talk_with(Source(complete=False), limits, shared), STEPS) for _ in range(5)]
    for talk in talks:
        for _ in range(10):
            talk.feed(SERVER, record(DATA, bytes(16_000)))
    assert sum(talk.dissector.pending(SERVER) for talk in talks) < 300 * KIB
    assert [bool(talk.messages) for talk in talks].count(False) in (1, 2)


def test_a_connection_that_is_gone_holds_nothing() -> None:
    shared = Context()
    for _ in range(50):
        talk = tell(talk_with(Source(complete=False), Limits(undecrypted_total=300 * KIB), shared), STEPS)
        talk.feed(SERVER, record(DATA, bytes(16_000)))
        del talk
    gc.collect()
    assert len(shared.memory["waiting"]) == 0


def test_the_end_of_a_connection_ends_the_waiting() -> None:
    source = Source(complete=False)
    talk = tell(talk_with(source), STEPS)
    source.new = list(SCRIPT.secrets)
    talk.close()
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"ask", b"answer")
    without = tell(talk_with(Source(complete=False)), STEPS)
    without.close()
    assert without.messages and without.plain(CLIENT) == b""


def test_a_key_that_does_not_fit_is_said() -> None:
    wrong = [secret._replace(value=bytes(32)) for secret in SCRIPT.secrets]
    talk = tell(talk_with(Source(wrong)), STEPS)
    talk.close()
    assert "does not fit" in reason(talk)
    assert talk.plain(CLIENT) == talk.plain(SERVER) == b""
    assert talk.messages[-1].to_dict(0)["key_source"] == ""
    tls12 = recorded("1.2 gcm")
    other = tell(talk_with(Source([Secret("CLIENT_RANDOM", tls12.secrets[0].random, bytes(48))])), tls12.steps)
    assert "does not fit" in reason(other)


def test_a_record_that_was_changed_costs_itself() -> None:
    script = scripted()
    talk = tell(talk_with(Source(script.secrets)), [*script.opening, (SERVER, script.server.seal(DATA, b"one"))])
    changed = bytearray(script.server.seal(DATA, b"two"))
    changed[9] ^= 1
    talk.server(bytes(changed), script.server.seal(DATA, b"three"))
    assert talk.plain(SERVER) == b"onethree"
    assert [one.reason for one in talk.undecoded] == ["encrypted, not authentic"]
    assert [one.size for one in talk.carried if isinstance(one, InsideGap)] == [3]


def test_garbage_under_a_good_key_ends_in_a_reason() -> None:
    script = scripted()
    talk = tell(talk_with(Source(script.secrets)), [*script.opening, (SERVER, script.server.seal(DATA, b"one"))])
    for _ in range(20):
        talk.feed(SERVER, record(DATA, bytes(50)))
    assert {one.reason for one in talk.undecoded} >= {"encrypted, not authentic"}
    assert [type(one) for one in talk.carried] == [Inside, InsideGap, InsideEnd]
    talk.feed(CLIENT, script.client.seal(DATA, b"still there"))
    assert talk.plain(CLIENT) == b"still there"


def opened(chosen: int, version: int = 0x0303, compression: int = 0) -> Told:
    talk = Told(Tls()).client(record(HANDSHAKE, client_hello(bytes(32), suites=(chosen,), version=version)))
    hello = server_hello(bytes(32), chosen=chosen, version=version, compression=compression)
    talk.server(record(HANDSHAKE, hello), record(20, b"\1"), record(HANDSHAKE, bytes(40)))
    talk.client(record(20, b"\1"), record(HANDSHAKE, bytes(40)))
    assert isinstance(talk, Told)
    return talk


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (opened(0x0005), "cipher suite is not supported"),
        (opened(0x002F, 0x0300), "only TLS 1.0 to 1.3"),
        (opened(0x002F, compression=1), "compression"),
    ],
    ids=["RC4", "SSL 3.0", "compression"],
)
def test_what_is_not_supported_is_named(talk: Told, words: str) -> None:
    assert words in reason(talk)


def test_the_package_that_decrypts_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysniff.tls.openers", None)
    talk = tell(talk_with(Source(SCRIPT.secrets)), STEPS)
    assert "pip install" in reason(talk)


def test_the_package_may_lack_a_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_key: bytes) -> None:
        raise UnsupportedAlgorithm("not in this build")

    monkeypatch.setattr(openers, "AESGCM", refuse)
    assert "not supported" in reason(tell(talk_with(Source(SCRIPT.secrets)), STEPS))


def test_application_data_without_a_handshake_is_one_entry_with_the_reason() -> None:
    talk = Told(Tls())
    for side in (CLIENT, SERVER):
        talk.gap(side, 0)
    talk.client(record(DATA, bytes(50))).server(record(DATA, bytes(5000)), record(DATA, bytes(50)))
    talk.close()
    (alone,) = talk.messages
    assert "older than the capture" in reason(talk)
    assert [fault.kind for fault in alone.faults] == ["midstream"]
    assert {one.reason for one in talk.undecoded} == {"encrypted, handshake not seen"}
    assert talk.dissector.sealed is not None


@pytest.mark.parametrize("missing", [CLIENT, SERVER])
def test_one_hello_is_not_enough(missing: object) -> None:
    steps = [step for step in STEPS[:2] if step[0] is not missing]
    talk = talk_with(Source(SCRIPT.secrets))
    talk.gap(missing, 0)  # type: ignore[arg-type]
    tell(talk, [*steps, *STEPS[2:]])
    talk.close()
    assert talk.plain(CLIENT) == talk.plain(SERVER) == b""
    assert "encrypted, handshake not seen" in {one.reason for one in talk.undecoded}


def test_secrets_are_not_written_anywhere() -> None:
    talk = tell(talk_with(Source(SCRIPT.secrets)), STEPS)
    words = repr([talk.messages, talk.within, talk.dissector, *(vars(half) for half in talk.dissector._halves)])  # type: ignore[attr-defined]
    for secret in SCRIPT.secrets:
        assert secret.value.hex() not in words and repr(secret.value)[2:-1] not in words
    assert any(isinstance(half.key, Key) for half in talk.dissector._halves)  # type: ignore[attr-defined]


def test_what_is_never_decrypted_takes_no_memory() -> None:
    talk = tell(Told(Tls()), STEPS)
    piece = record(DATA, bytes(1400))

    def flood() -> None:
        for _ in range(1000):
            for _ in talk.dissector.feed(SERVER, piece, talk.now):
                pass

    assert memory(flood) < 16 * KIB


def test_an_alert_of_a_connection_without_keys_is_told_where_it_is_plain() -> None:
    """TLS 1.2: a server that does not like the client's certificate."""
    talk = Told(Tls()).client(record(HANDSHAKE, client_hello(bytes(32), suites=(0xC02F,))))
    talk.server(record(HANDSHAKE, server_hello(bytes(32), chosen=0xC02F)))
    talk.client(record(20, b"\1") + record(HANDSHAKE, bytes(40)))
    talk.server(record(ALERT, b"\2\x2a"))
    assert (talk.messages[1].status_text, talk.messages[1].ok) == ("alert bad_certificate", False)


def test_both_ends_of_pythons_ssl_wait_for_a_key_that_is_late() -> None:
    conversation = spoken([GET, ANSWER], contexts())
    source = Source(complete=False)
    talk = tell(talk_with(source), conversation.steps)
    source.new = list(conversation.secrets)
    ask_again(talk)
    assert (talk.plain(CLIENT), talk.plain(SERVER)) == (GET[1], ANSWER[1])
    assert knowing(conversation.secrets).secrets.complete
