"""One interface opened through libpcap, with an account that is exact.

The kernel counts from the moment its socket exists, libpcap installs a filter later and drops what it does
not like by itself, and packets still in the buffer at the end are counted but never seen. So the socket
first rejects everything, is emptied, and its counters are noted; at the end it rejects everything again and
is emptied. In between: received - dropped = delivered, packet by packet.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import NamedTuple

import pcapy

from pysniff.capture.interfaces import index_of, is_loopback, unknown
from pysniff.errors import FILTER_HINT, CaptureError, FilterError, PrivilegeError
from pysniff.packet import Block

BATCH = 1024  # packets a call
# The kernel hands over a buffer block that is not full after this time, in milliseconds.
RETIRE = 50
# So whatever is there has been handed over after this time.
SETTLED = 3 * RETIRE

# pcap_activate(3PCAP); pcapy passes its result on instead of raising, and hides the message.
_FAILURES = {
    -1: "cannot be opened",
    -5: "no such device",
    -6: "has no monitor mode",
    -8: "permission denied",
    -9: "is not up",
    -10: "has no such time stamps",
    -11: "no permission for promiscuous mode",
    -12: "has no such time stamp precision",
}

# DLT_ values of a live handle that differ from the LINKTYPE_ value of the same thing (pcap-common.c).
_LINKTYPES = {11: 100, 12: 101, 13: 102, 14: 103, 17: 110, 18: 111, 19: 123}

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # linux/socket.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # linux/if_packet.h
_U32 = 1 << 32


class Statistics(NamedTuple):
    """Packets: `received` by the kernel, of these `dropped`; `missed` before, by the interface."""

    received: int
    dropped: int
    missed: int


class Handle:
    """An activated pcapy handle that accepts nothing until accept(bpf). `fd` is for poll."""

    def __init__(self, name: str, snaplen: int, buffer_size: int, promiscuous: bool) -> None:
        self.name = name
        self.index = index_of(name)
        self._reader = _activated(name, snaplen, buffer_size, promiscuous)
        self.fd: int = self._reader.getfd()
        if self.fd < 0:
            raise CaptureError(f"{name}: cannot be waited for")
        self._reader.setnonblock(1)
        dlt = self._reader.datalink()
        self.linktype: int = _LINKTYPES.get(dlt, dlt)
        self._raw = (0, 0, 0)
        self._total = [0, 0, 0]
        if sys.platform == "linux" and is_loopback(name):
            # A packet passes loopback twice, out and in; libpcap drops the first, which the kernel has counted.
            self._set_option(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, struct.pack("i", 1))
        self.reject()

    def reject(self) -> bool:
        """Let nothing more in; False where that cannot be, and the account is not exact.

        In the kernel, behind libpcap's back: its own filter would also drop what is waiting.
        """
        if sys.platform != "linux":
            return False
        # One instruction, BPF_RET | BPF_K with 0: keep no byte.
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        filter_ = struct.pack("HP", 1, ctypes.addressof(program))
        return self._set_option(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)

    def accept(self, bpf: str) -> None:
        """Begin to count, and let in what matches; raise FilterError. The buffer must be empty."""
        self._count()
        self._total = [0, 0, 0]
        # Without a filter too: libpcap replaces ours only by another. "" matches everything.
        try:
            self._reader.setfilter(bpf)
        except (pcapy.PcapError, ValueError) as error:
            raise FilterError(f"capture filter {bpf!r}: {error}", hint=FILTER_HINT) from None
        if not bpf and sys.platform == "linux":
            self._set_option(socket.SOL_SOCKET, _SO_DETACH_FILTER, bytes(4))

    def batch(self) -> Block | None:
        """What is waiting, at most BATCH packets; None when nothing is. Raises pcapy.PcapError.

        Times are microseconds: pcapy cannot ask for nanoseconds. It hides the length on the wire too, which
        differs from the captured one for packets longer than the snapshot length only.
        """
        data, meta = self._reader.next_batch(BATCH)
        if not meta:
            return None
        return Block.captured_live(data, meta, self.linktype, self.name)

    def statistics(self) -> Statistics:
        """Since accept()."""
        self._count()
        return Statistics(*self._total)

    def close(self) -> None:
        self._reader.close()

    def _count(self) -> None:
        try:
            now = self._reader.stats()
        except (pcapy.PcapError, ValueError):  # the interface is gone, or the handle closed
            return
        for index in range(3):  # each an unsigned int that wraps
            self._total[index] += (now[index] - self._raw[index]) % _U32
        self._raw = now

    def _set_option(self, level: int, option: int, value: bytes) -> bool:
        with socket.socket(fileno=os.dup(self.fd)) as duplicate:
            # nflog, bluetooth-monitor and others are filtered by libpcap alone.
            if duplicate.family != socket.AF_PACKET:
                return False
            try:
                duplicate.setsockopt(level, option, value)
            except OSError:  # PACKET_IGNORE_OUTGOING came with Linux 4.20
                return False
        return True


def _activated(name: str, snaplen: int, buffer_size: int, promiscuous: bool) -> pcapy.Reader:
    try:
        reader = pcapy.create(name)
        reader.set_snaplen(snaplen)
        reader.set_timeout(RETIRE)
        reader.set_buffer_size(buffer_size)
        reader.set_promisc(int(promiscuous))
        code = reader.activate()
    except (pcapy.PcapError, ValueError) as error:
        raise CaptureError(f"{name}: {error}") from None
    if code >= 0:  # above 0 are warnings: captured, but not promiscuous, or so
        return reader
    reader.close()
    if code == -5:
        raise unknown(name)
    if code in (-8, -11):
        raise PrivilegeError(
            f"{name}: {_FAILURES[code]}",
            hint="run with sudo, give Python cap_net_raw with setcap, or read a file with -r",
        )
    raise CaptureError(f"{name}: {_FAILURES.get(code, f'libpcap says {code}')}")
