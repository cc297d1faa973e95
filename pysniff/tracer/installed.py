"""The TLS libraries that a system has installed, so that probes are there before the first program uses them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pysniff.limits import MIB

_CACHE = Path("/etc/ld.so.cache")
_CACHE_BYTES = 16 * MIB
_LIBRARY = re.compile(r"lib(?:ssl|crypto|gnutls|ssl3)(?:-[\w.]+)?\.so(?:\.[\w.]+)?")
# Where libraries are that no cache lists (musl has none), and programs that have their TLS in themselves.
FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
_PROGRAMS = ("node", "nodejs", "bun", "deno")
_MOST = 64


def installed() -> Iterator[str]:
    """The files, each once; without reading any."""
    seen: set[tuple[int, int]] = set()
    for path in _candidates():
        try:
            status = Path(path).stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) not in seen and len(seen) < _MOST:
            seen.add((status.st_dev, status.st_ino))
            yield str(Path(path).resolve())


def cached() -> Iterator[str]:
    """The libraries that the loader knows."""
    try:
        with _CACHE.open("rb") as file:
            cache = file.read(_CACHE_BYTES)
    except OSError:
        return
    yield from (os.fsdecode(entry) for entry in cache.split(b"\0") if entry.startswith(b"/"))


def is_tls(name: str) -> bool:
    """Whether a file of this name is a library of TLS."""
    return bool(_LIBRARY.fullmatch(name))


def _candidates() -> Iterator[str]:
    yield from (path for path in cached() if is_tls(path.rpartition("/")[2]))
    for folder in FOLDERS:
        try:
            names = [entry.name for entry in Path(folder).iterdir()]
        except OSError:
            continue
        yield from (f"{folder}/{name}" for name in sorted(names) if is_tls(name))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (f"{folder}/{name}" for name in _PROGRAMS if folder.startswith("/"))
