"""The files that processes run are found and opened as they are: deleted, replaced, in containers, or gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from executable_files import system_library

from pysniff.tracer import installed, processes
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.hook import Mapped

# Loads a library, perhaps as seen from a folder that becomes its root, and waits.
LOADING = """
import ctypes, os, ssl, sys
if sys.argv[2]:
    os.chroot(sys.argv[2])
ctypes.CDLL(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def loading(library: Path | str, *, root: Path | str = "", within: tuple[str, ...] = ()) -> Iterator[int]:
    """The number of a process that has this library mapped."""
    command = [*within, sys.executable, "-c", LOADING, str(library), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield process.pid
        finally:
            process.communicate("")


def mapped(pid: int, name: str) -> Mapped:
    """The one file of that name that it has mapped."""
    (found,) = [one for one in processes.mapped_by(pid) if Path(one.path).name == name]
    return found


def names_of(one: Mapped) -> list[str]:
    """The TLS libraries in the file that is mapped."""
    descriptor = processes.opened(one)
    try:
        return [library.name for library in hooks_of(f"/proc/self/fd/{descriptor}")]
    finally:
        os.close(descriptor)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of libssl, so another inode, that nothing else uses."""
    return Path(shutil.copy(system_library("libssl.so.3"), tmp_path / "libssl-copy.so"))


def test_every_library_of_a_process_is_found(library: Path) -> None:
    with loading(library) as pid:
        paths = {one.path for one in processes.mapped_by(pid)}
        assert {str(library), str(system_library("libc.so.6"))} <= paths
        assert mapped(pid, library.name).inode == library.stat().st_ino


def test_a_library_that_is_mapped_is_opened(library: Path) -> None:
    with loading(library) as pid:
        assert names_of(mapped(pid, library.name)) == ["OpenSSL"]


@pytest.mark.needs_root
def test_a_library_that_was_deleted_is_opened(library: Path) -> None:
    with loading(library) as pid:
        library.unlink()
        one = mapped(pid, library.name)
        assert not one.path.endswith("(deleted)")
        assert names_of(one) == ["OpenSSL"]


@pytest.mark.needs_root
def test_a_library_that_was_replaced_is_opened_as_it_was(library: Path, tmp_path: Path) -> None:
    with loading(library) as pid:
        one = mapped(pid, library.name)
        (tmp_path / "newer").write_bytes(b"another file")
        (tmp_path / "newer").replace(library)
        assert names_of(one) == ["OpenSSL"]


@pytest.mark.needs_root
def test_a_library_in_a_mount_namespace_is_opened_through_its_process(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    original = system_library("libssl.so.3")
    script = f'mount -t tmpfs none {inside} && cp {original} {inside}/libssl-copy.so && exec "$0" "$@"'
    with loading(inside / "libssl-copy.so", within=("unshare", "-m", "sh", "-c", script)) as pid:
        assert not list(inside.iterdir())
        assert names_of(mapped(pid, "libssl-copy.so")) == ["OpenSSL"]


@pytest.mark.needs_root
def test_a_library_below_another_root_is_opened(library: Path, tmp_path: Path) -> None:
    with loading(f"/{library.name}", root=tmp_path) as pid:
        assert names_of(mapped(pid, library.name)) == ["OpenSSL"]


@pytest.mark.needs_root
def test_a_link_in_a_container_does_not_lead_out_of_it(library: Path, tmp_path: Path) -> None:
    outside = Path("/etc/passwd").stat()
    root = tmp_path / "root"
    root.mkdir()
    library = library.rename(root / library.name)
    (root / "link").symlink_to("/etc/passwd")
    (root / "dots").symlink_to("../../../../../../../../etc/passwd")
    with loading(f"/{library.name}", root=root) as pid:
        for name in ("/link", "/dots", "/../../../../../../../etc/passwd"):
            with pytest.raises(FileNotFoundError):
                processes.opened(Mapped(pid, name, outside.st_dev, outside.st_ino))


def test_a_process_that_is_gone_has_nothing(library: Path) -> None:
    with loading(library) as pid:
        one = mapped(pid, library.name)
    assert processes.mapped_by(pid) == []
    assert processes.name_of(pid) == ""
    # Its files are still there for those that see the same ones.
    assert names_of(one) == ["OpenSSL"]
    library.unlink()
    with pytest.raises(FileNotFoundError):
        processes.opened(one)


def test_another_file_of_the_same_name_is_not_opened(library: Path) -> None:
    with loading(library) as pid:
        one = mapped(pid, library.name)
    with pytest.raises(FileNotFoundError):
        processes.opened(one._replace(inode=one.inode + 1))


@pytest.mark.parametrize("name", ["a name with spaces.so", "a\nnewline.so", "deleted (deleted)", "ümlaut.so"])
def test_names_may_be_anything(library: Path, name: str) -> None:
    renamed = library.rename(library.with_name(name))
    with loading(renamed) as pid:
        inode = renamed.stat().st_ino
        (one,) = [one for one in processes.mapped_by(pid) if one.inode == inode]
        assert names_of(one) == ["OpenSSL"]


def test_all_processes_are_looked_at(library: Path) -> None:
    with loading(library) as pid:
        assert mapped(pid, library.name) in set(processes.now())
        assert processes.name_of(pid).startswith("python")


def test_installed_libraries_are_known_before_anybody_runs_them() -> None:
    paths = list(installed.installed())
    assert str(system_library("libssl.so.3")) in paths
    assert len({Path(path).stat().st_ino for path in paths}) == len(paths)
