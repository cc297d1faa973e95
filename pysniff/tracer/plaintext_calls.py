"""Programs at the beginning and the end of what reads and writes plain text: SSL_read and its like, and Go's."""

from __future__ import annotations

from collections.abc import Callable

from pysniff.tracer.architecture import Architecture
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R7, R8, R9, Helper, Test
from pysniff.tracer.bpf import Map
from pysniff.tracer.plaintext_records import HEADER, KNOWN, PIECE, SIZES, Event, Place, give, know_who, write_header
from pysniff.tracer.plaintext_state import (
    BPF_NOEXIST,
    GO,
    GOROUTINE,
    MEMORY,
    OBJECT,
    RECEIVED,
    SENT,
    TUPLE,
    UNWANTED,
    Call,
    Counter,
    Object,
    PlainMaps,
    PlainProgram,
)

# Of one call: what a program of 6.0 and before is allowed to loop through.
_PIECES = 128
# ns after which a call that was begun is taken for one that never ended, where another begins further down the stack.
_ABANDONED = 60 * 10**9
# Pointer of the receiver, pointer and length of the slice.
_SPILLED = 24
# runtime.g begins with its stack's two ends.
_STACK_END = 8


def beginning(maps: PlainMaps, architecture: Architecture, *, count_argument: int | None) -> PlainProgram:
    """Of a C function (object, buffer, size); `count_argument`: where it puts how much it moved, if not returned."""
    program = PlainProgram(maps, architecture)
    call = program.room(Call.SIZE)
    program.zero(call, Call.SIZE)
    program.argument(R7, 0).store(FRAME, call + Call.OBJECT, R7, size=8)
    program.argument(R7, 1).store(FRAME, call + Call.BUFFER, R7, size=8)
    if count_argument is not None:
        program.argument(R7, count_argument).store(FRAME, call + Call.COUNT, R7, size=8)
    program.register(R9, architecture.stack_pointer)
    _remember(program, call, maps.calls, program.me, deeper=Test.BELOW)
    return program.label("out").leave()


def go_beginning(maps: PlainMaps, architecture: Architecture) -> PlainProgram:
    """Of (*tls.Conn).Read and Write (b []byte)."""
    program = PlainProgram(maps, architecture)
    call, key = program.room(Call.SIZE), program.room(GOROUTINE)
    program.zero(call, Call.SIZE)
    for place, word in ((Call.OBJECT, 0), (Call.BUFFER, 1)):
        program.go_argument(R7, word).store(FRAME, call + place, R7, size=8)
    _goroutine(program, key)
    _remember(program, call, maps.goroutines, key, deeper=Test.ABOVE)
    program.flag_process(GO)
    return program.label("out").leave()


def _goroutine(program: PlainProgram, key: int) -> None:
    """Its key to the stack, and to R9 how much of its stack is in use."""
    end = program.room(8)
    program.register(R7, program.architecture.goroutine)
    program.object_key(key, R7).add(R7, _STACK_END).read_user(end, 8, R7)
    program.jump_if(R0, Test.NOT_EQUAL, 0, "out").load(R9, FRAME, end, size=8)
    program.register(R1, program.architecture.stack_pointer).subtract(R9, R1)


def _remember(program: PlainProgram, call: int, calls: Map, key: int, *, deeper: Test) -> None:
    """Keep a call that begins, unless it is one within another: TLS within TLS. R9: its depth."""
    program.store(FRAME, call + Call.DEPTH, R9, size=8)
    program.call(Helper.KTIME_GET_BOOT_NS).move(R8, R0).store(FRAME, call + Call.STARTED, R8, size=8)
    pid = program.whom("out")
    program.load(R1, FRAME, pid, size=4).store(FRAME, call + Call.PID, R1, size=4)
    leader, started = program.maps.started
    program.call(Helper.GET_CURRENT_TASK).move(R3, R0).add(R3, leader)
    birth = call + Call.PROCESS_STARTED
    program.read_kernel(birth, 8, R3).load(R3, FRAME, birth, size=8).add(R3, started).read_kernel(birth, 8, R3)
    program.look_up(calls, key).jump_if(R0, Test.EQUAL, 0, "first").load(R1, R0, Call.PROCESS_STARTED, size=8)
    program.load(R2, FRAME, birth, size=8).jump_if(R1, Test.NOT_EQUAL, R2, "first")
    program.load(R1, R0, Call.DEPTH, size=8).jump_if(R9, deeper, R1, "within").jump("first")
    program.label("within").load(R1, R0, Call.STARTED, size=8).constant(R2, _ABANDONED).add(R1, R2)
    program.jump_if(R8, Test.ABOVE, R1, "first").tally(Counter.NESTED).jump("out")
    program.label("first").update(calls, key, call)


