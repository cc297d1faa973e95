"""What differs between processors: system calls, where a probe finds registers, and which of them hold arguments."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """`registers`: offsets in what a probe is given (struct pt_regs, on arm64 struct user_pt_regs), in bytes.

    `arguments` of the C calling convention, `go_arguments` of Go's ABIInternal (1.17 and later); `goroutine` holds
    Go's g. An argument that does not fit the registers is on the stack, the first of them `stack_arguments` bytes
    above the stack pointer when a function begins.
    """

    name: str
    bpf: int
    perf_event_open: int
    registers: dict[str, int]
    arguments: tuple[str, ...]
    result: str
    go_arguments: tuple[str, ...]
    goroutine: str
    instruction_pointer: str
    stack_pointer: str
    stack_arguments: int


_X86_64_PT_REGS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
)

X86_64 = Architecture(
    name="x86_64",
    bpf=321,
    perf_event_open=298,
    registers={name: 8 * place for place, name in enumerate(_X86_64_PT_REGS)},
    arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    result="rax",
    go_arguments=("rax", "rbx", "rcx", "rdi", "rsi", "r8", "r9", "r10", "r11"),
    goroutine="r14",
    instruction_pointer="rip",
    stack_pointer="rsp",
    stack_arguments=8,
)

ARM64 = Architecture(
    name="aarch64",
    bpf=280,
    perf_event_open=241,
    registers={name: 8 * place for place, name in enumerate((*(f"x{n}" for n in range(31)), "sp", "pc", "pstate"))},
    arguments=tuple(f"x{n}" for n in range(8)),
    result="x0",
    go_arguments=tuple(f"x{n}" for n in range(16)),
    goroutine="x28",
    instruction_pointer="pc",
    stack_pointer="sp",
    stack_arguments=0,
)

ARCHITECTURES = {architecture.name: architecture for architecture in (X86_64, ARM64)}


def here() -> Architecture | None:
    """That of this machine; None where probes are not known for it."""
    return ARCHITECTURES.get(platform.machine())
