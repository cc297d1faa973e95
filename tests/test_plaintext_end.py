"""However plaintext mode ends, nothing of it is left in the kernel, and what was traced goes on."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from plain_bed import Heard, PlainBed
from tracer_bed import PATIENCE, until

from pysniff.tracer.bpf import bpf
from pysniff.tracer.limits import Limits
from pysniff.tracer.plaintext import PlainSource

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]

TRACER = """
import sys, time
from pysniff.tracer.plaintext import PlainSource

source = PlainSource(only_earlier=sys.argv[1] == "earlier")
print("ready", flush=True)
while True:
    time.sleep(0.01)
    source.poll()
"""
_PROGRAM_BY_ID = 13  # BPF_PROG_GET_FD_BY_ID


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainBed]:
    bed = PlainBed(tmp_path_factory.mktemp("plain"))
    yield bed
    bed.close()


def _programs(pid: int) -> set[int]:
    """The numbers that the kernel gave to what this process has loaded."""
    found = set()
    for file in list(Path(f"/proc/{pid}/fdinfo").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor by which we look
            found |= {int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("prog_id:")}
    return found


def _exists(program: int) -> bool:
    try:
        os.close(bpf(_PROGRAM_BY_ID, struct.pack("<III", program, 0, 0)))
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("connections", ["all", "earlier"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_program_is_left_and_connections_go_on(bed: PlainBed, connections: str, number: signal.Signals) -> None:
    with bed.python() as talker:
        talker.call("/before")
        command = [sys.executable, "-c", TRACER, connections]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tracer:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == "ready\n"
            programs = _programs(tracer.pid)
            assert programs
            assert all(map(_exists, programs))
            talker.call("/meanwhile")
            tracer.send_signal(number)
            tracer.wait(PATIENCE)
        until(lambda: not any(map(_exists, programs)), "the programs are gone")
        talker.call("/after")
    assert bed.nginx.poll() is None


def test_a_closed_source_leaves_nothing_and_still_reports(bed: PlainBed) -> None:
    before = _programs(os.getpid())
    with bed.python() as talker:
        source = PlainSource(Limits(pids=frozenset([talker.pid])))
        heard = Heard(source, bed.port)
        talker.call("/while")
        heard.listen(lambda: b"you said /while\n" in heard.answers(), "the answer is told")
        assert _programs(os.getpid()) > before
        source.close()
        source.close()
        assert _programs(os.getpid()) == before
        assert source.report().given_bytes == len(heard.requests()) + len(heard.answers())
        assert source.poll() == []
        assert source.finished
        talker.call("/after")


def test_what_was_watched_from_its_start_says_so(bed: PlainBed) -> None:
    with bed.python() as early:
        early.call("/before")
        with PlainSource(Limits(pids=frozenset([bed.nginx.pid]))) as source, bed.python() as late:
            heard = Heard(source, bed.port)
            early.call("/early")
            late.call("/late")
            heard.listen(lambda: heard.answers().count(b"you said") == 2, "both answers are told")
            starts = {chunk.data.split()[1]: chunk.watched_from_start for chunk in heard.chunks if chunk.data}
            assert (starts[b"/early"], starts[b"/late"]) == (False, True)


def test_only_those_are_traced_who_are_asked_for(bed: PlainBed) -> None:
    with bed.python() as one, bed.python() as other, PlainSource(Limits(pids=frozenset([one.pid]))) as source:
        heard = Heard(source, bed.port)
        other.call("/other")
        one.call("/one")
        heard.listen(lambda: b"you said /one\n" in heard.answers(), "the answer is told")
        assert b"/other" not in heard.requests()
        assert len({chunk.reader for chunk in heard.chunks}) == 1
