"""Programs that give their TLS library memory instead of a socket: every byte is told of the right connection."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from plain_bed import AsyncioClient, Heard, PlainBed

from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext import PlainSource

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]

CONNECTIONS = 1_000


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainBed]:
    bed = PlainBed(tmp_path_factory.mktemp("plain"))
    yield bed
    bed.close()


def _check(heard: Heard, asked: dict[int, int]) -> None:
    """Each connection said what its client says it did, and nothing else."""
    heard.listen(lambda: heard.answers().count(b"you said") == 2 * len(asked), "all answers are told")
    requests, answers = heard.said(to_server=True), heard.said(to_server=False)
    assert requests.keys() == answers.keys() == asked.keys()
    for port, number in asked.items():
        assert re.findall(rb"^GET (\S+)", requests[port], re.MULTILINE) == [b"/%d/0" % number, b"/%d/1" % number]
        assert re.findall(rb"^you said (\S+)", answers[port], re.MULTILINE) == [b"/%d/0" % number, b"/%d/1" % number]


@pytest.mark.parametrize("only_earlier", [False, True], ids=["of all", "opened before"])
def test_a_thousand_connections_at_once_are_told_apart(bed: PlainBed, only_earlier: bool) -> None:
    client = AsyncioClient(bed.port, CONNECTIONS)
    with PlainSource(Limits(pids=frozenset([client.pid])), only_earlier=only_earlier) as source:
        heard = Heard(source, bed.port)
        client.go()
        heard.listen(lambda: not client.is_running(), "the client is done")
        _check(heard, client.asked())
        report = source.report()
        assert (report.ring_full, report.unknown_bytes, report.doubled_bytes) == (0, 0, 0)


def test_a_server_of_asyncio_tells_its_connections_apart(bed: PlainBed) -> None:
    with bed.asyncio_server() as (port, pid), PlainSource(Limits(pids=frozenset([pid]))) as source:
        heard = Heard(source, port)
        client = AsyncioClient(port, CONNECTIONS // 5)
        client.go()
        heard.listen(lambda: not client.is_running(), "the client is done")
        _check(heard, client.asked())


def test_both_ends_on_one_machine_are_told_once(bed: PlainBed) -> None:
    with bed.asyncio_server() as (port, _), PlainSource() as source:
        heard = Heard(source, port)
        client = AsyncioClient(port, CONNECTIONS // 5)
        client.go()
        heard.listen(lambda: not client.is_running(), "the client is done")
        _check(heard, client.asked())
        assert source.report().doubled_bytes >= len(heard.requests()) + len(heard.answers())
