"""`pysniff run -- CMD`: what a command and its children say, in plain text, and that the command notices nothing."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from netns import ROOT, namespaces, serving, start, until

from pysniff.launched.socket_tables import children

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip", "nsenter", "openssl")]

PLAIN, SECURE = 8080, 8443

# HTTP and HTTPS, one thread a connection.
SERVER = """
import http.server, ssl, sys, threading
certificate, key = sys.argv[1:3]
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
servers = [http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer) for port in (8080, 8443)]
servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True, do_handshake_on_connect=False)
for server in servers: threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
PYTHON = """
import ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for url in sys.argv[1:]: urllib.request.urlopen(url, context=context).read()
"""
AGAIN = """
import http.client, sys, time, urllib.request
from urllib.parse import urlsplit
kept = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)
def ask():
    kept.request("GET", "/kept")
    kept.getresponse().read()
    urllib.request.urlopen(sys.argv[1]).read()
ask()
print("ready", flush=True)
while True: ask(); time.sleep(0.05)
"""
# Says when it is interrupted, and goes on for a while.
PATIENT = """
import signal, time
said = []
signal.signal(signal.SIGINT, lambda *_: said.append(print("interrupted", flush=True)))
print("ready", flush=True)
while not said: time.sleep(0.01)
time.sleep(1)
"""
# Without exit(): node writes its key log in the background.
NODE = """
const [, url] = process.argv;
require('https').get(url, {rejectUnauthorized: false, agent: false}, (response) => response.resume());
"""
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("FORCE_COLOR", "SSLKEYLOGFILE", "NODE_OPTIONS", "http_proxy", "https_proxy")
}


class Bed:
    """A network namespace with servers of HTTP and HTTPS. `exact`: the kernel can tell whose packets are."""

    def __init__(self, namespace: str, exact: bool) -> None:
        self.namespace = namespace
        # `ip netns exec` hides the control groups.
        self._enter = ["nsenter", f"--net=/run/netns/{namespace}"] if exact else ["ip", "netns", "exec", namespace]
        self.exact = exact

    def command(self, *arguments: str | Path) -> list[str]:
        return [*self._enter, sys.executable, "-m", "pysniff", "run", *map(str, arguments)]

    def run(self, *arguments: str | Path, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        given = {"env": ENVIRONMENT, **more}
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=180, check=False, cwd=ROOT, **given
        )
        assert done.returncode == code, done.stderr
        return done

    def calls(self, log: Path, *arguments: str | Path, **more: Any) -> list[tuple[str, str]]:
        """Protocol and path of the HTTP calls of a command: https where they were read out of TLS."""
        self.run("--json", "--log", log, *arguments, **more)
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        return sorted(
            ("https" if entry["tls"] else "http", entry["request"]["path"])
            for entry in entries
            if entry["protocol"] == "http"
        )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    certificate, key = Authority(tmp_path_factory.mktemp("ca"), "ca").issue("shop")
    with namespaces(1) as (namespace,), serving(namespace, SERVER, str(certificate), str(key)):
        yield namespace


@pytest.fixture(params=["the kernel says it", "sockets are looked at"])
def bed(servers: str, request: pytest.FixtureRequest) -> Bed:
    return Bed(servers, exact=request.param == "the kernel says it")


@pytest.fixture
def looking(servers: str) -> Bed:
    return Bed(servers, exact=False)


def url(path: str, port: int = SECURE) -> str:
    return f"{'https' if port == SECURE else 'http'}://127.0.0.1:{port}{path}"


@contextmanager
def somebody_else(namespace: str) -> Iterator[None]:
    """A program beside the command: asks for /kept on a connection from before, and for /other on new ones."""
    with serving(namespace, AGAIN, url("/other", PLAIN)):
        yield


# What is shown


@pytest.mark.needs("curl")
def test_calls_of_curl_are_in_plain_text(bed: Bed, tmp_path: Path) -> None:
    curl = ["--", "curl", "-sk", url("/secret"), url("/plain", PLAIN), "-o", "/dev/null", "-o", "/dev/null"]
    assert bed.calls(tmp_path / "log", *curl) == [("http", "/plain"), ("https", "/secret")]


def test_calls_of_python_are_in_plain_text(looking: Bed, tmp_path: Path) -> None:
    paths = [url(f"/{number}") for number in range(5)]
    found = looking.calls(tmp_path / "log", "--", sys.executable, "-c", PYTHON, *paths)
    assert found == [("https", f"/{number}") for number in range(5)]


