"""Programs where a socket has sent or received: they find out which TLS object's records went through it.

Three ways, all exact. The call on the TLS object is still going on, on this thread or this goroutine, and what went
through the socket begins as a TLS record does. Or the program moves records between the socket and memory by itself:
then the first bytes of a record's ciphertext, which no other record has, are the same here and there
(`plaintext_memory`). A connection is found by its first record that begins where a system call began.
"""

from __future__ import annotations

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R3, R6, R7, R8, R9, Helper, Test
from pysniff.tracer.plaintext_records import HEADER
from pysniff.tracer.plaintext_state import (
    FINGERPRINT,
    GO,
    GOROUTINE,
    MEMORY,
    OBJECT,
    RECEIVED,
    RECORD_HEADER,
    Call,
    Counter,
    Object,
    Passing,
    PlainMaps,
    PlainProgram,
)
from pysniff.tracer.plaintext_tie import FoundSocket, tie
from pysniff.tracer.socket_ends import SocketFields, read_ends

TRACEPOINTS = ("sock_send_length", "sock_recv_length")  # by direction; Linux 6.3
# What is read of the registers, and where it is put.
_CALL_NUMBER, _ARGUMENT, _GOROUTINE, _REGISTERS = 0, 8, 16, 24
# Room for what is read of a record, and where in it that begins, so that its ciphertext is aligned.
HEAD, HEAD_START = 24, 3
# RFC 8446 §5.1: ContentType.
_FIRST_TYPE, _LAST_TYPE, _APPLICATION_DATA = 20, 24, 23
_MAJOR, _LAST_MINOR = 3, 4
_MSG_IOV = 16  # struct user_msghdr
# System calls by what their second argument is: memory, struct iovec, struct msghdr.
_CALLS = {
    "x86_64": ((0, 1, 44, 45), (19, 20), (46, 47)),
    "aarch64": ((63, 64, 206, 207), (65, 66), (211, 212)),
}
_SECOND = {"x86_64": "rsi", "aarch64": "x1"}
_NUMBER = {"x86_64": "orig_rax", "aarch64": "x8"}


def socket_program(maps: PlainMaps, architecture: Architecture, direction: int, fields: SocketFields) -> PlainProgram:
    """Of the raw tracepoint TRACEPOINTS[direction] (socket, how much or an error, flags)."""
    program = PlainProgram(maps, architecture)
    key, thing, born, found = program.room(GOROUTINE), program.room(OBJECT), program.room(8), program.room(Passing.SIZE)
    registers, head, scratch = program.room(_REGISTERS), program.room(HEAD) + HEAD_START, program.room(HEADER)
    program.load(R7, R6, 0, size=8).load(R8, R6, 8, size=8).extend_sign(R8)
    program.jump_if(R8, Test.SIGNED_AT_MOST, 0, "out")
    program.look_up(maps.calls, program.me).move(R9, R0).jump_if(R9, Test.NOT_EQUAL, 0, "within")
    # Not in a call of C's: only processes of which something else is known are looked at.
    program.load(R1, FRAME, program.me + 4, size=4).store(FRAME, key, R1, size=8)
    program.look_up(maps.processes, key).jump_if(R0, Test.EQUAL, 0, "out").load(R6, R0, 0, size=4)
    program.jump_if(R6, Test.ANY_BIT, GO, "goroutines")
    program.label("no goroutine").jump_if(R6, Test.ANY_BIT, MEMORY, "memory").jump("out")
    program.label("goroutines")
    _read_registers(program, registers)
    program.load(R1, FRAME, registers + _GOROUTINE, size=8).object_key(key, R1)
    program.look_up(maps.goroutines, key).move(R9, R0).jump_if(R9, Test.EQUAL, 0, "no goroutine")

    program.label("within").store(R9, Call.TOUCHED, 1, size=4)
    program.load(R1, R9, Call.STARTED, size=8).store(FRAME, born, R1, size=8)
    program.load(R1, R9, Call.OBJECT, size=8).object_key(thing, R1)
    program.look_up(maps.objects, thing).jump_if(R0, Test.EQUAL, 0, "new").load(R1, R0, Object.SOCKET, size=8)
    program.jump_if(R1, Test.EQUAL, R7, "out").label("new")
    program.jump_if(R8, Test.SIGNED_BELOW, RECORD_HEADER, "out")
    _read_content(program, registers, head, RECORD_HEADER)
    for place, low, high in ((0, _FIRST_TYPE, _LAST_TYPE), (1, _MAJOR, _MAJOR), (2, 0, _LAST_MINOR)):
        program.load(R1, FRAME, head + place, size=1).jump_if(R1, Test.BELOW, low, "out")
        program.jump_if(R1, Test.ABOVE, high, "out")
    _read_socket(program, fields, found)
    tie(program, thing, found, born, scratch, FoundSocket.IN_CALL)
    program.jump("out")

    program.label("memory").jump_if(R8, Test.SIGNED_BELOW, RECORD_HEADER + FINGERPRINT, "out")
    _read_content(program, registers, head, RECORD_HEADER + FINGERPRINT)
    passing = program.room(8 + FINGERPRINT)
    is_data(program, head, "out")
    fingerprint(program, passing, direction, head + RECORD_HEADER)
    if direction == RECEIVED:
        _read_socket(program, fields, found)
        program.update(maps.passing, passing, found)
    else:
        program.look_up(maps.passing, passing).jump_if(R0, Test.EQUAL, 0, "out")
        program.load(R1, R0, Passing.BORN, size=8).store(FRAME, born, R1, size=8)
        program.load(R1, R0, Passing.OBJECT, size=8).object_key(thing, R1)
        program.delete(maps.passing, passing)
        _read_socket(program, fields, found)
        tie(program, thing, found, born, scratch, FoundSocket.BY_RECORD)
    return program.label("out").leave()


