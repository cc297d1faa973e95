"""The command line keeps the contract's promises. The core is faked here; test_cli_process.py runs the whole."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pysniff.cli import group, source
from pysniff.cli.details import body_lines, head_lines, hex_lines, indented
from pysniff.cli.feel import empty_hint, quiet_hint
from pysniff.cli.finding import Check, Verdict
from pysniff.cli.json_lines import line
from pysniff.cli.lines import duration, size
from pysniff.cli.options import Seconds, Size, decode_as
from pysniff.cli.progress import Progress
from pysniff.cli.source import interruptible
from pysniff.cli.terminal import Terminal, cells, cut, terminal, visible
from pysniff.entry import Entry, Flow
from pysniff.errors import CaptureError, FilterError, OptionError, PrivilegeError, PysniffError, ReadError, WriteError
from pysniff.ledger import Ledger
from pysniff.limits import SECOND
from pysniff.message import Fault, Message, Role, Side
from pysniff.secrets import Secrets

NOON = 1_795_262_400 * SECOND  # 2026-11-21T12:00:00Z
CLIENT = bytes([10, 0, 0, 7])
SERVER = bytes([10, 0, 0, 9])


class Call(Message):
    """A message that says what it is told to."""

    protocol = "http"
    role = Role.REQUEST

    def __init__(self, side: Side, at: int, record: dict[str, Any], summary: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(side, at, at, 0, 17, tuple(faults))
        self.record = record
        self.text = summary

    @property
    def version(self) -> str:
        return "1.1"

    @property
    def summary(self) -> str:
        return self.text

    @property
    def status_text(self) -> str:
        return str(self.record.get("status", ""))

    @property
    def ok(self) -> bool:
        return int(self.record.get("status", 200)) < 400

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        body = self.record.get("body", {"size": 0, "text": ""})
        return {**self.record, "body": {**body, "text": body.get("text", "")[:body_limit]}}


def entry(
    path: str = "/cart",
    *,
    status: int | None = 200,
    state: str = "closed",
    position: int = 1,
    faults: Sequence[Fault] = (),
    body: dict[str, Any] | None = None,
    ends: tuple[bytes, bytes] = (CLIENT, SERVER),
) -> Entry:
    flow = Flow("tcp", ends[0] + ends[1] + bytes([199, 78, 31, 144]), NOON, "local", "file")
    request = Call(
        Side.CLIENT, NOON, {"method": "GET", "url": path, "headers": [["Host", "shop"]]}, f"GET {path}", faults
    )
    answer: dict[str, Any] = {"status": status, "reason": "OK", "headers": [["Content-Type", "application/json"]]}
    if body is not None:
        answer["body"] = body
    response = Call(Side.SERVER, NOON + 1_834_000, answer, "") if status else None
    request.position = position
    return Entry(flow, request, response, state)


class FakeEntries:
    """Stands for pysniff.entries.Entries."""

    def __init__(self, batches: Sequence[Sequence[Entry]], failure: Exception | None = None) -> None:
        self.ledger = Ledger()
        self.interfaces = ("lo",)
        self.notices: list[str] = []
        self.secrets = Secrets()
        self._batches = batches
        self._failure = failure
        self.closed = False

    def batches(self) -> Iterator[list[Entry]]:
        yield from map(list, self._batches)
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        pass

    def __enter__(self) -> FakeEntries:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """pysniff with the given entries, arguments after them."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(entries: FakeEntries | Exception | Sequence[Entry], *arguments: str) -> Result:
        def open_source(options: Any, writer: object, progress: object) -> FakeEntries:
            run.options = options  # type: ignore[attr-defined]
            if isinstance(entries, Exception):
                raise entries
            return entries if isinstance(entries, FakeEntries) else FakeEntries([entries])

        monkeypatch.setattr(source, "open_source", open_source)
        return CliRunner().invoke(group, list(arguments))

    return run


def pysniff(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))


# Lines


def test_an_entry_is_one_aligned_line(run: Run) -> None:
    result = run([entry(), entry("/a/longer/path", status=404)], "-r", "x.pcap")
    assert result.stdout == (
        "12:00:00.000  10.0.0.7:51022 -> 10.0.0.9:8080  http   GET /cart"
        "                         200          17 B    1.8 ms\n"
        "12:00:00.000  10.0.0.7:51022 -> 10.0.0.9:8080  http   GET /a/longer/path"
        "                404          17 B    1.8 ms\n"
    )
    assert result.stderr == ""
    assert result.exit_code == 0


