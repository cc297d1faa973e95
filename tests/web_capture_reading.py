"""What two readers make of one capture, packet by packet: the page's, run by node, and tshark."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
WEB = ROOT / "pysniff" / "web"
_FIELDS = (
    "frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst",
    "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags",
    "tcp.window_size_value", "tcp.len", "tcp.seq", "tcp.ack", "udp.length", "frame.protocols", "ip.flags.mf",
    "ipv6.fraghdr.more", "tcp.hdr_len",
)  # fmt: skip
# Every packet by itself, as the page has it.
_ALONE = ("ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams", "tcp.reassemble_out_of_order")
# Layers that the page shows as bytes, up to TCP and UDP.
_READ = re.compile(r"(eth|sll|null|loop|raw)(:ethertype|:vlan|:ieee8021ad)*(:ip|:ipv6(:ipv6\.[a-z]+)*)+:(tcp|udp)(:|$)")
_WITHIN = re.compile(r":(ip|ipv6|eth|tcp|udp)(:|$)")
_ACK = 16


class Read(NamedTuple):
    """Text throughout; "" where a packet has none of it. `length` is the payload's, as it was sent."""

    number: str
    time: str
    wire: str
    captured: str
    source: str
    destination: str
    ports: str
    seq: str
    ack: str
    flags: str
    window: str
    length: str
    relative: str


def bundled(folder: Path) -> Path:
    """The page's reader as a program for node."""
    program = folder / "read_packets.mjs"
    words = [
        str(WEB / "node_modules/.bin/esbuild"), str(ROOT / "tests/web/read_packets.ts"), "--bundle", "--platform=node",
        "--format=esm", f"--outfile={program}", "--log-level=warning",
    ]  # fmt: skip
    subprocess.run(words, check=True, timeout=60)
    return program


def page(program: Path, capture: Path) -> tuple[int, list[Read]]:
    """How many faults the file has, and its packets."""
    said = subprocess.run(["node", program, capture], capture_output=True, text=True, check=True, timeout=60).stdout
    head, *lines = said.splitlines()
    found = []
    for line in lines:
        number, time, wire, captured, src, dst, sport, dport, _, seq, ack, flags, window, length, near, far, *_ = (
            line.split("\t")
        )
        acked = bool(flags) and bool(int(flags) & _ACK)
        ports = f"{sport} {dport}" if sport else ""
        relative = f"{near} {far if acked else ''}" if flags else ""
        found.append(Read(number, time, wire, captured, src, dst, ports, seq, ack, flags, window, length, relative))
    return int(head.split("\t")[2]), found


def tshark(capture: Path) -> Iterator[Read | None]:
    """None for a packet that the page does not open as tshark does: with tunnels, or a part of a datagram."""
    words = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "occurrence=l"]
    for name in _ALONE:
        words += ["-o", f"{name}:FALSE"]
    for name in _FIELDS:
        words += ["-e", name]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    for line in said.splitlines():
        yield _read(dict(zip(_FIELDS, line.split("\t"), strict=True)))


def _read(told: dict[str, str]) -> Read | None:
    layers = told["frame.protocols"]
    match = _READ.match(layers)
    if match is None or _WITHIN.search(layers, match.end(5)):
        return None
    # Of a datagram in parts tshark has the lengths of the whole, the page those of the packet.
    if "1" in (told["ip.flags.mf"], told["ipv6.fraghdr.more"]):
        return None
    family = "ipv6" if layers[: match.end(5)].rfind(":ipv6") > layers[: match.end(5)].rfind(":ip:") else "ip"
    tcp = match[5] == "tcp"
    kind = match[5]
    flags = str(int(told["tcp.flags"], 16) & 0x1FF) if tcp and told["tcp.flags"] else ""
    acked = bool(flags) and bool(int(flags) & _ACK)
    length = told["tcp.len"] if tcp else str(int(told["udp.length"] or 8) - 8)
    return Read(
        told["frame.number"], told["frame.time_epoch"], told["frame.len"], told["frame.cap_len"],
        told[f"{family}.src"], told[f"{family}.dst"], f"{told[f'{kind}.srcport']} {told[f'{kind}.dstport']}",
        told["tcp.seq_raw"], told["tcp.ack_raw"], flags, told["tcp.window_size_value"], length,
        f"{told['tcp.seq']} {told['tcp.ack'] if acked else ''}" if tcp else "",
    )  # fmt: skip