@pytest.mark.needs("node")
def test_calls_of_node_are_in_plain_text_whatever_options_it_has(looking: Bed, tmp_path: Path) -> None:
    more = {"env": {**ENVIRONMENT, "NODE_OPTIONS": "--max-old-space-size=200"}}
    found = looking.calls(tmp_path / "log", "--", "node", "-e", NODE, url("/node"), **more)
    assert found == [("https", "/node")]


@pytest.mark.needs("curl", "sh")
def test_calls_of_children_and_of_what_they_leave_behind_are_shown(bed: Bed, tmp_path: Path) -> None:
    # The second one is an orphan soon; the shell waits for what it says on a pipe.
    script = f"curl -sk {url('/child')} >&2; (sh -c 'sleep 0.2; curl -sk {url('/orphan')}' &) | cat"
    found = bed.calls(tmp_path / "log", "--", "sh", "-c", script)
    assert found == [("https", "/child"), ("https", "/orphan")]


def test_what_others_talk_meanwhile_is_not_shown(bed: Bed, tmp_path: Path) -> None:
    wait_and_ask = f"import time; time.sleep(1)\n{PYTHON}"
    with somebody_else(bed.namespace):
        done = bed.run(
            *("-v", "-w", tmp_path / "own.pcapng", "--json", "--log", tmp_path / "log"),
            *("--", sys.executable, "-c", wait_and_ask, url("/own", PLAIN)),
        )
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    paths = {entry["request"]["path"] for entry in entries if entry["protocol"] == "http"}
    assert "/own" in paths and "/kept" not in paths
    assert "filtered out" in done.stderr
    # Where sockets are looked at, what is over too soon may be shown while the command does something, and is counted.
    is_told = "over before anybody could say whose" in done.stderr
    assert paths == {"/own"} or (not bed.exact and is_told)
    assert is_told or b"/other" not in (tmp_path / "own.pcapng").read_bytes()


def test_a_server_that_is_started_shows_the_calls_that_it_answers(bed: Bed, tmp_path: Path) -> None:
    server = (
        "import http.server, socket\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "print(server.server_port, flush=True)\n"
        "server.handle_request()"
    )
    log = tmp_path / "log"
    command = bed.command("--json", "--log", log, "--", sys.executable, "-c", server)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        with start(bed.namespace, PYTHON, f"http://127.0.0.1:{port}/") as asking:
            asking.communicate(timeout=60)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert [json.loads(line)["request"]["path"] for line in log.read_text().splitlines()] == ["/"]


@pytest.mark.needs_ebpf
@pytest.mark.needs("curl", "env")
def test_what_writes_no_key_log_is_read_by_the_kernel(servers: str, tmp_path: Path) -> None:
    bed = Bed(servers, exact=True)
    curl = ["env", "-u", "SSLKEYLOGFILE", "curl", "-sk", url("/kernel"), "-o", "/dev/null"]
    assert bed.calls(tmp_path / "log", "--tls", "--", *curl) == [("https", "/kernel")]


# What is written


