"""One thing that `pysniff doctor` found out."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    FINE = "ok"
    NOTE = "--"
    BAD = "no"


class Check(NamedTuple):
    """One finding; `remedy` is what to do about it, "" where there is nothing to do."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""