def test_columns_grow_and_stay_grown(run: Run) -> None:
    long = "/" + "x" * 40
    shown = run([entry(long), entry()], "-r", "x").stdout.splitlines()
    assert shown[0].index(" 200 ") == shown[1].index(" 200 ")


def test_ipv6_stands_in_brackets_and_does_not_widen_every_line(run: Run) -> None:
    one, two = bytes.fromhex("20010db8" + "11" * 12), bytes.fromhex("20010db8" + "22" * 12)
    shown = run([entry(ends=(one, two)), entry()], "-r", "x").stdout.splitlines()
    assert "[2001:db8:1111:1111:1111:1111:1111:1111]:51022 -> [2001:db8:2222" in shown[0]
    assert shown[1].index("http") < shown[0].index("http")


def test_a_hostile_path_cannot_move_the_cursor(run: Run) -> None:
    hostile = "/\x1b[2J\r\n\x9b1A\u202eevil\u2028\x7f\udcff\0"
    for verbosity in ((), ("-v",), ("-vv",)):
        bad = entry(hostile, faults=[Fault("malformed", hostile)], body={"size": 3, "text": hostile})
        shown = run([bad], "-r", "x", *verbosity).stdout
        assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028\udcff]", shown)
        assert r"/\x1b[2J\r\n\x9b1A\u202eevil\u2028\x7f\udcff\x00" in shown


def test_an_open_call_and_its_end_are_told_apart_from_two_calls(run: Run) -> None:
    batches = [entry(status=None, state="open"), entry(position=2), entry(state="open"), entry()]
    marks = [text.partition(" B  ")[2].strip() for text in run(batches, "-i", "lo").stdout.splitlines()]
    assert marks == ["-  (open)", "1.8 ms", "1.8 ms  (closes the open one)"]


def test_a_finished_file_shows_each_call_once_as_it_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [entry("/held", position=place, state="open") for place in (1, 3, 5)]
    batches = [*held, entry("/other", position=2), entry("/held", position=1)]
    told = [text.split()[6] + text.partition(" B  ")[2][8:] for text in run(batches, "-r", "x").stdout.splitlines()]
    assert told == ["/other", "/held", "/held  (open)", "/held  (open)"]
    assert run(batches, "-r", "x", "--json").stdout.count("\n") == 5, "programs get every revision"
    monkeypatch.setattr("pysniff.cli.outcomes.CALLS", 2)
    first = run(batches, "-r", "x").stdout.splitlines()
    assert first[0].endswith("(open)")
    assert first[2].endswith("(closes the open one)")


def test_faults_are_marked_on_the_line_and_told_in_words_with_vv(run: Run) -> None:
    faulty = [entry(faults=[Fault("gap", "1460 bytes lost in the request", 1460)])]
    assert run(faulty, "-r", "x").stdout.endswith("1.8 ms  !gap\n")
    assert "    ! gap: 1460 bytes lost in the request (1,460 bytes)\n" in run(faulty, "-r", "x", "-vv").stdout


def test_v_shows_heads_and_vv_bodies(run: Run) -> None:
    call = entry(body={"size": 11, "mime_type": "application/json", "text": '{"items":1}', "truncated": False})
    heads = run([call], "-r", "x", "-v").stdout.splitlines()[1:]
    assert heads == [
        "    > GET /cart HTTP/1.1",
        "    > Host: shop",
        "    < HTTP/1.1 200 OK",
        "    < Content-Type: application/json",
    ]
    bodies = run([call], "-r", "x", "-vv").stdout.splitlines()[1:]
    assert bodies == [*heads, "    < ", "    < {", '    <   "items": 1', "    < }"]


def test_a_record_without_a_head_shows_its_fields() -> None:
    record = {"command": "GET", "args": ["a", "ü"], "size": 20, "truncated": False, "edns": None, "flags": []}
    assert list(head_lines(record, entry())) == ["command: GET", 'args: ["a", "ü"]', "size: 20"]


