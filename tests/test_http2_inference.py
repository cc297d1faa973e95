"""What is concluded of header fields from before the capture: how far it goes, its marks, and where it stops."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pytest
from hpack import Encoder
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from pysniff.dissector import Context, Output
from pysniff.dissectors import http2_earlier
from pysniff.dissectors.http2 import Http2
from pysniff.dissectors.http2_acquaintance import PASTS, SERVERS, acquaintance
from pysniff.dissectors.http2_frames import PREFACE
from pysniff.message import CLIENT, SERVER, Message, Role, Side

Fields = Sequence[tuple[str, str]]
Call = tuple[Any, Any]
GRPCIO = [
    (":authority", "shop:50051"), (":method", "POST"), (":scheme", "http"), ("content-type", "application/grpc"),
    ("te", "trailers"), ("grpc-accept-encoding", "identity, gzip"), ("user-agent", "grpc-python/1.85"),
]  # fmt: skip
HTTPX = [("accept", "*/*"), ("accept-encoding", "gzip, br"), ("user-agent", "python-httpx/0.28")]
HELLO = b"\0\0\0\0\x05hello"
OK = [("grpc-status", "0"), ("grpc-message", "")]
SAME_ENDS = "as on other connections between the same ends"


class Talk:
    """The bytes of a connection, frame by frame: what the programs' encoders make of their calls."""

    def __init__(self) -> None:
        self.encoders = (Encoder(), Encoder())
        self.frames: list[tuple[Side, bytes]] = []
        self.stream = -1
        self.spoken = {"grpc-message"}  # fields with words for people: grpcio never indexes them, grpc-js does
        self.whole = [(CLIENT, PREFACE + SettingsFrame(0).serialize()), (SERVER, SettingsFrame(0).serialize())]

    def headers(self, side: Side, fields: Fields, *, end: bool) -> None:
        block = self.encoders[side].encode(
            [(NeverIndexedHeaderTuple if name in self.spoken else HeaderTuple)(name, value) for name, value in fields]
        )
        frame = HeadersFrame(self.stream, block, flags=["END_HEADERS", *(["END_STREAM"] * end)])
        self.frames.append((side, frame.serialize()))

    def data(self, side: Side, body: bytes, *, end: bool) -> None:
        frame = DataFrame(self.stream, body, flags=["END_STREAM"] * end)
        self.frames.append((side, frame.serialize()))

    def grpc(self, path: str, *, trailers: Fields = OK, reply: bytes = HELLO) -> None:
        self.stream += 2
        self.headers(CLIENT, [(":path", path), *GRPCIO], end=False)
        self.data(CLIENT, HELLO, end=True)
        self.headers(SERVER, [(":status", "200"), ("content-type", "application/grpc")], end=False)
        if reply:
            self.data(SERVER, reply, end=False)
        self.headers(SERVER, trailers, end=True)

    def get(self, path: str, body: bytes, status: str = "200", kind: str = "text/html") -> None:
        self.stream += 2
        pseudo = [(":method", "GET"), (":authority", "shop"), (":scheme", "http"), (":path", path)]
        self.headers(CLIENT, [*pseudo, *HTTPX], end=True)
        self.headers(SERVER, [(":status", status), ("server", "nginx"), ("content-type", kind)], end=False)
        self.data(SERVER, body, end=True)

    def cut(self) -> None:
        """What came so far was before the capture."""
        self.whole = []
        self.frames.clear()


def read(talk: Talk, memory: dict[Hashable, Any] | None = None, client: str = "10.0.0.7", size: int = 0) -> list[Call]:
    """The calls of a connection, fed frame by frame or in pieces of `size` bytes."""
    dissector = Http2()
    out = list(dissector.begin(Context(client, "10.0.0.9:80", {} if memory is None else memory)))
    for side in () if talk.whole else Side:
        out += dissector.gap(side, 0, 0)
    for side, data in (*talk.whole, *talk.frames):
        for place in range(0, len(data), size or len(data)):
            out += dissector.feed(side, data[place : place + (size or len(data))], 0)
    return calls(out)


