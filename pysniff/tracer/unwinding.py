"""Where the functions of a stripped file begin: .eh_frame_hdr, which exceptions need (Linux Standard Base, 10.6.2)."""

from __future__ import annotations

import struct

import numpy as np

from pysniff.limits import MIB
from pysniff.tracer.elf import HIGHEST, Elf, ElfError

# Chromium has 700,000 functions, of 8 bytes each here.
_TABLE_BYTES = 16 * MIB
# A function whose end nobody tells: enough of it for what is looked for.
_UNKNOWN = 4_096
# DW_EH_PE_pcrel|sdata4, udata4, and datarel|sdata4: what every linker writes.
_HEADER = (1, 0x1B, 0x03, 0x3B)


class Functions:
    """Those of one file, as far as it says. Raises nothing: without a table, there are none."""

    def __init__(self, elf: Elf) -> None:
        self._starts = np.empty(0, np.int64)
        section = elf.sections.get(".eh_frame_hdr")
        if section is None or not 12 <= section.size <= _TABLE_BYTES or section.address > HIGHEST:
            return
        try:
            data = elf.read(section.offset, section.size)
        except ElfError:
            return
        if struct.unpack_from("<BBBB", data) != _HEADER:
            return
        (count,) = struct.unpack_from("<I", data, 8)
        count = min(count, (len(data) - 12) // 8)
        self._starts = np.sort(np.frombuffer(data, "<i4", 2 * count, 12)[::2].astype(np.int64) + section.address)

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, address: int) -> bool:
        """Whether one begins there."""
        return self.containing(address) == address

    def containing(self, address: int) -> int | None:
        """Where the function begins that this address is in."""
        place = int(np.searchsorted(self._starts, address, "right"))
        return int(self._starts[place - 1]) if place else None

    def size(self, address: int) -> int:
        """At most so many bytes has the function that begins there."""
        place = int(np.searchsorted(self._starts, address, "right"))
        return min(int(self._starts[place]) - address, _UNKNOWN) if place < len(self._starts) else _UNKNOWN