def test_a_binary_body_is_a_hex_dump_of_its_beginning() -> None:
    message = entry().request
    shown = list(body_lines({"body": {"size": 1000, "base64": "AAECAw==", "truncated": True}}, message))
    assert shown == [
        "",
        "00000000  00 01 02 03" + " " * 39 + "....",
        "... 4 of 1,000 bytes shown",
    ]
    assert len(list(hex_lines(bytes(256)))) == 16


def test_deep_json_is_not_buried_in_spaces() -> None:
    deep = "[" * 900 + "0," * 1000 + "0" + "]" * 900
    assert indented(deep) == deep
    assert indented("[" * 100_000) == "[" * 100_000
    assert indented("[1]") == "[\n  1\n]"


def test_a_terminal_is_not_left_by_a_long_path() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("漢字漢字", 5) == "漢字…"
    assert cells(cut("漢字漢字", 4)) <= 4
    assert cut("abc", 3) == "abc"


def test_lines_fit_a_terminal_and_are_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from pysniff.cli.lines import Lines
    from pysniff.cli.output import Output

    monkeypatch.setenv("COLUMNS", "100")
    long = "/" + "x" * 300
    for look, longest in ((Terminal(interactive=True), 100), (Terminal(), None)):
        stream = io.BytesIO()
        Lines(Output(stream, live=True), look, 0, 0).show([entry(long)])
        text = stream.getvalue().decode().rstrip("\n")
        assert (len(text) <= longest and "…" in text) if longest else long in text


def test_a_mark_on_a_terminal_narrows_its_own_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from pysniff.cli.lines import Lines
    from pysniff.cli.output import Output

    monkeypatch.setenv("COLUMNS", "118")
    stream = io.BytesIO()
    marked = entry(faults=[Fault("gap", "lost", 9)])
    Lines(Output(stream, live=True), Terminal(interactive=True), 0, 0).show([entry(), marked, entry()])
    first, between, last = stream.getvalue().decode().splitlines()
    assert first == last and len(between) <= 118


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_unless_the_user_says_otherwise() -> None:
    assert terminal(Tty(), {}).colour
    assert not terminal(io.StringIO(), {}).colour
    assert not terminal(Tty(), {"NO_COLOR": "1"}).colour
    assert not terminal(Tty(), {"TERM": "dumb"}).colour
    assert terminal(io.StringIO(), {"FORCE_COLOR": "1"}).colour
    assert not terminal(Tty(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}).colour
    assert terminal(Tty(), {"NO_COLOR": ""}).colour


def test_visible_keeps_what_is_seen() -> None:
    assert visible("Zürich 漢字 ok") == "Zürich 漢字 ok"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1749, "1.7 kB"), (9999, "10 kB"), (999_499, "999 kB")),
        *((999_500, "1.0 MB"), (2_500_000_000, "2.5 GB"), (10**16, "10000 TB")),
    ],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        *((None, "-"), (0, "0 us"), (999, "999 us"), (1834, "1.8 ms"), (23_400, "23 ms"), (999_600, "1.00 s")),
        *((2_310_000, "2.31 s"), (725_000_000, "12m05s"), (7_260_000_000, "2h01m")),
    ],
)
def test_latencies_are_short(microseconds: int | None, text: str) -> None:
    assert duration(microseconds) == text


# JSON


def test_json_is_one_object_a_line(run: Run) -> None:
    calls = [entry(), entry("/two\n")]
    lines = run(calls, "-r", "x", "--json").stdout_bytes.split(b"\n")
    assert [json.loads(text) for text in lines[:-1]] == [call.to_dict() for call in calls]
    assert lines[-1] == b""


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "text", ["plain", "Zürich 漢字", "\u2028\u2029\x85", "\x9b1A\u202e\x7f", "\ud800x", '"\\\x1b\n']
)
def test_a_json_line_is_one_line_for_every_reader_and_inert(
    text: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setattr("pysniff.cli.json_lines.fast_dumps", None)
    shown = line({"a": text}).decode()
    assert json.loads(shown) == {"a": text}
    assert len(shown.splitlines()) == 1
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", shown)


def test_both_encoders_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"text": "Zürich \u202e", "none": None, "list": [1, 2.5, True], "big": 2**63}
    quick = line(record)
    monkeypatch.setattr("pysniff.cli.json_lines.fast_dumps", None)
    assert line(record) == quick
    assert line({"n": 2**70}) == b'{"n":1180591620717411303424}\n'


