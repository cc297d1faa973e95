"""WebSocket: what the ends said to each other, whatever library wrote it and however it is cut."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chat import Deal, Say, Websockets, Wsproto, chat, deals, says
from click.testing import CliRunner
from dialogue import PLAIN, segments
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import pcap
from talk import Step, cut
from transcripts import MASK, SALT, deflated, ws
from wire import Watched, Wire, kinds

from pysniff.cli import group
from pysniff.dissectors.websocket_payload import unmask
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.sniffer import Sniffer

GREETING = b"GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
DEFLATE = "permessage-deflate"


def welcome(extensions: str = "", *lines: str) -> bytes:
    fields = ["Upgrade: websocket", "Connection: Upgrade", *lines]
    if extensions:
        fields.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *fields, "", ""]).encode()


def talk(extensions: str = "", *lines: str) -> Watched:
    """A connection whose handshake is over."""
    return Watched().client(GREETING).server(welcome(extensions, *lines))


def messages(wire: Watched) -> list[Any]:
    """Of the WebSocket, in the order in which they ended."""
    return [entry.request or entry.response for entry in wire.entries if entry.protocol == "ws"]


def shown(wire: Watched) -> list[str]:
    return [message.summary for message in messages(wire)]


def said(steps: list[Step]) -> tuple[list[Any], Sniffer]:
    """Every entry of a connection with these segments."""
    sniffer = Sniffer()
    entries = sniffer.feed(PLAIN.packets(segments(steps))) + sniffer.close()
    assert sniffer.ledger.imbalances() == []
    return entries, sniffer


def heard(entries: list[Any]) -> list[tuple[Any, str, bytes]]:
    """As the libraries tell it."""
    alone = [entry.request or entry.response for entry in entries if entry.protocol == "ws"]
    return [(message.side, message.opcode, message.payload) for message in alone]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([Websockets, Wsproto]), deals, says, st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_entries_are_what_the_libraries_heard(
    library: type[Websockets | Wsproto], deal: Deal, said_: list[Say], sizes: list[int]
) -> None:
    conversation = chat(library, deal, said_, 1001, "going away")
    entries, sniffer = said(cut(conversation.steps, sizes))
    assert heard(entries) == conversation.heard
    assert [fault for entry in entries for fault in entry.faults] == []
    assert (sniffer.ledger.undecoded, sniffer.ledger.dissector_errors) == ({}, 0)


def test_with_context_takeover_a_message_may_repeat_the_one_before_it() -> None:
    """And both ends compress on their own."""
    long = (b"all work and no play makes Jack a dull boy",)
    talked = [Say(side, "text", long) for side in (CLIENT, SERVER, CLIENT, SERVER)]
    conversation = chat(Websockets, Deal(), talked)
    entries, _ = said(conversation.steps)
    sizes = [entry.to_dict()["request" if entry.request else "response"]["encoded_size"] for entry in entries[1:5]]
    assert heard(entries) == conversation.heard
    assert max(sizes[2:]) < 10 < 30 < min(sizes[:2])


# One message, one entry


def test_each_message_is_an_entry_in_its_senders_half() -> None:
    wire = talk("", "Sec-WebSocket-Protocol: chat")
    wire.client(ws(0x81, b"hello", MASK)).server(ws(0x82, b"\x00\x01")).close()
    upgrade, request, response = wire.entries
    assert (upgrade.protocol, upgrade.summary, upgrade.status) == ("http", "GET /chat", "101")
    assert (request.protocol, request.summary, request.response) == ("ws", "text hello", None)
    assert (response.protocol, response.summary, response.request) == ("ws", "binary 00 01", None)
    common = {"frames": 1, "compressed": False, "subprotocol": "chat", "truncated": False}
    assert request.to_dict()["request"] == {"opcode": "text", "size": 5, "encoded_size": 5, "text": "hello", **common}
    assert response.to_dict()["response"] == {
        "opcode": "binary",
        "size": 2,
        "encoded_size": 2,
        "base64": "AAE=",
        **common,
    }
    assert wire.ledger.alone == 2


def test_a_message_in_fragments_is_one_entry_at_its_end_and_a_ping_may_come_between() -> None:
    wire = talk().server(ws(0x01, b"one "), ws(0x89, b"?"), ws(0x00, b"two "), ws(0x80, b"three")).close()
    ping, text = messages(wire)
    assert (ping.summary, text.summary, text.frames) == ("ping ?", "text one two three", 3)
    assert text.size == ping.position - text.position + 2 + 4 + 2 + 5


def test_a_close_frame_has_a_code_and_a_reason() -> None:
    wire = talk().client(ws(0x88, b"\x03\xf3too big", MASK)).server(ws(0x88, b"")).close()
    close, answer = messages(wire)
    assert (close.code, close.reason, close.ok, close.summary) == (1011, "too big", False, "close 1011 too big")
    assert (answer.code, answer.reason, answer.ok, answer.summary) == (None, "", True, "close")
    assert [message.to_dict(99)["code"] for message in (close, answer)] == [1011, None]


def test_a_long_message_is_visible_while_it_is_open() -> None:
    wire = talk().server(ws(0x01, b"tick ")).wait(11)
    (tick,) = [entry for entry in wire.seen if entry.state == "open"]
    assert tick.response.text == "tick "
    wire.server(ws(0x80, b"tock")).close()
    assert [(entry.state, entry.id == tick.id) for entry in wire.seen[-1:]] == [("closed", True)]
    assert (tick.response.text, wire.entries[-1].response.text) == ("tick ", "tick tock")
    assert wire.entries[-1].elapsed_time is None and wire.entries[-1].completed_ns > tick.time_ns + 10 * SECOND


@pytest.mark.parametrize(
    "extensions", [DEFLATE, "Permessage-Deflate ; server_max_window_bits=10", "x-mux, permessage-deflate"]
)
def test_an_extension_is_known_however_it_is_written(extensions: str) -> None:
    first, second = deflated(b"again and again", b"again and again")
    assert shown(talk(extensions).server(ws(0xC1, first), ws(0xC1, second)).close()) == ["text again and again"] * 2


def test_without_context_takeover_each_message_stands_for_itself() -> None:
    first, second = deflated(b"again and again", b"again and again")
    wire = talk(f"{DEFLATE}; server_no_context_takeover").server(ws(0xC1, first), ws(0xC1, second), ws(0xC1, first))
    good, bad, next_one = messages(wire.close())
    assert (good.text, good.every_fault) == ("again and again", ())
    assert (bad.payload, [fault.kind for fault in bad.every_fault]) == (second, ["malformed"])
    assert (next_one.text, next_one.every_fault) == ("again and again", ())


def test_a_message_may_end_with_a_last_block() -> None:
    """RFC 7692 §7.2.3.4 and §7.2.3.5: a block with BFINAL set, and two blocks of which the first is stored."""
    last = bytes.fromhex("f348cdc9c9070000")
    two = bytes.fromhex("f248050000 00ffff cac9c90700".replace(" ", ""))
    wire = talk(DEFLATE).server(ws(0xC1, last), ws(0xC1, two), ws(0xC1, last)).close()
    assert [(message.text, message.every_fault) for message in messages(wire)] == [("Hello", ())] * 3


# Odd things are read, and noted


@pytest.mark.parametrize(
    ("sent", "words", "summary"),
    [
        (ws(0x81, b"no mask"), "a frame of the client without mask", "text no mask"),
        (ws(0xA1, b"bits", MASK), "reserved bits are set", "text bits"),
        (ws(0xC1, b"bits", MASK), "reserved bits are set", "text bits"),
        (ws(0x83, b"new", MASK), "reserved opcode 0x3", "0x3 new"),
        (ws(0x8B, b"new", MASK), "reserved opcode 0xb", "0xb new"),
        (ws(0x80, b"what", MASK), "a continuation of nothing", "continuation what"),
        (ws(0x09, b"half", MASK), "a control frame in fragments, or longer than 125 bytes", "ping half"),
        (ws(0x89, b"long" * 40, MASK), "a control frame in fragments, or longer than 125 bytes", "ping longlong"),
        (ws(0x81, b"\xff\xfe", MASK), "text that is not UTF-8", "text ff fe"),
        (ws(0x88, b"\x03", MASK), "a close frame with half a code", "close"),
        (ws(0x88, b"\x03\xed", MASK), "close code 1005, which nobody may send", "close 1005"),
        (ws(0x88, b"\x03\xe8\xff", MASK), "a reason that is not UTF-8", "close 1000"),
        (b"\x81\xfe\x00\x02" + MASK + b"\0\xc5", "a length in more bytes than it needs", "text 7?"),
    ],
)
def test_what_an_end_may_not_send_is_read_and_noted(sent: bytes, words: str, summary: str) -> None:
    _, odd, after = talk().client(sent, ws(0x81, b"go on", SALT)).close().entries
    assert odd.summary.startswith(summary)
    assert [fault for fault in odd.faults if fault.message == words] != []
    assert {fault.kind for fault in odd.faults} == {"malformed"}
    assert (after.summary, after.faults) == ("text go on", ())


def test_a_client_that_never_masks_is_read_on_and_on() -> None:
    wire = talk().client(*[ws(0x81, b"no mask")] * 20).close()
    assert [(entry.summary, kinds(entry)) for entry in wire.entries[1:]] == [("text no mask", ["malformed"])] * 20


def test_a_message_that_another_one_interrupts_is_noted() -> None:
    wire = talk().server(ws(0x01, b"one "), ws(0x81, b"two"), ws(0x80, b"lost")).close()
    found = [(entry.summary, kinds(entry)) for entry in wire.entries[1:]]
    assert found == [("text one", ["malformed"]), ("text two", []), ("continuation lost", ["malformed"])]


def test_an_unknown_extension_is_named() -> None:
    wire = talk("x-webkit-deflate-frame").server(ws(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")).close()
    (fault,) = wire.entries[1].faults
    assert "x-webkit-deflate-frame" in fault.message
    assert wire.entries[1].response.payload == b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def test_what_is_no_websocket_after_all_is_not_taken_for_one() -> None:
    wire = talk().client(b"\x0f\x8f\x8f\x8f" * 40).close()
    assert "malformed" in {fault.kind for entry in wire.entries for fault in entry.faults}
    assert wire.ledger.undecoded != {}


def test_a_draft_with_other_frames_is_left_alone() -> None:
    """draft-hixie-thewebsocketprotocol-76."""
    draft = GREETING.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\r\n^n:ds[4U")
    wire = Watched().client(draft).server(welcome() + b"8jKS'y:G*Co,Wxa-", b"\0hello\xff").close()
    assert [entry.protocol for entry in wire.entries] == ["http", "tcp"]


# The command line


def lines(path: Path, *options: str) -> list[str]:
    """Without time and addresses."""
    shown_lines = CliRunner().invoke(group, ["-r", str(path), *options]).stdout.splitlines()
    return [re.sub(r"^\d\d:.*?10.0.0.1:51000", "", one).rstrip() for one in shown_lines]


def test_a_line_says_who_spoke_and_details_say_what(tmp_path: Path) -> None:
    wire = Wire()
    price = deflated(b'{"tea": 17}')[0]
    packets = [
        *wire.handshake(),
        wire.send(CLIENT, GREETING),
        wire.send(SERVER, welcome(DEFLATE, "Sec-WebSocket-Protocol: chat")),
        wire.send(CLIENT, ws(0x01, b"how ", MASK) + ws(0x80, b"much?", SALT)),
        wire.send(SERVER, ws(0xC1, price) + ws(0x82, b"\x00\x01")),
        wire.send(CLIENT, ws(0x88, b"\x03\xf3dear", MASK)),
        *wire.farewell(),
    ]
    path = tmp_path / "tea.pcap"
    path.write_bytes(pcap((packet.time_ns, packet.data) for packet in packets))
    assert [" ".join(one.split()) for one in lines(path)] == [
        "-> 10.0.0.2:80 http GET /chat 101 0 B 1.0 ms",
        "-> 10.0.0.2:80 ws text how much? 9 B -",
        f'<- 10.0.0.2:80 ws text {{"tea": 17}} {len(price)} B -',
        "<- 10.0.0.2:80 ws binary 00 01 2 B -",
        "-> 10.0.0.2:80 ws close 1011 dear 1011 6 B -",
    ]
    below = [one.strip() for one in lines(path, "-vv") if one.startswith("    ")]
    assert "> text, 9 bytes, 2 frames, subprotocol chat" in below
    assert f"< text, 11 bytes ({len(price)} as sent), subprotocol chat" in below
    assert below[below.index("< {") :][:3] == ["< {", '<   "tea": 17', "< }"]
    assert any(one.startswith("< 00000000  00 01") for one in below)


# Joined in the middle


def test_a_client_is_recognised_by_the_text_under_its_masks() -> None:
    wire = Watched(shaken=False).wait(1)
    wire.client(ws(0x81, b'{"subscribe": ["tick', MASK)[:-4]).wait(1)
    wire.client(ws(0x81, b'{"subscribe": "ticker"}', SALT)).wait(1).server(ws(0x81, b"17")).wait(1).close()
    assert shown(wire)[-1] == "text 17"
    assert all("midstream" in kinds(entry) for entry in wire.entries if entry.protocol == "ws")


def test_frames_in_a_row_with_masks_of_their_own_are_recognised_too() -> None:
    sent = [ws(0xC2, b"\x05\x99", bytes([n, 7, 9, n])) for n in range(1, 8)]
    assert Watched(shaken=False).wait(1).client(*sent).wait(1).close().protocols[-1] == "ws"


def test_a_server_alone_is_not_recognised_but_where_it_is_forced() -> None:
    for rules, protocol in (({}, "tcp"), ({("tcp", 80): "ws"}, "ws")):
        wire = Watched(Sniffer(decode_as=rules), shaken=False).wait(1)
        wire.server(ws(0x81, b"17"), ws(0x81, b"18"), ws(0x81, b"19")).wait(1).close()
        assert set(wire.protocols) == {protocol}


def test_where_it_is_forced_a_handshake_is_still_read_as_one() -> None:
    wire = Watched(Sniffer(decode_as={("tcp", 80): "ws"}))
    first, second = deflated(b"again and again", b"again and again")
    wire.client(GREETING[:2], GREETING[2:]).server(welcome(DEFLATE)).server(ws(0xC1, first), ws(0xC1, second)).close()
    assert [(entry.protocol, entry.summary, kinds(entry)) for entry in wire.entries] == [
        ("http", "GET /chat", []),
        ("ws", "text again and again", []),
        ("ws", "text again and again", []),
    ]


def joined(compressed: list[bytes], head: int = 0xC1) -> Watched:
    """A server's messages, whose handshake and beginning nobody saw."""
    wire = Watched(Sniffer(decode_as={("tcp", 80): "ws"}), shaken=False).wait(1)
    return wire.server(*[ws(head, one) for one in compressed]).wait(1).close()


