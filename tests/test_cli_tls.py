"""TLS on the command line and in the library: key logs, secrets in files, and what is said where nothing opens."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from tls_wire import TLS12, TLS13, TlsWire, get, ok

import pysniff
from pysniff.capture.embedding import embed
from pysniff.capture.files import open_capture
from pysniff.capture.writer import Writer
from pysniff.cli import decryption
from pysniff.cli.decryption import encryption_line, name_within, undecrypted_line
from pysniff.cli.options import SniffOptions
from pysniff.encryption import Encryption
from pysniff.entry import Entry
from pysniff.errors import OptionError, PrivilegeError, WriteError
from pysniff.packet import Block, Packet
from pysniff.tls import reasons
from pysniff.tls.reasons import NO_KEY, Reason
from pysniff.tracer.limits import Limits
from pysniff.tracing import absent, traced

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
KEY_LOG = 0x544C534B


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pysniff", *map(str, arguments)]


def pysniffed(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)
    assert done.returncode == code, done.stderr
    return done


def paths(done: subprocess.CompletedProcess[str]) -> list[str]:
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return [entry["request"]["path"] for entry in entries if entry["protocol"] == "http"]


class Shop:
    """Three connections to a server: TLS 1.3, TLS 1.2, and one whose secrets nobody has."""

    def __init__(self, folder: Path) -> None:
        certificate = Authority(folder, "ca").issue("shop")
        self.keys, self.lost = folder / "keys.log", folder / "lost.log"
        self.packets: list[Packet] = []
        for number, (version, keys) in enumerate(((TLS13, self.keys), (TLS12, self.keys), (TLS13, self.lost))):
            talk = TlsWire(keys, certificate, version=version, sport=51_000 + number, now=number * 1_000_000_000)
            self.packets += talk.handshake()
            self.packets += talk.call(get(f"/{number}"), ok(b"x" * 3000))
            self.packets += talk.farewell()
        self.pcap, self.pcapng = folder / "shop.pcap", folder / "shop.pcapng"
        for path in (self.pcap, self.pcapng):
            write(path, self.packets)


def write(path: Path, packets: list[Packet]) -> None:
    with Writer(path) as writer:
        for packet in packets:
            writer.write(Block.of(packet))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def secrets_of(path: Path) -> list[bytes]:
    """Lines of a capture's secrets, which come before any packet."""
    with open_capture(path) as file:
        for _ in file:
            break
        assert all(kind == KEY_LOG for kind, _ in file.secrets)
        return [line for _, text in file.secrets for line in text.splitlines()]


# Reading


def test_a_key_log_decrypts_a_capture(shop: Shop) -> None:
    shown = pysniffed("-r", shop.pcap, "--keylog", shop.keys, "-Y", "http").stdout.splitlines()
    assert [line.split()[4:8] for line in shown] == [["https", "GET", "/0", "200"], ["https", "GET", "/1", "200"]]
    first = json.loads(pysniffed("-r", shop.pcap, "--keylog", shop.keys, "-Y", "tls", "--json").stdout.splitlines()[0])
    assert first["protocol"] == "http"
    assert (first["tls"]["version"], first["tls"]["sni"], first["tls"]["key_source"]) == (
        "1.3",
        "shop.example",
        "keylog",
    )


def test_several_key_logs_are_one(shop: Shop) -> None:
    both = pysniffed("-r", shop.pcap, "--keylog", shop.keys, "--keylog", shop.lost, "--json", "-Y", "http")
    assert paths(both) == ["/0", "/1", "/2"]
    assert both.stderr == ""


def test_what_stays_closed_is_marked_and_said_once_at_the_end(shop: Shop) -> None:
    done = pysniffed("-r", shop.pcap)
    assert [line.endswith("!not decrypted") for line in done.stdout.splitlines()] == [True] * 3
    assert done.stderr == (
        "pysniff: 3 TLS connections were not decrypted: no key was given: --keylog FILE takes what the program wrote"
        " to SSLKEYLOGFILE (docs/tls.md says more)\n"
    )
    # A filter that hides the handshakes hides nothing of what could not be read.
    assert "3 TLS connections" in pysniffed("-r", shop.pcap, "-Y", "http").stderr
    assert pysniffed("-r", shop.pcap, "-q").stderr == ""


def test_the_reason_is_that_of_the_connection(shop: Shop) -> None:
    said = pysniffed("-r", shop.pcap, "--keylog", shop.keys, "-Y", "http").stderr
    assert said.startswith("pysniff: 1 TLS connection was not decrypted: there are keys, but none for this connection")


def test_v_says_what_it_was_encrypted_with_and_what_the_key_log_had(shop: Shop, tmp_path: Path) -> None:
    keys = tmp_path / "keys.log"
    keys.write_bytes(shop.keys.read_bytes() + b"nonsense\nSTRANGE 00 00\n")
    done = pysniffed("-r", shop.pcap, "--keylog", keys, "-v", "-Y", "http && path == '/1'")
    line = next(line for line in done.stdout.splitlines() if line.startswith("    #"))
    assert line.startswith("    # TLS 1.2 TLS_ECDHE_")
    assert line.endswith("server name shop.example, keys from keylog")
    assert f"{keys}: 5 secrets; 1 of no use: no label, client random and secret; 1 of no use: a label" in done.stderr