class Slow(io.BytesIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def test_live_entries_are_written_at_once_and_read_ones_in_large_pieces() -> None:
    from pysniff.cli.output import Output

    for live, flushes in ((True, 2), (False, 0)):  # each flush is a write
        stream = Slow()
        output = Output(stream, live=live)
        output.write([b"a"])
        output.write([b"b"])
        assert stream.flushes == flushes
        output.flush()
        assert stream.getvalue() == b"ab"


# Options


def test_without_a_subcommand_it_sniffs(run: Run) -> None:
    for arguments in ((), ("sniff",), ("tcp", "port", "80"), ("-i", "lo", "tcp port 80"), ("sniff", "-i", "lo")):
        assert run([], *arguments).exit_code == 0
        assert run.options.live  # type: ignore[attr-defined]
    run([], "-i", "lo", "tcp", "port", "80")
    assert run.options.bpf == "tcp port 80"  # type: ignore[attr-defined]
    run([], "-f", "udp", "-i", "lo", "-i", "eth0")
    assert run.options.bpf == "udp"  # type: ignore[attr-defined]
    assert run.options.interfaces == ("lo", "eth0")  # type: ignore[attr-defined]


def test_c_counts_calls_and_not_their_revisions(run: Run) -> None:
    batches = FakeEntries([[entry(state="open"), entry()], [entry("/2", position=2), entry("/3", position=3)]])
    shown = run(batches, "-i", "lo", "-c", "2").stdout
    assert [text.split()[6] for text in shown.splitlines()] == ["/cart", "/cart", "/2"]
    assert batches.closed


def test_q_shows_no_entries_and_neither_does_writing_to_stdout(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.cli.run.open_writer", lambda target, private: None)
    assert run([entry()], "-r", "x", "-q").output == ""
    assert run([entry()], "-r", "x", "-w", "-").output == ""
    assert run([entry()], "-r", "x", "-w", "file").stdout != ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64k", 65536),
        ("1MiB", 1 << 20),
        ("1MB", 10**6),
        ("1.5m", 3 << 19),
        ("2 GiB", 2 << 30),
    ],
)
def test_sizes_are_read(text: str, value: int) -> None:
    assert Size().convert(text, None, None) == value


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("0.5", 0.5), ("500ms", 0.5), ("5m", 300), ("1h", 3600)])
def test_times_are_read(text: str, value: float) -> None:
    assert Seconds().convert(text, None, None) == value


PROTOCOLS = [("tcp", "http"), ("tcp", "redis"), ("tcp", "dns"), ("udp", "dns")]


