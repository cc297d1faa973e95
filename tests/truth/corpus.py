"""Captures that we did not write, and the records of what is in them.

Found through PYSNIFF_CORPUS; the README there and the docstring of its truth.py define the records.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

VARIABLE = "PYSNIFF_CORPUS"

Record = dict[str, Any]


@dataclass(frozen=True)
class Capture:
    """One line of index.csv. `path` is relative to the index and names the capture everywhere; `keys`: the key log of
    its TLS, beside it, or "" where it needs none or has it inside."""

    root: Path
    path: str
    sha256: str
    source: str
    keys: str = ""

    @property
    def file(self) -> Path:
        return self.root / self.path

    @property
    def key_logs(self) -> list[Path]:
        return [self.root / self.keys] if self.keys else []

    @cached_property
    def records(self) -> list[Record]:
        name = self.path.replace("/", "__").replace(" ", "_") + ".jsonl"
        with (self.root / "truth" / name).open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    @cached_property
    def content(self) -> bytes:
        """The file as bytes, gzip undone: where a claim about bytes is looked up."""
        data = self.file.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data

    def of(self, *kinds: str) -> Iterator[Record]:
        return (record for record in self.records if record["t"] in kinds)


def root() -> Path | None:
    """The folder of index.csv, or None where the corpus is not here."""
    at = os.environ.get(VARIABLE)
    public = Path(at) / "public" if at else None
    return public if public and (public / "index.csv").is_file() else None


def captures() -> list[Capture]:
    """Every capture of the index in its order; none where the corpus is absent."""
    public = root()
    if public is None:
        return []
    with (public / "index.csv").open(newline="", encoding="utf-8") as table:
        rows = csv.DictReader(table)
        return [Capture(public, row["path"], row["sha256"], row["source"], row["keys"]) for row in rows]


def digest(all_of: list[Capture]) -> str:
    """Of the corpus as judged: SHA-256 over the sorted "sha256  path" lines."""
    lines = sorted(f"{capture.sha256}  {capture.path}\n" for capture in all_of)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
