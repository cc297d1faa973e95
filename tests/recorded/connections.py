"""Whole keep-alive connections of many programs, packet by packet, to be cut anywhere."""

from __future__ import annotations

import http.client
import struct
import subprocess
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import dpkt

from pysniff.packet import Packet
from recorded import redis as talks
from recorded.answers import PAGE
from recorded.clients import PATIENCE, curl, talk
from recorded.nginx import nginx
from recorded.origin import origin
from recorded.recording import recording
from recorded.said import Log
from recorded.scenes import get, post

PATHS = ("/plain", "/page", "/gzip", "/chunked", "/none", "/not-modified", "/trailers", "/missing", "/events", "/empty")


class Connection(NamedTuple):
    """From SYN to the last packet. `name`: the program, and which of its connections."""

    name: str
    packets: list[Packet]


def record(folder: Path) -> list[Connection]:
    """25 connections of HTTP/1 and 25 of Redis."""
    ports: dict[int, tuple[str, int]] = {}
    file = folder / "connections.pcap"
    with recording(file):
        with nginx(folder / "nginx", {"page.txt": PAGE}) as port:
            ports[port] = ("nginx", 10)
            _ask_nginx(folder, port)
        for name, client in (("curl", _curl), ("http.client", _library), ("pipelining", _pipelining)):
            with origin(Log(folder / f"{name}.jsonl")) as port:
                ports[port] = (name, 5)
                for _ in range(5):
                    client(folder, port)
        for name, runs, count, conversation in (
            ("redis-cli", 5, 5, talks.command_line),
            ("redis-benchmark", 1, 10, talks.benchmark),
            ("redis-benchmark -P 16", 1, 5, partial(talks.benchmark, pipeline=16)),
            ("RESP3", 5, 5, talks.version_3),
        ):
            with talks.redis(folder / name.replace(" ", "")) as port:
                ports[port] = (name, count)
                for _ in range(runs):
                    conversation(port)
    found = split(file)
    return [
        Connection(f"{name} {n}", packets)
        for port, (name, count) in ports.items()
        for n, packets in enumerate(islice((it for it in found if ends(it[0])[1] == port and len(it) > 20), count))
    ]


def _ask_nginx(folder: Path, port: int) -> None:
    """curl and wrk; nginx ends a connection after some requests, so wrk has many."""
    url = f"http://127.0.0.1:{port}/page.txt"
    for n in range(5):
        curl(folder / f"wrk{n}", *(f"{url}?{n}.{at}" for at in range(30)))
    subprocess.run(
        ["wrk", "-t1", "-c2", "-d1s", f"http://127.0.0.1:{port}/slow"],
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=True,
    )


def _curl(folder: Path, port: int) -> None:
    curl(folder / f"curl{port}", *(f"http://127.0.0.1:{port}{path}?{n}" for n in range(4) for path in PATHS))


def _library(folder: Path, port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for n in range(4):
        for path in PATHS:
            client.request("POST" if n % 2 else "GET", f"{path}?{n}", body=PAGE[: 40 * n] if n % 2 else None)
            client.getresponse().read()
    client.close()


def _pipelining(folder: Path, port: int) -> None:
    batches = [
        b"".join(get(f"{path}?{n}") for path in PATHS) + post(f"/echo?{n}", b"GET /no HTTP/1.1\r\n\r\n")
        for n in range(6)
    ]
    talk(port, *batches)


def ends(packet: Packet) -> tuple[int, int]:
    """Source and destination port of TCP over IPv4 over Ethernet without options."""
    return struct.unpack_from("!HH", packet.data, 14 + 20)


def split(file: Path) -> list[list[Packet]]:
    """The TCP connections of a recording that begin in it, in the order of their SYNs."""
    open_now: dict[tuple[int, int], list[Packet]] = {}
    every: list[list[Packet]] = []
    with file.open("rb") as stream:
        for time, data in dpkt.pcap.Reader(stream):
            if data[12:14] != b"\x08\x00" or data[14] != 0x45 or data[23] != 6:
                continue
            packet = Packet(data, int(time * 1_000_000) * 1000, len(data))
            source, target = ends(packet)
            if data[47] & 0x12 == 2:  # SYN without ACK
                open_now[source, target] = []
                every.append(open_now[source, target])
            key = (source, target) if (source, target) in open_now else (target, source)
            if key in open_now:
                open_now[key].append(packet)
    return every


def swapped(packets: list[Packet]) -> list[Packet]:
    """The same with the ports of client and server exchanged, for whoever guesses from them."""
    first, second = ends(packets[0])
    other = {first: second, second: first}
    return [
        packet._replace(
            data=packet.data[:34] + struct.pack("!HH", *map(other.__getitem__, ends(packet))) + packet.data[38:]
        )
        for packet in packets
    ]
