"""An hour of mixed traffic for a store, made of the captures of real programs.

A capture holds seconds of a busy machine. Here each of its connections gets a place in the hour, a duration, and
addresses of its own; what was said in it, and in which order, stays.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks import captures
from benchmarks.half_open import PCAP_HEADER

HOUR = 3_600_000_000  # microseconds
BEGIN = 1_763_712_000_000_000  # 2025-11-21T08:00:00Z
MINUTE = HOUR // 60
CLIENTS = tuple(bytes((10, 20, 0, number)) for number in range(11, 23))
SHORT_PORT = 8001

_RECORD = struct.Struct("<IIII")
# Places in a frame of IPv4 without options, all that our captures have.
_IP_CHECKSUM, _ADDRESSES, _PORTS = 24, 26, 34
_CHECKSUMS = {6: 50, 17: 40}
_TCP, _FLAGS, _SYN = 6, 47, 0x02

Timed = tuple[int, bytes]  # microseconds, and a frame


class Scene(NamedTuple):
    """The first `packets` of a capture. Its connections last between so many seconds, most of them shortly.

    `lasting`: every one of so many lasts for the whole hour. A port of 0 is the one that was captured.
    """

    capture: str
    packets: int
    servers: Sequence[bytes]
    shortest: float
    longest: float
    lasting: int = 0
    port: int = 0


def _servers(*last: int) -> tuple[bytes, ...]:
    return tuple(bytes((10, 20, 1, number)) for number in last)


SCENES = (
    Scene("http1", 80_000, _servers(11, 12, 13), 5, 300),
    Scene("short", 80_000, _servers(14, 15), 0.01, 1, port=SHORT_PORT),
    Scene("h2c-many", 36_000, _servers(21, 22), 30, 600),
    Scene("grpc-many", 90_000, _servers(31, 32), 60, 1200),
    Scene("grpc-stream", 14_000, _servers(33), 60, 60, lasting=1),
    Scene("redis", 100_000, _servers(41), 5, 600, lasting=20),
    Scene("dns", 16_000, _servers(53), 0.001, 0.1),
    Scene("bulk", 30_000, _servers(61), 60, 60),
)


def unavailable() -> str:
    """Why the hour cannot be made here, or ""."""
    return next((reason for scene in SCENES if (reason := captures.absent(scene.capture))), "")


def hour() -> Path:
    """The hour as a capture, made unless it is there; raise RuntimeError where it cannot be made."""
    path = captures.directory() / "store-hour.pcap"
    if not path.exists():
        part = path.with_suffix(".part")
        packets = sorted((packet for scene in SCENES for packet in _moved(scene)), key=lambda packet: packet[0])
        with open(part, "wb") as file:
            file.write(PCAP_HEADER)
            for time, frame in packets:
                file.write(_RECORD.pack(time // 10**6, time % 10**6, len(frame), len(frame)))
                file.write(frame)
        part.rename(path)
    return path


def _moved(scene: Scene) -> Iterator[Timed]:
    """Its packets where they are in the hour, connection by connection."""
    chance = random.Random(scene.capture)
    for place, packets in enumerate(_connections(scene)):
        captured, first = packets[0]
        begin, factor = _placed(scene, packets[-1][0] - captured, place, chance)
        addressed = Addresses(first, chance.choice(CLIENTS), chance.choice(scene.servers), scene.port)
        for time, frame in packets:
            yield BEGIN + begin + int((time - captured) * factor), addressed.of(frame)


def _placed(scene: Scene, lasted: int, place: int, chance: random.Random) -> tuple[int, float]:
    """When a connection begins, and by how much it is stretched."""
    if place < scene.lasting:
        return 0, (HOUR - 1) / max(lasted, 1)
    lasts = scene.shortest * (scene.longest / scene.shortest) ** chance.random() * 1e6
    return chance.randrange(HOUR - int(lasts)), lasts / max(lasted, 1)


def _connections(scene: Scene) -> Iterable[list[Timed]]:
    """Its packets by connection, each in the order of their capture; a SYN begins another one."""
    data = captures.capture(scene.capture).read_bytes()
    found: list[list[Timed]] = []
    current: dict[bytes, list[Timed]] = {}
    for begin, end in islice(captures.records(data), scene.packets):
        seconds, micros = struct.unpack_from("<II", data, begin)
        frame = data[begin + 16 : end]
        key = _key(frame)
        if key not in current or (frame[23] == _TCP and frame[_FLAGS] == _SYN and len(current[key]) > 1):
            current[key] = []
            found.append(current[key])
        current[key].append((seconds * 10**6 + micros, frame))
    return found


def _key(frame: bytes) -> bytes:
    """The same for both directions."""
    source, target = frame[26:30] + frame[34:36], frame[30:34] + frame[36:38]
    return min(source, target) + max(source, target)


class Addresses:
    """Other addresses, and another port of the server unless it is 0, for the packets of one connection."""

    def __init__(self, first: bytes, client: bytes, server: bytes, port: int) -> None:
        self._captured = first[26:30]  # the client's
        ports = first[34:36], port.to_bytes(2, "big") if port else first[36:38]
        self._there = client + server, ports[0] + ports[1]
        self._back = server + client, ports[1] + ports[0]
        # A checksum does not care for the order of what it sums, so both directions differ by the same.
        self._ip = _sum(client + server) - _sum(first[26:34])
        self._transport = self._ip + _sum(self._there[1]) - _sum(first[34:38])

    def of(self, frame: bytes) -> bytes:
        addresses, ports = self._there if frame[26:30] == self._captured else self._back
        moved = bytearray(frame)
        moved[_ADDRESSES:_PORTS], moved[_PORTS : _PORTS + 4] = addresses, ports
        _adjust(moved, _IP_CHECKSUM, self._ip)
        _adjust(moved, _CHECKSUMS[frame[23]], self._transport)
        return bytes(moved)


def _sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def _adjust(frame: bytearray, at: int, difference: int) -> None:
    """RFC 1624: a checksum after what it sums up has changed."""
    found = (~int.from_bytes(frame[at : at + 2], "big") & 0xFFFF) + difference
    frame[at : at + 2] = (~(found % 0xFFFF) & 0xFFFF).to_bytes(2, "big")


if __name__ == "__main__":
    print(hour())
