"""A million connections that are never finished: a SYN flood, unanswered and answered, through the core."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from benchmarks import captures
from benchmarks.measure import Samples, interleave, subject
from benchmarks.report import Ratio, Row, Section

TITLE = "A million half-open connections"
SECONDS = 120.0
CONNECTIONS = 1_000_000
PER_SECOND = 100_000
SERVER = bytes((10, 9, 0, 1))
PORT = 443
SYN, SYN_ACK = 0x02, 0x12

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
RECORD = struct.Struct("<IIII")
# Ethernet addresses and type; IPv4; TCP without options. Checksums are left 0, as with offloading.
FRAME = struct.Struct("!12sH BBHHHBBH4s4s HHIIBBHHH")


def flood(connections: int, answered: bool) -> Iterator[bytes]:
    """pcap records of one SYN a connection, from addresses all over, and of its SYN-ACK where `answered`."""
    chance = random.Random(2)
    for number in range(connections):
        # A counter in the address keeps connections apart, whatever the ports.
        client = struct.pack("!I", 0x0B000000 + number)
        port, seq = chance.randrange(1024, 65_536), chance.getrandbits(32)
        time_us = number * 1_000_000 // PER_SECOND
        yield _record(time_us, client, SERVER, port, PORT, seq, 0, SYN)
        if answered:
            yield _record(time_us + 5, SERVER, client, PORT, port, seq ^ 0x5A5A5A5A, (seq + 1) & 0xFFFFFFFF, SYN_ACK)


def write(path: Path, connections: int = CONNECTIONS, answered: bool = False) -> Path:
    """The flood as a capture file, made unless it is there."""
    if not path.exists():
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            file.write(PCAP_HEADER)
            file.writelines(flood(connections, answered))
        part.rename(path)
    return path


def run(rounds: int) -> Section:
    home = captures.directory()
    warm = write(home / "flood-warm.pcap", 100)
    unanswered = write(home / "flood-syn.pcap")
    answered = write(home / "flood-answered.pcap", answered=True)
    rows, notes = [], []
    for what, path, packets in (("SYN", unanswered, CONNECTIONS), ("SYN, SYN-ACK", answered, 2 * CONNECTIONS)):
        more, said = _measure(what, path, packets, warm, rounds)
        rows += more
        notes += said
    return Section(TITLE, rows, notes)


def _record(time_us: int, source: bytes, target: bytes, port: int, to: int, seq: int, ack: int, flags: int) -> bytes:
    header = RECORD.pack(time_us // 1_000_000, time_us % 1_000_000, FRAME.size, FRAME.size)
    network = (0x45, 0, FRAME.size - 14, 0, 0, 64, 6, 0, source, target)
    return header + FRAME.pack(bytes(12), 0x0800, *network, port, to, seq, ack, 0x50, flags, 64_240, 0, 0)


def _measure(what: str, path: Path, packets: int, warm: Path, rounds: int) -> tuple[list[Row], list[str]]:
    peaks: list[float] = []
    idle: list[float] = []
    account: list[str] = []

    def measure() -> float:
        reading = subject("iterate", path, warm)
        peaks.append(reading.peak / 1e6)
        idle.append(reading.before / 1e6)
        account[:] = [line.strip() for line in (*reading.account, *reading.imbalances)]
        return reading.cpu

    cpu = interleave({what: measure}, rounds, SECONDS / 2)[what].micro_per(packets)
    ours, peer = Samples(tuple(peaks)), Samples(tuple(idle))
    memory = Row(f"{what}: peak memory", ours, "before the flood", peer, "MB", Ratio.AT_MOST)
    note = f"{what}: {cpu.least:.2f} / {cpu.median:.2f} us a packet, min / median. Its account: " + "; ".join(account)
    return [memory], [note]


if __name__ == "__main__":
    print(run(rounds=2).markdown())
