"""eBPF without a compiler: instructions are those of the standard, the kernel takes them, what they write arrives."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Callable

import pytest

from pysniff.tracer.architecture import ARM64, X86_64, Architecture, here
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R6, R9, Assembler, Helper
from pysniff.tracer.assembler import Test as Is
from pysniff.tracer.bpf import Descriptor, Map, MapType, Program, ProgramRejected, ProgramType
from pysniff.tracer.btf import STRUCT, Btf, NotFound, kernel_btf
from pysniff.tracer.hook import Hook, Kind
from pysniff.tracer.key_labels import Labels
from pysniff.tracer.key_program import KeyMaps, KeyRecord, key_program, read_record
from pysniff.tracer.limits import LimitMaps, Limits
from pysniff.tracer.perf import Uprobe
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.ring import RingBuffer
from pysniff.tracer.task import Task, task_of_kernel
from pysniff.tracer.uprobe import attach, load

# The encodings of RFC 9669, as llvm-mc -triple=bpf -show-encoding gives them.
KNOWN = [
    ("r0 = 0", lambda a: a.move(R0, 0), "b7 00 00 00 00 00 00 00"),
    ("r6 = r1", lambda a: a.move(R6, R1), "bf 16 00 00 00 00 00 00"),
    ("w1 = -1", lambda a: a.move(R1, -1, bits=32), "b4 01 00 00 ff ff ff ff"),
    ("r2 += -8", lambda a: a.add(R2, -8), "07 02 00 00 f8 ff ff ff"),
    ("r2 += r10", lambda a: a.add(R2, FRAME), "0f a2 00 00 00 00 00 00"),
    ("r1 -= r2", lambda a: a.subtract(R1, R2), "1f 21 00 00 00 00 00 00"),
    ("r1 |= r2", lambda a: a.either(R1, R2), "4f 21 00 00 00 00 00 00"),
    ("r3 &= 32767", lambda a: a.both(R3, 0x7FFF), "57 03 00 00 ff 7f 00 00"),
    ("r3 ^= r4", lambda a: a.differ(R3, R4), "af 43 00 00 00 00 00 00"),
    ("r0 <<= 32", lambda a: a.shift_left(R0, 32), "67 00 00 00 20 00 00 00"),
    ("r0 >>= 32", lambda a: a.shift_right(R0, 32), "77 00 00 00 20 00 00 00"),
    ("r0 s>>= 32", lambda a: a.shift_right_signed(R0, 32), "c7 00 00 00 20 00 00 00"),
    ("r1 = 0x1100000022 ll", lambda a: a.constant(R1, 0x1100000022), "18 01 00 00 22 00 00 00 00 00 00 00 11 00 00 00"),
    ("r1 = map 5", lambda a: a.map(R1, 5), "18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00"),
    ("r1 = *(u64 *)(r6 + 112)", lambda a: a.load(R1, R6, 112, size=8), "79 61 70 00 00 00 00 00"),
    ("r1 = *(u32 *)(r6 + 4)", lambda a: a.load(R1, R6, 4, size=4), "61 61 04 00 00 00 00 00"),
    ("r1 = *(u16 *)(r6 + 2)", lambda a: a.load(R1, R6, 2, size=2), "69 61 02 00 00 00 00 00"),
    ("r1 = *(u8 *)(r6 + 1)", lambda a: a.load(R1, R6, 1, size=1), "71 61 01 00 00 00 00 00"),
    ("*(u64 *)(r10 - 8) = r1", lambda a: a.store(FRAME, -8, R1, size=8), "7b 1a f8 ff 00 00 00 00"),
    ("*(u32 *)(r10 - 4) = 7", lambda a: a.store(FRAME, -4, 7, size=4), "62 0a fc ff 07 00 00 00"),
    ("lock *(u64 *)(r0 + 0) += r1", lambda a: a.increase(R0, 0, R1), "db 10 00 00 00 00 00 00"),
    ("call 14", lambda a: a.call(Helper.GET_CURRENT_PID_TGID), "85 00 00 00 0e 00 00 00"),
    ("exit", lambda a: a.exit(), "95 00 00 00 00 00 00 00"),
]


@pytest.mark.parametrize(("write", "encoding"), [one[1:] for one in KNOWN], ids=[one[0] for one in KNOWN])
def test_instructions_are_encoded_as_the_standard_says(write: Callable[[Assembler], object], encoding: str) -> None:
    program = Assembler()
    write(program)
    assert program.code().hex(" ") == encoding


def test_jumps_lead_to_labels_before_and_behind() -> None:
    program = Assembler().label("top").jump_if(R1, Is.EQUAL, 0, "out").jump_if(R1, Is.SIGNED_BELOW, R2, "top")
    program.jump("top").label("out").exit()
    assert program.code().hex(" ", 8) == "1501020000000000 cd21feff00000000 0500fdff00000000 9500000000000000"


@pytest.mark.parametrize(
    "write",
    [
        lambda: Assembler().jump("nowhere").code(),
        lambda: Assembler().label("twice").label("twice"),
        lambda: Assembler().move(R0, 1 << 32),
        lambda: Assembler().load(R0, R1, 1 << 15, size=8),
        lambda: ProbeProgram(X86_64).room(513),
    ],
)
def test_what_no_instruction_can_hold_is_refused(write: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        write()


@pytest.mark.parametrize("architecture", [X86_64, ARM64], ids=lambda one: one.name)
def test_arguments_are_where_the_architecture_has_them(architecture: Architecture) -> None:
    expected = {"x86_64": [112, 104, 96, 88, 72, 64], "aarch64": [0, 8, 16, 24, 32, 40]}[architecture.name]
    assert [architecture.registers[name] for name in architecture.arguments[:6]] == expected
    go = {"x86_64": [80, 40, 88, 112, 104, 72, 64, 56, 48], "aarch64": [8 * n for n in range(9)]}[architecture.name]
    assert [architecture.registers[name] for name in architecture.go_arguments[:9]] == go


@pytest.mark.needs_ebpf
def test_the_verifiers_last_words_are_in_the_error() -> None:
    with pytest.raises(ProgramRejected, match=r"(?s)rejects the program bad: .*R1 invalid mem access"):
        Program(ProgramType.KPROBE, Assembler().move(R1, 0).load(R0, R1, 0, size=8).exit().code(), name="bad")


@pytest.mark.needs_ebpf
@pytest.mark.parametrize("kind", [Kind.LOG_SECRET, Kind.GO_WRITE_KEY_LOG, Kind.RUSTLS_LOG])
@pytest.mark.parametrize("path", [(0x160,), (0x30, 0xB8), (1, 2, 3)], ids=len)
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("where", ["here", "without types", "in a container"])
def test_the_kernel_takes_every_key_program(
    kind: Kind, path: tuple[int, ...], limited: bool, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(frozenset({1}), frozenset({"a"}), frozenset({1})) if limited else Limits()
    task = {"here": task_of_kernel(), "without types": Task(), "in a container": Task((4, 4026531836), 8, 16)}[where]
    architecture = here()
    assert architecture
    ring, counters = RingBuffer(mmap.PAGESIZE), Map(MapType.PERCPU_ARRAY, key=4, value=8, entries=2)
    maps = KeyMaps(ring, counters, LimitMaps(limits), task)
    for sleepable in (True, False):
        monkeypatch.setattr("pysniff.tracer.key_program.sleepable_works", lambda one=sleepable: one)
        key_program(Hook(kind, "f", 0, path), 1, maps, architecture).close()
    maps.limits.close()
    ring.close()
    counters.close()


def test_what_a_program_gives_may_be_anything() -> None:
    assert read_record(b"") is None
    assert read_record(bytes(192)) is None
    assert read_record(b"\xff" * 192) is None


def test_a_label_that_could_not_be_read_is_known_from_another_process() -> None:
    def record(pid: int, file: int, distance: int, label: str) -> KeyRecord:
        return KeyRecord(0, pid, "curl", file, distance, label, bytes(31) + b"\1", bytes(48))

    labels = Labels()
    unread = [record(1, 1, 100, ""), record(2, 1, 100, ""), record(3, 1, 200, ""), record(4, 2, 100, "")]
    assert [told for one in unread for told in labels.of(one)] == []
    read = record(5, 1, 100, "CLIENT_RANDOM")
    assert list(labels.of(read)) == [("CLIENT_RANDOM", one) for one in (read, *unread[:2])]
    assert list(labels.of(again := record(6, 1, 100, ""))) == [("CLIENT_RANDOM", again)]
    assert (labels.waiting, labels.lost) == (2, 0)
    for _ in range(1_024):
        assert list(labels.of(unread[3])) == []
    assert (labels.waiting, labels.lost) == (1_024, 2)


@pytest.mark.needs_ebpf
def test_a_map_keeps_what_it_is_given() -> None:
    with Map(MapType.HASH, key=4, value=2, entries=4) as there:
        there[b"abcd"] = b"ab"
        there[b"efgh"] = b"cd"
        assert (sorted(there), there[b"abcd"]) == ([b"abcd", b"efgh"], b"ab")
        del there[b"abcd"]
        with pytest.raises(KeyError):
            there[b"abcd"]
        with pytest.raises(KeyError):
            del there[b"abcd"]
        with pytest.raises(ValueError, match="1 bytes where keys have 4"):
            there[b"a"]


def _function() -> tuple[str, int, Callable[[object], object]]:
    """One of libc that hardly anybody calls: its file, its place there, and how to call it."""
    from pysniff.tracer import processes
    from pysniff.tracer.elf import Elf

    (path,) = {one.path for one in processes.mapped_by(os.getpid()) if "/libc.so" in one.path or "/libc-" in one.path}
    with Elf(path) as elf:
        offset = elf.offset(elf.symbols(["a64l"])["a64l"].address)
    assert offset is not None
    function = ctypes.CDLL(None).a64l
    function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_long
    return path, offset, function


@pytest.mark.needs_ebpf
@pytest.mark.parametrize("way", ["link", "event", "event of a process"])
def test_a_probe_runs_when_a_function_begins_and_when_it_is_left(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = here()
    assert architecture
    if way != "link":
        monkeypatch.setattr("pysniff.tracer.uprobe.links_work", lambda: False)
    path, offset, function = _function()
    ring = RingBuffer(mmap.PAGESIZE)
    programs = []
    for returns in (False, True):
        program = ProbeProgram(architecture)
        place = program.room(16)
        program.call(Helper.GET_CURRENT_PID_TGID).store(FRAME, place, R0, size=8)
        if returns:
            program.result(R9)
        else:
            program.argument(R9, 0).read_user(place + 8, 8, R9).load(R9, FRAME, place + 8, size=8)
        program.store(FRAME, place + 8, R9, size=8)
        program.map(R1, ring.map.fd).move(R2, FRAME).add(R2, place).move(R3, 16).move(R4, 0)
        programs.append(load(program.call(Helper.RINGBUF_OUTPUT).leave(), "pysniff_test"))
    text = ctypes.create_string_buffer(b"zz\0\0\0\0\0\0", 8)
    probes: list[Descriptor]
    if way == "event of a process":
        probes = [Uprobe(path, offset, one, on_return=bool(n), pid=os.getpid()) for n, one in enumerate(programs)]
    else:
        probes = [*attach(path, [offset], programs[0]), *attach(path, [offset], programs[1], on_return=True)]
    result = function(ctypes.cast(text, ctypes.c_char_p))
    for probe in probes:
        probe.close()
    function(ctypes.cast(text, ctypes.c_char_p))
    got = [value for who, value in struct.iter_unpack("<QQ", b"".join(ring.take())) if who >> 32 == os.getpid()]
    assert got == [int.from_bytes(text.raw, "little"), result]
    ring.close()


@pytest.mark.needs_ebpf
def test_the_ring_gives_every_record_once_and_in_order_round_and_round() -> None:
    architecture = here()
    assert architecture
    path, offset, function = _function()
    ring = RingBuffer(mmap.PAGESIZE)
    counters = Map(MapType.PERCPU_ARRAY, key=4, value=8, entries=1)
    program = ProbeProgram(architecture)
    place = program.room(40)
    program.zero(place, 40).argument(R9, 0).read_user(place, 8, R9)
    program.map(R1, ring.map.fd).move(R2, FRAME).add(R2, place).move(R3, 36).move(R4, 0).call(Helper.RINGBUF_OUTPUT)
    program.jump_if(R0, Is.EQUAL, 0, "out").count(counters, 0).label("out").leave()
    got: list[int] = []
    text = ctypes.create_string_buffer(8)
    fits = mmap.PAGESIZE // 48
    with load(program, "pysniff_test") as loaded:
        probes = attach(path, [offset], loaded)
    for round_ in range(10):
        for number in range(fits):
            text.raw = struct.pack("<HHxxxx", 0x6161, 256 + round_ * fits + number)
            function(ctypes.cast(text, ctypes.c_char_p))
        got += [struct.unpack_from("<2xH", record)[0] for record in ring.take() if record[:2] == b"aa"]
    assert got == list(range(256, 256 + 10 * fits))
    assert counters.sum(0) == 0
    for _ in range(fits + 5):
        function(ctypes.cast(text, ctypes.c_char_p))
    assert counters.sum(0) >= 5
    assert len(list(ring.take(48))) == 1
    assert ring.used >= (fits - 1) * 48
    for probe in probes:
        probe.close()
    ring.close()
    counters.close()


@pytest.mark.needs_ebpf
def test_the_kernel_tells_where_its_fields_are() -> None:
    try:
        btf = kernel_btf()
    except NotFound as error:
        pytest.skip(str(error))
    # These are part of what the kernel promises to programs (uapi), so they never move.
    assert [btf.offset("iphdr", name) for name in ("saddr", "daddr")] == [12, 16]
    assert btf.offset("ethhdr", "h_proto") == 12
    assert btf.offset("sock", "__sk_common.skc_dport") == btf.offset("sock_common", "skc_dport")
    with pytest.raises(NotFound, match="no such_field"):
        btf.offset("sock", "such_field")
    with pytest.raises(NotFound, match="no type no_such_thing"):
        btf.number(STRUCT, "no_such_thing")


@pytest.mark.parametrize("content", [b"", b"\x9f\xeb" + bytes(30), bytes(100)], ids=["empty", "hollow", "zeros"])
def test_types_that_cannot_be_read_are_not_found(content: bytes) -> None:
    with pytest.raises(NotFound):
        Btf(content).offset("sock", "sk")


def test_types_cut_anywhere_are_found_or_not_and_nothing_else() -> None:
    whole = made_btf()
    assert Btf(whole).offset("outer", "inner.wanted") == 12
    for size in range(len(whole)):
        try:
            assert Btf(whole[:size]).offset("outer", "inner.wanted") == 12
        except NotFound:
            pass


def made_btf() -> bytes:
    """struct inner { int first; union { int wanted; }; }; typedef; struct outer { long x; ...inner; }"""
    names = b"\0int\0first\0wanted\0inner\0outer\0x\0alias\0"

    def name(text: str) -> int:
        return names.index(b"\0" + text.encode() + b"\0") + 1

    def head(text: str, kind: int, elements: int, size: int) -> bytes:
        return struct.pack("<III", name(text) if text else 0, kind << 24 | elements, size)

    def member(text: str, kind: int, bits: int) -> bytes:
        return struct.pack("<III", name(text) if text else 0, kind, bits)

    types = head("int", 1, 0, 4) + bytes(4)
    types += head("", 5, 1, 4) + member("wanted", 1, 0)
    types += head("inner", 4, 2, 8) + member("first", 1, 0) + member("", 2, 32)
    types += head("alias", 8, 0, 3)
    types += head("outer", 4, 2, 16) + member("x", 1, 0) + member("inner", 4, 64)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
    return header + types + names