def end(maps: PlainMaps, architecture: Architecture, direction: int, *, counted: bool) -> PlainProgram:
    """Where a C function is left; `counted`: it returns 1 and has put how much it moved somewhere."""
    program = PlainProgram(maps, architecture)
    program.register(R9, architecture.stack_pointer)
    if architecture.stack_arguments:
        program.subtract(R9, 8)  # the return address has been taken from the stack

    def moved(call: int) -> None:
        program.result(R7).extend_sign(R7)
        if counted:
            count = program.room(8)
            program.jump_if(R7, Test.NOT_EQUAL, 1, "ended").store(FRAME, count, 0, size=8)
            program.load(R3, FRAME, call + Call.COUNT, size=8).read_user(count, 8, R3).load(R7, FRAME, count, size=8)

    _end(program, maps.calls, program.me, direction, Test.BELOW, moved)
    return program


def go_end(maps: PlainMaps, architecture: Architecture, direction: int, *, spilled: bool) -> PlainProgram:
    """At a return instruction of (*tls.Conn).Read and Write, which return (int, error).

    `spilled`: the function keeps its arguments above its return address, where those of a call are found that had begun
    before there was a probe: goroutines wait in Read for whatever comes next.
    """
    program = PlainProgram(maps, architecture)
    key = program.room(GOROUTINE)
    _goroutine(program, key)

    def moved(_: int) -> None:
        program.go_argument(R7, 0)

    def before(call: int) -> None:
        words = program.room(_SPILLED)
        program.go_argument(R7, 0).jump_if(R7, Test.SIGNED_AT_MOST, 0, "out")
        program.register(R3, architecture.stack_pointer).add(R3, 8).read_user(words, _SPILLED, R3)
        program.jump_if(R0, Test.NOT_EQUAL, 0, "out").zero(call, Call.SIZE)
        program.load(R1, FRAME, words + 16, size=8).jump_if(R7, Test.ABOVE, R1, "out")
        for place, word in ((Call.OBJECT, 0), (Call.BUFFER, 8)):
            program.load(R1, FRAME, words + word, size=8).jump_if(R1, Test.EQUAL, 0, "out")
            program.store(FRAME, call + place, R1, size=8)
        program.call(Helper.KTIME_GET_BOOT_NS).store(FRAME, call + Call.STARTED, R0, size=8)
        pid = program.whom("out")
        program.load(R1, FRAME, pid, size=4).store(FRAME, call + Call.PID, R1, size=4)

    _end(program, maps.goroutines, key, direction, Test.ABOVE, moved, before if spilled else None)
    return program


def gone(maps: PlainMaps, architecture: Architecture, *, is_go: bool) -> PlainProgram:
    """Where an object (the first argument) is freed or closed: what is at its address later is another one."""
    program = PlainProgram(maps, architecture)
    key, known, record = program.room(OBJECT), program.room(KNOWN), program.room(HEADER)
    if is_go:
        program.go_argument(R7, 0)
    else:
        program.argument(R7, 0)
    program.store(FRAME, known, R7, size=8).object_key(key, R7)
    program.look_up(maps.objects, key).jump_if(R0, Test.EQUAL, 0, "out").move(R8, R0)
    program.load(R1, R8, Object.BORN, size=8).store(FRAME, known + 8, R1, size=8)
    _copy_tuple(program, known)
    program.load(R9, R8, Object.WANTED, size=4).delete(maps.objects, key)
    program.jump_if(R9, Test.EQUAL, UNWANTED, "out")
    program.call(Helper.KTIME_GET_BOOT_NS).store(FRAME, known + 16, R0, size=8)
    pid = program.whom("out")
    know_who(program, known, pid)
    write_header(program, Event.GONE, SENT, known, base=FRAME, at=record)
    give(program, record)
    return program.label("out").leave()


def _copy_tuple(program: PlainProgram, known: int) -> None:
    """R8: the object's value."""
    for place in range(0, TUPLE, 8):
        program.load(R1, R8, Object.TUPLE + place, size=8).store(FRAME, known + 32 + place, R1, size=8)


