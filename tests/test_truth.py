"""Captures that we did not write say what tshark says they say; `scorecard.py` has the details."""

from __future__ import annotations

import pytest
import scorecard
from truth import http2
from truth.corpus import VARIABLE, Capture, captures, root
from truth_exceptions import EXCEPTIONS, Exempt

import pysniff

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
    assert whole.records > 23_500


@absent
@pytest.mark.parametrize("exempt", [one for one in EXCEPTIONS if one.record.startswith("h2.")], ids=lambda one: one[0])
def test_told_the_protocol_we_find_the_streams_that_nothing_tells(exempt: Exempt) -> None:
    (capture,) = (one for one in captures() if one.path == exempt.capture)
    entries = list(pysniff.read(capture.file, decode_as={("tcp", 50051): "http2"}))
    result = http2.judge(capture, entries)
    assert (result.judged["h2.stream"], result.disagreements) == (1, [])


@absent
def test_docs_keep_the_scorecard(whole: scorecard.Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    text = scorecard.page(captures(), whole)
    with capsys.disabled():
        print("\n" + text.partition("\n\n| ")[0])
    assert scorecard.kept()[0] == text, "run python tests/scorecard.py --write"
