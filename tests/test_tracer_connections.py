"""Each process is told how many of its TLS connections had keys, and how many had none."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

import netns
import pytest
from tracer_bed import PYTHON_CLIENT, Bed, finish, until

import pysniff
from pysniff.secrets import TlsConnection
from pysniff.tracer import connections as counting
from pysniff.tracer.closing import Owner
from pysniff.tracer.connection_owners import ConnectionOwners
from pysniff.tracer.connections import Connections, Counted
from pysniff.tracer.limits import Limits
from pysniff.tracer.traced import TracedProcess
from pysniff.tracing import Tracing

# A TLS client that brings its own library, of which no key can be had.
RUSTLS_CLIENT = """
import sys, jsonschema_rs
print("ready", flush=True)
sys.stdin.readline()
try:
    jsonschema_rs.validator_for({"$ref": f"https://127.0.0.1:{sys.argv[1]}/"})
except jsonschema_rs.ValidationError:
    pass
"""

# Two ends of a connection: one says so, and waits.
SERVER = """
import socket, sys
listening = socket.create_server((sys.argv[1], 4433))
print("ready", flush=True)
connection, _ = listening.accept()
print("open", flush=True)
sys.stdin.readline()
"""
CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 4433), source_address=("", 4434))
print("ready", flush=True)
sys.stdin.readline()
"""


class Owners:
    """Stands in for ConnectionOwners; `asked`: keys that were looked for among all sockets."""

    def __init__(self) -> None:
        self.closing: dict[bytes, list[Owner]] = {}
        self.opened: dict[bytes, list[Owner]] = {}
        self.asked: list[set[bytes]] = []

    def closed(self, key: bytes) -> list[Owner]:
        return self.closing.get(key, [])

    def open(self, keys: Collection[bytes]) -> dict[bytes, list[Owner]]:
        self.asked.append(set(keys))
        return self.opened


def connection(number: int, *, keyed: bool = False, way: int = 0) -> TlsConnection:
    return TlsConnection(number.to_bytes(32, "big"), bytes((way, number)) * 6, keyed)


def figures(connections: Connections) -> dict[tuple[int, int], tuple[str, int, int]]:
    counted = connections.counted()
    return {place: (one.comm, one.with_keys, one.without_keys) for place, one in counted.items()}


# Counting


def test_a_key_of_both_ends_counts_for_both() -> None:
    owners = Owners()
    connections = Connections(owners)
    one = connection(1, keyed=True)
    for _ in range(5):
        connections.revealed(one.random, (10, 1), "curl")
        connections.revealed(one.random, (20, 1), "nginx")
    connections.began([one])
    connections.close()
    assert figures(connections) == {(10, 1): ("curl", 1, 0), (20, 1): ("nginx", 1, 0)}
    assert not owners.asked


def test_without_a_key_it_is_of_those_who_closed_it_or_have_it_open() -> None:
    owners = Owners()
    closed, opened, strange = connection(1), connection(2), connection(3)
    owners.closing[closed.key] = [Owner(10, "uv"), Owner(20, "nginx")]
    owners.opened[opened.key] = [Owner(10, "uv")]
    connections = Connections(owners)
    connections.began([closed, opened, strange])
    connections.close()
    assert figures(connections) == {(10, 0): ("uv", 0, 2), (20, 0): ("nginx", 0, 1)}
    assert connections.unowned == 1
    # All sockets are looked through once, for those that nobody has closed.
    assert owners.asked == [{opened.key, strange.key}]


def test_a_key_from_elsewhere_counts_for_the_owner() -> None:
    owners = Owners()
    one, remote = connection(1, keyed=True), connection(2, keyed=True)
    owners.opened[one.key] = [Owner(10, "firefox")]
    connections = Connections(owners)
    connections.began([one, remote])
    connections.close()
    assert figures(connections) == {(10, 0): ("firefox", 1, 0)}
    assert connections.unowned == 0


