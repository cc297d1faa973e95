"""A TLS connection is read on from a state as if nothing before it were gone, at any packet; no state does harm, and
none has a key in it, nor plain text where nobody decrypted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from certificates import Authority
from http2_talk import Calls
from tls_sealing import DATA, scripted
from tls_talk import Source
from tls_wire import TLS12, TLS13, TlsWire, get, ok
from wire import Wire, kinds

from pysniff.entry import Entry
from pysniff.keylogs import key_logs
from pysniff.message import CLIENT, SERVER, Side
from pysniff.packet import Packet
from pysniff.resumption import Resumption
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return Authority(tmp_path_factory.mktemp("authority"), "shop").issue("shop.example")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


class Sealed(Calls):
    """HTTP/2 in TLS, in records cut anywhere."""

    def __init__(self, tls: TlsWire, random: Random, sizes: tuple[int, ...] = (16_000, 700, 5)) -> None:
        super().__init__(tls.wire, random)
        self._tls, self._sizes = tls, sizes

    def shake(self) -> list[Packet]:
        self._tls.wire.handshake, shaken = list, self._tls.handshake()  # type: ignore[method-assign]
        return [*shaken, *super().shake()]

    def _say(self, side: Side, data: bytes) -> list[Packet]:
        packets = []
        while data:
            size = self._random.choice(self._sizes)
            packets += self._tls.say(side, data[:size])
            data = data[size:]
        return packets


def h2_calls(tls: TlsWire, random: Random, count: int) -> list[Packet]:
    talk = Sealed(tls, random)
    packets = talk.shake()
    for _ in range(count):
        packets += talk.turn()
    return packets + talk.finish()


def http_calls(
    tls: TlsWire, random: Random, count: int, sizes: tuple[int, ...] = (0, 30, 4_000, 40_000)
) -> list[Packet]:
    packets = tls.handshake()
    for number in range(count):
        packets += tls.call(get(f"/{number}"), ok(random.randbytes(random.choice(sizes))))
    return packets + tls.farewell()


def begins(entry: Entry) -> int:
    message = entry.request if entry.request is not None else entry.response
    assert message is not None
    return int(message.first)


def read(
    packets: Sequence[Packet], keys: Path | None, states: Sequence[Resumption] = ()
) -> tuple[dict[str, Entry], Sniffer]:
    sniffer = Sniffer(secrets=Secrets(*key_logs(keys)) if keys is not None else None)
    for state in states:
        sniffer.resume(state)
    found = [entry for packet in packets for entry in sniffer.feed([packet])] + sniffer.close()
    assert sniffer.ledger.imbalances() == []
    return {entry.id: entry for entry in found if entry.state == "closed"}, sniffer


def states_at(
    packets: Sequence[Packet], places: Sequence[int], keys: Path | None
) -> Iterator[tuple[int, list[Resumption]]]:
    sniffer, done = Sniffer(secrets=Secrets(*key_logs(keys)) if keys is not None else None, remembering=True), 0
    for place in places:
        sniffer.feed(packets[done:place])
        yield place, sniffer.remember()
        done = place
    assert sniffer.ledger.imbalances() == []


def later(whole: dict[str, Entry], packets: Sequence[Packet], place: int) -> dict[str, Entry]:
    """What begins behind so many packets."""
    return {id: entry for id, entry in whole.items() if begins(entry) > packets[place - 1].time_ns}


def sure(entry: Entry) -> dict[str, object]:
    """An entry but for doubts that come from not having seen what came before it, and what only a handshake tells."""
    record = entry.to_dict()
    record["faults"] = [
        fault for fault in record["faults"] if fault["kind"] not in ("midstream", "gap") or fault["bytes"]
    ]
    if not record["faults"]:
        record["completeness"] = "complete"
    if record["tls"]["version"] == "1.3":
        record["tls"]["alpn"] = ""
    return record


SUITES = [
    (TLS13, ""),
    (TLS12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (TLS12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (TLS12, "ECDHE-ECDSA-AES256-SHA"),
]
OLD = (ssl.TLSVersion.TLSv1, "ECDHE-ECDSA-AES256-SHA")


@pytest.mark.parametrize(("version", "ciphers"), [*SUITES, OLD])
def test_http2_goes_on_at_any_packet_where_it_was_decrypted(
    keys: Path, certificate: tuple[Path, Path], version: ssl.TLSVersion, ciphers: str
) -> None:
    packets = h2_calls(TlsWire(keys, certificate, version=version, ciphers=ciphers, alpn=["h2"]), Random(1), 40)
    whole, _ = read(packets, keys)
    places = sorted(Random(2).sample(range(5, len(packets) - 3), 30))
    count = calls = 0
    for place, states in states_at(packets, places, keys):
        if not states:
            continue
        count += 1
        rest, sniffer = read(packets[place:], keys, states)
        want = {id: entry.to_dict() for id, entry in later(whole, packets, place).items()}
        assert sniffer.ledger.resumed_blind == 0
        assert {id: rest[id].to_dict() for id in want if id in rest} == want, place
        calls += len(want)
    assert count > 20 and calls > 400


@pytest.mark.parametrize("decrypted", [True, False])
@pytest.mark.parametrize(("version", "ciphers"), [*SUITES, OLD])
def test_http_goes_on_at_any_packet(
    keys: Path, certificate: tuple[Path, Path], version: ssl.TLSVersion, ciphers: str, decrypted: bool
) -> None:
    """Whether who remembered it had its keys, or only counted its records."""
    packets = http_calls(TlsWire(keys, certificate, version=version, ciphers=ciphers), Random(3), 30)
    whole, _ = read(packets, keys)
    places = sorted(Random(4).sample(range(8, len(packets) - 20), 25))
    calls = 0
    for place, states in states_at(packets, places, keys if decrypted else None):
        assert len(states) == 1
        rest, _ = read(packets[place:], keys, states)
        want = {id: sure(entry) for id, entry in later(whole, packets, place).items()}
        assert {id: sure(rest[id]) for id in want if id in rest} == want, place
        assert {entry.protocol for entry in rest.values()} == {"http"}
        calls += len(want)
    assert calls > 200


@pytest.mark.parametrize(("version", "ciphers"), SUITES)
def test_what_nobody_decrypted_is_joined_in_the_middle_and_says_so(
    keys: Path, certificate: tuple[Path, Path], version: ssl.TLSVersion, ciphers: str
) -> None:
    packets = h2_calls(TlsWire(keys, certificate, version=version, ciphers=ciphers, alpn=["h2"]), Random(1), 40)
    whole, _ = read(packets, keys)
    ((place, states),) = states_at(packets, [100], None)
    rest, sniffer = read(packets[place:], keys, states)
    assert sniffer.ledger.resumed_blind > 0
    want = later(whole, packets, place)
    assert len(want) > 20
    assert not want.keys() - rest.keys()
    assert any("midstream" in kinds(rest[id]) for id in want)


@pytest.mark.parametrize("decrypted", [True, False])
def test_who_has_no_key_then_is_told_why(keys: Path, certificate: tuple[Path, Path], decrypted: bool) -> None:
    packets = http_calls(TlsWire(keys, certificate), Random(5), 4)
    ((place, states),) = states_at(packets, [14], keys if decrypted else None)
    rest, _ = read(packets[place:], None, states)
    (entry,) = rest.values()
    assert entry.protocol == "tlsx"
    assert "midstream" in kinds(entry)
    told = entry.to_dict()["response"]
    assert told["not_decrypted"].startswith("no key was given")
    assert told["version"] == "1.3" and told["cipher_suite"].startswith("TLS_")
    assert begins(entry) >= packets[place].time_ns


def test_a_state_has_no_key_and_no_plain_text_of_what_nobody_decrypted(
    keys: Path, certificate: tuple[Path, Path]
) -> None:
    packets = h2_calls(TlsWire(keys, certificate, alpn=["h2"]), Random(1), 40)
    secrets = [bytes.fromhex(line.split()[2]) for line in keys.read_text().splitlines() if line[0] != "#"]
    ((_, (counted,)), (_, (_,))) = states_at(packets, [60, 100], None)
    ((_, (decrypted,)),) = states_at(packets, [60], keys)
    for state in (counted.state, decrypted.state):
        assert not any(secret in state for secret in secrets)
    assert b"Bearer" in decrypted.state and b"h2" in decrypted.state
    assert b"Bearer" not in counted.state and len(counted.state) < 600


@pytest.mark.parametrize("decrypted", [True, False])
@pytest.mark.parametrize("updates", [0, 1, 3])
def test_keys_that_were_renewed_are_renewed_again(decrypted: bool, updates: int) -> None:
    """By number where it was decrypted; once, where it has to be tried."""
    script = scripted()
    wire = Wire()
    packets = [*wire.handshake(), *[wire.send(side, data) for side, data in script.opening]]
    for number in range(updates + 1):
        packets.append(wire.send(CLIENT, script.client.seal(DATA, get(f"/{number}"))))
        packets.append(wire.send(SERVER, script.server.seal(DATA, ok(b"yes"))))
        if number < updates:
            packets += [wire.send(CLIENT, script.client.update()), wire.send(SERVER, script.server.update())]
    place = len(packets)
    packets.append(wire.send(CLIENT, script.client.seal(DATA, get("/last"))))
    packets.append(wire.send(SERVER, script.server.seal(DATA, ok(b"yes"))))
    first = Sniffer(secrets=Secrets(Source(script.secrets if decrypted else ())), remembering=True)
    first.feed(packets[:place])
    second = Sniffer(secrets=Secrets(Source(script.secrets)))
    for state in first.remember():
        second.resume(state)
    found = [*second.feed(packets[place:]), *second.close()]
    if decrypted or updates < 2:
        assert [entry.summary for entry in found] == ["GET /last"]
    else:
        assert {entry.protocol for entry in found} <= {"tlsx"}
    assert second.ledger.imbalances() == []


def test_behind_a_loss_it_is_counted_about(keys: Path, certificate: tuple[Path, Path]) -> None:
    """Records were lost that nobody could decrypt: how many, is tried."""
    tls = TlsWire(keys, certificate)
    packets = tls.handshake()
    for number in range(10):
        packets += tls.call(get(f"/{number}"), ok(b"x" * 9_000))
    tls.wait(20)
    packets += [packet for number in range(20) for packet in tls.call(get(f"/{number}/again"), ok(b"x" * number))]
    whole, _ = read(packets, keys)
    torn = packets[:30] + packets[33:]
    ((place, states),) = states_at(torn, [len(torn) - 20], None)
    rest, _ = read(torn[place:], keys, states)
    want = {id: sure(entry) for id, entry in later(whole, torn, place).items()}
    assert len(want) > 5
    assert {id: sure(rest[id]) for id in want if id in rest} == want


def test_no_state_does_harm(keys: Path, certificate: tuple[Path, Path]) -> None:
    packets = h2_calls(TlsWire(keys, certificate, alpn=["h2"]), Random(1), 12)
    random = Random(7)
    for decrypted in (True, False):
        ((place, (known,)),) = states_at(packets, [50], keys if decrypted else None)
        for _ in range(150):
            state = bytearray(known.state)
            for _ in range(random.choice((1, 3))):
                state[random.randrange(len(state))] = random.randrange(256)
            if random.random() < 0.2:
                del state[random.randrange(len(state)) :]
            _, sniffer = read(packets[place:], keys, [known._replace(state=bytes(state))])
            assert sniffer.ledger.dissector_errors == 0
