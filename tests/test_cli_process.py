"""The command line as a process: pipes, signals, exit codes, and the whole way from packets to lines."""

from __future__ import annotations

import fcntl
import gzip
import http.client
import http.server
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

NOON = 1_795_262_400  # 2026-11-21T12:00:00Z
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)  # pcap, microseconds, raw IP
SYN, PSH, ACK = 2, 8, 16


class Conversation:
    """One HTTP connection as pcap records, a millisecond between two packets."""

    def __init__(self, port: int, at: int = 0) -> None:
        self.port = port
        self.microseconds = at
        self.next = {True: 1000, False: 5000}
        self.data = b""
        self.packet(True, SYN)
        self.packet(False, SYN | ACK)

    def packet(self, client: bool, flags: int, payload: bytes = b"") -> None:
        source, target = (self.port, 80) if client else (80, self.port)
        addresses = bytes([10, 0, 0, 7, 10, 0, 0, 9] if client else [10, 0, 0, 9, 10, 0, 0, 7])
        acked = self.next[not client] if flags & ACK else 0
        tcp = struct.pack(">HHIIBBHHH", source, target, self.next[client], acked, 0x50, flags, 65535, 0, 0)
        size = 40 + len(payload)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, 6, 0) + addresses
        self.next[client] += len(payload) + bool(flags & SYN)
        self.microseconds += 1000
        seconds, fraction = divmod(self.microseconds, 1_000_000)
        self.data += struct.pack("<IIII", NOON + seconds, fraction, size, size) + ip + tcp + payload

    def call(self, path: str) -> Conversation:
        self.packet(True, PSH | ACK, f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        self.packet(False, PSH | ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return self


def calls(*paths: str, port: int = 40_000, at: int = 0) -> bytes:
    """A capture of one connection with these calls."""
    conversation = Conversation(port, at)
    for path in paths:
        conversation.call(path)
    return HEADER + conversation.data


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.pcap"
    path.write_bytes(calls("/one", "/two", "/three"))
    return str(path)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pysniff", *arguments]


ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
ENVIRONMENT |= {"TZ": "UTC", "PYTHONUNBUFFERED": ""}


def pysniff(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), input=data, capture_output=True, timeout=60, env=ENVIRONMENT, check=False
    )


def paths(output: bytes) -> list[str]:
    return [json.loads(text)["request"]["path"] for text in output.splitlines()]


def test_calls_in_a_file_are_shown(shop: str) -> None:
    done = pysniff("-r", shop)
    assert done.stderr == b""
    assert [text.split()[5:7] for text in done.stdout.decode().splitlines()] == [
        ["GET", "/one"],
        ["GET", "/two"],
        ["GET", "/three"],
    ]
    assert done.returncode == 0


def test_json_and_gzip_and_standard_input(shop: str) -> None:
    data = Path(shop).read_bytes()
    for feed in (data, gzip.compress(data)):
        done = pysniff("-r", "-", "--json", data=feed)
        assert paths(done.stdout) == ["/one", "/two", "/three"]
        assert (done.stderr, done.returncode) == (b"", 0)


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(calls("/1", "/3", at=0))
    (tmp_path / "b").write_bytes(calls("/2", port=40_001, at=1500))
    done = pysniff("-r", str(tmp_path / "b"), "-r", str(tmp_path / "a"), "--json")
    assert paths(done.stdout) == ["/1", "/2", "/3"]


def test_c_stops_after_n(shop: str) -> None:
    assert paths(pysniff("-r", shop, "--json", "-c", "2").stdout) == ["/one", "/two"]


def test_duration_is_packet_time_when_reading(shop: str) -> None:
    # Packets 1 ms apart: two of the handshake, two of the first call, and the second one's begin at 4 and 5 ms.
    assert paths(pysniff("-r", shop, "--json", "--duration", "5500ms").stdout) == ["/one", "/two", "/three"]
    shown = [json.loads(text) for text in pysniff("-r", shop, "--json", "--duration", "3.5ms").stdout.splitlines()]
    assert [entry["request"]["path"] for entry in shown if entry["response"]] == ["/one"]


def test_a_capture_filter_decides_what_is_read(shop: str) -> None:
    assert pysniff("-r", shop, "--json", "udp").stdout == b""
    assert len(paths(pysniff("-r", shop, "--json", "tcp", "port", "80").stdout)) == 3


def test_a_cut_file_gives_everything_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(calls("/one", "/two")[:-5])
    done = pysniff("-r", str(path), "--json")
    assert paths(done.stdout)[0] == "/one"
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"pysniff: ")
    assert done.returncode == 14


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-r", "missing.pcap"], 3),
        (["-r", __file__], 3),
        (["-r", "SHOP", "tcp", "pord", "80"], 4),
        (["-i", "no-such-interface"], 2),
        (["-r", "SHOP", "-w", "/no/such/folder/x.pcap"], 15),
        (["--no-such-option"], 1),
        (["-r", "SHOP", "-d", "tcp.port==80,htpt"], 1),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(arguments: list[str], code: int, shop: str) -> None:
    done = pysniff(*[shop if word == "SHOP" else word for word in arguments])
    lines = done.stderr.decode().splitlines()
    assert (len(lines), done.stdout) == (1, b""), lines
    assert lines[0].startswith("pysniff: ")
    assert done.returncode == code


