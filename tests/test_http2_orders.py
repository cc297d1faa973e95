"""The order of header fields: what a place says of a name, and the framing of gRPC."""

from __future__ import annotations

import pytest

from pysniff.dissectors.http2_orders import Kind, grpc_names, is_grpc, pseudo_places, usual_path

HELLO = b"\0\0\0\0\x05hello"


@pytest.mark.parametrize(
    "names, places",
    [
        ((None, None, ":method", ":scheme", None), {0: (":authority", ":path"), 1: (":authority", ":path")}),
        ((None, ":method", ":path", ":scheme"), {0: (":authority",)}),
        ((":method", ":scheme", ":authority", None, None), {3: (":path",)}),
        ((":method", ":scheme", ":path", ":authority", None), {}),
        ((None, None, None, ":scheme"), {}),
        ((":method", ":protocol", ":scheme", None, None), {}),
        ((":method", ":path", ":scheme", "accept"), {}),
    ],
)
def test_the_places_of_path_and_authority(names: tuple[str | None, ...], places: dict[int, tuple[str, ...]]) -> None:
    assert pseudo_places(names) == places


@pytest.mark.parametrize(
    "order",
    [
        ":path :authority :method :scheme",  # grpcio
        ":method :scheme :path :authority",  # grpc-go
        ":method :authority :scheme :path",  # h2
        ":authority :method :path :scheme",  # Go's net/http
    ],
)
def test_the_usual_place_of_the_path(order: str) -> None:
    names = order.split()
    first, second = [place for place, name in enumerate(names) if name in (":path", ":authority")]
    assert names[usual_path((first, second))] == ":path"


def test_names_on_which_the_orders_of_grpc_agree() -> None:
    names = (None, None, ":method", ":scheme", None, None, None, None)
    assert grpc_names(Kind.REQUEST, names)[4:6] == ("content-type", "te")
    node = (None, ":method", ":path", ":scheme", "authorization", None, None, None, None, None)
    assert grpc_names(Kind.REQUEST, node)[-2:] == ("content-type", "te")
    assert grpc_names(Kind.RESPONSE, (":status", None, None)) == (":status", "content-type", None)
    assert grpc_names(Kind.TRAILERS, (None, None)) == (None, None)


@pytest.mark.parametrize(
    "body, size, is_it",
    [
        (HELLO, 10, True),
        (HELLO * 2, 20, True),
        (HELLO, 11, True),  # the rest is not here
        (HELLO[:9], 9, False),
        (b"\2" + HELLO[1:], 10, False),
        (b"", 0, False),
        (HELLO[:4], 4, False),
        (b"<html>a page</html>", 19, False),
    ],
)
def test_messages_of_grpc_are_known_by_their_framing(body: bytes, size: int, is_it: bool) -> None:
    assert is_grpc(body, size) is is_it
