"""docs/dissector.md teaches a plugin; what stands there is installed here and sees packets."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pysniff.packet import ACK, FIN, PSH, SYN

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "dissector.md"

# Feeds one conversation through a Sniffer that knows nothing of the plugin but its entry point.
SCRIPT = """
import json, sys
import pysniff
from pysniff.packet import Packet
sniffer = pysniff.Sniffer()
wire = map(bytes.fromhex, json.load(sys.stdin))
packets = [Packet(data, 10**18 + index * 10**6, len(data)) for index, data in enumerate(wire)]
entries = sniffer.feed(packets) + sniffer.close()
ledger = sniffer.ledger
filters = [pysniff.compile(text) for text in sys.argv[1:]]
json.dump(
    {
        "entries": [entry.to_dict() for entry in entries],
        "imbalances": ledger.imbalances(),
        "undecoded": ledger.undecoded,
        "matching": [[filter.matches(entry) for entry in entries] for filter in filters],
    },
    sys.stdout,
)
"""


def code_blocks(page: str) -> dict[str, str]:
    """The page's files: a name in backquotes at the start of a line, then its block."""
    blocks = re.findall(r"^`([\w.]+)`[^\n]*:\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path with what `pip install` makes of the page's files."""
    files = code_blocks(PAGE.read_text())
    folder = tmp_path_factory.mktemp("site-packages")
    (folder / "pysniff_parrot.py").write_text(files["pysniff_parrot.py"])
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def sniff(installed: Path, *packets: bytes, filters: Sequence[str] = ()) -> dict[str, Any]:
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *filters],
        input=json.dumps([packet.hex() for packet in packets]),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


CLIENT, SERVER = (bytes([10, 0, 0, 7]), 51022), (bytes([10, 0, 0, 9]), 9000)


class Talk:
    """A TCP conversation in Ethernet frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.sent = {CLIENT: 100, SERVER: 500}
        self.segment(CLIENT, SERVER, SYN)
        self.segment(SERVER, CLIENT, SYN | ACK)
        self.segment(CLIENT, SERVER, ACK)

    def client(self, data: bytes) -> None:
        self.segment(CLIENT, SERVER, PSH | ACK, data)

    def server(self, data: bytes) -> None:
        self.segment(SERVER, CLIENT, PSH | ACK, data)

    def close(self) -> list[bytes]:
        self.segment(CLIENT, SERVER, FIN | ACK)
        self.segment(SERVER, CLIENT, FIN | ACK)
        self.segment(CLIENT, SERVER, ACK)
        return self.frames

    def segment(self, source: tuple[bytes, int], target: tuple[bytes, int], flags: int, data: bytes = b"") -> None:
        ack = self.sent[target] if flags & ACK else 0
        tcp = struct.pack("!HHIIBBHHH", source[1], target[1], self.sent[source], ack, 5 << 4, flags, 65535, 0, 0) + data
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source[0], target[0])
        self.frames.append(bytes(12) + b"\x08\x00" + ip + tcp)
        self.sent[source] += len(data) + bool(flags & (SYN | FIN))


def told(result: dict[str, Any]) -> list[tuple[str, str, str, object, object]]:
    return [
        (entry["protocol"], entry["summary"], entry["status"], entry["request"], entry["response"])
        for entry in result["entries"]
    ]


HELLO = ("parrot", "hello", "SAID", {"text": "hello"}, {"text": "hello"})
COUNT = ("parrot", "count to ten", "NO", {"text": "count to ten"}, {"text": "too tired"})


def test_the_installed_plugin_gives_entries(installed: Path) -> None:
    talk = Talk()
    talk.client(b"SAY hello\n")
    talk.server(b"SAID hello\n")
    talk.client(b"SAY count to ten\n")
    talk.server(b"NO too tired\n")
    result = sniff(installed, *talk.close())
    assert told(result) == [HELLO, COUNT]
    assert [entry["ok"] for entry in result["entries"]] == [True, False]
    assert result["imbalances"] == []


def test_filters_name_its_protocol_and_its_variable(installed: Path) -> None:
    talk = Talk()
    talk.client(b"SAY hello\n")
    talk.server(b"SAID hello\n")
    talk.client(b"SAY count to ten\n")
    talk.server(b"NO too tired\n")
    result = sniff(installed, *talk.close(), filters=("parrot && !http", 'parrot_text.endsWith("to ten")'))
    assert result["matching"] == [[True, True], [False, True]]


def test_lines_cut_anywhere_give_the_same_entries(installed: Path) -> None:
    talk = Talk()
    for byte in b"SAY hello\nSAY count to ten\n":
        talk.client(bytes([byte]))
    talk.server(b"SAID hello\nNO too ")
    talk.server(b"tired\n")
    result = sniff(installed, *talk.close())
    assert told(result) == [HELLO, COUNT]
    assert result["imbalances"] == []


def test_what_is_no_line_of_the_protocol_is_counted(installed: Path) -> None:
    talk = Talk()
    talk.client(b"SAY hello\n")
    talk.server(b"SAID hello\nwho is there?\nSAID hel")
    result = sniff(installed, *talk.close())
    assert told(result) == [HELLO]
    assert result["undecoded"] == {"unknown word": 14, "line without end": 8}
    assert result["imbalances"] == []


def test_joined_in_the_middle_it_goes_on(installed: Path) -> None:
    talk = Talk()
    talk.client(b"SAY how")
    talk.client(b"dy\n")
    talk.server(b"SAID howdy\n")
    talk.client(b"SAY hello\n")
    talk.server(b"SAID hello\n")
    handshake_and_first_piece = 4
    result = sniff(installed, *talk.close()[handshake_and_first_piece:])
    assert told(result) == [("parrot", "", "SAID", None, {"text": "howdy"}), HELLO]
    assert [fault["kind"] for fault in result["entries"][0]["faults"]] == ["unrequested", "midstream"]
    assert result["imbalances"] == []


def test_without_the_plugin_nobody_recognises_it(tmp_path: Path) -> None:
    talk = Talk()
    talk.client(b"SAY hello\n")
    talk.server(b"SAID hello\n")
    result = sniff(tmp_path, *talk.close())
    assert [(entry["protocol"], entry["request"]["bytes"]) for entry in result["entries"]] == [("tcp", 10)]