def test_w_writes_the_packets_and_a_dash_writes_nothing_else(shop: str, tmp_path: Path) -> None:
    done = pysniff("-r", shop, "-w", "-")
    assert done.stdout[:4] == b"\x0a\x0d\x0d\x0a"
    assert paths(pysniff("-r", "-", "--json", data=done.stdout).stdout) == ["/one", "/two", "/three"]
    copy = str(tmp_path / "copy.pcap")
    assert pysniff("-r", shop, "-q", "-w", copy).stdout == b""
    assert paths(pysniff("-r", copy, "--json").stdout) == ["/one", "/two", "/three"]


def test_w_never_empties_the_file_that_r_reads(shop: str, tmp_path: Path) -> None:
    before = Path(shop).read_bytes()
    alias = tmp_path / "alias.pcap"
    alias.symlink_to(shop)
    for target in (shop, str(alias)):
        done = pysniff("-r", shop, "-w", target)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, b"", 1)
    assert Path(shop).read_bytes() == before


def test_strict_is_20_where_bytes_are_missing(tmp_path: Path, shop: str) -> None:
    assert pysniff("-r", shop, "--strict").returncode == 0
    conversation = Conversation(40_000).call("/one")
    conversation.next[True] += 100
    (tmp_path / "gap").write_bytes(HEADER + conversation.call("/two").data)
    assert pysniff("-r", str(tmp_path / "gap"), "--strict").returncode == 20


