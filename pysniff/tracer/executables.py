"""What TLS an executable or a library has in it, and where its probes go: asked once for every file."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from pysniff.limits import MIB
from pysniff.tracer import gnutls, golang, labels, openssl, others, rustls
from pysniff.tracer.elf import X86_64, Elf, ElfClassError, ElfError, machine_name
from pysniff.tracer.hook import Library
from pysniff.tracer.unwinding import Functions

# Files remembered, about 1 KiB each: a machine with containers runs from some thousands.
_FILES = 8_192
_REFUSED_BYTES = 16 * MIB

_SYMBOLS = (*openssl.SYMBOLS, *gnutls.SYMBOLS, *others.SYMBOLS)
_UNKNOWN = "unknown"
_NOT_KNOWN = (
    "it knows the labels of key logs, but not by a library that is known here; set SSLKEYLOGFILE if the program knows "
    "it, and give the file to --keylog"
)


class _Identity(NamedTuple):
    device: int
    inode: int
    size: int
    modified: int
    changed: int


_known: OrderedDict[_Identity, tuple[Library, ...]] = OrderedDict()
_lock = threading.Lock()


def hooks_of(path: str | os.PathLike[str]) -> tuple[Library, ...]:
    """The TLS libraries that are in this file; none in most. Raises OSError where it cannot be opened or read.

    Whatever the file holds, nothing else is raised. A file of 1 MB takes some milliseconds, one of 100 MB 0.3 s.
    """
    status = Path(path).stat()
    identity = _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with _lock:
        if identity in _known:
            _known.move_to_end(identity)
            return _known[identity]
    try:
        with Elf(path) as elf:
            found = _libraries(elf)
    except ElfError as error:
        found = _refused(path) if isinstance(error, ElfClassError) else ()
    with _lock:
        _known[identity] = found
        while len(_known) > _FILES:
            _known.popitem(last=False)
    return found


def _refused(path: str | os.PathLike[str]) -> tuple[Library, ...]:
    """Of a file of 32 bits, only whether it has TLS."""
    with Path(path).open("rb") as file:
        if labels.LABELS[0] not in file.read(_REFUSED_BYTES):
            return ()
    return (Library(_UNKNOWN, "", (), "made for 32 bits: only x86-64 is read as yet"),)


def _libraries(elf: Elf) -> tuple[Library, ...]:
    symbols = elf.symbols(_SYMBOLS)
    labelled = labels.has_labels(elf)
    if not symbols and not labelled:
        return ()
    if elf.machine != X86_64:
        return (Library(_UNKNOWN, "", (), f"made for {machine_name(elf.machine)}: only x86-64 is read as yet"),)
    program = golang.library(elf)
    if program and not symbols:
        return (program,)
    functions = Functions(elf)
    found = [
        program,
        gnutls.library(elf, symbols, functions, labelled),
        openssl.library(elf, symbols, functions, labelled),
        others.library(elf, symbols),
    ]
    if labelled and not any(found):
        found.append(rustls.library(elf, functions))
    if labelled and not any(found):
        found.append(Library(_UNKNOWN, "", (), _NOT_KNOWN))
    return tuple(library for library in found if library)
