"""Probes on functions by whichever way this kernel does best; each ends with its descriptor, so with the process.

Both cost a call about the same. A link of its own (6.6 and later) is undone in half the time that an event takes
(40 and 100 ms: the kernel waits until nobody runs the program).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, Assembler, Helper
from pysniff.tracer.bpf import TRACE_UPROBE_MULTI, Descriptor, Program, ProgramType, link
from pysniff.tracer.perf import Uprobe
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.syscalls import buffer

_ON_RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN


def load(program: ProbeProgram, name: str) -> Program:
    """A program for `attach`; OSError."""
    return _loaded(program, name, sleepable=program.sleepable)


def attach(
    path: str, offsets: Sequence[int], program: Program, *, on_return: bool = False, cookie: int = 0
) -> list[Descriptor]:
    """Run a program of `load` where functions at these file offsets begin, or are left, in every process; OSError.

    What was attached before one could not be is undone. `cookie`: what Helper.GET_ATTACH_COOKIE gives the program.
    """
    if links_work():
        return [UprobeLink(path, offsets, program, on_return=on_return, cookie=cookie)]
    with ExitStack() as made:
        probes = [
            made.enter_context(Uprobe(path, place, program, on_return=on_return, cookie=cookie)) for place in offsets
        ]
        made.pop_all()
    return list(probes)


class UprobeLink(Descriptor):
    """As perf.Uprobe, for several functions of a file at once, in every process; 6.6 and later. OSError."""

    def __init__(
        self, path: str, offsets: Sequence[int], program: Program, *, on_return: bool = False, cookie: int = 0
    ) -> None:
        self.fd = -1
        name = buffer(os.fsencode(path) + b"\0")
        places = buffer(struct.pack(f"={len(offsets)}Q", *offsets))
        flags = _ON_RETURN if on_return else 0
        attr = struct.pack("<IIII", program.fd, 0, TRACE_UPROBE_MULTI, 0)
        cookies = buffer(struct.pack("=Q", cookie) * len(offsets))
        at = ctypes.addressof(name), ctypes.addressof(places), 0, ctypes.addressof(cookies)
        attr += struct.pack("<QQQQ", *at)
        made = link(attr + struct.pack("<IIII", len(offsets), flags, 0, 0))
        super().__init__(made.fd)
        made.fd = -1


@cache
def links_work() -> bool:
    """Whether this kernel has UprobeLink: it looks for the file only then."""
    try:
        code = Assembler().move(R0, 0).exit().code()
        with Program(ProgramType.KPROBE, code, name="pysniff_try", attach_type=TRACE_UPROBE_MULTI) as program:
            UprobeLink("/nonexistent/pysniff", [0], program).close()
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


@cache
def sleepable_works() -> bool:
    """Whether programs may wait for memory that is not there yet (6.0 and later)."""
    program = Assembler().move(R3, 0).move(R1, FRAME).add(R1, -8).move(R2, 1)
    try:
        _loaded(program.call(Helper.COPY_FROM_USER).move(R0, 0).exit(), "pysniff_try", sleepable=True).close()
    except OSError:
        return False
    return True


def _loaded(program: Assembler, name: str, *, sleepable: bool) -> Program:
    kind = TRACE_UPROBE_MULTI if links_work() else 0
    return Program(ProgramType.KPROBE, program.code(), name=name, attach_type=kind, sleepable=sleepable)
