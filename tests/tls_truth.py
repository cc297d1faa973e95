"""What tshark decrypts: the application data of both halves of every connection of a capture."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Followed(NamedTuple):
    """One connection: its port at the client and the server, and what tshark says either wrote."""

    client_port: int
    server_port: int
    client: bytes
    server: bytes


def followed(capture: Path, keys: Path) -> list[Followed]:
    """Every TCP connection whose beginning is there, in order; its halves are empty where tshark decrypts nothing."""
    syn = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
    fields = [word for field in ("tcp.stream", "tcp.srcport", "tcp.dstport") for word in ("-e", field)]
    lines = _tshark(capture, "-Y", syn, "-T", "fields", *fields).split("\n")
    streams = {int(line.split()[0]): line.split()[1:] for line in lines if line}
    taps = [word for stream in streams for word in ("-z", f"follow,tls,raw,{stream}")]
    # Else a client whose port happens to be some protocol's, EtherNet/IP's 44818 say, is taken for that. Servers
    # below 10000 speak another protocol first.
    servers = {server for _, server in streams.values() if int(server) >= 10000}
    taps += [word for server in servers for word in ("-d", f"tcp.port=={server},tls")]
    said = _tshark(capture, "-q", "-o", f"tls.keylog_file:{keys}", *taps)
    found = {stream: Followed(int(client), int(server), b"", b"") for stream, (client, server) in streams.items()}
    for number, port, data in _FOLLOWED.findall(said):
        stream = found[int(number)]
        first, second = (
            _half(line for line in data.splitlines() if line.startswith("\t") == indented) for indented in (False, True)
        )
        # Nothing is said of the second node's address where tshark did not see it first.
        client, server = (first, second) if int(port) == stream.client_port else (second, first)
        found[int(number)] = stream._replace(client=client, server=server)
    return list(found.values())


# What the second node sends is indented.
_FOLLOWED = re.compile(r"^Filter: tcp\.stream eq (\d+)\nNode 0: .*:(\d+)\n.*\n((?:\t?[0-9a-f]+\n)*)", re.MULTILINE)


def _half(lines: Iterable[str]) -> bytes:
    return bytes.fromhex("".join(line.strip() for line in lines))


def _tshark(capture: Path, *options: str) -> str:
    done = subprocess.run(["tshark", "-n", "-r", str(capture), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