def calls(out: Iterable[Output]) -> list[Call]:
    requests: dict[Hashable, Message] = {}
    found = []
    for message in out:
        if isinstance(message, Message) and message.role is Role.REQUEST:
            requests[message.key] = message
        elif isinstance(message, Message):
            found.append((requests.get(message.key), message))
    return found


def inferred(message: Any) -> str:
    return "; ".join(fault.message for fault in message.faults if fault.kind == "inferred")


def talk(play: Callable[[Talk], None], before: Callable[[Talk], None] | None = None) -> Talk:
    it = Talk()
    if before is not None:
        before(it)
        it.cut()
    play(it)
    return it


def asks(*paths: str) -> Callable[[Talk], None]:
    def play(it: Talk) -> None:
        for path in paths:
            it.grpc(path)

    return play


# Alone: what the connection itself tells


def test_calls_on_one_unknown_path_are_known_to_be_the_same() -> None:
    found = read(talk(asks("/a", "/b", "/a", "/b", "/b"), before=asks("/a", "/b")))
    paths = [request.path for request, _ in found]
    assert [path == paths[0] for path in paths] == [True, False, True, False, False]
    assert all(path.startswith("?-") for path in paths)
    assert all(fault.kind in ("midstream", "inferred") for request, _ in found for fault in request.faults)


def test_a_path_that_is_sent_again_is_right_and_not_inferred() -> None:
    found = read(talk(asks("/a", "/c"), before=asks("/a", "/b")))
    assert found[1][0].path == "/c"
    assert ":path" not in inferred(found[1][0])


def test_an_answer_with_messages_and_no_words_of_an_error_went_well() -> None:
    ((request, response),) = read(talk(asks("/a"), before=asks("/a")))
    assert response.trailers == (("grpc-status", "0"), ("grpc-message", ""))
    assert "grpc-status from the answer" in inferred(response)
    assert request.header("content-type") == "application/grpc"
    assert "content-type, te, the name" in inferred(request)


def test_an_error_is_not_taken_for_success() -> None:
    failed = [("grpc-status", "5"), ("grpc-message", "no such item")]

    def play(it: Talk) -> None:
        it.grpc("/a", trailers=failed)
        it.grpc("/a", trailers=[("grpc-status", "5"), ("grpc-message", "")])

    found = read(talk(play, before=play))
    assert [dict(response.trailers).get("grpc-status") for _, response in found] == ["?-1", "?-1"]


def test_of_two_ends_that_nobody_saw_the_usual_one_is_success() -> None:
    """grpc-js indexes the words too, so that a call that failed after messages looks like one that did not."""
    fine, failed = [("grpc-status", "0"), ("grpc-message", "OK")], [("grpc-status", "5"), ("grpc-message", "gave up")]

    def play(it: Talk) -> None:
        it.spoken = set()
        for trailers in (failed, fine, fine, failed, fine):
            it.grpc("/a", trailers=trailers)

    found = [dict(response.trailers)["grpc-status"] for _, response in read(talk(play, before=play))]
    assert [status == "0" for status in found] == [False, False, True, False, True]


def test_a_success_that_is_inserted_now_was_not_in_the_table() -> None:
    silent = [("grpc-status", "5"), ("grpc-message", "")]

    def play(it: Talk) -> None:
        it.grpc("/a")
        it.grpc("/a", trailers=silent)

    found = read(talk(play, before=lambda it: it.grpc("/a", trailers=silent)))
    assert [dict(response.trailers)["grpc-status"] for _, response in found] == ["0", "?-1"]


def test_without_messages_nothing_is_said_of_the_status() -> None:
    def play(it: Talk) -> None:
        it.grpc("/a", reply=b"")

    ((_, response),) = read(talk(play, before=play))
    assert "0" not in dict(response.trailers).values()


