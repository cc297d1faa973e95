"""perf_event_open(2): events as descriptors, which the kernel closes with the process."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

from pysniff.tracer.architecture import here
from pysniff.tracer.bpf import Descriptor, Program, link
from pysniff.tracer.syscalls import buffer, call

ENABLE, SET_BPF = 0x2400, 0x40042408
_CLOSE_ON_EXEC = 8
_ATTRIBUTES = 112  # PERF_ATTR_SIZE_VER5: sample_max_stack; every kernel with BPF has it
EVERY_PROCESS = -1
_PERF_EVENT = 41  # BPF_PERF_EVENT, of enum bpf_attach_type


def perf_event(
    kind: int,
    config: int = 0,
    *,
    pid: int = EVERY_PROCESS,
    cpu: int = -1,
    sample_type: int = 0,
    flags: int = 0,
    wakeup: int = 0,
    config1: int = 0,
    config2: int = 0,
) -> Descriptor:
    """An event; names are those of struct perf_event_attr, `wakeup` in records. OSError."""
    architecture = here()
    if architecture is None:
        raise OSError(38, f"probes are not known for this processor ({os.uname().machine})")
    attr = buffer(
        struct.pack(
            *("<IIQQQQQIIQQ", kind, _ATTRIBUTES, config, 0, sample_type, 0, flags, wakeup, 0, config1, config2)
        ).ljust(_ATTRIBUTES, b"\0")
    )
    return Descriptor(call(architecture.perf_event_open, attr, pid, cpu, -1, _CLOSE_ON_EXEC))


def uprobe_event_type() -> int:
    """The number under which this kernel has uprobes; FileNotFoundError where it was built without."""
    return int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())


class Uprobe(Descriptor):
    """Runs a KPROBE program whenever a function of a file begins, or with `on_return` is left; OSError.

    In every process, or in that of `pid` and its threads; also in those that map the file later. `path`: of the file
    itself (/proc/self/fd/N of an open one is the surest); `offset`: of the function, in the file. The kernel knows the
    file by device and inode, so it may be replaced or deleted afterwards. `cookie`: what Helper.GET_ATTACH_COOKIE gives
    the program, 0 before 5.15.
    """

    def __init__(
        self,
        path: str,
        offset: int,
        program: Program,
        *,
        on_return: bool = False,
        pid: int = EVERY_PROCESS,
        cookie: int = 0,
    ) -> None:
        self.fd = -1
        name = buffer(os.fsencode(path) + b"\0")
        event = perf_event(
            uprobe_event_type(),
            int(on_return),
            pid=pid,
            # A probe of every process hangs on one processor and fires on all.
            cpu=0 if pid == EVERY_PROCESS else -1,
            config1=ctypes.addressof(name),
            config2=offset,
        )
        with event:
            made = _with_cookie(event, program, cookie) if cookie else None
            if made is None:
                fcntl.ioctl(event.fd, SET_BPF, program.fd)
                made = event
            fcntl.ioctl(event.fd, ENABLE, 0)
            super().__init__(made.fd)
            made.fd = -1


def _with_cookie(event: Descriptor, program: Program, cookie: int) -> Descriptor | None:
    """A link, which holds the event; None where the kernel has none for events."""
    try:
        return link(struct.pack("<IIIIQ", program.fd, event.fd, _PERF_EVENT, 0, cookie))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise
