"""Captures that we did not write say what tshark says they say; `scorecard.py` has the details."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import scorecard
from truth import match
from truth.corpus import VARIABLE, Capture, Record, captures, root
from truth.half import Half, of_truth

absent = pytest.mark.skipif(root() is None, reason=f"needs the corpus: set {VARIABLE}")


@pytest.fixture(scope="session")
def verdicts() -> dict[str, scorecard.Verdict]:
    """Filled by the captures' tests, so that none is read twice."""
    return {}


@absent
@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.path.removeprefix("pcap/"))
def test_agrees_with_the_truth(capture: Capture, verdicts: dict[str, scorecard.Verdict]) -> None:
    verdict = verdicts[capture.path] = scorecard.judge(capture)
    assert not verdict.skipped
    assert not verdict.disagreements, "\n".join(map(scorecard.describe, verdict.disagreements))


@pytest.fixture
def whole(verdicts: dict[str, scorecard.Verdict]) -> scorecard.Verdict:
    for capture in captures():
        if capture.path not in verdicts:
            verdicts[capture.path] = scorecard.judge(capture)
    return scorecard.total(verdicts[capture.path] for capture in captures())


@absent
def test_exceptions_are_few_and_all_used(whole: scorecard.Verdict) -> None:
    assert scorecard.unused(whole) == []
    assert sum(one.weight for one, _ in whole.excused) <= scorecard.MOST_EXCEPTIONS * whole.records
    assert whole.records > 20_000


@absent
def test_docs_keep_the_scorecard(whole: scorecard.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    text = scorecard.page(captures(), whole)
    with capsys.disabled():
        print("\n" + text.partition("\n\n| ")[0])
    assert scorecard.PAGE.read_text(encoding="utf-8") == text, "run python tests/scorecard.py --write"


# ------------------------------------------------- the judge itself

HEAD = {"stream": 0, "n": 0, "version": "HTTP/1.1", "headers": [["Host", "a"]]}
ASKED = {"t": "http1.req", "frame": 4, "src": "10.0.0.1:5", "dst": "10.0.0.2:80", "method": "GET", "uri": "/"}
ANSWER = {"t": "http1.rsp", "frame": 6, "src": "10.0.0.2:80", "dst": "10.0.0.1:5", "status": 200, "reason": "OK"}
RECORDS: list[Record] = [
    {**HEAD, **ASKED, "body_len": 0, "rsp_in": 6},
    {**HEAD, **ANSWER, "body_len": 3, "body_sha256": "ab", "req_in": 4, "pair": 4},
]


def ours() -> list[Half]:
    request, response = (dataclasses.replace(of_truth(record), truth={}) for record in RECORDS)
    response.partner = request
    return [request, response]


def judged(halves: list[Half], records: list[Record] = RECORDS) -> list[match.Disagreement]:
    capture = Capture(Path(), "a.pcap", "", "")
    vars(capture).update(records=records, content=b"")
    return match.judge(capture, halves).disagreements


def test_the_judge_agrees_with_what_is_the_same() -> None:
    assert judged(ours()) == []


WRONGS: dict[str, Callable[[list[Half]], object]] = {
    "missing": lambda halves: halves.pop(),
    "twice": lambda halves: halves.append(dataclasses.replace(halves[1])),
    "status": lambda halves: setattr(halves[1], "start", ("201", "OK", "1.1")),
    "path": lambda halves: setattr(halves[0], "start", ("GET", "/other", "1.1")),
    "header": lambda halves: setattr(halves[1], "headers", ()),
    "body": lambda halves: setattr(halves[1], "body", (3, "cd")),
    "unpaired": lambda halves: setattr(halves[1], "partner", None),
    "ends": lambda halves: setattr(halves[0], "src", "[10.0.0.3]:5"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_judge_sees(wrong: str) -> None:
    halves = ours()
    WRONGS[wrong](halves)
    assert judged(halves)


def test_a_partial_message_must_be_marked() -> None:
    halves = ours()
    records = [RECORDS[0], {**RECORDS[1], "t": "http1.partial", "kind": "rsp"}]
    assert judged(halves, records)
    halves[1].marked = True
    assert judged(halves, records) == []
