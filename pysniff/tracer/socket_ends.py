"""Where the kernel has the addresses and ports of a socket, and the part of a program that reads them."""

from __future__ import annotations

from typing import NamedTuple

from pysniff.tracer.assembler import FRAME, R1, R3, R7, Test
from pysniff.tracer.btf import Btf
from pysniff.tracer.probe_program import ProbeProgram

_INET, _INET6 = 2, 10


class SocketFields(NamedTuple):
    """Offsets in struct sock."""

    family: int
    port: int
    remote_port: int
    local: int
    remote: int
    local6: int
    remote6: int

    @classmethod
    def of(cls, btf: Btf) -> SocketFields:
        """NotFound where the kernel does not tell."""
        names = ("family", "num", "dport", "rcv_saddr", "daddr", "v6_rcv_saddr", "v6_daddr")
        return cls(*(btf.offset("sock_common", f"skc_{name}") for name in names))


def read_ends(program: ProbeProgram, fields: SocketFields, ends: int, elsewhere: str) -> None:
    """Of the socket in R7 to the stack at `ends`, where zeros are; jumps where it is neither IPv4 nor IPv6.

    As plaintext_records.pack_ends() has them.
    """
    version4, done = program.new_label(), program.new_label()

    def read(place: int, size: int, field: int) -> None:
        program.move(R3, R7).add(R3, field).read_kernel(ends + place, size, R3)

    read(0, 2, fields.family)
    read(2, 2, fields.port)
    read(4, 2, fields.remote_port)
    program.load(R1, FRAME, ends, size=2).jump_if(R1, Test.EQUAL, _INET, version4)
    program.jump_if(R1, Test.NOT_EQUAL, _INET6, elsewhere)
    read(8, 16, fields.local6)
    read(24, 16, fields.remote6)
    program.jump(done).label(version4)
    read(8, 4, fields.local)
    read(24, 4, fields.remote)
    program.label(done)
