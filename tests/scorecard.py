"""How far we agree with the truth about captures that we did not write.

Run it, PySniff being installed, to print the scorecard (`--write` keeps it in docs/scorecard.md); PYSNIFF_CORPUS says
where the corpus is. `--midstream` measures HTTP/2 joined in the middle again, which is kept otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import midstream_card
from truth import counts, http2, match, websocket
from truth.corpus import VARIABLE, Capture, captures, digest
from truth.half import of_entry
from truth.verdict import Disagreement, Result
from truth_exceptions import EXCEPTIONS, Exempt

import pysniff
from pysniff.entry import Entry
from pysniff.errors import PysniffError, ReadError

WHOLE = 1 << 30  # body limit of records that are compared
PAGE = Path(__file__).parent.parent / "docs" / "scorecard.md"
MOST_EXCEPTIONS = 0.01  # of the records judged


@dataclass
class Verdict:
    """On one capture, or on all of them together."""

    judged: Counter[str] = field(default_factory=Counter)  # records by kind
    apart: Counter[str] = field(default_factory=Counter)  # records not judged, by reason
    beyond: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)  # no exception excuses them
    excused: list[tuple[Disagreement, Exempt]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # capture: reason

    @property
    def records(self) -> int:
        return self.judged.total()

    @property
    def agreement(self) -> float:
        """Share of the records judged, exceptions counted as disagreeing neither way."""
        off = sum(one.weight for one in self.disagreements)
        return 1 - off / self.records if self.records else 1.0


def read(capture: Capture) -> list[Entry]:
    """Its entries; a file that breaks off gives those before the cut."""
    entries: list[Entry] = []
    with suppress(ReadError):
        entries.extend(pysniff.read(capture.file, keylog=capture.key_logs))
    return entries


def judge(capture: Capture, exceptions: Iterable[Exempt] = EXCEPTIONS) -> Verdict:
    """Read one capture with PySniff and compare."""
    try:
        entries = read(capture)
    except PysniffError as error:
        return Verdict(skipped={capture.path: str(error)})
    # An entry shown while open is replaced by the one that ends it.
    last = list({entry.id: entry for entry in entries}.values())
    verdict = Verdict()
    excuses = {one.record: one for one in exceptions if one.capture == capture.path}
    for result in _results(capture, last):
        verdict.judged += result.judged
        verdict.apart += result.apart
        verdict.beyond += result.beyond
        for one in result.disagreements:
            if one.weight == 1 and one.record in excuses:
                verdict.excused.append((one, excuses.pop(one.record)))
            else:
                verdict.disagreements.append(one)
    return verdict


def _results(capture: Capture, entries: list[Entry]) -> Iterator[Result]:
    yield match.judge(capture, [half for entry in entries for half in of_entry(entry)])
    yield http2.judge(capture, entries)
    yield websocket.judge(capture, entries)
    yield counts.judge(capture, (entry.to_dict(WHOLE) for entry in entries if entry.protocol in ("dns", "redis")))


def total(verdicts: Iterable[Verdict]) -> Verdict:
    whole = Verdict()
    for verdict in verdicts:
        whole.judged += verdict.judged
        whole.apart += verdict.apart
        whole.beyond += verdict.beyond
        whole.disagreements += verdict.disagreements
        whole.excused += verdict.excused
        whole.skipped |= verdict.skipped
    return whole


def unused(verdict: Verdict, exceptions: Iterable[Exempt] = EXCEPTIONS) -> list[Exempt]:
    """Exceptions that excuse nothing any more."""
    used = [exempt for _, exempt in verdict.excused]
    return [one for one in exceptions if one not in used]


def page(all_of: list[Capture], verdict: Verdict) -> str:
    """The scorecard in Markdown."""
    excused = sum(one.weight for one, _ in verdict.excused)
    lines = [
        "# Scorecard",
        "Captures that others wrote, against what tshark says is in them. Made by `python tests/scorecard.py --write`.",
        "",
        f"- captures run: {len(all_of) - len(verdict.skipped)} of {len(all_of)}",
        f"- corpus digest: `{digest(all_of)}`",
        f"- records judged: {verdict.records}; agreement {verdict.agreement:.2%}; disagreements {_weight(verdict)}",
        f"- exceptions: {excused} records ({excused / max(verdict.records, 1):.2%}), listed below",
        f"- messages beyond the truth, where the bytes show them after a loss: {verdict.beyond}",
        "",
        "| records judged | |",
        "|---|---|",
        *(f"| {kind} | {n} |" for kind, n in sorted(verdict.judged.items())),
        "",
        "| records apart | |",
        "|---|---|",
        *(f"| {reason} | {n} |" for reason, n in sorted(verdict.apart.items()) if n),
    ]
    lines += _section("Skipped", (f"- {path}: {reason}" for path, reason in verdict.skipped.items()))
    lines += _section("Disagreements", (describe(one) for one in verdict.disagreements))
    lines += _section("Exceptions", (_excuse(*pair) for pair in verdict.excused))
    return "\n".join(lines) + "\n"


def _weight(verdict: Verdict) -> int:
    return sum(one.weight for one in verdict.disagreements)


def _section(title: str, items: Iterable[str]) -> list[str]:
    rows = list(items)
    return ["", f"## {title}", *rows] if rows else []


def describe(one: Disagreement) -> str:
    return f"- {one.capture}: {one.record}\n  - ours: {one.ours[:1500]}\n  - truth: {one.truth[:1500]}"


def _excuse(one: Disagreement, exempt: Exempt) -> str:
    return f"- {one.capture}: {one.record}: {exempt.reason} Bytes: `{exempt.bytes}`"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(PAGE.parent.parent)}")
    options.add_argument("--midstream", action="store_true", help="record HTTP/2 and measure joining in the middle")
    options.add_argument("--only", default="", help="captures whose path contains this")
    chosen = options.parse_args()
    all_of = [capture for capture in captures() if chosen.only in capture.path]
    if not all_of:
        sys.exit(f"no captures: set {VARIABLE}")
    verdict = total(judge(capture) for capture in all_of)
    text = page(all_of, verdict)
    joined = midstream_card.section() if chosen.midstream else kept()[1]
    if joined:
        text += f"\n{joined}"
    sys.stdout.write(text)
    if chosen.write:
        PAGE.write_text(text, encoding="utf-8")
    return 1 if verdict.disagreements or verdict.skipped else 0


def kept() -> tuple[str, str]:
    """The page as it is: what page() says, and what was measured of joining in the middle."""
    truth, heading, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{midstream_card.HEADING}")
    return truth, heading.strip() + rest


if __name__ == "__main__":
    sys.exit(main())