def test_what_was_captured_on_two_ways_counts_once() -> None:
    owners = Owners()
    before, behind = connection(1), connection(1, way=1)
    owners.closing = {before.key: [Owner(10, "uv"), Owner(15, "proxy")], behind.key: [Owner(15, "proxy")]}
    connections = Connections(owners)
    connections.began([before, behind, connection(2), connection(2, way=1)])
    connections.close()
    assert figures(connections) == {(10, 0): ("uv", 0, 1), (15, 0): ("proxy", 0, 1)}
    assert connections.unowned == 1


def test_a_thread_finds_owners_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_OFTEN", 0.01)
    owners = Owners()
    connections = Connections(owners)
    for number in (1, 2, 3):
        owners.closing[connection(number).key] = [Owner(10, "uv")]
        connections.began([connection(number)])
        expected = {(10, 0): ("uv", 0, number)}
        until(partial(lambda wanted: figures(connections) == wanted, expected), "it is found")
    connections.close()


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_WAITING", 10)
    monkeypatch.setattr(counting, "_PROCESSES", 10)
    owners = Owners()
    connections = Connections(owners)
    connections.began(connection(number) for number in range(30))
    connections.close()
    assert connections.unowned == 30
    for number in range(100, 130):
        one = connection(number, keyed=True)
        connections.revealed(one.random, (number, 1), "many")
        connections.began([one])
    assert (len(connections.counted()), connections.forgotten) == (10, 20)
    assert connections.counted()[129, 1] == Counted("many", 1, 0)


# Owners


def key_of(one: socket.socket) -> bytes:
    """As in its packets."""
    mapped = "::ffff:"
    ends = [(end[0].removeprefix(mapped), end[1]) for end in (one.getsockname(), one.getpeername())]
    family = socket.AF_INET6 if ":" in ends[0][0] else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, ip) for ip, _ in ends)
    return addresses + b"".join(port.to_bytes(2, "big") for _, port in ends)


