"""Which files running processes have mapped to execute, and how to open just those files.

Processes come, go and lie: one that vanishes is left out, one in a container is read through its own root, and a file
counts only when it is the one that the kernel says is mapped.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from pysniff.limits import MIB
from pysniff.tracer.hook import Mapped
from pysniff.tracer.syscalls import buffer, call

_PROC = Path("/proc")
# Of one process: 65,530 mappings is what the kernel allows, at about 100 bytes each.
_MAPS_BYTES = 8 * MIB
# Different files that one process has mapped to execute: browsers have some hundreds.
_FILES = 4_096
# address permissions offset device inode path; a newline in a path is written \012.
_LINE = re.compile(rb"^([0-9a-f]+-[0-9a-f]+) [r-][w-]x. [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*)$", re.MULTILINE)
_DELETED = b" (deleted)"

_OPENAT2 = 437  # on every architecture
_RESOLVE_IN_ROOT = 0x10  # absolute symbolic links and .. stay in there
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def running() -> list[int]:
    """The processes there are, by number."""
    try:
        return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    except OSError:
        return []


def now(pids: Iterable[int] | None = None) -> Iterator[Mapped]:
    """What those processes, or all, have mapped to execute at this moment; a file once for each process."""
    for pid in running() if pids is None else pids:
        yield from mapped_by(pid)


def mapped_by(pid: int) -> list[Mapped]:
    """What one process has mapped to execute; nothing of one that is gone or may not be looked at."""
    return [mapped for mapped, _ in _mappings(pid)]


def opened(mapped: Mapped) -> int:
    """A descriptor of that very file, for reading; FileNotFoundError where it is gone, OSError where it is not allowed.

    Also of a file that was deleted or replaced since, as libraries are when a system is upgraded; and when the process
    has ended meanwhile, if it saw the same files as this one does.
    """
    try:
        fd = _open_in_root(mapped.pid, mapped.path)
    except FileNotFoundError:
        return _open_mapping(mapped)
    status = os.fstat(fd)
    # Not the device: file systems made of others (overlayfs, btrfs) tell stat another one.
    if status.st_ino == mapped.inode and stat.S_ISREG(status.st_mode):
        return fd
    os.close(fd)
    return _open_mapping(mapped)


def name_of(pid: int) -> str:
    """As /proc/PID/comm has it, at most 15 characters; "" of one that is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_bytes().rstrip(b"\n").decode("utf-8", "replace")
    except OSError:
        return ""


def _mappings(pid: int) -> Iterator[tuple[Mapped, str]]:
    """Each file once, with the addresses of one of its mappings, as map_files names it."""
    try:
        with open(_PROC / str(pid) / "maps", "rb") as file:
            text = file.read(_MAPS_BYTES)
    except OSError:
        return
    seen: set[tuple[int, int]] = set()
    for match in _LINE.finditer(text):
        addresses, major, minor, inode, path = match.groups()
        device, number = os.makedev(int(major, 16), int(minor, 16)), int(inode)
        if not number or (device, number) in seen or len(seen) >= _FILES:
            continue
        seen.add((device, number))
        name = os.fsdecode(path.removesuffix(_DELETED).replace(rb"\012", b"\n"))
        yield Mapped(pid, name, device, number), addresses.decode()


def _open_in_root(pid: int, path: str) -> int:
    """Open what the process means by that path; a link in a container cannot lead out of it."""
    root = os.open(_PROC / str(pid) / "root", os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        how = buffer(struct.pack("=QQQ", _FLAGS, 0, _RESOLVE_IN_ROOT))
        return call(_OPENAT2, root, buffer(os.fsencode(path) + b"\0"), how, len(how))
    finally:
        os.close(root)


def _open_mapping(mapped: Mapped) -> int:
    """By the addresses where it is mapped: exactly that file, whatever has its path now."""
    process = _PROC / str(mapped.pid)
    for other, addresses in _mappings(mapped.pid):
        # Of a file in overlayfs, the kernel's records and /proc/PID/maps may tell different inodes.
        if (other.device, other.inode) == (mapped.device, mapped.inode) or other.path == mapped.path:
            return os.open(process / "map_files" / addresses, _FLAGS)
    if process.exists():
        raise FileNotFoundError(f"process {mapped.pid} no longer has it mapped")
    fd = os.open(mapped.path, _FLAGS)
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == (mapped.device, mapped.inode) and stat.S_ISREG(status.st_mode):
        return fd
    os.close(fd)
    raise FileNotFoundError(f"process {mapped.pid} is gone, and what it had mapped is not the file of that name here")
