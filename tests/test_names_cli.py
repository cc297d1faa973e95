"""`--names FILE`, and names on a terminal: shown where known, and harmless whatever they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from names_talk import SHOP, answer, call
from stores import recorded
from test_names import name_resolution

from pysniff.capture.writer import Writer
from pysniff.packet import Block, Packet


def pysniff(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pysniff", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A call to 10.0.0.2, its name, another call."""
    path = tmp_path / "calls.pcapng"
    write(path, [*call(0, 50_001), answer(100, b"shop.example", SHOP), *call(200, 50_002)])
    return path


def write(path: Path, packets: list[Packet]) -> None:
    with Writer(str(path)) as writer:
        for packet in packets:
            writer.write(Block.of(packet))


def calls(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stderr
    return [line.split("  ")[1] for line in result.stdout.splitlines() if " http " in line]


def test_a_line_shows_names_where_they_are_known(capture: Path) -> None:
    assert calls(pysniff("-r", str(capture))) == [
        "10.0.0.1:50001 -> 10.0.0.2:80",
        "10.0.0.1:50002 -> shop.example:80",
    ]


def test_a_file_names_both_ends(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("10.0.0.1: desk\n10.0.0.0/24: office\n")
    shown = ["desk:50001 -> office:80", "desk:50002 -> office:80"]
    assert calls(pysniff("-r", str(capture), "--names", str(tmp_path / "names"))) == shown
    store = tmp_path / "store"
    recorded(store, [*call(0, 50_001), *call(200, 50_002)])
    assert calls(pysniff("query", str(store), "--names", str(tmp_path / "names"))) == shown


def test_programs_get_address_and_name(capture: Path) -> None:
    result = pysniff("-r", str(capture), "--json", "-Y", 'dst.name == "shop.example"')
    assert [json.loads(line)["dst"] for line in result.stdout.splitlines()] == [
        {"ip": "10.0.0.2", "port": 80, "name": "shop.example"}
    ]


@pytest.mark.parametrize("command", [["-r", "{capture}"], ["query", "{store}"]])
def test_a_wrong_file_is_said_before_anything_else(command: list[str], capture: Path, tmp_path: Path) -> None:
    recorded(tmp_path / "store", call(0, 50_001))
    (tmp_path / "names").write_text("10.0.0.1 desk\n10.0.0.2\n")
    words = [word.format(capture=capture, store=tmp_path / "store") for word in command]
    result = pysniff(*words, "--names", str(tmp_path / "names"))
    assert result.returncode == 3 and result.stdout == ""
    assert f"{tmp_path / 'names'}:2: '' is no name" in result.stderr and "Traceback" not in result.stderr
    assert pysniff(*words, "--names", str(tmp_path / "none")).returncode == 3


def test_names_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "calls.pcapng"
    write(path, call(0, 50_001))
    first = path.read_bytes()
    write(path, call(100, 50_002))
    path.write_bytes(first + name_resolution((SHOP, "\x1b[2J\u202eshop".encode() + b"\0")) + path.read_bytes())
    assert calls(pysniff("-r", str(path)))[1] == "10.0.0.1:50002 -> \\x1b[2J\\u202eshop:80"
    write(tmp_path / "dns.pcapng", [answer(0, b"\x1b[2J", SHOP), *call(100, 50_001)])
    assert calls(pysniff("-r", str(tmp_path / "dns.pcapng"))) == ["10.0.0.1:50001 -> \\027[2j:80"]


def test_a_long_name_is_cut_on_the_terminal_alone(tmp_path: Path) -> None:
    name = ".".join(["n" * 60] * 3)
    write(tmp_path / "dns.pcapng", [answer(0, name.encode(), SHOP), *call(100, 50_001)])
    (line,) = calls(pysniff("-r", str(tmp_path / "dns.pcapng")))
    assert line == f"10.0.0.1:50001 -> {'n' * 39}…:80"
    shown = json.loads(pysniff("-r", str(tmp_path / "dns.pcapng"), "--json", "-Y", "http").stdout)
    assert shown["dst"]["name"] == name
