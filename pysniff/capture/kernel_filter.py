"""Capture filters in the kernel, put there by ourselves: libpcap's own way loses count.

libpcap also drops by itself what its new filter does not like of the packets that wait in the buffer, and the kernel
has counted them. So libpcap is given a filter that everything matches; what it makes of the real one, for a handle
nobody reads from, is read back from the kernel and attached to the socket that counts: one exchange, with no packet
between the old filter and the new one.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

import pcapy

from pysniff.errors import FILTER_HINT, CaptureError, FilterError

_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER of linux/socket.h; the first reads it back too
_INSTRUCTION = 8
_MOST = 4096  # BPF_MAXINSNS
# One instruction, BPF_RET | BPF_K with 0: keep no byte.
REJECT = struct.pack("HBBI", 6, 0, 0, 0)

Program = bytes  # struct sock_filter, one after another; empty: everything matches


def is_packet_socket(fd: int) -> bool:
    """nflog, bluetooth-monitor and others are filtered by libpcap alone."""
    if sys.platform != "linux":
        return False
    with socket.socket(fileno=os.dup(fd)) as duplicate:
        return duplicate.family == socket.AF_PACKET


def attach(fd: int, program: Program) -> None:
    """In place of what is there, at once; raise OSError."""
    with socket.socket(fileno=os.dup(fd)) as duplicate:
        if not program:
            duplicate.setsockopt(socket.SOL_SOCKET, _DETACH, bytes(4))
            return
        text = ctypes.create_string_buffer(program, len(program))
        count = len(program) // _INSTRUCTION
        duplicate.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HP", count, ctypes.addressof(text)))


def attached(fd: int) -> Program:
    """What is there; raise OSError. The kernel's length is in instructions, which socket.getsockopt takes for bytes."""
    library = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(_MOST * _INSTRUCTION)
    size = ctypes.c_uint32(_MOST)
    if library.getsockopt(fd, socket.SOL_SOCKET, _ATTACH, text, ctypes.byref(size)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return text.raw[: size.value * _INSTRUCTION]


def compiled(bpf: str, reader: pcapy.Reader) -> Program:
    """The program of a filter for one activated handle, whose packets are of no use any more; raise FilterError."""
    fd = reader.getfd()
    try:
        attach(fd, REJECT)
        reader.setfilter(bpf)
        program = attached(fd)
    except (pcapy.PcapError, ValueError) as error:  # ValueError: a NUL in it
        raise FilterError(f"capture filter {bpf!r}: {error}", hint=FILTER_HINT) from None
    except OSError as error:
        raise CaptureError(f"capture filter: the kernel refuses: {error.strerror}") from None
    if program == REJECT and not _is_nothing(bpf, reader):
        raise FilterError("capture filter: too long for the kernel", hint="name fewer hosts or ports")
    return program


def _is_nothing(bpf: str, reader: pcapy.Reader) -> bool:
    """Whether a filter lets nothing in by itself: `tcp and udp` is the same instruction."""
    try:
        code = pcapy.compile(reader.datalink(), 262_144, bpf, 1, 0xFFFFFFFF).get_bpf()
    except pcapy.PcapError:  # it compiled a moment ago; what a live handle alone allows is no such filter
        return False
    return len(code) == 1
