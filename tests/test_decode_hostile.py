"""No bytes make the decoder raise, and no payload is more than the packet held."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import SHAPES

from pysniff.decode import LAYERS, Decoder
from pysniff.layer import Space
from pysniff.packet import Datagram, Rejected, Segment

LINKTYPES = sorted(LAYERS[Space.LINK])
REASONS = {"not_ip", "other_ip", "malformed", "fragment"}


def check(data: bytes, linktype: int, wire_length: int) -> None:
    """Two decoders, the second of which sees the packet twice: fragments may not make it raise either."""
    decoder = Decoder()
    results = decoder.decode(data, linktype, wire_length, 0)
    decoder.decode(data, linktype, wire_length, 1)
    assert 0 < len(results) <= 1 + len(data) // 14  # no message is shorter
    for result in results:
        check_one(result, data, wire_length)


def check_one(result: Segment | Datagram | Rejected, data: bytes, wire_length: int) -> None:
    if isinstance(result, Rejected):
        assert result.reason in REASONS and 0 < len(result.detail) < 40
        return
    assert isinstance(result, Segment | Datagram)
    assert len(result.key) in (12, 36)
    assert result.payload in data
    assert 0 <= len(result.payload) + result.missing <= max(len(data), wire_length) - 8
    assert result.missing == 0 or wire_length > len(data)
    assert not isinstance(result, Segment) or 0 <= result.flags <= 0xFF


@settings(max_examples=400)
@given(st.binary(max_size=200), st.sampled_from(LINKTYPES), st.integers(0, 1 << 32))
def test_random_bytes(data: bytes, linktype: int, wire_length: int) -> None:
    check(data, linktype, wire_length)


@settings(max_examples=1500)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 60),
    st.binary(max_size=20),
    st.sampled_from([0, 0, 60, 200, 70_000, 1 << 31]),
)
def test_real_shapes_with_bytes_changed_cut_and_added(
    shape: str, changes: list[tuple[int, int]], cut: int, more: bytes, wire_length: int
) -> None:
    linktype, data, _ = SHAPES[shape]
    changed = bytearray(data[: len(data) - cut] + more)
    for at, value in changes:
        if at < len(changed):
            changed[at] = value
    check(bytes(changed), linktype, wire_length)


@given(st.sampled_from(sorted(SHAPES)), st.sampled_from(LINKTYPES))
def test_every_shape_taken_for_every_link_type(shape: str, linktype: int) -> None:
    check(SHAPES[shape][1], linktype, 0)


@settings(max_examples=300)
@given(st.lists(st.sampled_from([SHAPES[shape][1] for shape in sorted(SHAPES)]), min_size=2, max_size=5), st.data())
def test_pieces_of_shapes_one_after_the_other(parts: list[bytes], data: st.DataObject) -> None:
    pieces = [part[: data.draw(st.integers(1, len(part)))] for part in parts]
    check(b"".join(pieces), data.draw(st.sampled_from(LINKTYPES)), 0)
