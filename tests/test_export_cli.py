"""-o: what is shown is exported too, each call once; options that contradict each other are refused."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from wire import Watched

import pysniff
from pysniff import export
from pysniff.cli import group
from pysniff.cli.export import Exports
from pysniff.cli.output import Silent
from pysniff.entry import Entry
from pysniff.errors import WriteError
from pysniff.export import Exporter
from pysniff.export.curl import Curl
from pysniff.export.har import Har

SHOP = str(Path(__file__).parent.parent / "examples" / "shop.pcap")
ENTRIES = list(pysniff.read(SHOP))
HTTP = [entry for entry in ENTRIES if entry.protocol in ("http", "grpc")]
NO_HTTP = sum(entry.protocol in ("dns", "redis") for entry in ENTRIES)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["-r", SHOP, *arguments])


def ids(path: Path) -> list[str]:
    return [record["_pysniff"]["id"] for record in json.loads(path.read_text())["log"]["entries"]]


def test_calls_are_shown_and_exported(tmp_path: Path) -> None:
    done = run("-o", "har", str(tmp_path / "x.har"), "-o", "curl", str(tmp_path / "x.sh"))
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(ENTRIES)
    assert sorted(ids(tmp_path / "x.har")) == sorted(entry.id for entry in HTTP)
    assert (tmp_path / "x.sh").read_text().count("\ncurl ") == sum(entry.protocol == "http" for entry in HTTP)
    assert done.stderr.splitlines()[0] == f"{NO_HTTP} entries are not in {tmp_path / 'x.har'}: no HTTP"


def test_quiet_shows_nothing_but_the_export(tmp_path: Path) -> None:
    done = run("-q", "-o", "har", str(tmp_path / "x.har"))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert len(ids(tmp_path / "x.har")) == len(HTTP)


def test_standard_output_is_the_exports_alone() -> None:
    done = run("-o", "har", "-")
    assert len(json.loads(done.stdout)["log"]["entries"]) == len(HTTP)
    assert "entries are not in standard output: no HTTP" in done.stderr


def test_what_is_not_shown_is_not_exported(tmp_path: Path) -> None:
    shown = [json.loads(line)["id"] for line in run("--json", "-c", "9").stdout.splitlines()]
    run("-q", "-c", "9", "-o", "har", str(tmp_path / "x.har"))
    assert ids(tmp_path / "x.har") == [entry.id for entry in HTTP if entry.id in shown]


def test_bodies_are_cut_at_the_limit(tmp_path: Path) -> None:
    run("-q", "--body-limit", "1", "-o", "har", str(tmp_path / "x.har"))
    records = json.loads((tmp_path / "x.har").read_text())["log"]["entries"]
    assert {len(record["response"]["content"].get("text", "x")) for record in records if "grpc" not in str(record)} == {
        1
    }


def test_a_file_that_breaks_off_is_exported_as_far_as_it_goes(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(Path(SHOP).read_bytes()[:-7])
    done = CliRunner().invoke(group, ["-r", str(cut), "-q", "-o", "har", str(tmp_path / "x.har")])
    assert done.exit_code == 14
    assert ids(tmp_path / "x.har")


def test_after_a_wrong_filter_an_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "x.har").write_text("precious")
    assert run("-o", "har", str(tmp_path / "x.har"), "no such filter").exit_code == 4
    assert (tmp_path / "x.har").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-o", "hra", "x"], "-o hra x: no format hra (did you mean har?)"),
        (["-o", "x", "har"], "-o x har: no format x (-o FORMAT FILE; formats are har, curl, pcapng)"),
        (["-o", "har", "-", "--json"], "-o har - and --json both write to standard output (export to a file)"),
        (["-o", "har", "-", "-w", "-"], "-o har - and -w - write to one place (give each a file of its own)"),
        (["-o", "har", "x", "-o", "curl", "./x"], "-o har x and -o curl ./x write to one place"),
        (["-o", "har", "x", "-w", "./x"], "-o har x and -w ./x write to one place"),
        (["-o", "curl", SHOP], f"-o curl {SHOP} would overwrite what -r reads (export to another file)"),
        (["-o", "har"], "option '-o' requires 2 arguments"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = Path(SHOP).stat()
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"pysniff: {complaint}")
    assert not list(tmp_path.iterdir())
    assert Path(SHOP).stat().st_mtime_ns == before.st_mtime_ns


def test_devices_may_be_written_to_twice() -> None:
    assert run("-q", "-o", "har", "/dev/null", "-o", "curl", "/dev/null").exit_code == 0


def test_what_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    done = run("-o", "curl", "/dev/full")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (15, "pysniff: /dev/full: No space left on device")
    assert run("-o", "har", str(tmp_path / "no" / "x")).exit_code == 15


class Names(Exporter):
    """A format of somebody else."""

    format: ClassVar[str] = "names"

    def encode(self, entry: Entry) -> bytes:
        if entry.protocol == "redis":
            raise KeyError("a bug")
        return entry.protocol.encode() + b"\n"


def exports(tmp_path: Path, entries: list[Any], *others: Exporter) -> Exports:
    sink = Exports([Names(str(tmp_path / "names")), *others], Silent())
    sink.show(entries)
    return sink


def test_a_call_that_was_open_is_exported_once_when_it_has_ended(tmp_path: Path) -> None:
    wire = Watched().client(b"GET / HTTP/1.1\r\n\r\n").wait(11)
    assert [entry.state for entry in wire.seen] == ["open"]
    sink = exports(tmp_path, wire.seen)
    wire.server(b"HTTP/1.1 204 No Content\r\n\r\n")
    sink.show(wire.seen[1:])
    sink.close()
    assert [*sink.notes()] == []
    assert (tmp_path / "names").read_text() == "http\n"


def test_a_call_that_is_open_at_the_end_is_exported_as_it_stands(tmp_path: Path) -> None:
    wire = Watched().client(b"GET / HTTP/1.1\r\n\r\n").wait(11)
    wire.server(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nso far, ").wait(11)
    assert [(entry.state, entry.status) for entry in wire.seen] == [("open", ""), ("open", "200")]
    har, curl = tmp_path / "har", tmp_path / "curl"
    sink = exports(tmp_path, wire.seen, Har(str(har)), Curl(str(curl)))
    sink.close()
    assert [*sink.notes()] == []
    assert (tmp_path / "names").read_text() == "http\n"
    (record,) = json.loads(har.read_text())["log"]["entries"]
    assert (record["response"]["status"], record["response"]["content"]["text"]) == (200, "so far, ")
    assert record["comment"] == "it had not ended"
    assert curl.read_text().splitlines()[1] == "# it had not ended"


def test_open_calls_that_nobody_can_remember_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.cli.export._OPEN_BYTES", 20)
    wire = Watched().client(b"GET / HTTP/1.1\r\n\r\n").wait(11)
    other = Watched(sport=2).client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").wait(11)
    sink = exports(tmp_path, wire.seen + other.seen)
    sink.close()
    assert (tmp_path / "names").read_text() == "http\n"
    assert [*sink.notes()] == ["1 entry is in no export: still open, and too much to remember"]


def test_an_exporters_bug_costs_its_entry(tmp_path: Path) -> None:
    redis = [entry for entry in ENTRIES if entry.protocol == "redis"]
    sink = exports(tmp_path, [*HTTP[:1], *redis])
    sink.close()
    assert (tmp_path / "names").read_text() == "http\n"
    words = f"{len(redis)} entries are not in {tmp_path / 'names'}: KeyError in the exporter names, which is a bug"
    assert [*sink.notes()] == [words]


def test_one_that_fails_does_not_keep_others_from_their_end(tmp_path: Path) -> None:
    sink = exports(tmp_path, [], Names("/dev/full"), Names(str(tmp_path / "more")))
    with pytest.raises(WriteError, match="/dev/full"):
        sink.show(HTTP[:1])
    sink.abandon()
    assert (tmp_path / "names").read_text() == "http\n"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretends that these are installed as pysniff.exporters."""

    def pretend(**loads: object) -> None:
        class Point(EntryPoint):
            def load(self) -> Any:
                return loads[self.name]

        points = [Point(name, f"plugin:{name}", export.GROUP) for name in loads]
        monkeypatch.setattr(export, "entry_points", lambda group: points if group == export.GROUP else [])
        export.known.cache_clear()

    yield pretend
    export.known.cache_clear()


def test_a_plugin_is_a_format_of_its_own(plugins: Any, tmp_path: Path) -> None:
    plugins(names=Names)
    assert list(export.known()) == ["har", "curl", "pcapng", "names"]
    assert run("-q", "-c", "2", "-o", "names", str(tmp_path / "x")).exit_code == 0
    assert (tmp_path / "x").read_text() == "dns\ndns\n"


def test_a_plugin_that_is_none_is_left_out_with_a_warning(plugins: Any) -> None:
    plugins(broken=dict)
    with pytest.warns(RuntimeWarning, match="exporter broken .*is no Exporter"):
        assert list(export.known()) == ["har", "curl", "pcapng"]


def test_a_plugin_cannot_take_the_place_of_ours(plugins: Any) -> None:
    class Other(Names):
        format: ClassVar[str] = "har"

    plugins(other=Other)
    assert export.known()["har"] is Har
