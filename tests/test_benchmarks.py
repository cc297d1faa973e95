"""The benchmarks' own code: a figure is worth what measured it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import captures, half_open, measure, network
from benchmarks.measure import Samples
from benchmarks.recipes import RECIPES
from benchmarks.report import Ratio, Row, Section
from benchmarks.run import document, merged


@pytest.fixture
def flood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """2,000 packets of 1,000 half-open connections, as the capture "flood"."""
    monkeypatch.setenv("PYSNIFF_BENCH_DIR", str(tmp_path))
    return half_open.write(tmp_path / "flood.pcap", 1000, answered=True)


def row(ours: float, peer: float, ratio: Ratio, goal: float) -> Row:
    return Row("what", Samples((ours,)), "peer", Samples((peer,)), "us", ratio, goal)


@pytest.mark.parametrize(
    ("ours", "peer", "ratio", "goal", "met"),
    [
        (2.0, 80.0, Ratio.TIMES_LESS, 40, True),
        (2.1, 80.0, Ratio.TIMES_LESS, 40, False),
        (1.5, 1.0, Ratio.AT_MOST, 1.5, True),
        (1.6, 1.0, Ratio.AT_MOST, 1.5, False),
        (50.0, 100.0, Ratio.AT_LEAST, 0.5, True),
        (49.0, 100.0, Ratio.AT_LEAST, 0.5, False),
    ],
)
def test_a_goal_is_met_only_where_its_ratio_holds(
    ours: float, peer: float, ratio: Ratio, goal: float, met: bool
) -> None:
    assert row(ours, peer, ratio, goal).met is met


def test_a_missed_goal_is_said_in_the_table() -> None:
    page = Section("Title", [row(3, 80, Ratio.TIMES_LESS, 40)], ["a note"]).markdown()
    assert "| 26.67 / 26.67 | >= 40: **missed** |" in page
    assert page.endswith("- a note\n")


def test_a_section_measured_anew_replaces_the_old_one() -> None:
    old = [Section(title, [], ["old"]) for title in ("HTTP/1", "Memory")]
    page = merged(document(old, 3), [Section(title, [], ["new"]) for title in ("HTTP/1", "HTTP/2")], 2)
    again = "new\n- Measured apart from the others, 2 rounds.\n"
    assert page == document(old, 3).replace("old", "new", 1).replace("new\n", again) + f"\n## HTTP/2\n\n- {again}"


def test_a_flood_opens_as_many_connections_as_it_says(flood: Path) -> None:
    assert captures.size(flood) == 2000
    clients = {record[16 + 26 : 16 + 30] for record in half_open.flood(1000, answered=False)}
    assert len(clients) == 1000


def test_a_slice_is_the_first_packets_of_its_capture(flood: Path) -> None:
    part = captures.first("flood", 1000)
    assert captures.size(part) == 1000
    assert flood.read_bytes().startswith(part.read_bytes())


def test_a_slice_longer_than_its_capture_is_refused(flood: Path) -> None:
    with pytest.raises(RuntimeError, match="fewer than 3000"):
        captures.first("flood", 3000)


def test_the_subject_counts_what_pysniff_read(flood: Path) -> None:
    reading = measure.subject("touch", flood, flood)
    assert reading.imbalances == []
    assert any("2,000 received" in line for line in reading.account)
    assert reading.peak >= reading.before > 0


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: said why"):
        measure.child([sys.executable, "-c", "import sys; print('said why', file=sys.stderr); sys.exit(3)"])


def test_a_child_that_hangs_is_ended() -> None:
    with pytest.raises(RuntimeError, match="ended with -9"):
        measure.child(["sleep", "60"], limit=0.1)


def test_contestants_take_turns_until_the_time_is_up() -> None:
    turns: list[str] = []

    def take(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    taken = measure.interleave({"a": lambda: take("a"), "b": lambda: take("b")}, rounds=2, seconds=60)
    assert (turns, taken["b"].least, taken["b"].median) == (["a", "b", "a", "b"], 2, 3)
    assert len(measure.interleave({"c": lambda: 1.0}, rounds=9, seconds=0)["c"].values) == 1


@pytest.mark.parametrize("name", ["h2c", "grpc", "grpc-stream"])
def test_a_recipe_records_its_traffic(name: str, tmp_path: Path) -> None:
    if reason := captures.unavailable(name):
        pytest.skip(reason)
    path = tmp_path / "small.pcap"
    recorded = captures.record(RECIPES[name], 1, 16, path)
    assert recorded.dropped == 0
    assert recorded.captured == captures.size(path) > 8  # more than the handshake and the goodbye


@pytest.mark.skipif(bool(network.missing("ping")), reason=network.missing("ping"))
def test_two_namespaces_talk_and_leave_nothing_behind() -> None:
    with network.Network() as pair:
        pair.run(network.End.CLIENT, "ping", "-c1", "-W2", network.End.SERVER.ipv4)
        idle = pair.start(network.End.SERVER, "sleep", "60")
        assert idle.poll() is None
    assert idle.returncode is not None
    assert not Path("/sys/class/net", network.End.CLIENT.interface).exists()
