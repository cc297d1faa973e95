"""A schema with everything that protobuf has, compiled by protoc as a user would, and random messages of it."""

from __future__ import annotations

import struct
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from hypothesis import strategies as st

SHOP = """
syntax = "proto3";
package shop;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Colour { option allow_alias = true; UNKNOWN = 0; RED = 1; ROUGE = 1; BLUE = -7; }

message Item {
  string name = 1;
  int32 count = 2;
  Item inside = 3;
  repeated Item parts = 4;
}

message Everything {
  double a_double = 1;
  float a_float = 2;
  int64 an_int64 = 3;
  uint64 a_uint64 = 4;
  int32 an_int32 = 5;
  fixed64 a_fixed64 = 6;
  fixed32 a_fixed32 = 7;
  bool a_bool = 8;
  string a_string = 9;
  Item an_item = 11;
  bytes some_bytes = 12;
  uint32 a_uint32 = 13;
  Colour colour = 14;
  sfixed32 an_sfixed32 = 15;
  sfixed64 an_sfixed64 = 16;
  sint32 an_sint32 = 17;
  sint64 an_sint64 = 18;

  repeated double doubles = 21;
  repeated int64 int64s = 23;
  repeated int32 int32s = 25;
  repeated fixed32 fixed32s = 27;
  repeated bool bools = 28;
  repeated string strings = 29;
  repeated Item items = 31;
  repeated Colour colours = 34;
  repeated sint64 sint64s = 38;
  repeated uint32 unpacked = 39 [packed = false];

  map<string, int32> counts = 41;
  map<int64, Item> by_number = 42;
  map<bool, bytes> by_bool = 43;
  map<uint32, Colour> colours_by_number = 44;

  oneof choice { string word = 51; int32 number = 52; Item thing = 53; }
  optional int32 maybe = 61;

  google.protobuf.Timestamp when = 71;
  google.protobuf.Duration how_long = 72;
  google.protobuf.Empty nothing = 73;
  google.protobuf.Struct json = 75;
  google.protobuf.Int64Value int64_value = 76;
  google.protobuf.StringValue string_value = 77;
  google.protobuf.BoolValue bool_value = 78;
  google.protobuf.DoubleValue double_value = 79;
  google.protobuf.FieldMask mask = 80;
  google.protobuf.Any anything = 81;
  repeated google.protobuf.Timestamp times = 82;
  map<string, google.protobuf.Duration> durations = 83;
}

service Cart {
  rpc Get (Item) returns (Everything);
  rpc Watch (stream Item) returns (stream Item);
}
"""

OLD = """
syntax = "proto2";
package old;
message Box {
  required string name = 1;
  repeated group Shelf = 2 { optional int32 height = 3; }
  repeated int32 unpacked = 4;
  extensions 100 to 199;
}
extend Box { optional string label = 100; }
"""


@cache
def descriptor_set(name: str = "shop.proto", text: str = SHOP, *, imports: bool = True) -> bytes:
    """What protoc writes for a .proto file."""
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text)
        out = Path(folder) / "out.pb"
        words = ["protoc", f"-I{folder}", f"-I{files('grpc_tools') / '_proto'}", f"-o{out}", name]
        if imports:
            words.insert(1, "--include_imports")
        assert protoc.main(words) == 0
        return out.read_bytes()


@cache
def pool(name: str = "shop.proto", text: str = SHOP) -> Any:
    found = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(name, text)).file:
        found.Add(file)
    return found


def message_class(kind: str, name: str = "shop.proto", text: str = SHOP) -> Any:
    return message_factory.GetMessageClass(pool(name, text).FindMessageTypeByName(kind))


def _float32(number: float) -> float:
    kept: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return kept


_INT32, _INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_UINT32, _UINT64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
_Field = descriptor.FieldDescriptor
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    _Field.TYPE_DOUBLE: st.floats(),
    _Field.TYPE_FLOAT: st.floats(width=32),
    _Field.TYPE_INT64: _INT64,
    _Field.TYPE_UINT64: _UINT64,
    _Field.TYPE_INT32: _INT32,
    _Field.TYPE_FIXED64: _UINT64,
    _Field.TYPE_FIXED32: _UINT32,
    _Field.TYPE_BOOL: st.booleans(),
    _Field.TYPE_STRING: st.text(max_size=12),
    _Field.TYPE_BYTES: st.binary(max_size=12),
    _Field.TYPE_UINT32: _UINT32,
    _Field.TYPE_ENUM: st.sampled_from([0, 1, -7, 5]),
    _Field.TYPE_SFIXED32: _INT32,
    _Field.TYPE_SFIXED64: _INT64,
    _Field.TYPE_SINT32: _INT32,
    _Field.TYPE_SINT64: _INT64,
}


@st.composite
def messages(draw: st.DrawFn, kind: str = "shop.Everything", depth: int = 0) -> Any:
    """A random message of `kind`; well-known types hold what ProtoJSON can write."""
    message = message_class(kind)()
    fields = list(message.DESCRIPTOR.fields)
    chosen = st.lists(st.sampled_from(fields), max_size=8, unique_by=lambda one: one.number)
    for field in draw(chosen) if fields else ():
        _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, field: Any, depth: int) -> None:
    name = field.name
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for _ in range(draw(st.integers(1, 3))):
            one = draw(_SCALARS[key.type])
            if value.message_type is not None:
                getattr(message, name)[one].CopyFrom(_embedded(draw, value, depth))
            else:
                getattr(message, name)[one] = draw(_SCALARS[value.type])
    elif field.is_repeated:
        for _ in range(draw(st.integers(1, 3))):
            one = _embedded(draw, field, depth) if field.message_type is not None else draw(_SCALARS[field.type])
            getattr(message, name).append(one)
    elif field.message_type is not None:
        getattr(message, name).CopyFrom(_embedded(draw, field, depth))
    else:
        setattr(message, name, draw(_SCALARS[field.type]))


def _embedded(draw: st.DrawFn, field: Any, depth: int) -> Any:
    kind = field.message_type.full_name
    made = message_class(kind)()
    if kind == "google.protobuf.Timestamp":
        made.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
        made.nanos = draw(st.sampled_from([0, 1, 999_999_999, 120_000_000, 5_000]))
    elif kind == "google.protobuf.Duration":
        sign = draw(st.sampled_from([1, -1]))
        made.seconds = sign * draw(st.integers(0, 315_576_000_000))
        made.nanos = sign * draw(st.sampled_from([0, 1, 999_999_999, 120_000_000, 5_000]))
    elif kind == "google.protobuf.FieldMask":
        made.paths.extend(draw(st.lists(st.sampled_from(["name", "an_item.name", "a_b_c"]), max_size=3)))
    elif kind == "google.protobuf.Struct":
        made.update(draw(_JSON))
    elif kind == "google.protobuf.Any":
        inner = draw(messages("shop.Item", 2))
        made.type_url, made.value = f"type.example/{inner.DESCRIPTOR.full_name}", inner.SerializeToString()
    elif depth < 3:
        made.CopyFrom(draw(messages(kind, depth + 1)))
    return made


_JSON = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