def test_decode_as_rules_are_read() -> None:
    rules = decode_as(["tcp.port==9000,redis", " UDP.port == 5300 , DNS"], PROTOCOLS)
    assert rules == {("tcp", 9000): "redis", ("udp", 5300): "dns"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("tcp.port==9000,rediss", "-d tcp.port==9000,rediss: no protocol rediss (did you mean redis?)"),
        ("udp.port==53,http", "-d udp.port==53,http: http does not run over udp (over udp there is dns)"),
        ("tcp.port==9000,qqq", "-d tcp.port==9000,qqq: no protocol qqq (over tcp there is dns, http, redis)"),
        ("9000,redis", "-d 9000,redis: not a rule (write it as -d tcp.port==9000,redis)"),
        ("tcp.port==70000,redis", "-d tcp.port==70000,redis: not a rule (write it as -d tcp.port==9000,redis)"),
    ],
)
def test_a_wrong_rule_is_told_with_what_would_be_right(rule: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        decode_as([rule], PROTOCOLS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--fllow", "no such option '--fllow'. Did you mean '--follow'? (see pysniff --help)"),
        ("-r", "option '-r' requires an argument (see pysniff --help)"),
        ("-i lo -r x", "-i and -r exclude each other (capture live, or read files)"),
        ("--follow", "--follow needs a file (name one with -r; live capture goes on anyway)"),
        ("-r - -r -", "standard input can be read once (give -r - once)"),
        ("-f udp tcp", "a capture filter both with -f and as words (give it once)"),
        ("-r x -w - --json", "-w - and --json both write to standard output (write the packets to a file)"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_1(arguments: str, message: str) -> None:
    result = pysniff(*arguments.split())
    assert result.output == f"pysniff: {message}\n"
    assert result.exit_code == 1


@pytest.mark.parametrize("value", ["1Q", "-1", "k", "", "1" * 30])
def test_a_wrong_size_is_exit_1(value: str) -> None:
    result = pysniff("--body-limit", value)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


# How it ends


def kinds(kind: type[PysniffError]) -> list[type[PysniffError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in kinds(below))]


def test_every_error_of_ours_is_one_line_with_its_exit_code(run: Run) -> None:
    own = [kind for kind in kinds(PysniffError) if kind.__module__ == "pysniff.errors"]
    for kind in own:
        result = run(kind("en0: no\nsuch", hint="do\x1b this"), "-i", "en0")
        assert result.output == "pysniff: en0: no\\nsuch (do\\x1b this)\n"
        assert result.exit_code == kind.exit_code
    codes = {kind.exit_code for kind in own}
    assert codes == {1, 2, 3, 4, 5, 14, 15}
    assert issubclass(PrivilegeError, CaptureError)
    assert issubclass(WriteError, PysniffError)


def test_a_misspelt_command_is_told_from_a_filter(run: Run) -> None:
    result = run(FilterError("docter: syntax error"), "docter")
    assert result.output == "pysniff: docter: syntax error (did you mean pysniff doctor?)\n"
    assert run(FilterError("syntax", hint="man 7 pcap-filter"), "tcpp").output.endswith("(man 7 pcap-filter)\n")


def test_files_without_r_are_told_from_a_capture_filter(run: Run, tmp_path: Path) -> None:
    result = run([], "one.pcap", "two.pcapng.gz")
    assert result.exit_code == 1
    assert result.output == "pysniff: one.pcap: files are read with -r (pysniff -r one.pcap -r two.pcapng.gz)\n"
    (tmp_path / "a capture.0").touch()
    assert f"pysniff -r '{tmp_path}/a capture.0'" in run([], str(tmp_path / "a capture.0")).output


def test_a_cut_file_gives_every_entry_before_the_cut_and_then_14(run: Run) -> None:
    result = run(FakeEntries([[entry()], [entry("/2")]], ReadError("x: cut short")), "-r", "x")
    assert [text.split()[6] for text in result.stdout.splitlines()] == ["/cart", "/2"]
    assert result.stderr == "pysniff: x: cut short\n"
    assert result.exit_code == 14


def test_a_bug_is_one_line_that_says_how_to_report_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(ZeroDivisionError("oh"), "-r", "x")
    assert result.output.startswith("pysniff: ZeroDivisionError: oh (this is a bug: please report")
    assert len(result.output.splitlines()) == 1
    assert result.exit_code == 70
    monkeypatch.setenv("PYSNIFF_DEBUG", "1")
    assert "Traceback" in run(ZeroDivisionError("oh"), "-r", "x").output


@pytest.mark.parametrize("command", [["hub"], ["worker"], ["query", "http://127.0.0.1:8898"]])
def test_a_plain_install_says_what_a_cluster_needs(command: list[str]) -> None:
    code = "import sys; sys.modules['aiohttp'] = None; from pysniff.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=60)
    assert ended.stderr == "pysniff: this needs aiohttp (pip install 'pysniff[cluster]')\n"
    assert ended.returncode == 1


def test_strict_is_20_where_something_was_lost(run: Run) -> None:
    assert run([entry()], "-r", "x", "--strict").exit_code == 0
    lossy = FakeEntries([[entry()]])
    lossy.ledger.gap_bytes = lossy.ledger.gap_dissected = 5
    assert run(lossy, "-r", "x", "--strict").exit_code == 20
    assert run(lossy, "-r", "x").exit_code == 0


def test_the_ledger_is_told_with_v_and_on_stderr(run: Run) -> None:
    result = run([entry()], "-r", "x", "-v", "--json")
    assert "packets   0 received" in result.stderr
    assert "packets" not in result.stdout


def test_the_first_signal_stops_and_handlers_are_put_back() -> None:
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)
    stops: list[str] = []
    with interruptible(lambda: stops.append("stop")) as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked
    assert stops == ["stop"]
    assert signal.getsignal(signal.SIGTERM) is before


# What a person sees meanwhile


def test_progress_waits_a_second_and_is_erased() -> None:
    now = [0.0]
    stream = io.StringIO()
    progress = Progress(stream, enabled=True, clock=lambda: now[0])
    progress(1, 100)
    progress.erase()
    assert stream.getvalue() == ""
    now[0] = 2.0
    progress.count = 1234
    progress(25_000, 100_000)
    assert stream.getvalue() == "\r\x1b[Kread 25 kB of 100 kB, 25 %, 1,234 entries, 6.00 s left"
    progress.make_room()
    assert stream.getvalue().endswith("left")
    now[0] = 2.1
    progress(26_000, 100_000)
    progress.erase()
    assert stream.getvalue().endswith("left\r\x1b[K")
    assert Progress(stream, enabled=True).text(5, None, 2.0) == "read 5 B, 0 entries"


def test_a_quiet_capture_says_why() -> None:
    ledger = Ledger()
    assert quiet_hint(ledger).startswith("no packets yet")
    ledger.packets = 1200
    assert quiet_hint(ledger).startswith("1,200 packets but no known protocol")
    ledger.requests = 1
    assert quiet_hint(ledger) == ""


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        ({"packets": 207, "not_matching": 32}, "none of 32 calls matches the filter"),
        ({"packets": 207, "filtered": 207}, "the capture filter lets none of 207 packets through"),
        ({"packets": 4, "pruned_packets": 203}, "no call matches"),
        ({"packets": 4}, "no calls in 4 packets"),
        ({}, "no packets"),
    ],
)
def test_a_file_that_shows_nothing_says_why(counters: dict[str, int], said: str) -> None:
    ledger = Ledger()
    for name, count in counters.items():
        setattr(ledger, name, count)
    assert empty_hint(ledger) == said


