"""Programs where a TLS library writes records to a BIO, or reads them from one.

node, asyncio and others give it memory instead of a socket. The ciphertext says which socket it went through.
"""

from __future__ import annotations

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R7, R8, R9, Test
from pysniff.tracer.plaintext_records import HEADER
from pysniff.tracer.plaintext_sockets import HEAD, HEAD_START, fingerprint, is_data
from pysniff.tracer.plaintext_state import (
    FINGERPRINT,
    OBJECT,
    READING,
    RECEIVED,
    RECORD_HEADER,
    SENT,
    Call,
    Object,
    Passing,
    PlainMaps,
    PlainProgram,
)
from pysniff.tracer.plaintext_tie import FoundSocket, tie


def written(maps: PlainMaps, architecture: Architecture) -> PlainProgram:
    """BIO_write (bio, data, size) begins: within SSL_write it is given a record."""
    program = PlainProgram(maps, architecture)
    thing, value, head = program.room(OBJECT), program.room(Passing.SIZE), program.room(HEAD) + HEAD_START
    passing = program.room(8 + FINGERPRINT)
    _unknown(program, thing, value)
    program.argument(R7, 2).extend_sign(R7).jump_if(R7, Test.SIGNED_BELOW, RECORD_HEADER + FINGERPRINT, "out")
    program.argument(R7, 1).read_user(head, RECORD_HEADER + FINGERPRINT, R7).jump_if(R0, Test.NOT_EQUAL, 0, "out")
    is_data(program, head, "out")
    fingerprint(program, passing, SENT, head + RECORD_HEADER)
    program.update(maps.passing, passing, value)
    return program.label("out").leave()


def reading(maps: PlainMaps, architecture: Architecture) -> PlainProgram:
    """BIO_read (bio, data, size) begins, or bio_read_intern (bio, data, size, count): where to is remembered."""
    program = PlainProgram(maps, architecture)
    thing, value, to = program.room(OBJECT), program.room(Passing.SIZE), program.room(READING)
    _unknown(program, thing, value)
    program.argument(R7, 1).store(FRAME, to, R7, size=8).argument(R7, 3).store(FRAME, to + 8, R7, size=8)
    return program.update(maps.reading, program.me, to).label("out").leave()


def read(maps: PlainMaps, architecture: Architecture, *, counted: bool) -> PlainProgram:
    """One of these is left: libraries read a record's header, then the rest, or all at once."""
    program = PlainProgram(maps, architecture)
    thing, value, head = program.room(OBJECT), program.room(Passing.SIZE), program.room(HEAD) + HEAD_START
    passing, found, count = program.room(8 + FINGERPRINT), program.room(Passing.SIZE), program.room(8)
    program.look_up(maps.reading, program.me).jump_if(R0, Test.EQUAL, 0, "out").load(R8, R0, 0, size=8)
    program.load(R9, R0, 8, size=8).delete(maps.reading, program.me)
    _unknown(program, thing, value)
    program.result(R7).extend_sign(R7)
    if counted:
        program.jump_if(R7, Test.SIGNED_AT_MOST, 0, "out").read_user(count, 8, R9)
        program.jump_if(R0, Test.NOT_EQUAL, 0, "out").load(R7, FRAME, count, size=8)
    program.jump_if(R7, Test.SIGNED_BELOW, FINGERPRINT, "out")
    program.read_user(head + RECORD_HEADER, FINGERPRINT, R8).jump_if(R0, Test.NOT_EQUAL, 0, "out")
    fingerprint(program, passing, RECEIVED, head + RECORD_HEADER)
    program.look_up(maps.passing, passing).jump_if(R0, Test.NOT_EQUAL, 0, "found")
    program.jump_if(R7, Test.SIGNED_BELOW, RECORD_HEADER + FINGERPRINT, "out")
    program.read_user(head, RECORD_HEADER + FINGERPRINT, R8).jump_if(R0, Test.NOT_EQUAL, 0, "out")
    is_data(program, head, "out")
    fingerprint(program, passing, RECEIVED, head + RECORD_HEADER)
    program.look_up(maps.passing, passing).jump_if(R0, Test.EQUAL, 0, "out").label("found")
    for place in range(0, Passing.SIZE, 8):
        program.load(R1, R0, place, size=8).store(FRAME, found + place, R1, size=8)
    tie(program, thing, found, value + Passing.BORN, program.room(HEADER), FoundSocket.IN_CALL)
    return program.label("out").leave()


def _unknown(program: PlainProgram, thing: int, value: int) -> None:
    """Go on within a call on an object whose socket is not known: its key to `thing`, what it is to `value`."""
    maps, new = program.maps, program.new_label()
    program.look_up(maps.calls, program.me).jump_if(R0, Test.EQUAL, 0, "out").zero(value, Passing.SIZE)
    program.load(R1, R0, Call.STARTED, size=8).store(FRAME, value + Passing.BORN, R1, size=8)
    program.load(R1, R0, Call.OBJECT, size=8).store(FRAME, value + Passing.OBJECT, R1, size=8).object_key(thing, R1)
    program.look_up(maps.objects, thing).jump_if(R0, Test.EQUAL, 0, new)
    program.load(R1, R0, Object.SOCKET, size=8).jump_if(R1, Test.NOT_EQUAL, 0, "out")
    program.load(R1, R0, Object.BORN, size=8).store(FRAME, value + Passing.BORN, R1, size=8).label(new)
