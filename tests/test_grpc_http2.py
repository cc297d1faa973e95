"""gRPC over HTTP/2, from packets to what the command shows: the h2 package speaks, the Sniffer listens."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import pytest
from click.testing import CliRunner
from dialogue import PLAIN, segments
from hypothesis import given, settings
from hypothesis import strategies as st
from protos import descriptor_set, message_class
from talk import Step
from test_grpc import framed
from test_schema import complaints

import pysniff
from pysniff.capture.writer import Writer
from pysniff.cli import group
from pysniff.entry import Entry
from pysniff.errors import FileError
from pysniff.limits import KIB, Limits
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Block
from pysniff.sniffer import Sniffer

Headers = list[tuple[str, str]]
ITEM = message_class("shop.Item")(name="tea", count=2, parts=[{"name": "leaf"}]).SerializeToString()


class Dialogue:
    """Both ends of a connection; `steps` is what went over the wire."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.steps: list[Step] = []
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.pump()

    def pump(self) -> None:
        while True:
            asked, answered = self.client.data_to_send(), self.server.data_to_send()
            if asked:
                self.steps.append((CLIENT, asked))
                self.server.receive_data(asked)
            if answered:
                self.steps.append((SERVER, answered))
                for event in self.client.receive_data(answered):
                    self._acknowledge(event)
            if not asked and not answered:
                return

    def _acknowledge(self, event: Any) -> None:
        length = getattr(event, "flow_controlled_length", 0)
        if length:
            self.client.acknowledge_received_data(length, event.stream_id)

    def ask(self, path: str, body: bytes, *more: tuple[str, str], end: bool = True) -> int:
        stream = self.client.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "shop"), ("te", "trailers")]
        self.client.send_headers(stream, [*head, ("content-type", "application/grpc"), *more])
        self.client.send_data(stream, body, end_stream=end)
        self.pump()
        return stream

    def answer(self, stream: int, *bodies: bytes, trailers: Headers | None = None, more: Headers | None = None) -> None:
        head = [(":status", "200"), ("content-type", "application/grpc"), *(more or [])]
        self.server.send_headers(stream, head, end_stream=not bodies and trailers is None)
        for body in bodies:
            for at in range(0, len(body), 16_000):
                self.server.send_data(stream, body[at : at + 16_000])
                self.pump()
        if trailers is not None:
            self.server.send_headers(stream, trailers, end_stream=True)
        self.pump()


def shop() -> Dialogue:
    """Every way in which a call can end."""
    talk = Dialogue()
    talk.answer(talk.ask("/shop.Cart/Get", framed(ITEM)), framed(b"\x1a\x01x"), trailers=[("grpc-status", "0")])
    packed = framed(gzip.compress(ITEM, mtime=0), flags=1)
    one = talk.ask("/shop.Cart/Watch", framed(ITEM, ITEM) + packed, ("grpc-encoding", "gzip"))
    error = [("grpc-status", "5"), ("grpc-message", "k%C3%A4se")]
    talk.answer(one, framed(ITEM), packed, trailers=error, more=[("grpc-encoding", "gzip")])
    talk.answer(talk.ask("/shop.Cart/Other", framed(b"")), more=[("grpc-status", "12"), ("grpc-message", "no%20such")])
    cancelled = talk.ask("/shop.Cart/Watch", framed(ITEM), ("grpc-timeout", "100m"), end=False)
    talk.answer(cancelled, framed(ITEM)[:9])
    talk.client.reset_stream(cancelled, 8)
    talk.pump()
    return talk


def sniffed(talk: Dialogue, mss: int = 1460, limits: Limits | None = None) -> list[Entry]:
    sniffer = Sniffer(limits=limits or Limits())
    entries = [*sniffer.feed(PLAIN.packets(segments(talk.steps, mss))), *sniffer.close()]
    assert sniffer.ledger.imbalances() == []
    assert sniffer.ledger.dissector_errors == 0
    assert [line for entry in entries for line in complaints(entry.to_dict())] == []
    return entries


def test_calls_of_every_kind_are_entries_as_they_end() -> None:
    entries = sniffed(shop())
    assert [(one.protocol, one.version, one.summary, one.status, one.ok) for one in entries] == [
        ("grpc", "2", "shop.Cart/Get", "OK", True),
        ("grpc", "2", "shop.Cart/Watch", "NOT_FOUND", False),
        ("grpc", "2", "shop.Cart/Other", "UNIMPLEMENTED", False),
        ("grpc", "2", "shop.Cart/Watch", "", False),
    ]
    assert [one.request.message_count for one in entries] == [1, 3, 1, 1]
    assert [one.response.message_count for one in entries] == [1, 2, 0, 0]
    assert [one.response.grpc_message for one in entries] == ["", "käse", "no such", ""]
    assert [one.request.stream_id for one in entries] == [1, 3, 5, 7]
    assert [bool(one.faults) for one in entries] == [False, False, False, True]
    assert [message.content for message in entries[1].request.messages] == [ITEM] * 3
    assert entries[3].request.grpc_timeout == 100_000


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200))
def test_entries_do_not_depend_on_how_the_bytes_are_cut(mss: int) -> None:
    assert [timeless(one) for one in sniffed(shop(), mss)] == [timeless(one) for one in sniffed(shop())]


