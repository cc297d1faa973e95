"""Where to probe rustls: in KeyLogFile::log, the one place where keys pass, of programs that have it and use it.

Without it keys pass nowhere: rustls asks its KeyLog first whether it wants any.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from pysniff.limits import MIB
from pysniff.tracer import labels
from pysniff.tracer.elf import HIGHEST, Elf, ElfError, matches
from pysniff.tracer.hook import Hook, Kind, Library
from pysniff.tracer.unwinding import Functions

# In both of Rust's manglings of <rustls::key_log_file::KeyLogFile as rustls::key_log::KeyLog>::log.
_FILE = b"KeyLogFile"
_SYMBOL = re.compile(r"(_ZN|_R).*rustls.*key_log_file.*KeyLogFile.*KeyLog(\$GT\$)?3log(17h[0-9a-f]{16}E)?")
# What it warns of when it cannot write.
_WARNING = b"error writing to key log file"
_FUNCTION = "rustls::KeyLogFile::log"
_VERSION = re.compile(rb"rustls-(\d{1,3}\.\d{1,3}\.\d{1,3})[/-]")
_RELOCATIONS_BYTES = 64 * MIB
_RELATIVE = 8  # R_X86_64_RELATIVE
_FUNCTION_BYTES = 4_096

Pointers = npt.NDArray[np.void]
_POINTER = np.dtype([("place", "<u8"), ("target", "<u8")])

_PROBLEM = (
    "rustls gives its keys to nobody, as the program asked for no key log; set SSLKEYLOGFILE if the program knows it"
)


def library(elf: Elf, functions: Functions) -> Library | None:
    """What this file has of it, which has the labels of a key log."""
    version = _version(elf)
    if version is None:
        return None
    symbols = [symbol for symbol in elf.symbols_with(_FILE) if _SYMBOL.fullmatch(symbol.name)]
    address, found_by = (symbols[0].address, "symbol") if symbols else (_by_warning(elf, functions), "its warning")
    offset = elf.offset(address) if address is not None else None
    if offset is None:
        return Library("rustls", version, (), _PROBLEM)
    return Library("rustls", version, (Hook(Kind.RUSTLS_LOG, _FUNCTION, offset, (), found_by),))


def _by_warning(elf: Elf, functions: Functions) -> int | None:
    """The one function that has this text, as a string or, since Rust 1.91, with its length before it."""
    texts = elf.find(_WARNING, elf.data)[:16]
    if not texts:
        return None
    pointers = _pointers(elf)
    places = dict.fromkeys((*texts, *(text - 1 for text in texts)), _WARNING)
    # Older Rust has tables of the pieces of its messages.
    places.update(dict.fromkeys(map(int, pointers["place"][np.isin(pointers["target"], texts)][:16]), _WARNING))
    users = {
        functions.containing(at) if functions else _nearest(pointers, at) for at, _ in labels.references(elf, places)
    }
    return users.pop() if len(users) == 1 else None


def _nearest(pointers: Pointers, address: int) -> int | None:
    """Where the function begins that this address is in, if a table of methods has it, as all of a KeyLog are."""
    targets = pointers["target"]
    start = int(targets[targets <= address].max(initial=0))
    return start if address - start < _FUNCTION_BYTES else None


def _pointers(elf: Elf) -> Pointers:
    """The addresses that the file has in its data: where they lie and where they lead."""
    found = [np.empty(0, _POINTER)]
    relocations = elf.sections.get(".rela.dyn")
    if relocations and relocations.size <= _RELOCATIONS_BYTES:
        entries = np.frombuffer(elf.read(relocations.offset, relocations.size // 24 * 24), "<u8").reshape(-1, 3)
        entries = entries[entries[:, 1] == _RELATIVE]
        found.append(_table(entries[:, 0], entries[:, 2]))
    constants = elf.sections.get(".data.rel.ro")
    if constants and constants.size <= _RELOCATIONS_BYTES and constants.address < HIGHEST:
        try:
            targets = np.frombuffer(elf.read(constants.offset, constants.size // 8 * 8), "<u8")
        except ElfError:
            targets = np.empty(0, "<u8")
        places = np.arange(len(targets), dtype=np.uint64) * np.uint64(8) + np.uint64(constants.address)
        found.append(_table(places, targets))
    return np.concatenate(found)


def _table(places: npt.NDArray[np.uint64], targets: npt.NDArray[np.uint64]) -> Pointers:
    table = np.empty(len(places), _POINTER)
    table["place"], table["target"] = places, targets
    return table


def _version(elf: Elf) -> str | None:
    """ "" where it does not tell; None where it is not rustls."""
    is_rustls = None
    for segment in elf.data:
        for _, chunk in elf.chunks(segment, 64):
            if told := next(matches(_VERSION, b"rustls-", chunk), None):
                return told[1].decode()
            if b"rustls::" in chunk:
                is_rustls = ""
    return is_rustls
