"""The scorecard's table of HTTP/2 connections joined in the middle: recorded anew each time, so it is not compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from recorded.http2_connections import record
from recorded.midstream_http2 import CUTS, Setting, Shares, measure

HEADING = "## Joined in the middle"
INTRODUCTION = """
100 HTTP/2 connections of several programs, recorded on this machine, without the first packets of each; calls that
begin after the cut, against the same calls in the whole connection. *Sent*: what nobody needs to infer, for it was
sent after the cut. *Without*: right in entries that infer nothing. *With*: right, marked `inferred` or not. *Wrong*:
inferred, marked, and not so. Wrong without a mark: {unmarked}.

| cut | beside that connection | calls | path: sent | without | with | wrong | status: sent | without | with | wrong |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def section() -> str:
    """Record the connections and measure; needs root and the programs of tests/recorded."""
    with tempfile.TemporaryDirectory() as folder:
        connections = record(Path(folder))
    found = [(cut, setting, measure(connections, cut, setting=setting)) for cut in CUTS for setting in Setting]
    unmarked = sum(len(shares.wrong) for _, _, shares in found)
    rows = "\n".join("| " + " | ".join(_cells(*one)) + " |" for one in found)
    return f"{HEADING}\n{INTRODUCTION.format(unmarked=unmarked).strip()}\n{rows}\n"


def _cells(cut: int, setting: Setting, shares: Shares) -> Iterator[str]:
    yield from (f"{cut} %", setting.value, str(shares.calls))
    for sent, right, inferred, wrong in (
        (shares.path_sent, shares.path, shares.path_inferred, shares.path_wrong),
        (shares.status_sent, shares.status, shares.status_inferred, shares.status_wrong),
    ):
        yield from (f"{count / max(1, shares.calls):.1%}" for count in (sent, right - inferred, right, wrong))
