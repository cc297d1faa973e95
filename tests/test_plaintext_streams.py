"""From what programs in the kernel tell to chunks: without a kernel, so that every order of events can be had."""

from __future__ import annotations

import os
import random

import pytest

from pysniff.limits import MIB, SECOND
from pysniff.plain import PlainChunk
from pysniff.tracer.plaintext_records import Event, PlainRecord, ends_of, pack_ends, read_record
from pysniff.tracer.plaintext_streams import Ends, PlainStreams

CLIENT, SERVER = b"\x0a\0\0\1\xc0\0", b"\x0a\0\0\2\x01\xbb"
SENT, RECEIVED = 0, 1
ALIVE, DEAD = os.getpid(), (1 << 30) + 1  # numbers of processes are smaller
TO_SERVER, TO_CLIENT = (b"\x0a\0\0\1\x0a\0\0\2\xc0\0\x01\xbb", b"\x0a\0\0\2\x0a\0\0\1\x01\xbb\xc0\0")


class Told:
    """Streams, and what they gave; `whole`: whether connections are watched from their start."""

    def __init__(self, *, whole: bool = True) -> None:
        self.streams = PlainStreams(lambda file: f"library {file}", lambda record, ends: whole)

    def take(self, *records: PlainRecord) -> list[tuple[bytes, int, bytes]]:
        return [(chunk.key, chunk.offset, chunk.data) for chunk in self.chunks(*records)]

    def chunks(self, *records: PlainRecord) -> list[PlainChunk]:
        return self.streams.take(records, 1_000 * SECOND)


class Object:
    """A TLS object of a process, at one end; everything it says moves on by `step` ns."""

    def __init__(self, local: bytes, remote: bytes, *, process: int = ALIVE, address: int = 1, born: int = 100) -> None:
        self.ends: Ends | None = (local, remote)
        self.process, self.address, self.born, self.at = process, address, born, born
        self.offsets = [0, 0]

    def says(self, direction: int, data: bytes, *, tied: bool = True, lost: int = 0, after: int = 1) -> PlainRecord:
        self.offsets[direction] += lost
        record = self._record(Event.DATA, direction, data, tied, after)
        self.offsets[direction] += len(data)
        return record

    def tied(self) -> PlainRecord:
        return self._record(Event.TIED, SENT, b"", True, 1)

    def gone(self) -> PlainRecord:
        return self._record(Event.GONE, SENT, b"", True, 1)

    def _record(self, event: Event, direction: int, data: bytes, tied: bool, after: int) -> PlainRecord:
        self.at += after
        who = (self.address, self.born, self.process, self.process, 3)
        ends = self.ends if tied else None
        return PlainRecord(event, direction, self.at, *who, self.offsets[direction], len(data), ends, data)


def test_what_is_sent_and_received_goes_its_way_at_packet_time() -> None:
    told, client = Told(), Object(CLIENT, SERVER)
    first, second = told.chunks(client.says(SENT, b"question"), client.says(RECEIVED, b"answer"))
    reader = second.reader
    assert first == PlainChunk(1_000 * SECOND + 101, TO_SERVER, 0, b"question", True, None, reader, "library 3")
    assert (second.key, second.offset, second.data) == (TO_CLIENT, 0, b"answer")


def test_what_was_lost_is_missing_in_the_offsets() -> None:
    told, client = Told(), Object(CLIENT, SERVER)
    told.take(client.says(SENT, b"one"))
    assert told.take(client.says(SENT, b"three", lost=3)) == [(TO_SERVER, 6, b"three")]


def test_bytes_wait_until_their_socket_is_known() -> None:
    told, client = Told(), Object(CLIENT, SERVER)
    assert not told.take(client.says(SENT, b"one", tied=False), client.says(SENT, b"two", tied=False))
    assert told.streams.waiting == 6
    assert told.take(client.tied()) == [(TO_SERVER, 0, b"one"), (TO_SERVER, 3, b"two")]
    assert told.streams.waiting == 0


def test_bytes_whose_socket_never_becomes_known_are_counted() -> None:
    told, one, other = Told(), Object(CLIENT, SERVER), Object(CLIENT, SERVER, address=2)
    told.take(one.says(SENT, b"one", tied=False), other.says(SENT, b"other", tied=False))
    told.take(one.gone())
    assert (told.streams.losses.unknown, told.streams.waiting) == (0, 5)  # it was known in the end
    told.streams.expire(other.at + 9 * SECOND)
    assert told.streams.waiting == 5
    told.streams.expire(other.at + 11 * SECOND)
    assert (told.streams.losses.unknown, told.streams.waiting) == (5, 0)


def test_what_waits_is_bounded() -> None:
    told = Told()
    for number in range(40):
        told.take(Object(CLIENT, SERVER, address=number).says(SENT, bytes(MIB), tied=False))
    assert told.streams.waiting <= 16 * MIB
    assert told.streams.waiting + told.streams.losses.unknown == 40 * MIB


