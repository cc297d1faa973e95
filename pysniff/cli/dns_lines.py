"""A DNS message under its entry's line, in the words of dig: what it says of itself, then its records as in a zone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

SECTIONS = ("questions", "answers", "authorities", "additionals")


def dns_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """
    QUERY 19842, NOERROR, flags aa rd ra, 57 bytes
    answer: shop.example 60 IN A 10.0.0.9
    """
    rcode, flags = record.get("rcode"), " ".join(record["flags"])
    head = [f"{record['opcode']} {record['id']}", rcode or "", flags and f"flags {flags}", f"{record['size']:,} bytes"]
    yield ", ".join(word for word in head if word)
    for section in SECTIONS:
        name = section.removesuffix("ies") + "y" if section.endswith("ies") else section.removesuffix("s")
        for row in record[section]:
            yield f"{name}: {' '.join(_words(row))}"
    edns = record["edns"]
    if edns:
        yield f"edns: version {edns['version']}, {edns['udp_size']:,} bytes over UDP{', do' if edns['do'] else ''}" + (
            "".join(f", option {option['code']} {option['data']}" for option in edns["options"])
        )


def _words(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("name", "ttl", "class", "type", "data"):
        if (value := row.get(name)) is not None:
            yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
