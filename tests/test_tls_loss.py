"""TLS with bytes missing: what still opens is in its place, and what is missing is said."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contract import Told
from test_tls_decryption import TLS10, TLS12, TLS13, Keyed, by_cbc
from tls_sealing import DATA, Scripted, scripted
from tls_talk import Line, Spoken, contexts, spoken

from pysniff.dissector import Inside, InsideGap
from pysniff.message import CLIENT, SERVER, Side
from pysniff.secrets import Secret
from pysniff.tls import keyring

SEGMENT = 1448
KINDS = {
    "1.3": (TLS13, ""),
    "1.2 gcm": (TLS12, "ECDHE-RSA-AES128-GCM-SHA256"),
    "1.2 chacha": (TLS12, "ECDHE-RSA-CHACHA20-POLY1305"),
    "1.2 cbc": (TLS12, "ECDHE-RSA-AES128-SHA256"),
    "1.0 cbc": (TLS10, "AES128-SHA"),
}


@cache
def conversation(name: str) -> Spoken:
    version, ciphers = KINDS[name]
    chance = Random(name)
    lines: list[Line] = []
    for _ in range(8):
        lines.append((CLIENT, chance.randbytes(chance.randrange(20, 400))))
        lines.append((SERVER, chance.randbytes(chance.randrange(20, 50_000))))
    return spoken(lines, contexts(version, ciphers))


def fresh(secrets: tuple[Secret, ...]) -> Told:
    return Told(type("Keyed", (Keyed,), {"secrets": secrets})())


def segments(spoken: Spoken) -> Iterator[tuple[Side, bytes]]:
    for side, data in spoken.steps:
        for at in range(0, len(data), SEGMENT):
            yield side, data[at : at + SEGMENT]


def without(spoken: Spoken, lost: set[int]) -> Told:
    """The numbers of segments that nobody saw."""
    talk = fresh(spoken.secrets)
    missing = [0, 0]
    for number, (side, data) in enumerate(segments(spoken)):
        if number in lost:
            missing[side] += len(data)
            continue
        if missing[side]:
            talk.gap(side, missing[side])
            missing[side] = 0
        talk.feed(side, data)
    for side in (CLIENT, SERVER):
        if missing[side]:
            talk.gap(side, missing[side])
    talk.close()
    assert talk.malformed is None
    return talk


def in_place(talk: Told, side: Side, plain: bytes) -> int:
    """How many bytes of a half came out, each where it was said: gaps of a known size are exact."""
    at, exact, found = 0, True, 0
    for one in talk.carried:
        if one.side is not side:
            continue
        if isinstance(one, Inside):
            if exact or len(one.data) < 16:
                assert not exact or plain[at : at + len(one.data)] == one.data
            else:
                at = plain.index(one.data, at)
                exact = True
            at += len(one.data)
            found += len(one.data)
        elif isinstance(one, InsideGap):
            at += one.size
            exact = exact and one.size > 0
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rate", [0.003, 0.03, 0.2])
def test_what_opens_is_where_it_was_said(name: str, rate: float) -> None:
    said = conversation(name)
    chance = Random(f"{name} {rate}")
    count = sum(1 for _ in segments(said))
    for _ in range(6):
        talk = without(said, {number for number in range(4, count) if chance.random() < rate})
        for side in (CLIENT, SERVER):
            in_place(talk, side, said.plain(side))


@pytest.mark.parametrize("name", KINDS)
def test_one_lost_segment_costs_its_record_and_of_tls10_the_next_one(name: str) -> None:
    said = conversation(name)
    every = list(segments(said))
    full = [number for number, (side, data) in enumerate(every) if side is SERVER and len(data) == SEGMENT]
    for number in full[3::17]:
        talk = without(said, {number})
        missing = len(said.plain(SERVER)) - in_place(talk, SERVER, said.plain(SERVER))
        assert 0 < missing <= 2 * 16_384 + 1
        assert talk.plain(CLIENT) == said.plain(CLIENT)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(0, 60_000), st.integers(1, 60_000), st.sampled_from([CLIENT, SERVER])
)
def test_a_loss_of_any_size_anywhere(name: str, start: int, size: int, side: Side) -> None:
    said = conversation(name)
    talk = fresh(said.secrets)
    at = 0
    for sender, data in said.steps:
        if sender is not side:
            talk.feed(sender, data)
            continue
        begin, end = max(start - at, 0), min(start + size - at, len(data))
        if begin < len(data) and end > 0:
            if begin:
                talk.feed(sender, data[:begin])
            talk.gap(sender, end - begin)
            if data[end:]:
                talk.feed(sender, data[end:])
        else:
            talk.feed(sender, data)
        at += len(data)
    talk.close()
    assert talk.malformed is None
    in_place(talk, side, said.plain(side))


def test_a_capture_that_does_not_know_how_much_it_lost() -> None:
    script = scripted()
    talk = opened(script)
    said = [script.server.seal(DATA, b"%d" % number * 30) for number in range(200)]
    talk.server(said[0]).gap(SERVER, 0)
    talk.server(said[150][7:] + said[151])
    assert talk.plain(SERVER) == b"0" * 30 + b"151" * 30
    assert [one.size for one in talk.carried if isinstance(one, InsideGap)] == [0]


def opened(script: Scripted) -> Told:
    talk = fresh(script.secrets)
    for side, data in script.opening:
        talk.feed(side, data)
    return talk


def test_records_that_are_lost_whole_are_counted_to_the_byte() -> None:
    script = scripted()
    talk = opened(script)
    sizes = (100, 7, 16_384, 1)
    said = [script.server.seal(DATA, bytes([65 + number]) * size) for number, size in enumerate(sizes)]
    talk.server(said[0])
    talk.gap(SERVER, len(said[1] + said[2]))
    talk.server(said[3])
    assert [one.size for one in talk.carried if isinstance(one, InsideGap)] == [7 + 16_384]
    assert talk.plain(SERVER) == b"A" * 100 + b"D"


def test_a_key_may_change_within_a_loss() -> None:
    script = scripted()
    talk = opened(script)
    talk.client(script.client.seal(DATA, b"before "))
    lost = script.client.seal(DATA, b"lost") + script.client.update() + script.client.seal(DATA, b"lost too")
    talk.gap(CLIENT, len(lost))
    talk.client(script.client.seal(DATA, b"after"))
    assert talk.plain(CLIENT) == b"before after"


def test_the_end_of_the_handshake_may_be_lost() -> None:
    script = scripted()
    talk = fresh(script.secrets)
    (_, hello), (_, answer), (_, finished) = script.opening
    talk.client(hello).server(answer)
    talk.gap(CLIENT, len(finished))
    talk.client(script.client.seal(DATA, b"ask"))
    assert talk.plain(CLIENT) == b"ask"


def test_the_change_of_ciphers_may_be_lost() -> None:
    """TLS 1.2 says so in a record of its own; without it an encrypted record looks like any other."""
    for number, version, etm in ((0x002F, 0x0303, False), (0xC012, 0x0302, True)):
        steps, secrets = by_cbc(number, version, etm)
        talk = fresh(secrets)
        for side, data in steps:
            if data[0] == 20:
                talk.gap(side, 6)
                data = data[6:]
            talk.feed(side, data)
        talk.close()
        assert (talk.plain(CLIENT), talk.plain(SERVER)) == (b"ask", bytes(16_384) + b"answer")


def test_looking_for_the_next_record_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends what looks like records, behind a loss, does not keep us busy for ever."""
    monkeypatch.setattr(keyring, "_ALL_TRIES", 20_000)
    script = scripted()
    talk = opened(script)
    talk.server(script.server.seal(DATA, b"one")).gap(SERVER, 0)
    for _ in range(40):
        talk.server(b"\x17\x03\x03\x00\x20" + bytes(32))
    talk.close()
    assert "encrypted, lost count" in {one.reason for one in talk.undecoded}