def test_secrets_are_never_shown(shop: Shop) -> None:
    values = [line.split()[2].decode() for line in shop.keys.read_bytes().splitlines() if not line.startswith(b"#")]
    for options in (("-vv",), ("--json",)):
        done = pysniffed("-r", shop.pcap, "--keylog", shop.keys, *options)
        assert not any(value in done.stdout + done.stderr for value in values)


def test_a_capture_and_its_key_log_may_grow(shop: Shop, tmp_path: Path) -> None:
    capture, keys = tmp_path / "grows.pcap", tmp_path / "keys.log"
    data = shop.pcap.read_bytes()
    capture.write_bytes(data)
    follow = command("-r", capture, "--follow", "--keylog", keys, "-Y", "http", "--json")
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        try:
            keys.write_bytes(shop.keys.read_bytes())
            assert json.loads(process.stdout.readline())["request"]["path"] == "/0"
        finally:
            process.terminate()


def test_a_key_log_that_cannot_be_is_an_error(shop: Shop, tmp_path: Path) -> None:
    missing = pysniffed("-r", shop.pcap, "--keylog", tmp_path / "none", code=3)
    assert "No such file" in missing.stderr
    os.mkfifo(tmp_path / "pipe")
    assert "it is a pipe" in pysniffed("-r", shop.pcap, "--keylog", tmp_path / "pipe", code=3).stderr


def test_the_library_reads_with_a_key_log(shop: Shop) -> None:
    def called(entries: Iterator[Entry]) -> list[str]:
        return [entry.request.path for entry in entries if entry.protocol == "http" and entry.tls is not None]

    with pysniff.read(shop.pcap, keylog=shop.keys) as entries:
        assert called(entries) == ["/0", "/1"]
        assert sum(entries.undecrypted.values()) == 1
    assert called(iter(pysniff.read(shop.pcap, keylog=[shop.keys, str(shop.lost)]))) == ["/0", "/1", "/2"]

    async def asynchronously() -> list[str]:
        async with pysniff.read(shop.pcap, keylog=shop.keys, filter="http") as entries:
            return [entry.request.path async for entry in entries]

    assert asyncio.run(asynchronously()) == ["/0", "/1"]


def test_a_store_is_asked_with_a_key_log(shop: Shop, tmp_path: Path) -> None:
    pysniffed("-r", shop.pcap, "--store", tmp_path / "store", "-q")
    done = pysniffed("query", tmp_path / "store", "http", "--keylog", shop.keys, "--json")
    assert paths(done) == ["/0", "/1"]


# Writing


def test_what_was_used_is_embedded_before_the_packets(shop: Shop, tmp_path: Path) -> None:
    strangers = tmp_path / "more.log"
    strangers.write_bytes(shop.keys.read_bytes() + b"CLIENT_RANDOM %s %s\n" % (b"ab" * 32, b"cd" * 48))
    target = tmp_path / "out.pcapng"
    pysniffed("-r", shop.pcap, "--keylog", strangers, "-q", "-w", target, "--write-secrets")
    known = {line for line in shop.keys.read_bytes().splitlines() if b"_SECRET" not in line or b"TRAFFIC" in line}
    assert set(secrets_of(target)) == {line for line in known if not line.startswith(b"#")}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    again = pysniffed("-r", target, "--json")
    assert paths(again) == ["/0", "/1"]
    entries = [json.loads(line) for line in again.stdout.splitlines()]
    assert {entry["tls"]["key_source"] for entry in entries if entry["tls"]} == {"pcapng"}
    with open_capture(target) as file:
        packets = [packet for block in file if isinstance(block, Block) for packet in block.packets()]
    assert [packet.data for packet in packets] == [packet.data for packet in shop.packets]