@pytest.mark.needs("curl", "tshark")
def test_packets_are_written_with_their_secrets(looking: Bed, tmp_path: Path) -> None:
    capture, har = tmp_path / "x.pcapng", tmp_path / "x.har"
    arguments: list[str | Path] = ["-q", "-w", capture, "--write-secrets", "-o", "har", har]
    looking.run(*arguments, "--", "curl", "-sk", url("/kept"), "-o", "/dev/null")
    assert stat.S_IMODE(capture.stat().st_mode) == 0o600
    shown = ["tshark", "-r", str(capture), "-Y", "http.request", "-T", "fields", "-e", "http.request.uri"]
    done = subprocess.run(shown, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["/kept"]
    assert json.loads(har.read_text())["log"]["entries"][0]["request"]["url"].endswith("/kept")


@pytest.mark.needs("curl")
def test_packets_of_the_calls_are_exported(looking: Bed, tmp_path: Path) -> None:
    looking.run("-q", "-o", "pcapng", tmp_path / "calls.pcapng", "--", "curl", "-s", url("/p", PLAIN))
    assert b"GET /p " in (tmp_path / "calls.pcapng").read_bytes()


@pytest.mark.needs("curl")
def test_calls_go_to_standard_error_and_standard_output_is_the_commands(looking: Bed) -> None:
    done = looking.run("--", "curl", "-sk", url("/x"))
    assert done.stdout == "ok"
    (line,) = [line for line in done.stderr.splitlines() if "GET" in line]
    assert line.split()[4:8] == ["https", "GET", "/x", "200"]
    assert looking.run("-q", "--", "curl", "-sk", url("/x")).stderr == ""


# What the command notices


def test_the_command_has_its_input_its_arguments_and_its_exit_code(looking: Bed) -> None:
    script = 'read line; echo "$line $1 $#"; exit 7'
    done = looking.run("--", "sh", "-c", script, "sh", "-v", "--json", input="hello\n", code=7)
    assert done.stdout == "hello -v 2\n"
    assert looking.run("sh", "-c", "kill -KILL $$", code=137).stdout == ""


def test_a_command_that_cannot_be_started_is_one_line(looking: Bed, tmp_path: Path) -> None:
    done = looking.run("--", tmp_path / "none", code=127)
    assert done.stderr == f"pysniff: {tmp_path / 'none'}: no such command\n"
    assert "no command" in looking.run(code=1).stderr
    assert "standard output is the command's" in looking.run("-w", "-", "--", "true", code=1).stderr


def test_secrets_are_where_only_the_command_finds_them_and_gone_at_the_end(looking: Bed) -> None:
    script = 'stat -c %a "$SSLKEYLOGFILE" "$(dirname "$SSLKEYLOGFILE")"; echo "$SSLKEYLOGFILE"; echo "$NODE_OPTIONS"'
    modes = looking.run("--", "sh", "-c", script).stdout.split()
    assert modes[:2] == ["600", "700"]
    assert modes[3] == f"--tls-keylog={modes[2]}"
    assert not Path(modes[2]).parent.exists()


WAITING = 'trap "echo got TERM; exit 3" TERM; echo "$SSLKEYLOGFILE"; while :; do sleep 0.05; done'


def test_signals_are_passed_on(looking: Bed) -> None:
    command = looking.command("--", "sh", "-c", WAITING)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parent
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "got TERM\n"
        assert process.wait(60) == 3
    assert not folder.exists()


def test_what_is_killed_leaves_no_secrets_and_no_group_behind(bed: Bed) -> None:
    with subprocess.Popen(
        bed.command("--", "sh", "-c", WAITING), stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parent
        sniffing = process.pid  # ip and nsenter have become it
        shell = next(child for child in children(sniffing) if words_of(child)[-1] == WAITING)
        os.kill(sniffing, signal.SIGKILL)
        until(lambda: not folder.exists())
        until(lambda: f"pysniff-run-{sniffing}" not in Path(f"/proc/{shell}/cgroup").read_text())
        os.kill(shell, signal.SIGKILL)
    until(lambda: f"pysniff-run-{sniffing}" not in groups())


def groups() -> set[str]:
    """The names of all control groups; those of other tests come and go."""
    return {Path(folder).name for folder, _, _ in os.walk("/sys/fs/cgroup")}


def words_of(process: int) -> list[str]:
    """Its command line."""
    return Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0")


def test_ctrl_c_at_the_terminal_reaches_the_command_once(looking: Bed) -> None:
    """As for any command that a shell starts, and the calls so far are shown."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        command = looking.command("--", sys.executable, "-c", PATIENT)
        os.execvpe(command[0], command, ENVIRONMENT)
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    try:
        while part := os.read(terminal, 1000):
            said += part
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said.count(b"interrupted") == 1


# Without root


@pytest.mark.needs("dumpcap", "setpriv", "setcap", "curl")
def test_whoever_may_use_dumpcap_needs_no_root(looking: Bed, tmp_path: Path) -> None:
    tools = Path("/tmp") / f"pysniff-test-{os.getpid()}"
    tools.mkdir(mode=0o755)
    try:
        dumpcap = tools / "dumpcap"
        dumpcap.write_bytes(Path(subprocess.check_output(["which", "dumpcap"], text=True).strip()).read_bytes())
        dumpcap.chmod(0o755)
        subprocess.run(["setcap", "cap_net_raw,cap_net_admin+eip", str(dumpcap)], check=True)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        environment = {
            **ENVIRONMENT,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": "/",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        enter = ["nsenter", f"--net=/run/netns/{looking.namespace}"]
        run = [*enter, *drop, sys.executable, "-m", "pysniff", "run", "-i", "lo", "-v", "--"]
        done = subprocess.run(
            [*run, "curl", "-sk", url("/nobody")],
            capture_output=True, text=True, timeout=180, env=environment, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == "ok"
        assert any(line.split()[4:7] == ["https", "GET", "/nobody"] for line in done.stderr.splitlines()), done.stderr
        assert "it takes root" in done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(tools)], check=True)
