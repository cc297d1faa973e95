"""Capture filters for packets that are already here: libpcap compiles them, and runs them.

A cut packet keeps its true length for `len`, `greater` and `less`, as in the kernel.
"""

from __future__ import annotations

import struct
import tempfile

import pcapy

from pysniff.capture.pcap import LONGEST
from pysniff.errors import FILTER_HINT, FilterError
from pysniff.packet import Block

_NETMASK_UNKNOWN = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_LOADS_LENGTH = (0x80, 0x81)  # BPF_LD|BPF_LEN, BPF_LDX|BPF_LEN


def compile(bpf: str, linktype: int) -> Program:
    """Compile for one link type (a LINKTYPE_ value); raise FilterError with libpcap's words."""
    return Program(pcapy.compile(_checked(bpf, linktype), LONGEST, bpf, 1, _NETMASK_UNKNOWN))


class Program:
    """A compiled filter."""

    def __init__(self, program: pcapy.BPFProgram) -> None:
        self._filter = program.filter
        code = program.get_bpf()
        self._cut: _Instructions | None = code if any(step[0] in _LOADS_LENGTH for step in code) else None

    def matches(self, packet: bytes, wire_length: int) -> bool:
        if self._cut is not None and wire_length > len(packet):
            return _run(self._cut, packet, wire_length) != 0
        return bool(self._filter(packet) != 0)

    def filtered(self, block: Block) -> tuple[Block, int]:
        """What matches, in the same buffer, and how many packets do not."""
        if self._cut is not None:
            data = block.data
            records = [record for record in block.records if self.matches(data[record[1] : record[2]], record[3])]
        else:
            data, matches = block.data, self._filter
            records = [record for record in block.records if matches(data[record[1] : record[2]])]
        dropped = len(block.records) - len(records)
        return (Block(block.data, records, block.linktype, block.interface) if dropped else block), dropped


def _checked(bpf: str, linktype: int) -> int:
    """libpcap's number (DLT) of the link type, once the filter is known to compile for it.

    pcapy.compile() reads the error message from memory that it has already freed; a reader of an empty
    file compiles the same and says its error safely, and it translates the link type.
    """
    with tempfile.NamedTemporaryFile(suffix=".pcap") as empty:
        empty.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, linktype))
        empty.flush()
        try:
            reader = pcapy.open_offline(empty.name)
            try:
                reader.setfilter(bpf)
                return int(reader.datalink())
            finally:
                reader.close()
        except (pcapy.PcapError, ValueError) as error:  # ValueError: a NUL in it
            raise FilterError(
                f"capture filter {bpf!r}: {error}",
                hint=FILTER_HINT,
            ) from None


_Instructions = list[tuple[int, int, int, int]]  # code, jt, jf, k


def _run(code: _Instructions, packet: bytes, wire_length: int) -> int:
    """Run a classic BPF program (bpf(4)); loads beyond the packet reject it. Jumps go forward only, so it ends."""
    a = x = at = 0
    memory = [0] * 16
    size = len(packet)
    while at < len(code):
        op, yes, no, k = code[at]
        at += 1
        kind = op & 7
        if kind == 0 or kind == 1:  # LD, LDX
            mode = op & 0xE0
            if mode == 0x00:
                value = k
            elif mode == 0x80:
                value = wire_length
            elif mode == 0x60:
                value = memory[k & 15]
            else:
                start = k + x if mode == 0x40 else k
                width = 1 if mode == 0xA0 else {0x00: 4, 0x08: 2, 0x10: 1}[op & 0x18]
                if start + width > size:
                    return 0
                value = int.from_bytes(packet[start : start + width], "big")
                if mode == 0xA0:  # 4 * (packet[k] & 15): the length of an IPv4 header
                    value = (value & 15) * 4
            if kind == 0:
                a = value
            else:
                x = value
        elif kind == 2:
            memory[k & 15] = a
        elif kind == 3:
            memory[k & 15] = x
        elif kind == 4:
            operand = x if op & 8 else k
            if op & 0xF0 in (0x30, 0x90) and operand == 0:
                return 0
            a = _calculate(op & 0xF0, a, operand) & 0xFFFFFFFF
        elif kind == 5:
            operand = x if op & 8 else k
            test = op & 0xF0
            if test == 0:
                at += k
            else:
                holds = {0x10: a == operand, 0x20: a > operand, 0x30: a >= operand, 0x40: a & operand != 0}[test]
                at += yes if holds else no
        elif kind == 6:
            return a if op & 0x18 == 0x10 else k
        elif op & 0xF8 == 0x80:
            a = x
        else:
            x = a
    return 0


def _calculate(operation: int, a: int, b: int) -> int:
    match operation:
        case 0x00:
            return a + b
        case 0x10:
            return a - b
        case 0x20:
            return a * b
        case 0x30:
            return a // b
        case 0x40:
            return a | b
        case 0x50:
            return a & b
        case 0x60:
            return a << b if b < 32 else 0
        case 0x70:
            return a >> b if b < 32 else 0
        case 0x80:
            return -a
        case 0x90:
            return a % b
        case _:
            return a ^ b