@contextmanager
def connected(
    family: socket.AddressFamily, listens: str, connects: str
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends."""
    dual = family == socket.AF_INET6 and listens == "::"
    with (
        socket.create_server((listens, 0), family=family, dualstack_ipv6=dual) as listening,
        socket.create_connection((connects, listening.getsockname()[1])) as client,
    ):
        server, _ = listening.accept()
        with server:
            yield client, server


@pytest.mark.needs_ebpf
@pytest.mark.parametrize(
    ("family", "listens", "connects"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ],
)
def test_both_ends_are_known_while_they_are_open_and_after(
    family: socket.AddressFamily, listens: str, connects: str
) -> None:
    me = Owner(os.getpid(), Path("/proc/self/comm").read_text().strip())
    with ConnectionOwners() as owners:
        with connected(family, listens, connects) as (client, server):
            keys = [key_of(client), key_of(server)]
            assert [owners.closed(key) for key in keys] == [[], []]
            for key in keys:
                assert owners.open([key]) == {key: [me]}
        for key in keys:
            assert owners.closed(key) == [me, me]
            assert owners.open([key]) == {}


@pytest.mark.needs_ebpf
@pytest.mark.parametrize("how", ["unread", "at once"])
def test_who_resets_a_connection_is_known_and_nobody_is_taken_for_who_was_reset(how: str) -> None:
    me = Owner(os.getpid(), Path("/proc/self/comm").read_text().strip())
    with ConnectionOwners() as owners, connected(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (client, server):
        key = key_of(client)
        if how == "unread":
            server.sendall(b"never read")
            until(lambda: client.recv(100, socket.MSG_PEEK), "it has come")
        else:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert owners.closed(key) == [me]


@pytest.mark.needs_ebpf
def test_owners_in_other_namespaces_are_known(tmp_path: Path) -> None:
    with netns.namespaces(2) as (one, other), ConnectionOwners() as owners:
        netns.join(one, other, names=("veth0", "veth0"), addresses=("10.9.0.1/24", "10.9.0.2/24"))
        key = bytes((10, 9, 0, 1, 10, 9, 0, 2)) + (4434).to_bytes(2, "big") + (4433).to_bytes(2, "big")
        with netns.serving(other, SERVER, "10.9.0.2") as server, netns.serving(one, CLIENT, "10.9.0.2") as client:
            assert server.stdout
            assert server.stdout.readline() == "open\n"
            assert {owner.pid for owner in owners.open([key])[key]} == {client.pid, server.pid}
            for process in (client, server):
                process.communicate("go\n")
            assert [owner.pid for owner in owners.closed(key)] == [client.pid, server.pid]


@pytest.mark.needs_ebpf
def test_where_the_kernel_does_not_tell_those_that_are_open_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pysniff.tracer.connection_owners.Closing", refused)
    with ConnectionOwners() as owners, connected(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (client, _):
        assert "Operation not permitted" in owners.lacking
        assert owners.closed(key_of(client)) == []
        assert len(owners.open([key_of(client)])) == 1


# Real programs


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("tracer")) as bed:
        yield bed


def started(program: str, *words: object) -> subprocess.Popen[str]:
    """It waits for a line before it connects."""
    command = [sys.executable, "-c", program, *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def watched(bed: Bed, limits: Limits, clients: Collection[subprocess.Popen[str]]) -> dict[int, list[TracedProcess]]:
    """What is told of the processes, once each of these has connected."""
    only = [*map(str, limits.pids), *limits.names]
    with Tracing("keys", only) as tracing:
        assert tracing.secrets is not None
        entries = pysniff.sniff("lo", bpf=f"tcp port {bed.port}", tls=tracing)

        def talk() -> None:
            for client in clients:
                finish(client)
            entries.finish()

        talking = Thread(target=talk)
        talking.start()
        assert len([entry for entry in entries if entry.protocol == "tlsx"]) >= len(clients)
        talking.join()
    found: dict[int, list[TracedProcess]] = {}
    for one in tracing.secrets.report().processes:
        found.setdefault(one.pid, []).append(one)
    return found


def counts(processes: Collection[TracedProcess]) -> tuple[int, int]:
    return sum(one.with_keys for one in processes), sum(one.without_keys for one in processes)


@pytest.mark.needs_ebpf
@pytest.mark.needs("nginx", "openssl")
def test_connections_that_are_decrypted_count_for_client_and_server(bed: Bed) -> None:
    client = started(PYTHON_CLIENT, bed.port, "TLSv1_3", 3, "")
    found = watched(bed, Limits(), [client])
    assert counts(found[client.pid]) == (3, 0)
    assert counts(found[bed.worker]) == (3, 0)
    (nginx,) = [one for one in found[bed.worker] if one.with_keys]
    assert (nginx.comm, nginx.attached, nginx.running) == ("nginx", True, True)
    assert "libssl" in nginx.path


@pytest.mark.needs_ebpf
@pytest.mark.needs("nginx", "openssl")
def test_programs_that_were_left_out_have_connections_without_keys(bed: Bed) -> None:
    first, second = (started(PYTHON_CLIENT, bed.port, version, 1, "") for version in ("TLSv1_3", "TLSv1_2"))
    found = watched(bed, Limits(pids=frozenset({second.pid})), [first, second])
    assert counts(found[first.pid]) == (0, 1)
    assert counts(found[second.pid]) == (1, 0)
    # The other connection was read with its client's key.
    assert counts(found[bed.worker]) == (0, 1)
    for pid in (first.pid, bed.worker):
        (one,) = [one for one in found[pid] if one.without_keys]
        assert (one.attached, one.keys) == (False, 0)
        assert one.problem.startswith("left out")


@pytest.mark.needs_ebpf
@pytest.mark.needs("nginx", "openssl")
def test_a_library_that_gives_no_keys_is_named_with_its_connections(bed: Bed) -> None:
    pytest.importorskip("jsonschema_rs", reason="needs jsonschema_rs, which has rustls")
    client = started(RUSTLS_CLIENT, bed.port)
    # Not the server, whose keys are the same.
    found = watched(bed, Limits(pids=frozenset({client.pid})), [client])
    keyless = [one for one in found[client.pid] if one.without_keys]
    assert [one.library.split()[0] for one in keyless] == ["rustls"]
    assert not keyless[0].attached
    assert keyless[0].problem
    assert counts(found[client.pid])[0] == 0
