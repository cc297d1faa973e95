"""One call in the words of an export format: the same words as in a file of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pysniff
from pysniff.errors import OptionError
from pysniff.export.curl import Curl
from pysniff.export.har import Har
from pysniff.export.one import exported
from pysniff.limits import MIB

SHOP = Path(__file__).parent.parent / "examples" / "shop.pcap"


@pytest.fixture(scope="module")
def entries() -> list[pysniff.Entry]:
    return [entry for entry in pysniff.read(str(SHOP)) if entry.protocol in ("http", "grpc")]


def test_every_call_is_written_as_in_the_file_of_all(entries: list[pysniff.Entry], tmp_path: Path) -> None:
    for made in (curl := Curl(str(tmp_path / "calls.sh")), har := Har(str(tmp_path / "calls.har"))):
        for entry in entries:
            made.add(entry)
        made.close()
    assert (tmp_path / "calls.sh").read_bytes() == b"".join(exported(entry, curl.format, MIB) for entry in entries)
    alone = [json.loads(exported(entry, har.format, MIB))["log"]["entries"] for entry in entries]
    together = json.loads((tmp_path / "calls.har").read_bytes())["log"]["entries"]
    by_id = {one["_pysniff"]["id"]: one for one in together}
    assert len(entries) > 10 and [[by_id[entry.id]] for entry in entries] == alone


def test_what_a_format_has_no_place_for_is_an_error_that_says_why() -> None:
    (entry,) = pysniff.read(str(SHOP), filter='id == "local.2425bdb88985a350.00000000"')
    for format, words in (("curl", "no HTTP"), ("har", "no HTTP"), ("pcapng", "no format")):
        with pytest.raises(OptionError, match=words):
            exported(entry, format, MIB)


def test_bodies_are_cut_where_they_are_asked_to_be(entries: list[pysniff.Entry]) -> None:
    entry = max(entries, key=lambda entry: entry.response.body.size if entry.response else 0)
    (record,) = json.loads(exported(entry, "har", 10))["log"]["entries"]
    assert len(record["response"]["content"]["text"]) == 10 and "cut" in record["response"]["content"]["comment"]
