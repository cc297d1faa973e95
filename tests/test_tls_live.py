"""`pysniff --tls` on the command line: programs that know nothing of it are seen in plain text, each call once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from netns import namespaces
from tls_live_bed import PATIENCE, Bed, Call, Made, Watching, watching

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "node", "curl", "openssl", "ip")]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("tls")) as bed:
        yield bed


def made(watched: Watching, *calls: Iterable[Made]) -> None:
    """All calls are made, and each is seen, once."""
    expected: Counter[Call] = Counter()
    for call, seen in chain(*calls):
        call()
        expected.update(seen)
    watched.until(lambda: sum(watched.calls.values()) >= sum(expected.values()), f"{expected} is seen")
    assert watched.calls == expected


def are_right(watched: Watching) -> None:
    """Addresses, and where the keys came from."""
    inside = [entry for entry in watched.entries if entry["tls"] and entry["protocol"] in ("http", "grpc")]
    assert {(entry["src"]["ip"], entry["dst"]["ip"]) for entry in inside} == {("127.0.0.1", "127.0.0.1")}
    assert {entry["tls"]["key_source"] for entry in inside} == {"kernel"}
    assert {entry["capture_source"] for entry in inside} == {"libpcap"}
    assert {entry["completeness"] for entry in inside} == {"complete"}
    assert not [entry["faults"] for entry in inside if entry["faults"]]


def test_every_call_on_loopback_is_shown_once_in_plain_text(bed: Bed) -> None:
    with watching("-i", "lo", "--tls", bed.filter) as watched:
        made(watched, bed.calls(), bed.grpc_calls())
        are_right(watched)


def test_addresses_are_those_of_the_connection(bed: Bed) -> None:
    with watching("-i", "lo", "--tls", bed.filter) as watched:
        port = int(bed.run("curl", "-sSk", "-w", "%{local_port}", "-o", "/dev/null", bed.url(bed.nginx, "/port")))
        watched.until(lambda: watched.calls, "the call is seen")
        (call,) = (entry for entry in watched.entries if entry["protocol"] == "http")
        assert (call["src"]["port"], call["dst"]["port"]) == (port, bed.nginx)


@pytest.mark.parametrize("where", ["inside", "from outside"])
def test_every_call_in_a_namespace_is_shown_once_in_plain_text(tmp_path: Path, where: str) -> None:
    with namespaces(1) as (name,), Bed(tmp_path, name) as bed:
        there = () if where == "inside" else ("--netns", name)
        before = ("ip", "netns", "exec", name) if where == "inside" else ()
        with watching("-i", "lo", "--tls", *there, bed.filter, before=before) as watched:
            made(watched, bed.calls(), bed.grpc_calls())
            are_right(watched)


def test_two_hundred_connections_at_once_are_all_read(bed: Bed) -> None:
    program = (
        "import concurrent.futures, ssl, sys, urllib.request\n"
        "context = ssl._create_unverified_context()\n"
        "ask = lambda n: urllib.request.urlopen(f'{sys.argv[1]}{n}', context=context).read()\n"
        "with concurrent.futures.ThreadPoolExecutor(20) as pool: list(pool.map(ask, range(200)))\n"
    )
    with watching("-i", "lo", "--tls", bed.filter) as watched:
        bed.run(sys.executable, "-c", program, bed.url(bed.nginx, "/load/"))
        expected = Counter(Call("http", f"/load/{number}", "200", bed.nginx, "1.1") for number in range(200))
        watched.until(lambda: sum(watched.calls.values()) >= 200, "all are seen")
        assert watched.calls == expected


# Calls over one connection, one for each line of its input.
ASKING = """
import http.client, ssl, sys
client = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=ssl._create_unverified_context())
for line in sys.stdin:
    client.request("GET", line.strip())
    print(client.getresponse().read().decode().strip(), flush=True)
"""


def test_a_connection_opened_before_is_read_in_the_process(bed: Bed) -> None:
    with bed.start(sys.executable, "-c", ASKING, str(bed.nginx)) as asking:
        assert asking.stdin
        assert asking.stdout

        def ask(path: str) -> None:
            assert asking.stdin
            assert asking.stdout
            asking.stdin.write(f"{path}\n")
            asking.stdin.flush()
            assert asking.stdout.readline() == f"nginx has {path}\n"

        ask("/before")
        with watching("-i", "lo", "--tls", bed.filter) as watched:
            for number in range(5):
                ask(f"/after/{number}")
            expected = Counter(Call("http", f"/after/{number}", "200", bed.nginx, "1.1") for number in range(5))
            watched.until(lambda: len(watched.calls) >= 5, "calls on it are seen")
            assert watched.calls == expected
            inside = [entry for entry in watched.entries if entry["protocol"] == "http"]
            assert {entry["capture_source"] for entry in inside} == {"ebpf_tls"}
            assert {entry["tls"]["key_source"] for entry in inside} == {"plaintext"}
        asking.stdin.close()
        asking.wait(PATIENCE)


def test_plaintext_mode_alone_shows_the_same_calls(bed: Bed) -> None:
    """But for gRPC's: grpcio brings a BoringSSL without names, of which only what makes keys can be found."""
    with watching("-i", "lo", "--tls", "--tls-mode", "plaintext", bed.filter) as watched:
        made(watched, bed.calls())
        assert {entry["capture_source"] for entry in watched.entries if entry["protocol"] == "http"} == {"ebpf_tls"}