def test_v_ends_with_a_ledger_that_balances(shop: str) -> None:
    done = pysniff("-r", shop, "-v", "-q")
    assert done.stderr.startswith(b"packets   8 received")
    assert b"IMBALANCE" not in done.stderr


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(calls(*(f"/{n}" for n in range(5000))))
    for option in ("-v", "--json"):
        process = subprocess.Popen(
            command("-r", str(path), option), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
        assert b"Traceback" not in process.stderr.read()
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_15(shop: str) -> None:
    for arguments in (["--json"], [], ["-w", "-"], ["-h"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                command("-r", shop, *arguments),
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=60,
                env=ENVIRONMENT,
                check=False,
            )
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.returncode == 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_ledger_and_calls_show_as_they_come(number: signal.Signals) -> None:
    with subprocess.Popen(
        command("-r", "-", "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(calls("/one"))
        process.stdin.flush()
        # The pipe stays open: the line comes because the call is complete.
        assert paths(process.stdout.readline()) == ["/one"]
        process.send_signal(number)
        assert b"packets   4 received" in process.stderr.read()
        assert process.wait(60) == 0


def test_a_signal_while_nobody_reads_leaves_every_line_whole(tmp_path: Path) -> None:
    """PYTHONUNBUFFERED, as in many containers: then standard output is the file itself, which may take a part."""
    path = tmp_path / "many.pcap"
    path.write_bytes(calls(*(f"/{number}/" + "x" * 900 for number in range(1000))))
    with subprocess.Popen(
        command("-r", str(path), "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        wait_until_full(process.stdout)
        process.send_signal(signal.SIGINT)
        shown = paths(process.stdout.read())
        assert shown == [f"/{number}/" + "x" * 900 for number in range(len(shown))]
        assert process.wait(60) == 0


def wait_until_full(pipe: IO[bytes]) -> None:
    """Until nothing more fits into a pipe of 64 KiB."""
    size = b""
    while int.from_bytes(size, sys.byteorder) < 60_000:
        size = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        time.sleep(0.01)


def test_the_second_signal_ends_it_at_once() -> None:
    program = (
        "import os, signal\n"
        "from pysniff.cli.source import interruptible\n"
        "with interruptible(lambda: None):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('and here', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("still here\n", "", 130)


def test_importing_the_command_line_is_light() -> None:
    heavy = ["aiohttp", "rich", "cryptography", "pcapy", "dpkt", "brotli", "asyncio", "ctypes", "subprocess"]
    program = f"import sys, pysniff.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_told() -> None:
    from pysniff import __version__

    assert pysniff("--version").stdout == f"pysniff {__version__}\n".encode()


# Live


class Quiet(http.server.BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[int]:
    """A server on loopback; its port."""
    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def wait_for(stream: IO[bytes], text: bytes) -> None:
    seen = b""
    while text not in seen:
        piece = os.read(stream.fileno(), 4096)
        assert piece, seen
        seen += piece


@pytest.mark.needs_root
def test_live_calls_show_as_they_complete(origin: int) -> None:
    # stderr is a terminal here, so that the program says when it listens.
    master, slave = pty.openpty()
    with (
        open(master, "rb", buffering=0) as errors,
        subprocess.Popen(
            command("-i", "lo", "--json", f"tcp port {origin}"), stdout=subprocess.PIPE, stderr=slave, env=ENVIRONMENT
        ) as process,
    ):
        os.close(slave)
        assert process.stdout
        wait_for(errors, b"listening on lo ...")
        for path in ("/live", "/more"):
            client = http.client.HTTPConnection("127.0.0.1", origin)
            client.request("GET", path)
            client.getresponse().read()
            client.close()
            assert paths(process.stdout.readline()) == [path]
        process.send_signal(signal.SIGINT)
        wait_for(errors, b"2 answered")
        assert process.stdout.read() == b""
        assert process.wait(60) == 0


def test_a_file_without_a_match_says_so_on_a_terminal() -> None:
    shop = Path(__file__).parent.parent / "examples" / "shop.pcap"
    master, slave = pty.openpty()
    arguments = command("-r", str(shop), "-Y", "status_code == 999")
    with open(master, "rb", buffering=0) as errors, subprocess.Popen(arguments, stderr=slave, env=ENVIRONMENT):
        os.close(slave)
        wait_for(errors, b"none of 32 calls matches the filter")
    assert subprocess.run(arguments, capture_output=True, env=ENVIRONMENT, check=True).stderr == b""


@pytest.mark.needs_root
@pytest.mark.needs("setpriv")
def test_without_privileges_one_line_says_the_way_out(tmp_path: Path) -> None:
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    for arguments in (["-i", "lo"], []):
        done = subprocess.run(
            [*drop, *command(*arguments)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
        )
        assert done.returncode == 5
        assert len(done.stderr.splitlines()) == 1
        assert "sudo" in done.stderr
    done = subprocess.run(
        [*drop, *command("doctor")], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 5
    assert "no  live capture" in done.stdout


@pytest.mark.needs_root
def test_doctor_and_the_list_of_interfaces_work_here() -> None:
    done = pysniff("doctor")
    assert done.returncode == 0
    assert b"ok  live capture     works on lo" in done.stdout
    assert b". lo " in pysniff("-D").stdout
