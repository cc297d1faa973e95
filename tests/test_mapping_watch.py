"""Programs that start, and libraries that they load, are told as it happens."""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from executable_files import system_library

from pysniff.tracer import watch
from pysniff.tracer.hook import Mapped
from pysniff.tracer.watch import Looks, MappingWatch, Watch

PATIENCE = 60.0

# Maps its first argument to execute as often as the second says.
MAPPING = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    for _ in range(int(sys.argv[2])):
        mmap.mmap(file.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
"""


@pytest.fixture
def records() -> Iterator[MappingWatch]:
    made = MappingWatch()
    yield made
    made.close()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return Path(shutil.copy(system_library("libssl.so.3"), tmp_path / "libssl-copy.so"))


def map_it(path: Path, times: int = 1) -> int:
    """The number of the process that did, which has ended."""
    process = subprocess.Popen([sys.executable, "-c", MAPPING, str(path), str(times)])
    assert process.wait(PATIENCE) == 0
    return process.pid


def told(source: Watch, wanted: Callable[[Mapped], bool]) -> Mapped:
    """The first such file, as a program that polls would hear of it."""
    ready = select.poll()
    for descriptor in source.descriptors():
        ready.register(descriptor, select.POLLIN)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ready.poll(1_000)
        for mapped in source.take():
            if wanted(mapped):
                return mapped
    raise AssertionError("it was not told")


@pytest.mark.needs_ebpf
def test_a_mapping_is_told_with_its_process_and_file(records: MappingWatch, library: Path) -> None:
    pid = map_it(library)
    mapped = told(records, lambda mapped: mapped.path == str(library))
    assert (mapped.pid, mapped.inode) == (pid, library.stat().st_ino)
    assert mapped.generation is not None


@pytest.mark.needs_ebpf
def test_a_program_that_starts_is_told(records: MappingWatch, tmp_path: Path) -> None:
    program = Path(shutil.copy("/bin/true", tmp_path / "program"))
    subprocess.run([program], check=True)
    assert told(records, lambda mapped: mapped.path == str(program))


@pytest.mark.needs_ebpf
def test_news_wake_who_waits_for_them(records: MappingWatch, library: Path) -> None:
    records.take()
    timer = threading.Timer(0.2, map_it, (library,))
    timer.start()
    assert told(records, lambda mapped: mapped.path == str(library))
    timer.join()


@pytest.mark.needs_ebpf
def test_records_that_nobody_takes_are_counted(records: MappingWatch, library: Path) -> None:
    map_it(library, 20_000)
    # The kernel says so with the next record that has room.
    records.take()
    map_it(library)
    assert told(records, lambda mapped: mapped.path == str(library))
    end = time.monotonic() + PATIENCE
    while not records.lost and time.monotonic() < end:
        map_it(library)
        records.take()
    assert records.lost > 0


@pytest.mark.needs_ebpf
def test_watching_leaves_nothing_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = MappingWatch()
    assert len(list(Path("/proc/self/fd").iterdir())) > before
    made.close()
    made.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_perf_processes_are_looked_at(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(watch, "perf_event", refuse)
    source = watch.watch()
    try:
        assert isinstance(source, Looks)
        assert "Operation not permitted" in source.lacking
        assert "CAP_PERFMON" in source.lacking
        assert "may not be seen" in source.lacking
        waiting = "import ctypes, ssl, sys; ctypes.CDLL(sys.argv[1]); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", waiting, str(library)], stdin=subprocess.PIPE) as process:
            mapped = told(source, lambda mapped: mapped.path == str(library))
            assert mapped.pid == process.pid
            process.communicate(b"")
    finally:
        source.close()
        source.close()