@pytest.mark.needs("tshark")
def test_stock_tshark_decrypts_what_was_written(shop: Shop, tmp_path: Path) -> None:
    written = tmp_path / "out.pcapng"
    pysniffed("-r", shop.pcap, "--keylog", shop.keys, "-q", "-w", written, "--write-secrets")
    shown = ["tshark", "-r", str(written), "-Y", "http.request", "-T", "fields", "-e", "http.request.uri"]
    done = subprocess.run(shown, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["/0", "/1"]


def test_an_old_file_that_others_could_read_is_closed_to_them(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "out.pcapng"
    target.write_bytes(b"old")
    target.chmod(0o644)
    pysniffed("-r", shop.pcap, "-q", "-w", target, "--write-secrets")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_it_is_said_where_no_secret_was_of_use(shop: Shop, tmp_path: Path) -> None:
    done = pysniffed("-r", shop.pcap, "-w", tmp_path / "out.pcapng", "--write-secrets")
    assert "no secret was of use, and none was written" in done.stderr
    assert secrets_of(tmp_path / "out.pcapng") == []


def test_where_secrets_cannot_be_put_is_an_error_with_the_way_out(shop: Shop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read = ("-r", shop.pcapng, "--write-secrets")
    assert "--write-secrets is for -w" in pysniffed(*read, code=1).stderr
    assert "--write-secrets is for -w" in pysniffed(*read, "-o", "pcapng", tmp_path / "x", code=1).stderr
    assert ".pcap file has no place for secrets" in pysniffed(*read, "-w", tmp_path / "x.pcap", code=1).stderr
    assert "that takes a file" in pysniffed(*read, "-w", "-", code=1).stderr
    assert "that takes a file" in pysniffed(*read, "-w", tmp_path / "pipe", code=1).stderr


def test_a_file_whose_secrets_cannot_be_written_keeps_its_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"no capture of ours")
    with pytest.raises(WriteError, match="its secrets cannot be written"):
        embed(str(path), b"CLIENT_RANDOM")
    assert path.read_bytes() == b"no capture of ours"
    assert list(tmp_path.iterdir()) == [path]


# The kernel


def test_tls_is_for_programs_that_run(shop: Shop) -> None:
    assert "--tls reads programs that run now" in pysniffed("-r", shop.pcap, "--tls", code=1).stderr
    assert "--tls-only needs --tls" in pysniffed("-i", "lo", "--tls-only", "curl", code=1).stderr


def test_where_the_kernel_cannot_be_asked_that_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PrivilegeError("keys cannot be read out of programs: no CAP_BPF", hint="run with sudo")

    monkeypatch.setattr("pysniff.tracing.Tracing", refused)
    assert decryption.open_tracing(options(tls="keys")) is None
    said = capsys.readouterr().err
    assert said == (
        "pysniff: --tls: keys cannot be read out of programs: no CAP_BPF (run with sudo); going on without\n"
    )


@pytest.mark.needs_root
@pytest.mark.needs("setpriv", "ip")
def test_without_the_privilege_for_tls_a_capture_goes_on(tmp_path: Path) -> None:
    """A user who may capture, and no more."""
    drop = ["setpriv", "--bounding-set=-all,+net_raw,+net_admin", "--inh-caps=-all"]
    listen = [*drop, *command("-i", "lo", "--tls", "--duration", "1s")]
    done = subprocess.run(listen, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pysniff: --tls: ")]
    assert line.endswith("; going on without")


def test_whoever_is_to_be_read_and_is_not_there_is_named() -> None:
    limits = traced([str(os.getpid()), "999999999", "no-such-program"])
    assert limits == Limits(pids=frozenset({os.getpid(), 999_999_999}), names=frozenset({"no-such-program"}))
    assert list(absent(limits)) == [
        "there is no process 999999999 whose TLS could be read",
        "no process is called no-such-program yet: its TLS is read once there is one",
    ]
    with pytest.raises(OptionError, match="no control group"):
        traced(["/no/such/group"])


# Words


def test_every_reason_is_in_the_page() -> None:
    page = (Path(__file__).parent.parent / "docs" / "tls.md").read_text()
    every = [reason.sentence for reason in vars(reasons).values() if isinstance(reason, Reason)]
    assert len(every) > 10
    assert [sentence for sentence in every if f"| {sentence} |" not in page] == []


def options(**given: object) -> SniffOptions:
    plain: dict[str, object] = {
        "interfaces": (),
        "files": (),
        "follow": False,
        "bpf": "",
        "filter": None,
        "write": None,
        "outputs": (),
        "json": False,
        "verbosity": 0,
        "quiet": False,
        "count": None,
        "duration": None,
        "decode_as": {},
        "proto": (),
        "body_limit": 0,
        "strict": False,
    }
    return SniffOptions(**{**plain, **given})  # type: ignore[arg-type]


def test_protocols_within_tls_have_the_names_of_urls() -> None:
    assert [name_within(name) for name in ("http", "ws", "redis", "dns")] == ["https", "wss", "rediss", "dns/tls"]


def test_an_encryption_in_words() -> None:
    known = Encryption("1.3", "TLS_AES_128_GCM_SHA256", "h2", "shop", resumed=True, key_source="kernel")
    assert encryption_line(known) == "TLS 1.3 TLS_AES_128_GCM_SHA256, h2, server name shop, resumed, keys from kernel"
    assert encryption_line(Encryption(version="1.2", key_source="plaintext")) == "TLS 1.2, read in the process"


def test_reasons_are_counted_and_the_rarest_put_together() -> None:
    assert undecrypted_line({}, options()) == ""
    reasons = {"a": 5, "b": 1, "c": 3, "d": 1, "e": 1}
    assert undecrypted_line(reasons, options()) == (
        "11 TLS connections were not decrypted: a (5); c (3); b (1); other reasons (2) (docs/tls.md says more)"
    )
    assert NO_KEY.sentence in undecrypted_line({NO_KEY.sentence: 1}, options())