def _end(
    program: PlainProgram,
    calls: Map,
    key: int,
    direction: int,
    deeper: Test,
    moved: Callable[[int], None],
    before: Callable[[int], None] | None = None,
) -> None:
    """R9: the depth. `moved` loads R7 with how much was moved, at least 1, or jumps to "ended".

    `before` finds out about a call whose beginning nobody saw, or jumps to "out".
    """
    maps = program.maps
    call, thing, known, fresh = (program.room(size) for size in (Call.SIZE, OBJECT, KNOWN, Object.SIZE))
    program.look_up(calls, key).jump_if(R0, Test.NOT_EQUAL, 0, "begun")
    if before is not None:
        before(call)
        program.jump("same")
    elif maps.limited:  # most of these are none of ours
        program.jump("out")
    else:
        program.tally(Counter.BEGUN_BEFORE).jump("out")
    program.label("begun")
    for place in range(0, Call.SIZE, 8):
        program.load(R1, R0, place, size=8).store(FRAME, call + place, R1, size=8)
    program.load(R1, FRAME, call + Call.DEPTH, size=8).jump_if(R9, Test.EQUAL, R1, "same")
    program.jump_if(R9, deeper, R1, "out").jump("ended")  # the end of one within; or that one never ended
    program.label("same")
    moved(call)
    program.jump_if(R7, Test.SIGNED_AT_MOST, 0, "ended")

    program.load(R1, FRAME, call + Call.OBJECT, size=8).store(FRAME, known, R1, size=8).object_key(thing, R1)
    program.load(R1, FRAME, known, size=8)
    program.look_up(maps.objects, thing).jump_if(R0, Test.NOT_EQUAL, 0, "known")
    program.zero(fresh, Object.SIZE).load(R1, FRAME, call + Call.STARTED, size=8)
    program.store(FRAME, fresh + Object.BORN, R1, size=8).update(maps.objects, thing, fresh, BPF_NOEXIST)
    program.look_up(maps.objects, thing).jump_if(R0, Test.NOT_EQUAL, 0, "known")
    program.tally(Counter.NO_ROOM).jump("ended")
    program.label("known").move(R8, R0).load(R1, R8, Object.WANTED, size=4)
    program.jump_if(R1, Test.NOT_EQUAL, UNWANTED, "wanted").tally(Counter.UNWANTED).jump("ended")

    program.label("wanted").load(R1, R8, Object.BORN, size=8).store(FRAME, known + 8, R1, size=8)
    if direction == RECEIVED:
        program.call(Helper.KTIME_GET_BOOT_NS)
    else:  # the bytes were there before the first packet of them was
        program.load(R0, FRAME, call + Call.STARTED, size=8)
    program.store(FRAME, known + 16, R0, size=8)
    know_who(program, known, call + Call.PID)
    _copy_tuple(program, known)
    offset = program.room(8)
    place = Object.SENT if direction == SENT else Object.RECEIVED
    program.load(R1, R8, place, size=8).store(FRAME, offset, R1, size=8).increase(R8, place, R7)
    if calls is maps.calls:
        program.load(R1, R8, Object.SOCKET, size=8).jump_if(R1, Test.NOT_EQUAL, 0, "tied")
        program.load(R1, FRAME, call + Call.TOUCHED, size=4).jump_if(R1, Test.NOT_EQUAL, 0, "tied")
        program.flag_process(MEMORY).label("tied")
    _pieces(program, direction, known, call + Call.BUFFER, offset)
    program.label("ended").delete(calls, key)
    program.label("out").leave()


def _pieces(program: PlainProgram, direction: int, known: int, buffer: int, offset: int) -> None:
    """R7 bytes from the address at `buffer` to the ring, in pieces; R9: how many are done."""
    ring, length = program.maps.ring.map.fd, program.room(8)
    program.move(R9, 0)
    program.label("piece").move(R2, R7).subtract(R2, R9).jump_if(R2, Test.SIGNED_AT_MOST, 0, "ended")
    for smaller in SIZES[:-1]:
        program.jump_if(R2, Test.AT_MOST, smaller, f"size {smaller}")
    for size in reversed(SIZES):
        program.label(f"size {size}").map(R1, ring).move(R2, HEADER + size).move(R3, 0).call(Helper.RINGBUF_RESERVE)
        program.move(R8, R0).move(R2, R7).subtract(R2, R9)
        program.jump_if(R2, Test.AT_MOST, size, f"bound {size}").move(R2, size).label(f"bound {size}")
        program.store(FRAME, length, R2, size=8).jump_if(R8, Test.EQUAL, 0, "full")
        program.load(R3, FRAME, buffer, size=8).add(R3, R9)
        program.read_user(HEADER, R2, R3, base=R8).jump("read")
    program.label("read").jump_if(R0, Test.NOT_EQUAL, 0, "unreadable")
    write_header(program, Event.DATA, direction, known, base=R8, at=0)
    program.load(R1, FRAME, offset, size=8).add(R1, R9).store(R8, Place.OFFSET, R1, size=8)
    program.load(R1, FRAME, length, size=8).store(R8, Place.LENGTH, R1, size=4)
    program.move(R1, R8).move(R2, 0).call(Helper.RINGBUF_SUBMIT)
    _tally_piece(program, Counter.GIVEN, length)
    program.label("next").add(R9, PIECE).jump_if(R9, Test.BELOW, PIECE * _PIECES, "piece")
    program.subtract(R7, R9).jump_if(R7, Test.SIGNED_AT_MOST, 0, "ended").move(R8, R7)
    program.tally(Counter.BEYOND).tally(Counter.BEYOND + Counter.BYTES, R8).jump("ended")
    program.label("unreadable").move(R1, R8).move(R2, 0).call(Helper.RINGBUF_DISCARD)
    _tally_piece(program, Counter.UNREADABLE, length)
    program.jump("next").label("full")
    _tally_piece(program, Counter.RING_FULL, length)
    program.jump("next")


def _tally_piece(program: PlainProgram, counter: int, length: int) -> None:
    program.tally(counter).load(R8, FRAME, length, size=8).tally(counter + Counter.BYTES, R8)
