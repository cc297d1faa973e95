"""Protobuf off the wire: what the protobuf package reads is the truth, with a schema and without."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st
from protos import OLD, descriptor_set, message_class, messages, pool

from pysniff.protobuf.named import named
from pysniff.protobuf.schema import BadSchema, Schemas
from pysniff.protobuf.schemaless import FIELDS, view
from pysniff.protobuf.wire import Exhausted, Field, NotWire, Steps, read


def shop() -> Schemas:
    schemas = Schemas()
    schemas.add(descriptor_set())
    return schemas


SHOP = shop()


def fields_of(data: bytes) -> list[Field]:
    return read(data, Steps(FIELDS))


def by_name(data: bytes, kind: str = "shop.Everything", schemas: Schemas = SHOP) -> dict[str, Any]:
    return named(fields_of(data), schemas.messages[kind], schemas, Steps(FIELDS))


def by_number(data: bytes) -> dict[str, Any]:
    return view(fields_of(data), Steps(FIELDS))


def unknown(fields: UnknownFieldSet) -> list[Field]:
    """What the protobuf package makes of fields whose schema it does not have."""
    every = [fields[index] for index in range(len(fields))]
    if any(one.field_number == 0 for one in every):
        raise DecodeError("no field has the number 0, but some versions of the package let it pass")
    return [(one.field_number, one.wire_type, unknown(one.data) if one.wire_type == 3 else one.data) for one in every]


def truth(data: bytes) -> list[Field] | None:
    """The fields, None where the package refuses the bytes."""
    try:
        return unknown(UnknownFieldSet(Empty.FromString(data)))
    except DecodeError:
        return None


def ours(data: bytes) -> list[Field] | None:
    try:
        return fields_of(data)
    except NotWire:
        return None


# Without a schema


@settings(deadline=None)
@given(messages())
def test_fields_are_those_that_the_protobuf_package_finds(message: Any) -> None:
    data = message.SerializeToString()
    assert ours(data) == truth(data)


@settings(deadline=None)
@given(st.binary(max_size=24))
def test_any_bytes_are_a_message_for_us_if_they_are_for_the_protobuf_package(data: bytes) -> None:
    assert ours(data) == truth(data)


@settings(deadline=None)
@given(messages(), st.data())
def test_a_message_that_is_cut_is_one_if_it_is_for_the_protobuf_package(message: Any, data: st.DataObject) -> None:
    sent = message.SerializeToString()
    cut = sent[: data.draw(st.integers(0, len(sent)))]
    assert ours(cut) == truth(cut)


def test_every_reading_that_the_bytes_allow_is_given() -> None:
    assert by_number(b"\x08\x96\x01") == {"1": [{"varint": 150}]}
    assert by_number(b"\x08" + b"\xff" * 9 + b"\x01") == {"1": [{"varint": 2**64 - 1, "int": -1}]}
    assert by_number(b"\x15\x00\x00\x80\x3f") == {"2": [{"fixed32": 0x3F800000, "float": 1.0}]}
    assert by_number(b"\x19" + b"\x00" * 6 + b"\xf0\x3f") == {"3": [{"fixed64": 0x3FF0000000000000, "double": 1.0}]}
    assert by_number(b"\x22\x03abc\x22\x00") == {"4": [{"text": "abc"}, {"text": ""}]}
    assert by_number(b"\x2b\x08\x01\x2c") == {"5": [{"group": {"1": [{"varint": 1}]}}]}


def test_bytes_that_may_be_text_or_a_message_are_shown_as_both() -> None:
    assert by_number(b"\x0a\x02hi") == {"1": [{"text": "hi", "message": {"13": [{"varint": 105}]}}]}


def test_bytes_that_are_no_text_are_shown_as_bytes_and_as_the_message_that_they_may_be() -> None:
    assert by_number(b"\x0a\x02\x08\x01") == {"1": [{"base64": "CAE=", "message": {"1": [{"varint": 1}]}}]}
    assert by_number(b"\x0a\x02\xff\xff") == {"1": [{"base64": "//8="}]}


def test_numbers_that_json_lacks_are_text() -> None:
    assert by_number(b"\x0d\x00\x00\xc0\x7f") == {"1": [{"fixed32": 0x7FC00000, "float": "NaN"}]}
    assert by_number(b"\x09" + b"\x00" * 6 + b"\xf0\xff")["1"][0]["double"] == "-Infinity"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_the_view_of_any_bytes_is_json(data: bytes) -> None:
    if ours(data) is not None:
        json.dumps(by_number(data), allow_nan=False)


# Hostile


def test_messages_that_nest_without_end_are_read_to_a_bound() -> None:
    data = b"\x08\x01"
    for _ in range(1_000):
        data = b"\x0a" + varint(len(data)) + data
    assert str(by_number(data)).count("message") == 32
    kind = SHOP.messages["shop.Item"]
    nested = b""
    for _ in range(1_000):
        nested = b"\x1a" + varint(len(nested)) + nested
    steps = Steps(FIELDS)
    assert str(named(fields_of(nested), kind, SHOP, steps)).count("inside") == 101
    assert steps.cut


def test_groups_that_nest_without_end_are_no_message() -> None:
    with pytest.raises(NotWire):
        fields_of(b"\x0b" * 100_000)


def test_more_fields_than_a_bound_are_left_out() -> None:
    with pytest.raises(Exhausted) as raised:
        fields_of(b"\x08\x00" * (FIELDS + 1))
    assert len(raised.value.fields) == FIELDS
    steps = Steps(FIELDS)
    inside = b"\x08\x00" * (FIELDS + 1)
    found = view(read(b"\x12" + varint(len(inside)) + inside, steps), steps)
    assert [*found["2"][0]] == ["base64"]
    assert steps.cut


def test_a_packed_field_is_read_to_the_same_bound() -> None:
    steps = Steps(FIELDS)
    packed = bytes(FIELDS * 3)
    data = b"\xca\x01" + varint(len(packed)) + packed  # int32s = 25
    found = named(read(data, steps), SHOP.messages["shop.Everything"], SHOP, steps)
    assert len(found["int32s"]) < FIELDS
    assert steps.cut


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


# With a schema


@settings(deadline=None)
@given(messages())
def test_named_fields_are_what_the_protobuf_package_writes_as_json(message: Any) -> None:
    expected = json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool())
    assert by_name(message.SerializeToString()) == json.loads(json.dumps(expected))


@settings(deadline=None)
@given(messages(), messages())
def test_a_message_sent_in_two_parts_is_one(one: Any, other: Any) -> None:
    data = one.SerializeToString() + other.SerializeToString()
    together = message_class("shop.Everything").FromString(data)
    try:
        expected = json_format.MessageToDict(together, preserving_proto_field_name=True, descriptor_pool=pool())
    except (ValueError, json_format.SerializeToJsonError):
        return  # of two times the sum may be none
    found = by_name(data)
    # The later zero takes back what was sent before: the package leaves it out, we show what was sent.
    assert {name: value for name, value in found.items() if name in expected} == expected
    assert not {value for name, value in found.items() if name not in expected} - {0, "0", "", "UNKNOWN"}


def test_groups_and_extensions_of_proto2_have_names() -> None:
    schemas = Schemas()
    schemas.add(descriptor_set("old.proto", OLD))
    box = message_class("old.Box", "old.proto", OLD)()
    box.name = "big"
    box.shelf.add().height = 3
    box.unpacked.extend([1, 300])
    box.Extensions[pool("old.proto", OLD).FindExtensionByName("old.label")] = "top"
    expected = json_format.MessageToDict(box, preserving_proto_field_name=True)
    assert by_name(box.SerializeToString(), "old.Box", schemas) == expected
    assert expected["[old.label]"] == "top"


def test_a_field_that_the_schema_lacks_stands_under_its_number() -> None:
    assert by_name(b"\x0a\x01a\x50\x05", "shop.Item") == {"name": "a", "10": [{"varint": 5}]}


def test_a_field_that_is_not_what_the_schema_says_stands_under_its_number() -> None:
    found = by_name(b"\x0a\x01\xff\x10\x03\x12\x01x\x1a\x01\xff", "shop.Item")
    assert found == {"1": [{"base64": "/w=="}], "count": 3, "2": [{"text": "x"}], "3": [{"base64": "/w=="}]}


def test_a_time_that_is_none_is_shown_as_its_fields() -> None:
    message = message_class("shop.Everything")()
    message.when.seconds = 2**60
    message.how_long.nanos = 2_000_000_000
    found = by_name(message.SerializeToString())
    assert found == {"when": {"seconds": str(2**60)}, "how_long": {"nanos": 2_000_000_000}}


def test_an_any_whose_type_nobody_knows_keeps_its_bytes() -> None:
    message = message_class("shop.Everything")()
    message.anything.type_url = "type.example/other.Thing"
    message.anything.value = b"\x08\x01"
    content = base64.b64encode(b"\x08\x01").decode()
    assert by_name(message.SerializeToString()) == {
        "anything": {"type_url": "type.example/other.Thing", "value": content}
    }


def test_a_descriptor_set_without_its_imports_names_what_it_can() -> None:
    schemas = Schemas()
    schemas.add(descriptor_set(imports=False))
    message = message_class("shop.Everything")()
    message.when.seconds = 5
    message.int64_value.value = 7
    message.a_string = "here"
    found = by_name(message.SerializeToString(), schemas=schemas)
    assert found == {"when": "1970-01-01T00:00:05Z", "int64_value": "7", "a_string": "here"}


def test_methods_know_their_messages_also_behind_the_prefix_of_a_proxy() -> None:
    for service in ("shop.Cart", "api/v1/shop.Cart"):
        taken, given_ = SHOP.method(service, "Get")
        assert taken is SHOP.messages["shop.Item"]
        assert given_ is SHOP.messages["shop.Everything"]
    assert SHOP.method("shop.Cart", "Other") == (None, None)


@pytest.mark.parametrize("data", [b"", b"syntax = 'proto3';", b"\x0a\x00", b"\x08\x01", bytes(100)])
def test_what_is_no_descriptor_set_is_refused(data: bytes) -> None:
    with pytest.raises(BadSchema):
        Schemas().add(data)