def test_what_the_source_notes_is_told_once(run: Run) -> None:
    noted = FakeEntries([[entry()], [entry("/2")]])
    noted.notices.append("eth0: it is\x1b gone")
    assert run(noted, "-i", "eth0").stderr == "pysniff: eth0: it is\\x1b gone\n"


def test_doctor_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Check("live capture", Verdict.BAD, "not permitted\x1b", "run with sudo")]
    monkeypatch.setattr("pysniff.cli.checks.examine", lambda watch: (5, findings))
    result = pysniff("doctor")
    assert result.output == "no  live capture     not permitted\\x1b\n                     -> run with sudo\n"
    assert result.exit_code == 5


def test_doctor_says_once_what_helps_against_several_things(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Check(name, Verdict.BAD, "no", "run with sudo") for name in ("bpf", "waiting programs")]
    monkeypatch.setattr("pysniff.cli.checks.examine", lambda watch: (5, findings))
    told = pysniff("doctor").output.splitlines()
    assert told == ["no  bpf              no", "no  waiting programs no", "                     -> run with sudo"]


# Documentation

PAGE = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()


def option_rows(command: click.Command) -> list[str]:
    """A table of docs/cli.md, from the options themselves."""
    rows = []
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        for param in command.get_params(context):
            if isinstance(param, click.Option) and not param.hidden:
                names = ", ".join(param.opts)
                metavar = f" {param.metavar}" if param.metavar else ""
                rows.append(f"| `{names}{metavar}` | {param.help} |")
    return rows


@pytest.mark.parametrize("name", ["sniff", "run"])
def test_every_option_is_in_the_page(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    table = "\n".join(option_rows(command))
    assert table in PAGE, f"docs/cli.md should have:\n{table}"


def test_every_command_is_in_the_page_and_in_help() -> None:
    shown = pysniff("--help").output
    for name in group.list_commands(click.Context(group)):
        assert f"`{name}`" in PAGE
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)


def test_help_says_what_each_command_does_in_a_line() -> None:
    section = pysniff("--help").output.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split()[0] for row in section] == group.list_commands(click.Context(group))
    assert not [row for row in section if row.endswith("...")]


def test_help_has_the_options_and_examples() -> None:
    for arguments in (("-h",), ("--help",), ("sniff", "-h")):
        shown = pysniff(*arguments).output
        assert "--decode-as" in shown
        assert "pysniff -r shop.pcap --json | jq ." in shown


def test_every_exit_code_is_in_the_page() -> None:
    from pysniff.cli import errors

    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
