"""However a tracer ends, no probe is left behind, and what was traced goes on."""

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
from tracer_bed import PATIENCE, Bed, finish, own_library, until

from pysniff.tracer.bpf import bpf
from pysniff.tracer.elf import Elf

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]

# It has the probes of every tracer, and one of its own on a function that no other has a probe on.
TRACER = """
import os, sys, time
from pysniff.tracer.architecture import here
from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.uprobe import attach, load

path, offset, forks = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "forks"
kernel = KernelSecrets()
with load(ProbeProgram(here()).leave(), "pysniff_test") as program:
    own = attach(path, [offset], program)
child = 0
if forks:
    child = os.fork()
    if not child:
        for one in own:
            one.close()
        time.sleep(600)
        os._exit(0)
print("ready", child, flush=True)
while True:
    time.sleep(0.01)
    kernel.take()
"""
_PROGRAM_BY_ID = 13  # BPF_PROG_GET_FD_BY_ID


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Its nginx has a library of its own, which no tracer of another test is at."""
    folder = tmp_path_factory.mktemp("tracer")
    (folder / "library").mkdir()
    with Bed(folder, own_library(folder / "library")) as bed:
        yield bed


class Place:
    """A function in the memory of nginx."""

    def __init__(self, bed: Bed) -> None:
        (library,) = (bed.folder / "library").iterdir()
        self.path = str(library)
        with Elf(self.path) as elf:
            found = elf.offset(elf.symbols(["SSL_get_rfd"])["SSL_get_rfd"].address)
        assert found is not None
        self.offset = found
        self._pid = bed.worker
        self._address = self._mapped_at()

    def instruction(self) -> int:
        """Its first byte, as nginx would execute it."""
        with open(f"/proc/{self._pid}/mem", "rb") as memory:
            memory.seek(self._address)
            return memory.read(1)[0]

    def _mapped_at(self) -> int:
        for line in Path(f"/proc/{self._pid}/maps").read_text().splitlines():
            addresses, permissions, offset, _, _, *path = line.split()
            if path == [self.path] and "x" in permissions:
                start, _, end = addresses.partition("-")
                at = int(start, 16) + self.offset - int(offset, 16)
                if int(start, 16) <= at < int(end, 16):
                    return at
        raise AssertionError(f"nginx has not mapped {self.path}")


class Tracer:
    """One in a process of its own."""

    def __init__(self, place: Place, forks: bool = False) -> None:
        command = [sys.executable, "-c", TRACER, place.path, str(place.offset), "forks" if forks else ""]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline().split()[1])
        self.programs = self._programs()

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)

    def _programs(self) -> set[int]:
        """The numbers that the kernel gave them; of those that it can tell (6.6 and later)."""
        found = set()
        for file in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            with suppress(FileNotFoundError):  # of a file that it has closed meanwhile
                found |= {int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("prog_id:")}
        return found


def exists(program: int) -> bool:
    try:
        os.close(bpf(_PROGRAM_BY_ID, struct.pack("<III", program, 0, 0)))
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV])
def test_no_probe_is_left_and_what_was_traced_goes_on(bed: Bed, number: signal.Signals) -> None:
    place = Place(bed)
    before = place.instruction()
    tracer = Tracer(place)
    assert place.instruction() != before, "the probe is not there"
    assert all(map(exists, tracer.programs))
    client = bed.python("TLSv1_3", 50, "")
    assert client.stdin is not None
    client.stdin.write("go\n")
    client.stdin.flush()
    tracer.end(number)
    until(lambda: place.instruction() == before, "the probe is gone")
    until(lambda: not any(map(exists, tracer.programs)), "the programs are gone")
    finish(client)
    assert bed.answers()
    assert bed.nginx.poll() is None


def test_a_child_does_not_keep_the_probes_of_a_tracer_that_was_killed(bed: Bed) -> None:
    place = Place(bed)
    before = place.instruction()
    tracer = Tracer(place, forks=True)
    try:
        tracer.process.kill()
        tracer.process.wait(PATIENCE)
        assert tracer.process.stdout is not None
        tracer.process.stdout.close()  # the child has it too: it does not end
        until(lambda: place.instruction() == before, "the probe is gone")
        until(lambda: not any(map(exists, tracer.programs)), "the programs are gone")
        os.kill(tracer.child, 0)
    finally:
        os.kill(tracer.child, signal.SIGKILL)