def test_joined_within_a_compressed_conversation_what_is_repeated_from_before_is_marked() -> None:
    """Each unknown byte is a replacement character; what is said anew is read, also where it is repeated."""
    said_ = [b"price of tea", b"price of tea: 17 and", b"coffee: 23", b"coffee: 24"]
    wire = joined(deflated(*said_)[1:])
    assert [message.text for message in messages(wire)] == [
        "p" + "\ufffd" * 11 + ": 17 and",
        "coffee: 23",
        "coffee: 24",
    ]
    assert [message.payload_size for message in messages(wire)] == [20, 10, 10]
    lost = [fault.bytes for entry in wire.entries for fault in entry.faults if "U+FFFD" in fault.message]
    assert lost == [11]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("aber ", min_size=1, max_size=60), min_size=2, max_size=30), st.data())
def test_joined_within_a_compressed_conversation_no_letter_is_wrong(texts: list[str], data: st.DataObject) -> None:
    before = data.draw(st.integers(1, len(texts) - 1))
    found = messages(joined(deflated(*[text.encode() for text in texts])[before:]))
    for message, text in zip(found, texts[before:], strict=True):
        assert all(one in ("\ufffd", other) for one, other in zip(message.text, text, strict=True))


def test_what_was_said_before_and_is_not_repeated_is_out_of_the_window_some_time() -> None:
    random = Random(1)
    said_ = [random.randbytes(500) for _ in range(80)]
    found = messages(joined(deflated(b"0123456789abcdef" * 9, *said_, b"0123456789abcdef" * 9, said_[-1])[1:], 0xC2))
    assert [message.payload for message in found[70:]] == [*said_[70:], b"0123456789abcdef" * 9, said_[-1]]
    assert {fault.message for message in found[70:] for fault in message.every_fault} == {
        "the handshake was not seen: taken for permessage-deflate"
    }