def timeless(entry: Entry) -> dict[str, Any]:
    record = entry.to_dict()
    for name in ("id", "stream", "timestamp", "completed", "elapsed_time"):
        del record[name]
    return record


def test_a_stream_is_visible_while_it_is_open() -> None:
    talk = Dialogue()
    stream = talk.ask("/shop.Cart/Watch", framed(ITEM))
    talk.answer(stream, framed(ITEM, ITEM) + framed(ITEM)[:7])
    sniffer = Sniffer()
    packets = PLAIN.packets(segments(talk.steps, fin=False))
    entries = [*sniffer.feed(packets), *sniffer.advance(packets[-1].time_ns + 11 * 10**9)]
    assert [(one.state, one.protocol, one.summary, one.status) for one in entries] == [
        ("open", "grpc", "shop.Cart/Watch", "")
    ]
    assert entries[0].response.message_count == 2
    assert entries[0].faults == ()
    assert complaints(entries[0].to_dict()) == []


def test_messages_of_a_stream_that_is_too_long_to_be_kept_are_counted() -> None:
    talk = Dialogue()
    stream = talk.ask("/shop.Cart/Watch", framed(ITEM))
    talk.answer(stream, *[framed(bytes(99)) * 150] * 20, trailers=[("grpc-status", "0")])
    (entry,) = sniffed(talk, limits=Limits(body_bytes=64 * KIB))
    assert entry.response.message_count == 3_000
    assert len(entry.response.messages) == 64 * KIB // 104
    assert entry.response.body.encoded_size == 3_000 * 104


def test_a_packet_that_was_lost_costs_the_messages_that_it_held() -> None:
    talk = Dialogue()
    stream = talk.ask("/shop.Cart/Get", framed(ITEM))
    talk.answer(stream, framed(b"\x08\x01", bytes(4_000), b"\x08\x02"), trailers=[("grpc-status", "0")])
    sent = segments(talk.steps, 1_000)
    inside = next(
        index for index, one in enumerate(sent) if one.side is SERVER and len(one.data) == 1_000 and index > 9
    )
    sniffer = Sniffer()
    packets = PLAIN.packets(sent)
    del packets[inside + 1]
    entries = [*sniffer.feed(packets), *sniffer.close()]
    (entry,) = [one for one in entries if one.protocol == "grpc"]
    assert (entry.status, entry.completeness, entry.response.message_count) == ("OK", "gap", 3)
    assert [message.size for message in entry.response.messages] == [2, 4_000, 2]
    assert [message.truncated for message in entry.response.messages] == [False, True, False]
    assert complaints(entry.to_dict()) == []


# The command and the library


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A capture and a descriptor set."""
    capture, schema = tmp_path / "shop.pcap", tmp_path / "shop.pb"
    writer = Writer(str(capture))
    for packet in PLAIN.packets(segments(shop().steps)):
        writer.write(Block.of(packet))
    writer.close()
    schema.write_bytes(descriptor_set())
    yield str(capture), str(schema)


def shown(*words: str) -> str:
    done = CliRunner().invoke(group, [*words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_shows_messages_under_their_call(files: tuple[str, str]) -> None:
    text = shown("-r", files[0], "-vv")
    assert "  grpc   shop.Cart/Watch                   NOT_FOUND " in text
    assert "    < (NOT_FOUND: käse; 2 messages)\n" in text
    assert (
        '    > message 1: 15 bytes\n    >   1: "tea"\n    >   2: 2\n    >   4 {\n    >     1: "leaf"\n    >   }\n'
        in text
    )


def test_a_descriptor_set_gives_names_on_the_command_line_and_in_the_library(files: tuple[str, str]) -> None:
    text = shown("-r", files[0], "-vv", "--proto", files[1])
    assert '    >   name: "tea"\n    >   count: 2\n    >   parts {\n    >     name: "leaf"\n    >   }\n' in text
    record = json.loads(shown("-r", files[0], "--json", "--proto", files[1]).splitlines()[0])
    fields = {"name": "tea", "count": 2, "parts": [{"name": "leaf"}]}
    assert record["request"]["messages"][0]["fields"] == fields
    for proto in (files[1], Path(files[1]), [files[1]]):
        with pysniff.read(files[0], proto=proto) as entries:
            assert next(entries).request.messages[0].fields == fields


def test_a_descriptor_set_that_is_none_is_refused(tmp_path: Path, files: tuple[str, str]) -> None:
    source = tmp_path / "shop.proto"
    source.write_text('syntax = "proto3";')
    with pytest.raises(FileError, match=r"not a protobuf descriptor set \(make one with protoc "):
        pysniff.read(files[0], proto=source)
    with pytest.raises(FileError, match="No such file"):
        pysniff.read(files[0], proto=tmp_path / "missing.pb")
