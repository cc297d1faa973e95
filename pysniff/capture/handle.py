"""One interface opened through libpcap, with an account that is exact.

The kernel counts from the moment its socket exists, libpcap installs a filter later and drops what it does
not like by itself, and packets still in the buffer at the end are counted but never seen. So the socket
first rejects everything, is emptied, and its counters are noted; at the end it rejects everything again and
is emptied. In between: received - dropped = delivered, packet by packet, whatever filters follow one another.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

import pcapy

from pysniff.capture import kernel_filter
from pysniff.capture.interfaces import unknown
from pysniff.capture.kernel_filter import Program
from pysniff.errors import FILTER_HINT, CaptureError, FilterError, PrivilegeError
from pysniff.limits import KIB
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

_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # linux/if_packet.h
_U32 = 1 << 32


class Statistics(NamedTuple):
    """Packets: `received` by the kernel, of these `dropped`; `missed` before, by the interface."""

    received: int
    dropped: int
    missed: int


class Handle:
    """An activated pcapy handle that lets nothing in until install(). `fd` is for poll.

    `shown`: how the interface is called in Blocks, where that is not its name. `buffer_size`: bytes of kernel buffer.
    Made in the network namespace of its interface. Raises CaptureError and PrivilegeError.
    """

    def __init__(
        self,
        name: str,
        snaplen: int,
        buffer_size: int,
        promiscuous: bool,
        *,
        loopback: bool = False,
        shown: str = "",
    ) -> None:
        self.name = name
        self.shown = shown or name
        self.buffer_size = buffer_size
        self._snaplen = snaplen
        self._reader = _activated(name, snaplen, buffer_size, promiscuous)
        self.fd: int = self._reader.getfd()
        if self.fd < 0:
            raise CaptureError(f"{self.shown}: cannot be waited for")
        self._reader.setnonblock(1)
        self.dlt: int = self._reader.datalink()
        self.linktype: int = _LINKTYPES.get(self.dlt, self.dlt)
        self._raw = (0, 0, 0)
        self._total = [0, 0, 0]
        self._counts = False
        self.in_kernel = kernel_filter.is_packet_socket(self.fd)
        if self.in_kernel:
            self._reader.setfilter("")  # of libpcap's own, that everything matches, for good
            if loopback:
                # A packet passes it twice, out and in; libpcap drops the first, which the kernel has counted.
                self._set_option(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, struct.pack("i", 1))
        self.reject()

    def reject(self) -> bool:
        """Let nothing more in; False where that cannot be, and the account is not exact."""
        if not self.in_kernel:
            return False
        try:
            kernel_filter.attach(self.fd, kernel_filter.REJECT)
        except OSError:
            return False
        return True

    def program(self, bpf: str) -> Program:
        """What install() takes; for every handle of this `dlt`, in this namespace. Raises FilterError, CaptureError."""
        if not self.in_kernel or not bpf.strip():
            return b""
        scratch = _activated(self.name, self._snaplen, 256 * KIB, False)
        try:
            return kernel_filter.compiled(bpf, scratch)
        finally:
            scratch.close()

    def begin(self) -> None:
        """Count from here on. The buffer must be empty, and nothing may be let in."""
        self._count()
        self._total = [0, 0, 0]
        self._counts = True

    def install(self, bpf: str, program: Program) -> None:
        """Let in what matches, in place of what was let in before, at once; raise FilterError or CaptureError."""
        if self.in_kernel:
            try:
                kernel_filter.attach(self.fd, program)
            except OSError as error:
                raise CaptureError(f"{self.shown}: the capture filter: {error.strerror}") from None
            return
        try:
            self._reader.setfilter(bpf)
        except (pcapy.PcapError, ValueError) as error:
            raise FilterError(f"capture filter {bpf!r}: {error}", hint=FILTER_HINT) from None

    def batch(self) -> Block | None:
        """What is waiting, at most BATCH packets; None when nothing is. Raises pcapy.PcapError.

        Times are microseconds: pcapy cannot ask for nanoseconds. It hides the length on the wire too, which
        differs from the captured one for packets longer than the snapshot length only.
        """
        data, meta = self._reader.next_batch(BATCH)
        if not meta:
            return None
        return Block.captured_live(data, meta, self.linktype, self.shown)

    def statistics(self) -> Statistics:
        """Since begin()."""
        if not self._counts:
            return Statistics(0, 0, 0)
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

    def _set_option(self, level: int, option: int, value: bytes) -> None:
        with socket.socket(fileno=os.dup(self.fd)) as duplicate:
            try:
                duplicate.setsockopt(level, option, value)
            except OSError:  # PACKET_IGNORE_OUTGOING came with Linux 4.20
                pass


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