@settings(deadline=None, max_examples=100)
@given(says, st.integers(0, 6), st.integers(0, 3000))
def test_after_a_loss_nothing_wrong_is_shown_without_a_mark(said_: list[Say], lost: int, size: int) -> None:
    """Of a whole conversation some segments are missing."""
    conversation = chat(Websockets, Deal(), said_)
    sent = segments(conversation.steps, 200)
    data = [number for number, one in enumerate(sent) if one.data and one.turn > 2]
    gone = set(data[lost : lost + 1 + size // 1500])
    sniffer = Sniffer()
    packets = PLAIN.packets([one for number, one in enumerate(sent) if number not in gone])
    entries = sniffer.feed(packets) + sniffer.close()
    assert sniffer.ledger.imbalances() == []
    told = list(conversation.heard)
    for entry in entries:
        if entry.protocol == "ws" and not entry.faults:
            assert heard([entry])[0] in told


def test_a_gap_within_a_payload_of_known_size_costs_one_message() -> None:
    wire = talk()
    wire.server((ws(0x81, b"x" * 3000))[:1000])
    wire.skip(SERVER, 1000)
    wire.server(ws(0x81, b"x" * 3000)[2000:] + ws(0x81, b"next")).client(ws(0x81, b"heard you", MASK)).wait(20).close()
    found = [
        (message.opcode, message.payload_size, [fault.kind for fault in message.every_fault])
        for message in messages(wire)
    ]
    assert sorted(found) == [("text", 4, []), ("text", 9, []), ("text", 2000, ["gap"])]


def test_a_gap_over_the_end_of_a_message_is_passed_and_what_comes_next_is_marked() -> None:
    wire = talk()
    wire.server(ws(0x81, b"x" * 500)[:300])
    wire.skip(SERVER, 400)
    wire.server(b"e rest of a text" + ws(0x81, b"one") + ws(0x81, b"two") + ws(0x81, b"three"))
    wire.client(ws(0x81, b"heard you", MASK)).wait(20).close()
    found = [(message.summary[:10], [fault.kind for fault in message.every_fault]) for message in messages(wire)]
    assert sorted(found) == [
        ("text heard", []), ("text one", ["gap"]), ("text three", []), ("text two", ["gap"]), ("text xxxxx", ["gap"]),
    ]  # fmt: skip
    assert wire.ledger.undecoded == {"no frame begins here": 16}


# Masks


@given(st.binary(max_size=5000), st.binary(min_size=4, max_size=4), st.integers(0, 9))
def test_a_mask_is_undone_byte_by_byte(data: bytes, mask: bytes, phase: int) -> None:
    plain = bytes(byte ^ mask[(phase + at) % 4] for at, byte in enumerate(data))
    assert unmask(data, mask, phase) == plain
