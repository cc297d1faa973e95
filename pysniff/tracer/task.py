"""Who a program runs for: the process's number as this process would call it, and its name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, R4, R7, Assembler, Helper
from pysniff.tracer.bpf import Program, ProgramType
from pysniff.tracer.btf import NotFound, kernel_btf
from pysniff.tracer.limits import NAME
from pysniff.tracer.probe_program import ProbeProgram

_PID_NAMESPACE = Path("/proc/self/ns/pid")
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO: where numbers are those that the kernel itself uses


class Task(NamedTuple):
    """What identifying needs to know of this kernel.

    `namespace`: device and inode of the PID namespace of this process, None where it is the initial one. `leader`,
    `comm`: offsets in struct task_struct, None where the kernel does not tell: then a thread's name is its process's.
    """

    namespace: tuple[int, int] | None = None
    leader: int | None = None
    comm: int | None = None

    def identify(self, program: ProbeProgram, *, pid: int, comm: int) -> None:
        """To the stack: at `pid` the process and its thread, 4 bytes each, at `comm` NAME bytes. R7 is lost.

        The pid is 0 for a process that is not in the namespace of this one.
        """
        if self.namespace is None:
            program.call(Helper.GET_CURRENT_PID_TGID).move(R7, R0).shift_right(R7, 32)
            program.store(FRAME, pid, R7, size=4).store(FRAME, pid + 4, R0, size=4)
        else:
            numbers = program.room(8)
            device, inode = self.namespace
            program.store(FRAME, numbers, 0, size=8)
            program.constant(R1, device).constant(R2, inode).move(R3, FRAME).add(R3, numbers).move(R4, 8)
            program.call(Helper.GET_NS_CURRENT_PID_TGID)
            # struct bpf_pidns_info has the thread first.
            program.load(R7, FRAME, numbers + 4, size=4).store(FRAME, pid, R7, size=4)
            program.load(R7, FRAME, numbers, size=4).store(FRAME, pid + 4, R7, size=4)
        program.move(R1, FRAME).add(R1, comm).move(R2, NAME).call(Helper.GET_CURRENT_COMM)
        if self.leader is not None and self.comm is not None:
            leader = program.room(8)
            program.store(FRAME, leader, 0, size=8).call(Helper.GET_CURRENT_TASK).move(R3, R0).add(R3, self.leader)
            program.read_kernel(leader, 8, R3).load(R3, FRAME, leader, size=8).add(R3, self.comm)
            program.read_kernel(comm, NAME, R3)


def task_of_kernel() -> Task:
    """Of the running kernel and this process."""
    try:
        found = _PID_NAMESPACE.stat()
        namespace = None if found.st_ino == INITIAL_PID_NAMESPACE else (found.st_dev, found.st_ino)
    except OSError:
        namespace = None
    if not kernel_memory_readable():
        return Task(namespace)
    try:
        btf = kernel_btf()
        return Task(namespace, btf.offset("task_struct", "group_leader"), btf.offset("task_struct", "comm"))
    except NotFound:
        return Task(namespace)


@cache
def kernel_memory_readable() -> bool:
    """Whether programs may read it: lockdown for confidentiality forbids that."""
    code = Assembler().move(R1, FRAME).add(R1, -8).move(R2, 8).move(R3, 0).call(Helper.PROBE_READ_KERNEL)
    try:
        Program(ProgramType.KPROBE, code.move(R0, 0).exit().code(), name="pysniff_try").close()
    except OSError:
        return False
    return True
