"""What the programs of the plaintext mode tell: bytes of one direction of a TLS object, and that one is gone."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R6, Helper, Register, Test
from pysniff.tracer.plaintext_state import TUPLE, Counter, PlainProgram

# Bytes of a piece at most; the smaller sizes are what the ring buffer is asked for where less is needed.
PIECE = 16_384
SIZES = (256, 1_024, 4_096, PIECE)

_RECORD = struct.Struct(f"<IIQQQIIQII{TUPLE}s")
HEADER = _RECORD.size
_TUPLE = struct.Struct("<HH2s2x16s16s")
_INET, _INET6 = 2, 10
_MAPPED = bytes(10) + b"\xff\xff"


class Event(IntEnum):
    DATA = 1
    TIED = 2  # its socket is known from now on
    GONE = 3  # the object was freed


class PlainRecord(NamedTuple):
    """`at`: ns since boot; `object`, `born`: which TLS object; `process`: whose, as the kernel calls it, `pid`: as
    this process does. `offset`: of `data` in its direction.

    `direction`: 0 sent, 1 received. `file`: the number its program was made with. `ends`: the local end and the remote
    one, address and port as on the wire; None while the socket is not known.
    """

    event: int
    direction: int
    at: int
    object: int
    born: int
    process: int
    pid: int
    file: int
    offset: int
    size: int
    ends: tuple[bytes, bytes] | None
    data: bytes


def read_record(content: bytes) -> PlainRecord | None:
    """What a program gave; None where it is none of these."""
    if len(content) < HEADER:
        return None
    event, direction, at, thing, born, pid, file, offset, size, process, ends = _RECORD.unpack_from(content)
    if direction > 1 or size > len(content) - HEADER:
        return None
    data = content[HEADER : HEADER + size]
    return PlainRecord(event, direction, at, thing, born, process, pid, file, offset, size, ends_of(ends), data)


def ends_of(packed: bytes) -> tuple[bytes, bytes] | None:
    """Address and port of the local and the remote end, as on the wire; None where nobody knows.

    An IPv4 connection of an IPv6 socket is IPv4 in its packets.
    """
    family, port, remote_port, local, remote = _TUPLE.unpack(packed)
    if family == _INET:
        local, remote = local[:4], remote[:4]
    elif family == _INET6 and local.startswith(_MAPPED) and remote.startswith(_MAPPED):
        local, remote = local[12:], remote[12:]
    elif family != _INET6:
        return None
    return local + port.to_bytes(2, "big"), remote + remote_port


def pack_ends(family: int, local: bytes, port: int, remote: bytes, remote_port: int) -> bytes:
    """As the kernel's maps have a connection."""
    return _TUPLE.pack(family, port, remote_port.to_bytes(2, "big"), local.ljust(16, b"\0"), remote.ljust(16, b"\0"))


class Place(IntEnum):
    """Offsets in a record."""

    EVENT = 0
    DIRECTION = 4
    AT = 8
    OBJECT = 16
    BORN = 24
    PID = 32
    FILE = 36
    OFFSET = 40
    LENGTH = 48
    PROCESS = 52
    TUPLE = 56


def write_header(program: PlainProgram, event: Event, direction: int, known: int, *, base: Register, at: int) -> None:
    """To base + at, from the stack at `known`: object, born, time (8 bytes each), pid, file (4), tuple; R1 is lost."""
    program.store(base, at + Place.EVENT, event, size=4).store(base, at + Place.DIRECTION, direction, size=4)
    for place, source in ((Place.OBJECT, 0), (Place.BORN, 8), (Place.AT, 16)):
        program.load(R1, FRAME, known + source, size=8).store(base, at + place, R1, size=8)
    program.load(R1, FRAME, known + 24, size=8).store(base, at + Place.PID, R1, size=8)
    program.store(base, at + Place.OFFSET, 0, size=8).store(base, at + Place.LENGTH, 0, size=4)
    program.load(R1, FRAME, program.me + 4, size=4).store(base, at + Place.PROCESS, R1, size=4)
    for word in range(0, TUPLE, 8):
        program.load(R1, FRAME, known + 32 + word, size=8).store(base, at + Place.TUPLE + word, R1, size=8)


def give(program: PlainProgram, record: int) -> None:
    """A record without data, on the stack, to the ring. R0 to R5 are lost."""
    given = program.new_label()
    program.map(R1, program.maps.ring.map.fd).move(R2, FRAME).add(R2, record).move(R3, HEADER).move(R4, 0)
    program.call(Helper.RINGBUF_OUTPUT).jump_if(R0, Test.EQUAL, 0, given).tally(Counter.RING_FULL).label(given)


def know_who(program: PlainProgram, known: int, pid: int) -> None:
    """The process (4 bytes of the stack at `pid`) and the file, whose number the probe has, into `known`. R6 as it was.

    R0 to R5 are lost.
    """
    program.move(R1, R6).call(Helper.GET_ATTACH_COOKIE).store(FRAME, known + 28, R0, size=4)
    program.load(R1, FRAME, pid, size=4).store(FRAME, known + 24, R1, size=4)


# Bytes of `known`.
KNOWN = 32 + TUPLE