def test_a_field_that_was_sent_as_a_placeholder_is_what_was_sent() -> None:
    def play(it: Talk) -> None:
        it.stream += 2
        it.headers(CLIENT, [(":method", "GET"), (":path", "/"), (":scheme", "http"), ("?-1", "?-1")], end=True)
        it.headers(SERVER, [(":status", "200"), ("x", "?-1")], end=True)

    ((request, response),) = read(talk(play, before=asks("/a")))
    assert request.headers == (("?-1", "?-1"),)
    assert not inferred(request)
    assert response.headers == (("x", "?-1"),)


def test_a_path_that_varies_shows_its_place() -> None:
    """:authority :path :method :scheme, as grpc-java has it, where grpcio has them the other way round."""

    def play(it: Talk) -> None:
        for path in ("/a", "/b", "/a", "/b"):
            it.stream += 2
            fields = [GRPCIO[0], (":path", path), *GRPCIO[1:]]
            it.headers(CLIENT, fields, end=True)
            it.headers(SERVER, [(":status", "200")], end=True)

    first, *others = [request.path for request, _ in read(talk(play, before=play))]
    assert others[0] == others[2] != others[1]
    assert all(path.startswith("?-") for path in (first, *others))


# Together: what other connections told


@pytest.mark.parametrize("client, how", [("10.0.0.7", SAME_ENDS), ("10.0.0.8", "as on connections of other clients")])
def test_a_client_that_always_begins_alike_is_known_by_its_other_connections(client: str, how: str) -> None:
    memory: dict[Hashable, Any] = {}
    for last in ("/c", "/d"):
        read(talk(asks("/login", "/list", "/same", last)), memory, client)
    found = read(talk(asks("/list", "/login", "/x"), before=asks("/login", "/list", "/same")), memory)
    assert [request.path for request, _ in found] == ["/list", "/login", "/x"]
    assert how in inferred(found[0][0])
    assert found[0][0].host == "shop:50051"
    assert ":path" not in inferred(found[2][0])


def test_what_two_connections_agree_on_only_at_last_may_be_chance() -> None:
    memory: dict[Hashable, Any] = {}
    for last in ("/c", "/d"):
        read(talk(asks("/login", "/list", last)), memory)
    found = read(talk(asks("/login", "/list"), before=asks("/login", "/list")), memory)
    assert next(request.path for request, _ in found) == "/login"
    assert found[1][0].path.startswith("?-")


def test_an_order_of_chance_names_no_path() -> None:
    memory: dict[Hashable, Any] = {}
    for order in ("/a /b /c", "/b /a /c", "/a /c /b"):
        read(talk(asks(*order.split())), memory)
    found = read(talk(asks("/a", "/b"), before=asks("/b", "/a")), memory)
    assert all(request.path.startswith("?-") for request, _ in found)
    assert all(request.host == "shop:50051" for request, _ in found)


def test_one_other_connection_is_no_order() -> None:
    memory: dict[Hashable, Any] = {}
    read(talk(asks("/a", "/b")), memory)
    ((request, _),) = read(talk(asks("/b"), before=asks("/b", "/a")), memory)
    assert request.path.startswith("?-")


def test_other_fields_of_another_program_are_not_taken_over() -> None:
    memory: dict[Hashable, Any] = {}
    for _ in range(2):
        read(talk(lambda it: it.get("/a", b"a")), memory)
    ((request, _),) = read(talk(asks("/b"), before=asks("/b", "/a")), memory)
    assert "httpx" not in str(request.headers)
    assert request.host != "shop"


# From the answers


PAGE, OTHER = b"<html>a page of its own</html>", b"<html>another one, longer</html>"


def test_a_path_is_known_by_an_answer_that_only_it_had() -> None:
    memory: dict[Hashable, Any] = {}

    def play(it: Talk) -> None:
        it.get("/page", PAGE)
        it.get("/other", OTHER)

    read(talk(play), memory)
    found = read(talk(lambda it: it.get("/other", OTHER), before=play), memory)
    assert [request.path for request, _ in found] == ["/other"]
    assert ":path from an answer that only this path had" in inferred(found[0][0])


