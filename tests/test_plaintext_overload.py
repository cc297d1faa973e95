"""What does not fit is counted and leaves a hole of just its size; what is told is what was said, at its place."""

from __future__ import annotations

import hashlib
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest
from plain_bed import PlainBed
from tracer_bed import PATIENCE

from pysniff.limits import KIB, MIB
from pysniff.plain import PlainChunk
from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext import PlainSource

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]

SIZE = 24 * MIB

# Both sides write what is different everywhere, in pieces of all sizes, and read what the other one writes.
PEERS = """
import hashlib, socket, ssl, sys, threading

size, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]

def content(name):
    return b"".join(hashlib.sha256(b"%s %d" % (name, number)).digest() for number in range(size // 32))

def talk(connection, name):
    data, at, step = content(name), 0, 1
    while at < size:
        connection.sendall(data[at : at + step])
        at, step = at + step, step * 2 % 999_983 + 1

server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
listening = socket.create_server(("127.0.0.1", 0))
sent = socket.create_connection(listening.getsockname())
received, _ = listening.accept()
made = []
accepting = threading.Thread(target=lambda: made.append(server.wrap_socket(received, server_side=True)))
accepting.start()
one = ssl._create_unverified_context().wrap_socket(sent)
accepting.join()
print(one.getsockname()[1], flush=True)
sys.stdin.readline()
writing = threading.Thread(target=talk, args=(one, b"client"))
writing.start()
left = size
while left:
    left -= len(made[0].recv(min(left, 50_000)))
writing.join()
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainBed]:
    bed = PlainBed(tmp_path_factory.mktemp("plain"))
    yield bed
    bed.close()


def _content() -> bytes:
    return b"".join(hashlib.sha256(b"client %d" % number).digest() for number in range(SIZE // 32))


@pytest.mark.parametrize("ring", [128 * KIB, 64 * MIB], ids=["too small a ring", "enough room"])
def test_what_is_told_is_what_was_said_and_the_rest_is_counted(bed: PlainBed, ring: int) -> None:
    content = _content()
    command = [sys.executable, "-c", PEERS, str(SIZE), str(bed.certificate), str(bed.key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peers:
        assert peers.stdin is not None
        assert peers.stdout is not None
        port = int(peers.stdout.readline()).to_bytes(2, "big")
        with PlainSource(Limits(pids=frozenset([peers.pid])), ring=ring) as source:
            peers.stdin.write("go\n")
            peers.stdin.flush()
            chunks: list[PlainChunk] = []
            said = peers.stdout.fileno()
            while said not in select.select([said, source.fileno()], [], [], PATIENCE)[0]:
                chunks += source.poll()
            assert peers.stdout.readline() == "done\n"
            while more := source.poll():
                chunks += more
            report = source.report()
            told = [chunk for chunk in chunks if chunk.key[-4:-2] == port and chunk.data]
            reach = 0
            for chunk in told:
                assert len(chunk.data) <= 16 * KIB
                assert chunk.offset >= reach, "bytes came twice"
                assert chunk.data == content[chunk.offset : chunk.offset + len(chunk.data)]
                reach = chunk.offset + len(chunk.data)
            told_bytes = sum(len(chunk.data) for chunk in told)
            # Both ends are this process: each byte was read and written, and one of the two taken.
            lost = report.ring_full_bytes + report.unreadable_bytes + report.beyond_bytes
            assert report.given_bytes + report.doubled_bytes + lost == 2 * SIZE
            if ring > 2 * SIZE:
                assert (told_bytes, lost) == (SIZE, 0)
            else:
                assert report.ring_full > 0
                assert 0 < told_bytes < SIZE
        peers.communicate("end\n", PATIENCE)
