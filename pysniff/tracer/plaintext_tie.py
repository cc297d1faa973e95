"""The part of programs that ties a TLS object to the socket that its records go through."""

from __future__ import annotations

from enum import Enum

from pysniff.tracer.assembler import FRAME, R0, R1, R2, Helper, Register, Test
from pysniff.tracer.plaintext_records import HEADER, Event, Place, give
from pysniff.tracer.plaintext_state import TUPLE, UNWANTED, WANTED, Counter, Object, Passing, PlainProgram


class FoundSocket(Enum):
    """How it is known: IN_CALL of the object's own, or BY_RECORD, when the object has been met before."""

    IN_CALL = "in call"
    BY_RECORD = "by record"


def tie(program: PlainProgram, thing: int, found: int, born: int, scratch: int, how: FoundSocket) -> None:
    """The object whose key is at `thing` has the socket at `found` (as Passing). R0 to R5 are lost.

    `born`: in a call, when that began, and the object with it if it is new or its socket is another one; by record,
    when the object began that this is of. `scratch`: HEADER bytes.
    """
    maps, done = program.maps, program.new_label()
    fresh, wanted, tied = scratch, program.room(8), program.new_label()
    program.store(FRAME, wanted, WANTED, size=8)
    if maps.earlier is not None:
        one = program.new_label()
        program.look_up(maps.earlier, found + Passing.TUPLE).jump_if(R0, Test.NOT_EQUAL, 0, one)
        program.store(FRAME, wanted, UNWANTED, size=8).label(one)
    program.look_up(maps.objects, thing)
    if how is FoundSocket.BY_RECORD:
        program.jump_if(R0, Test.EQUAL, 0, done).load(R1, R0, Object.BORN, size=8).load(R2, FRAME, born, size=8)
        program.jump_if(R1, Test.NOT_EQUAL, R2, done)
        program.load(R1, R0, Object.SOCKET, size=8).jump_if(R1, Test.NOT_EQUAL, 0, done)
    else:
        other = program.new_label()
        program.jump_if(R0, Test.EQUAL, 0, other)
        program.load(R1, R0, Object.SOCKET, size=8).jump_if(R1, Test.EQUAL, 0, tied)
        program.label(other).zero(fresh, Object.SIZE)
        program.load(R1, FRAME, born, size=8).store(FRAME, fresh + Object.BORN, R1, size=8)
        _copy(program, found, wanted, fresh, FRAME)
        program.update(maps.objects, thing, fresh).tally(Counter.TIED).jump(done)
    program.label(tied)
    program.load(R1, R0, Object.BORN, size=8).store(FRAME, born, R1, size=8)
    _copy(program, found, wanted, 0, R0)
    program.tally(Counter.TIED).load(R1, FRAME, wanted, size=4).jump_if(R1, Test.EQUAL, UNWANTED, done)
    _tell(program, thing, found, born, scratch)
    program.label(done)


def _copy(program: PlainProgram, found: int, wanted: int, offset: int, base: Register) -> None:
    program.load(R1, FRAME, found + Passing.SOCKET, size=8).store(base, offset + Object.SOCKET, R1, size=8)
    for place in range(0, TUPLE, 8):
        program.load(R1, FRAME, found + Passing.TUPLE + place, size=8)
        program.store(base, offset + Object.TUPLE + place, R1, size=8)
    program.load(R1, FRAME, wanted, size=8).store(base, offset + Object.WANTED, R1, size=8)


def _tell(program: PlainProgram, thing: int, found: int, born: int, record: int) -> None:
    """What waits for the socket may go on: the object at `thing` has it since now."""
    program.zero(record, HEADER).store(FRAME, record + Place.EVENT, Event.TIED, size=4)
    program.call(Helper.KTIME_GET_BOOT_NS).store(FRAME, record + Place.AT, R0, size=8)
    program.load(R1, FRAME, thing, size=8).store(FRAME, record + Place.OBJECT, R1, size=8)
    program.load(R1, FRAME, thing + 8, size=8).store(FRAME, record + Place.PROCESS, R1, size=4)
    program.load(R1, FRAME, born, size=8).store(FRAME, record + Place.BORN, R1, size=8)
    for place in range(0, TUPLE, 8):
        program.load(R1, FRAME, found + Passing.TUPLE + place, size=8)
        program.store(FRAME, record + Place.TUPLE + place, R1, size=8)
    give(program, record)
