"""The benchmarks' own code: a figure is worth what measured it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import captures, cluster, half_open, measure, network, store_capture, store_traffic
from benchmarks.measure import Samples
from benchmarks.recipes import RECIPES
from benchmarks.report import Paired, Ratio, Row, Section
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
        (0.0, 0.0, Ratio.AT_MOST, 0, True),
        (1.0, 0.0, Ratio.AT_MOST, 0, False),
    ],
)
def test_a_goal_is_met_only_where_its_ratio_holds(
    ours: float, peer: float, ratio: Ratio, goal: float, met: bool
) -> None:
    assert row(ours, peer, ratio, goal).met is met


def paired(ratios: list[float], goal: float | None = None, *, equal: bool = False) -> Paired:
    return Paired("what", Samples(tuple(ratios)), "peer", Samples((1.0,) * len(ratios)), "us", goal, equal)


def test_the_interval_of_pairs_is_that_of_the_median() -> None:
    """Of 20 the 6th and the 15th: the median is outside with 4.1 % (binomial distribution)."""
    ratios = [1 + number / 100 for number in range(20)]
    assert paired(ratios).interval == (ratios[5], ratios[14])
    assert paired(ratios[:6]).interval == (ratios[0], ratios[5])


def test_pairs_meet_a_goal_by_their_median_and_equality_by_their_interval() -> None:
    ratios = [1 + number / 100 for number in range(20)]
    assert paired(ratios, 1.1).met
    assert not paired(ratios, 1.05).met
    assert not paired(ratios, equal=True).met
    assert paired([ratio - 0.05 for ratio in ratios], equal=True).met
    assert "of pairs, 1.05 to 1.14 | <= 1.05: **missed** |" in paired(ratios, 1.05).line()


def test_a_missed_goal_is_said_in_the_table() -> None:
    page = Section("Title", [row(3, 80, Ratio.TIMES_LESS, 40)], ["a note"]).markdown()
    assert "| 26.67 / 26.67 | >= 40: **missed** |" in page
    assert page.endswith("- a note\n")


def test_a_section_measured_anew_replaces_the_old_one() -> None:
    old = [Section(title, [], ["old"]) for title in ("HTTP/1", "Memory")]
    page = merged(document(old, 3, "pure"), [Section(title, [], ["new"]) for title in ("HTTP/1", "HTTP/2")], 2, "pure")
    again = "new\n- Measured apart from the others, 2 rounds: pure.\n"
    assert (
        page == document(old, 3, "pure").replace("old", "new", 1).replace("new\n", again) + f"\n## HTTP/2\n\n- {again}"
    )


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


@pytest.mark.parametrize("name", ["h2c", "grpc", "grpc-stream", "redis", "dns", "tls"])
def test_a_recipe_records_its_traffic(name: str, tmp_path: Path) -> None:
    if reason := captures.unavailable(name):
        pytest.skip(reason)
    path = tmp_path / "small.pcap"
    recorded = captures.record(RECIPES[name], 1, 16, path)
    assert recorded.dropped == 0
    assert recorded.captured == captures.size(path) > 8  # more than the handshake and the goodbye
    assert all(captures.beside(path, kept).stat().st_size for kept in RECIPES[name].keeps)


def test_an_hour_keeps_what_connections_say_in_their_order(flood: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = store_traffic.Scene("flood", 2000, (bytes((10, 20, 1, 9)),), 1, 60, lasting=1, port=9443)
    monkeypatch.setattr(store_traffic, "SCENES", (scene,))
    data = store_traffic.hour().read_bytes()
    records = [data[begin:end] for begin, end in captures.records(data)]
    assert len(records) == 2000
    times = [int.from_bytes(one[:4], "little") * 10**6 + int.from_bytes(one[4:8], "little") for one in records]
    assert times == sorted(times)
    assert times[-1] - times[0] == store_traffic.HOUR - 1
    assert [sum(one[16 + 47] == flags for one in records) for flags in (half_open.SYN, half_open.SYN_ACK)] == [
        1000,
        1000,
    ]
    port = (9443).to_bytes(2, "big")
    assert all(port in (one[16 + 34 : 16 + 36], one[16 + 36 : 16 + 38]) for one in records)


def test_other_addresses_keep_checksums_right() -> None:
    client, server, elsewhere = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), bytes((192, 168, 3, 4))
    ip = bytes.fromhex("45000029 00004000 4006 0000") + client + server
    tcp = bytes.fromhex("c001 1f40 00000001 00000002 5018 ffff 0000 0000") + b"x"

    def checked(of: bytes, before: bytes = b"") -> int:
        text = before + of + bytes(len(of) % 2)
        total = sum(int.from_bytes(text[at : at + 2], "big") for at in range(0, len(text), 2))
        return ~(total % 0xFFFF) & 0xFFFF

    pseudo = bytes((0, 6)) + len(tcp).to_bytes(2, "big")
    ip = ip[:10] + checked(ip).to_bytes(2, "big") + ip[12:]
    tcp = tcp[:16] + checked(tcp, client + server + pseudo).to_bytes(2, "big") + tcp[18:]
    frame = bytes(12) + b"\x08\x00" + ip + tcp
    moved = store_traffic.Addresses(frame, elsewhere, server, 8001).of(frame)
    assert moved[26:38] == elsewhere + server + bytes.fromhex("c001 1f41")
    assert checked(moved[14:34]) == 0xFFFF  # nothing is left over
    assert checked(moved[34:], moved[26:34] + pseudo) == 0xFFFF


def test_prebuilt_blocks_are_what_the_capture_holds(flood: Path) -> None:
    given = store_capture.blocks(flood, 1500)
    assert [len(block) for block in given] == [1024, 476]
    data = flood.read_bytes()
    begin, end = next(captures.records(data))
    time_ns, start, stop, _ = given[0].records[0]
    assert (given[0].data[start:stop], time_ns) == (data[begin + 16 : end], 0)


@pytest.mark.skipif(bool(network.missing("ping")), reason=network.missing("ping"))
def test_two_namespaces_talk_and_leave_nothing_behind() -> None:
    with network.Network() as pair:
        pair.run(network.End.CLIENT, "ping", "-c1", "-W2", network.End.SERVER.ipv4)
        idle = pair.start(network.End.SERVER, "sleep", "60")
        assert idle.poll() is None
    assert idle.returncode is not None
    assert not Path("/sys/class/net", network.End.CLIENT.interface).exists()


def test_the_cpu_of_a_process_is_that_of_its_children_too_also_when_they_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    family = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    command = [sys.executable, "-c", family]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cluster.cpu_of(process.pid) >= 0.29
        process.communicate(b"\n")


@pytest.mark.skipif(bool(network.missing("dumpcap", "tcpreplay")), reason=str(network.missing("dumpcap", "tcpreplay")))
def test_a_copy_of_every_packet_crosses_the_network_whole(flood: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WINDOW", 4.5)
    taken = cluster.copying(flood)
    assert (taken.packets, taken.peer_lost) == (2000, 0)
    assert taken.network > taken.captured == 2000 * 54
