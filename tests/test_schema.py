"""docs/schema.json is complete: every entry is valid, and nothing that it does not name is let through."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import pysniff
from pysniff.errors import ReadError

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
SHOP = ROOT / "examples" / "shop.pcap"

# Captures of the corpus with what shop.pcap lacks: IPv6, faults, odd bodies, conversations nobody recognises.
SAMPLE = 120


def complaints(entry: dict[str, Any]) -> list[str]:
    """Why an entry is not valid; each with the place in it."""
    sent = json.loads(json.dumps(entry))
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(sent)]


@pytest.fixture(scope="module")
def shop() -> list[dict[str, Any]]:
    return [entry.to_dict() for entry in pysniff.read(SHOP)]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_entry_of_the_shop_is_valid(shop: list[dict[str, Any]]) -> None:
    assert {entry["protocol"] for entry in shop} == {"http", "grpc", "ws", "dns", "redis"}
    assert [line for entry in shop for line in complaints(entry)] == []


def test_messages_of_grpc_are_valid_by_name_too() -> None:
    entries = [entry.to_dict() for entry in pysniff.read(SHOP, proto=SHOP.with_suffix(".protoset"))]
    assert "carrier" in json.dumps(entries)
    assert [line for entry in entries for line in complaints(entry)] == []


# Objects of the fields of a protobuf message: a descriptor set may give those any name.
ANY_NAME = {"fields", "message", "group"}


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every object inside an entry."""
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def test_a_field_that_the_schema_does_not_name_is_refused_everywhere(shop: list[dict[str, Any]]) -> None:
    for entry in shop:
        for path in places(entry):
            if path and path[-1] in ANY_NAME:
                continue
            changed = copy.deepcopy(entry)
            target: Any = changed
            for step in path:
                target = target[step]
            target["surprise"] = 1
            assert complaints(changed), path


def test_a_field_that_goes_missing_is_noticed(shop: list[dict[str, Any]]) -> None:
    for entry in shop:
        for name in entry:
            changed = {key: value for key, value in entry.items() if key != name}
            assert complaints(changed), name


def test_entries_of_other_captures_are_valid(corpus: Path) -> None:
    captures = sorted((corpus / "public" / "pcap").rglob("*.pcap*"))
    wrong = []
    for path in captures[:: len(captures) // SAMPLE]:
        try:
            for entry in pysniff.read(path):
                wrong += [f"{path.name} {entry.id} {line}" for line in complaints(entry.to_dict(body_limit=4096))]
        except ReadError:
            pass  # what was good before the end has been looked at
    assert wrong == []