def is_data(program: PlainProgram, head: int, elsewhere: str) -> None:
    """Go on where the stack has at `head` the header of a record of application data: what follows is ciphertext."""
    program.load(R1, FRAME, head, size=1).jump_if(R1, Test.NOT_EQUAL, _APPLICATION_DATA, elsewhere)
    program.load(R1, FRAME, head + 1, size=1).jump_if(R1, Test.NOT_EQUAL, _MAJOR, elsewhere)
    program.load(R1, FRAME, head + 2, size=1).jump_if(R1, Test.ABOVE, _LAST_MINOR, elsewhere)


def fingerprint(program: PlainProgram, passing: int, direction: int, ciphertext: int) -> None:
    """The key of a record on its way, to the stack at `passing`. R1 is lost."""
    program.load(R1, FRAME, program.me + 4, size=4).store(FRAME, passing, R1, size=4)
    program.store(FRAME, passing + 4, direction, size=4)
    for place in range(0, FINGERPRINT, 4):
        program.load(R1, FRAME, ciphertext + place, size=4).store(FRAME, passing + 8 + place, R1, size=4)


def _read_registers(program: PlainProgram, registers: int) -> None:
    """Of the process, as they were when it made the system call."""
    architecture = program.architecture
    names = _NUMBER[architecture.name], _SECOND[architecture.name], architecture.goroutine
    program.call(Helper.GET_CURRENT_TASK_BTF).move(R1, R0).call(Helper.TASK_PT_REGS)
    for place, name in zip((_CALL_NUMBER, _ARGUMENT, _GOROUTINE), names, strict=True):
        program.load(R1, R0, architecture.registers[name], size=8).store(FRAME, registers + place, R1, size=8)


def _read_content(program: PlainProgram, registers: int, to: int, size: int) -> None:
    """The first bytes of what the system call moved; jumps to "out" where they cannot be had. R9 is kept."""
    memory, vector, message = labels = [program.new_label() for _ in range(3)]
    _read_registers(program, registers)
    program.load(R1, FRAME, registers + _CALL_NUMBER, size=8).load(R3, FRAME, registers + _ARGUMENT, size=8)
    for numbers, label in zip(_CALLS[program.architecture.name], labels, strict=True):
        for number in numbers:
            program.jump_if(R1, Test.EQUAL, number, label)
    program.tally(Counter.UNKNOWN_CALL).jump("out")
    program.label(message).add(R3, _MSG_IOV)
    program.read_user(registers + _ARGUMENT, 8, R3).jump_if(R0, Test.NOT_EQUAL, 0, "out")
    program.load(R3, FRAME, registers + _ARGUMENT, size=8)
    program.label(vector).read_user(registers + _ARGUMENT, 8, R3).jump_if(R0, Test.NOT_EQUAL, 0, "out")
    program.load(R3, FRAME, registers + _ARGUMENT, size=8)
    program.label(memory).read_user(to, size, R3).jump_if(R0, Test.NOT_EQUAL, 0, "out")


def _read_socket(program: PlainProgram, fields: SocketFields, found: int) -> None:
    """R7, and what it is connected with, to the stack at `found`; jumps to "out" where it is neither IPv4 nor IPv6."""
    program.zero(found, Passing.SIZE).store(FRAME, found + Passing.SOCKET, R7, size=8)
    read_ends(program, fields, found + Passing.TUPLE, "out")