def test_of_two_ends_on_one_machine_the_first_tells() -> None:
    told, client, server = Told(), Object(CLIENT, SERVER), Object(SERVER, CLIENT, address=2)
    records = [
        client.says(SENT, b"q"),
        server.says(RECEIVED, b"q"),
        server.says(SENT, b"a"),
        client.says(RECEIVED, b"a"),
    ]
    assert told.take(*records) == [(TO_SERVER, 0, b"q"), (TO_CLIENT, 0, b"a")]
    assert told.streams.losses.doubled == 2


def test_the_end_is_told_for_both_directions_and_once() -> None:
    told, client, server = Told(), Object(CLIENT, SERVER), Object(SERVER, CLIENT, address=2)
    told.take(client.says(SENT, b"four"), server.says(RECEIVED, b"four"))
    assert told.take(client.gone(), server.gone()) == [(TO_SERVER, 4, b""), (TO_CLIENT, 0, b"")]


@pytest.mark.parametrize("process", [ALIVE, DEAD], ids=["alive", "dead"])
def test_the_other_end_does_not_tell_again_what_an_end_that_is_gone_has_told(process: int) -> None:
    told, client = Told(), Object(CLIENT, SERVER, process=process)
    told.take(client.says(SENT, b"q"), *([client.gone()] if process == ALIVE else []))
    late = Object(SERVER, CLIENT, address=2, born=client.at + 1_000)
    assert not told.take(late.says(RECEIVED, b"q"), late.says(SENT, b"a"))


def test_ports_that_are_used_again_are_a_new_connection() -> None:
    told, client = Told(), Object(CLIENT, SERVER)
    told.take(client.says(SENT, b"old"), client.gone())
    again = Object(CLIENT, SERVER, born=client.at + 5)
    assert told.take(again.says(SENT, b"new")) == [(TO_SERVER, 0, b"new")]


def test_the_end_of_a_process_that_was_killed_is_told_with_the_next_connection() -> None:
    told, client = Told(), Object(CLIENT, SERVER, process=DEAD)
    told.take(client.says(SENT, b"old"))
    again = Object(CLIENT, SERVER, born=client.at + 5)
    assert told.take(again.says(SENT, b"new")) == [(TO_SERVER, 3, b""), (TO_CLIENT, 0, b""), (TO_SERVER, 0, b"new")]


def test_tls_within_tls_is_a_conversation_behind_the_one_that_began_it() -> None:
    told, outer = Told(), Object(CLIENT, SERVER)
    told.take(outer.says(SENT, b"CONNECT"), outer.says(RECEIVED, b"200"))
    inner = Object(CLIENT, SERVER, address=2, born=outer.at + 1)
    chunks = told.chunks(inner.says(SENT, b"GET"), inner.says(RECEIVED, b"body"))
    assert [(chunk.offset, chunk.data) for chunk in chunks] == [(7, b""), (3, b""), (0, b"GET"), (0, b"body")]
    assert chunks[0].reader == chunks[1].reader != chunks[2].reader == chunks[3].reader
    assert not told.take(outer.says(SENT, b"\x17\x03\x03"))


def test_a_process_that_takes_over_a_connection_joins_it_in_the_middle() -> None:
    told, parent = Told(), Object(CLIENT, SERVER, process=1)
    assert told.chunks(parent.says(SENT, b"one"))[0].watched_from_start
    child = Object(CLIENT, SERVER, process=ALIVE, born=parent.at + 1)
    chunks = told.chunks(child.says(SENT, b"two"))
    assert [chunk.data for chunk in chunks] == [b"", b"", b"two"]
    assert not chunks[2].watched_from_start


def test_two_objects_at_one_address_are_told_apart() -> None:
    told, first = Told(), Object(CLIENT, SERVER)
    told.take(first.says(SENT, b"one"), first.gone())
    second = Object(b"\x0a\0\0\1\xc0\1", SERVER, born=first.at + 1)
    ((key, offset, data),) = told.take(second.says(SENT, b"two"))
    assert (key[8:10], offset, data) == (b"\xc0\1", 0, b"two")


def test_chunks_are_in_the_order_of_their_time() -> None:
    told, client = Told(), Object(CLIENT, SERVER)
    other = Object(b"\x0a\0\0\3\xc0\0", SERVER, address=2, born=50)
    chunks = told.chunks(client.says(SENT, b"later"), other.says(SENT, b"earlier"))
    assert [chunk.data for chunk in chunks] == [b"earlier", b"later"]


def test_an_ipv4_connection_of_an_ipv6_socket_is_ipv4() -> None:
    mapped = bytes(10) + b"\xff\xff"
    assert ends_of(pack_ends(10, mapped + b"\x0a\0\0\1", 0xC000, mapped + b"\x0a\0\0\2", 443)) == (CLIENT, SERVER)
    assert ends_of(pack_ends(2, b"\x0a\0\0\1", 0xC000, b"\x0a\0\0\2", 443)) == (CLIENT, SERVER)
    assert ends_of(pack_ends(10, bytes(16), 1, b"\1" * 16, 2)) == (bytes(16) + b"\0\1", b"\1" * 16 + b"\0\2")
    assert ends_of(bytes(40)) is None


def test_any_bytes_are_a_record_or_none() -> None:
    chance = random.Random(3)
    for _ in range(2_000):
        record = read_record(chance.randbytes(chance.randrange(200)))
        assert record is None or len(record.data) == record.size