@pytest.mark.parametrize(
    "first, second, status",
    [(b'{"ok":true}', b"", "200"), (PAGE, PAGE, "200"), (PAGE, b"", "404")],
    ids=["too short", "of two paths", "an error"],
)
def test_an_answer_that_others_may_have_names_nothing(first: bytes, second: bytes, status: str) -> None:
    memory: dict[Hashable, Any] = {}

    def before(it: Talk) -> None:
        it.get("/a", first, status)
        it.get("/b", second, status)

    read(talk(before), memory)
    ((request, _),) = read(talk(lambda it: it.get("/a", first, status), before=before), memory)
    assert "/" not in request.path


def test_what_is_inserted_later_was_something_else_before() -> None:
    """A path that was inferred wrongly, a page that two paths have, is taken back when the path itself is inserted."""
    memory: dict[Hashable, Any] = {}
    read(talk(lambda it: it.get("/page", PAGE)), memory)

    def play(it: Talk) -> None:
        it.get("/copy", PAGE)
        it.get("/page", OTHER)
        it.get("/copy", OTHER)

    wrong, right, unsure = [request for request, _ in read(talk(play, before=lambda it: it.get("/copy", PAGE)), memory)]
    assert (wrong.path, right.path) == ("/page", "/page")
    assert ":path" in inferred(wrong)
    assert ":path" not in inferred(right)
    assert unsure.path.startswith("?-")


# Laws


@given(st.integers(1, 40))
def test_what_is_concluded_does_not_depend_on_how_bytes_are_cut(size: int) -> None:
    def everything(size: int) -> list[str]:
        memory: dict[Hashable, Any] = {}
        for last in ("/c", "/d"):
            read(talk(asks("/login", "/list", "/same", last)), memory, size=size)
        joined = talk(asks("/list", "/login", "/x"), before=asks("/login", "/list", "/same"))
        return [
            repr((message.to_dict(99), message.faults)) for call in read(joined, memory, size=size) for message in call
        ]

    assert everything(size) == everything(0)


def test_the_type_of_a_body_is_known_however_it_came() -> None:
    def play(it: Talk) -> None:
        it.get("/a", bytes(300), kind="text/plain")

    memories: tuple[dict[Hashable, Any], ...] = ({}, {})
    for size, memory in zip((0, 1), memories, strict=True):
        for _ in range(2):
            read(talk(play), memory)
        ((_, response),) = read(talk(play, before=play), memory, size=size)
        assert response.body.mime_type == "text/plain"


def test_looking_at_open_calls_changes_nothing() -> None:
    def read_and_look(look: bool) -> list[str]:
        dissector = Http2()
        it = talk(asks("/a", "/b", "/a"), before=asks("/a", "/b"))
        out = [*dissector.begin(Context()), *dissector.gap(CLIENT, 0, 0), *dissector.gap(SERVER, 0, 0)]
        for side, data in it.frames:
            out += dissector.feed(side, data, 0)
            if look:
                assert all(str(message.to_dict(9)) for message in dissector.open())
        return [repr((message.to_dict(99), message.faults)) for call in calls(out) for message in call]

    assert read_and_look(True) == read_and_look(False)


def test_memory_of_servers_and_connections_is_bounded() -> None:
    memory: dict[Hashable, Any] = {}
    for number in range(3 * SERVERS):
        acquaintance(memory, f"10.0.0.9:{number}", CLIENT)
    assert len(memory) == 2 * SERVERS
    for number in range(3 * PASTS):
        read(talk(asks(f"/{number}")), memory)
    assert len(acquaintance(memory, "10.0.0.9:80", CLIENT).pasts) == PASTS


def test_names_are_looked_for_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of calls that each teach something new do not make a joined connection dear."""
    looked = 0

    def counted(*_: object) -> None:
        nonlocal looked
        looked += 1

    monkeypatch.setattr(http2_earlier, "aligned_value", counted)
    memory: dict[Hashable, Any] = {}
    read(talk(asks("/a")), memory)
    it = talk(lambda it: None, before=asks(*map(str, range(20))))
    for number in range(600):
        it.get(f"/{number}", bytes(20 + number))  # as many new answers
        it.grpc(str(number % 20))
    assert len(read(it, memory)) == 1_200
    assert 0 < looked < 6_000
