"""Whose a connection is, exactly: a program of the kernel notes every packet that sockets of a control group send or
take, and the command runs in a group of its own. It needs root, and cgroup v2.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pysniff.launched.owners import TCP, UDP, Owner
from pysniff.limits import SECOND

if TYPE_CHECKING:
    from pysniff.tracer.bpf import Descriptor, Map

# Connections remembered; the kernel forgets those that were quiet for longest.
_CONNECTIONS = 65_536
# Nanoseconds: later, a port may be somebody else's.
_FRESH = 60 * SECOND
# Of the map: protocol, three of padding, source and destination address with zeros behind IPv4, and the ports.
_KEY = struct.Struct("4s16s16s4s")
_PROTOCOLS = {TCP: b"\x06\0\0\0", UDP: b"\x11\0\0\0"}
_INGRESS, _EGRESS = 0, 1


class ControlGroup:
    """A group for what is started within joined(). `path`: its folder. Raises OSError for what the machine lacks.

    A packet is noted before it is captured if a socket sends it, and right after if one takes it.
    """

    patience = SECOND // 10
    guesses = False

    def __init__(self) -> None:
        from pysniff.tracer.bpf import Map, MapType, Program, ProgramType, link

        parent = _own_group()
        self.path = str(parent / f"pysniff-run-{os.getpid()}")
        self._links: list[Descriptor] = []
        self._map: Map | None = None
        self._parent = parent
        Path(self.path).mkdir()
        try:
            self._map = Map(MapType.LRU_HASH, key=_KEY.size, value=8, entries=_CONNECTIONS, name="pysniff_run")
            with Program(ProgramType.CGROUP_SKB, _program(self._map.fd), name="pysniff_run") as program:
                folder = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
                try:
                    for way in (_INGRESS, _EGRESS):
                        self._links.append(link(struct.pack("<IIII", program.fd, folder, way, 0)))
                finally:
                    os.close(folder)
            with self.joined():
                pass  # or this one may not
        except BaseException:
            self.close()
            raise

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Be in the group for a moment: processes begin where their parent is."""
        Path(f"{self.path}/cgroup.procs").write_text("0")
        try:
            yield
        finally:
            (self._parent / "cgroup.procs").write_text("0")

    def owner(self, protocol: int, key: bytes) -> Owner:
        if self._map is None:
            return Owner.UNKNOWN
        size = 4 if len(key) == 12 else 16
        one, other, ports = key[:size], key[size : 2 * size], key[2 * size :]
        for source, target, order in ((one, other, ports), (other, one, ports[2:] + ports[:2])):
            try:
                noted = self._map[_KEY.pack(_PROTOCOLS[protocol], source, target, order)]
            except KeyError:
                continue
            if time.monotonic_ns() - int.from_bytes(noted, sys.byteorder) < _FRESH:
                return Owner.OURS
        return Owner.UNKNOWN

    def was_idle(self, at: int) -> bool:
        return False

    def close(self) -> None:
        """The programs go with their links; processes that are left go back to where they came from."""
        for one in self._links:
            one.close()
        if self._map is not None:
            self._map.close()
            self._map = None
        try:
            for number in Path(f"{self.path}/cgroup.procs").read_text().split():
                (self._parent / "cgroup.procs").write_text(number)
            Path(self.path).rmdir()
        except OSError:  # what goes on in it keeps it
            pass


def _own_group() -> Path:
    """The folder of this process's group of cgroup v2; OSError."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    names = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not roots or not names:
        raise FileNotFoundError(2, "cgroup v2 is not mounted")
    return Path(roots[0]) / names[0].lstrip("/")


def _program(connections: int) -> bytes:
    """Notes source, destination and time of TCP and UDP in the map under that descriptor, and lets everything pass."""
    from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R6, R7, R9, Assembler, Helper, Test

    key, head = -40, -80  # on the stack
    program = Assembler()

    def load_bytes(offset: object, to: int, size: int) -> None:
        program.move(R1, R6)
        program.move(R2, R7) if offset is R7 else program.move(R2, 0)
        program.move(R3, FRAME).add(R3, to).move(R4, size).call(Helper.SKB_LOAD_BYTES)

    program.move(R6, R1)
    for offset in range(key, 0, 8):
        program.store(FRAME, offset, 0, size=8)
    load_bytes(0, head, 40)
    program.jump_if(R0, Test.EQUAL, 0, "loaded")
    load_bytes(0, head, 28)  # IPv4 with UDP may be no longer
    program.jump_if(R0, Test.NOT_EQUAL, 0, "out")
    program.label("loaded").load(R7, FRAME, head, size=1).move(R9, R7).shift_right(R9, 4)
    program.jump_if(R9, Test.EQUAL, 6, "ipv6").jump_if(R9, Test.NOT_EQUAL, 4, "out")
    # Fragments behind the first have no ports.
    program.load(R1, FRAME, head + 6, size=1).both(R1, 0x1F).jump_if(R1, Test.NOT_EQUAL, 0, "out")
    program.load(R1, FRAME, head + 7, size=1).jump_if(R1, Test.NOT_EQUAL, 0, "out")
    program.both(R7, 15).shift_left(R7, 2).load(R9, FRAME, head + 9, size=1)
    program.load(R1, FRAME, head + 12, size=4).store(FRAME, key + 4, R1, size=4)
    program.load(R1, FRAME, head + 16, size=4).store(FRAME, key + 20, R1, size=4)
    program.jump("ports")
    program.label("ipv6").move(R7, 40).load(R9, FRAME, head + 6, size=1)
    for offset in range(0, 32, 4):
        program.load(R1, FRAME, head + 8 + offset, size=4).store(FRAME, key + 4 + offset, R1, size=4)
    program.label("ports").jump_if(R9, Test.EQUAL, TCP, "known").jump_if(R9, Test.NOT_EQUAL, UDP, "out")
    program.label("known").store(FRAME, key, R9, size=1)
    load_bytes(R7, key + 36, 4)
    program.jump_if(R0, Test.NOT_EQUAL, 0, "out")
    program.call(Helper.KTIME_GET_NS).store(FRAME, head, R0, size=8).map(R1, connections)
    program.move(R2, FRAME).add(R2, key).move(R3, FRAME).add(R3, head).move(R4, 0).call(Helper.MAP_UPDATE)
    return program.label("out").move(R0, 1).exit().code()
