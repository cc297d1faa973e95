"""What a benchmark found, as a Markdown table: ours, the peer's, their ratio, and what was promised."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from benchmarks.measure import Samples


class Ratio(Enum):
    """How ours and the peer's compare, and which way is good."""

    TIMES_LESS = "the peer's over ours, at least the goal"
    AT_MOST = "ours over the peer's, at most the goal"
    AT_LEAST = "ours over the peer's, at least the goal"


class Row(NamedTuple):
    """One comparison; without a goal it only informs."""

    what: str
    ours: Samples
    peer_name: str
    peer: Samples
    unit: str
    ratio: Ratio
    goal: float | None = None

    def compared(self, pick: Callable[[Samples], float]) -> float:
        ours, peer = pick(self.ours), pick(self.peer)
        over, under = (peer, ours) if self.ratio is Ratio.TIMES_LESS else (ours, peer)
        if not under:
            return float("inf") if over else 0.0
        return over / under

    @property
    def met(self) -> bool:
        """Judged by the minima, the least disturbed run of each, as they are printed."""
        if self.goal is None:
            return True
        found = round(self.compared(least), 2)
        return found <= self.goal if self.ratio is Ratio.AT_MOST else found >= self.goal

    def line(self) -> str:
        ratios = f"{self.compared(least):.2f} / {self.compared(median):.2f}"
        verdict = ""
        if self.goal is not None:
            sign = "<=" if self.ratio is Ratio.AT_MOST else ">="
            verdict = f"{sign} {self.goal:g}: {'met' if self.met else '**missed**'}"
        ours, peer = _shown(self.ours), _shown(self.peer)
        return f"| {self.what} | {ours} {self.unit} | {self.peer_name} | {peer} {self.unit} | {ratios} | {verdict} |"


class Paired(NamedTuple):
    """A comparison of rounds that took turns: the ratio is the median of those of the pairs, with its interval.

    `goal`: what the ratio may be at most. `equal`: whether 1 shall be within the interval, or above it.
    """

    what: str
    ours: Samples
    peer_name: str
    peer: Samples
    unit: str
    goal: float | None = None
    equal: bool = False

    @property
    def ratios(self) -> list[float]:
        return sorted(ours / peer for ours, peer in zip(self.ours.values, self.peer.values, strict=True))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median lies with 95 %, whatever the distribution: between two order statistics."""
        ratios = self.ratios
        # The most ratios to leave out on either side so that the median is outside with 2.5 % each.
        outside, chance = 0, 0.5 ** len(ratios)
        while chance <= 0.025:
            outside += 1
            chance += math.comb(len(ratios), outside) * 0.5 ** len(ratios)
        kept = max(0, outside - 1)
        return ratios[kept], ratios[-1 - kept]

    @property
    def met(self) -> bool:
        within = self.goal is None or round(statistics.median(self.ratios), 2) <= self.goal
        return within and (not self.equal or round(self.interval[0], 2) <= 1)

    def line(self) -> str:
        low, high = self.interval
        ratio = f"{statistics.median(self.ratios):.2f} of pairs, {low:.2f} to {high:.2f}"
        goal = "1 in the interval" if self.equal else f"<= {self.goal:g}" if self.goal is not None else ""
        verdict = goal and f"{goal}: {'met' if self.met else '**missed**'}"
        ours, peer = _shown(self.ours), _shown(self.peer)
        return f"| {self.what} | {ours} {self.unit} | {self.peer_name} | {peer} {self.unit} | {ratio} | {verdict} |"


class Section(NamedTuple):
    """One benchmark: its rows, and what else must be known to read them."""

    title: str
    rows: Sequence[Row | Paired]
    notes: list[str]

    def markdown(self) -> str:
        lines = [f"## {self.title}", ""]
        if self.rows:
            lines += ["| what | PySniff, min / median | peer | its min / median | ratio of minima / medians | goal |"]
            lines += ["|---|---|---|---|---|---|", *(row.line() for row in self.rows), ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def least(samples: Samples) -> float:
    return samples.least


def median(samples: Samples) -> float:
    return samples.median


def skipped(title: str, reason: str) -> Section:
    return Section(title, [], [f"Not run: {reason}."])


def first_line(text: bytes) -> str:
    """The version that a program reports, in a line."""
    line = text.decode(errors="replace").strip().splitlines()[:1]
    return re.sub(r"\s+", " ", " ".join(line)).rstrip(".")


def _shown(samples: Samples) -> str:
    return f"{_figure(samples.least)} / {_figure(samples.median)}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