def test_a_loss_while_the_key_is_awaited() -> None:
    from test_tls_secrets import talk_with
    from tls_talk import Source

    script = scripted()
    source = Source(complete=False)
    talk = talk_with(source)
    for side, data in script.opening:
        talk.feed(side, data)
    said = [script.server.seal(DATA, bytes([65 + number]) * 50) for number in range(6)]
    talk.server(said[0] + said[1][:20]).gap(SERVER, len(said[1]) - 20 + len(said[2]))
    talk.server(said[3]).gap(SERVER, len(said[4]) - 3)
    talk.server(said[4][-3:] + said[5])
    source.new = list(script.secrets)
    talk._call(lambda: talk.dissector.again(talk.now))
    talk.close()
    assert talk.plain(SERVER) == b"A" * 50 + b"D" * 50 + b"F" * 50
    assert [one.size for one in talk.carried if isinstance(one, InsideGap)] == [100, 50]


def test_halves_that_begin_in_the_middle_of_a_handshake() -> None:
    said = conversation("1.3")
    for side in (CLIENT, SERVER):
        talk = fresh(said.secrets)
        talk.gap(side.other, 0)
        for sender, data in said.steps:
            talk.feed(sender, data)
        talk.close()
        assert talk.plain(side) == said.plain(side)
