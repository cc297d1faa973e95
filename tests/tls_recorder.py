"""Real programs talk TLS in a network namespace of their own; what passes between them, and their secrets, are kept.

`record()` returns a Recording. It runs this file as a program inside `unshare`, which plays all cases at
once, so nothing of it outlives the call. Needs root.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Self

# A choking machine takes its time.
PATIENCE = 60.0
FIRST_PORT = 20_000
# Ports of one case: its server's, and others that it may need.
PORTS = 4
# Written to a port where nobody listens when everything else is over: tcpdump has it, so it has all before.
LAST_WORD = b"that was all"
ISOLATED = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


class Talked(NamedTuple):
    """One TLS connection as the programs tell it: what each side wrote and the other one read.

    None where the programs do not say, as nobody sees the frames that they make of h2.
    """

    port: int
    client: bytes | None
    server: bytes | None


class Recording(NamedTuple):
    """`capture`: packets of all cases; `keys`: the secrets of all; `talked`: connections by case, in order."""

    capture: Path
    keys: Path
    talked: Mapping[str, list[Talked]]
    failed: Mapping[str, str]


class Stage:
    """What a case gets to play on: ports, a folder with certificates, programs, and a place to tell what was said.

    `rsa`, `ec`, `authority`: certificate and key. `keys`: a file where the secrets of the case go.
    """

    def __init__(self, folder: Path, name: str, number: int) -> None:
        self.home = folder
        self.folder = folder / str(number)
        self.folder.mkdir()
        self.port = FIRST_PORT + PORTS * number
        self.keys = self.folder / "keys"
        self.talked: list[Talked] = []

    @property
    def rsa(self) -> tuple[Path, Path]:
        return self.home / "rsa.pem", self.home / "rsa.key"

    @property
    def ec(self) -> tuple[Path, Path]:
        return self.home / "ec.pem", self.home / "ec.key"

    def tell(self, client: bytes | None, server: bytes | None, port: int = 0) -> None:
        """Of a connection that is over."""
        self.talked.append(Talked(port or self.port, client, server))

    @asynccontextmanager
    async def program(self, *command: str | Path, errors: str = "errors") -> AsyncIterator[Process]:
        """A program with pipes, stopped at the end; what it says to stderr is in a file of the case's folder."""
        with open(self.folder / errors, "ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *map(str, command), stdin=PIPE, stdout=PIPE, stderr=stderr, cwd=self.folder
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def run(self, *command: str | Path, text: bytes = b"") -> bytes:
        """A program to its end: what it writes to stdout; raises where it fails."""
        async with self.program(*command) as process:
            output, _ = await process.communicate(text)
            if process.returncode:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            return output

    async def listening(self, port: int = 0) -> None:
        """Until somebody listens there."""
        wanted = f":{port or self.port:04X} ".encode()
        while True:
            tables = Path("/proc/net/tcp").read_bytes() + Path("/proc/net/tcp6").read_bytes()
            if any(wanted in line[:60] and b" 0A " in line for line in tables.splitlines()):
                return
            await asyncio.sleep(0.01)


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Pipes:
    """Bytes into one program that come out of another."""

    into: Process
    out: Process

    async def carry(self, data: bytes) -> None:
        """Write them on one side and wait for them on the other; raises where others come."""
        assert self.into.stdin
        assert self.out.stdout
        self.into.stdin.write(data)
        await self.into.stdin.drain()
        came = await self.out.stdout.readexactly(len(data))
        if came != data:
            raise RuntimeError(f"sent {data[:60]!r}, and {came[:60]!r} came")

    async def command(self, word: str) -> None:
        """A line that the program takes for a command: until it has read that, and nothing else with it."""
        assert self.into.stdin
        self.into.stdin.write(word.encode() + b"\n")
        await self.into.stdin.drain()
        descriptor = self.into.stdin.get_extra_info("pipe").fileno()
        while any(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))):
            await asyncio.sleep(0.01)


def record(modules: Iterable[str], names: Iterable[str], folder: Path) -> Recording:
    """Play cases, of which each module has some by name in CASES: those named, or all. All is left in `folder`."""
    folder.mkdir(exist_ok=True)
    me = [sys.executable, str(Path(__file__).resolve()), ",".join(modules), str(folder), *names]
    done = subprocess.run([*ISOLATED, *me], capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "told.json").read_text())
    talked = {
        name: [
            Talked(port, *(half if half is None else bytes.fromhex(half) for half in halves)) for port, *halves in each
        ]
        for name, each in told["talked"].items()
    }
    return Recording(folder / "all.pcap", folder / "keys", talked, told["failed"])


class Tcpdump:
    """A context: everything on loopback goes into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        options = ("-i", "lo", "-n", "-s0", "-U", "--immediate-mode", "-B65536", "-Z", "root")
        precision = "--time-stamp-precision=nano"
        self._process = await asyncio.create_subprocess_exec(
            "tcpdump", *options, precision, "-w", str(self._path), stderr=PIPE
        )
        assert self._process.stderr
        await self._process.stderr.readuntil(b"listening on")
        return self

    async def __aexit__(self, *problem: object) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9)
        )
        transport.sendto(LAST_WORD)
        while LAST_WORD not in self._path.read_bytes()[-1000:]:
            await asyncio.sleep(0.01)
        transport.close()
        self._process.send_signal(signal.SIGINT)
        assert self._process.stderr
        account = (await self._process.stderr.read()).decode()
        await self._process.wait()
        if "\n0 packets dropped by kernel" not in account:
            raise RuntimeError(account)


async def play(cases: Mapping[str, Play], folder: Path) -> None:
    """All at once; leaves all.pcap, keys and told.json."""
    stages = {name: Stage(folder, name, number) for number, name in enumerate(cases)}
    busy = asyncio.Semaphore(8)

    async def one(name: str) -> str:
        async with busy:
            try:
                async with asyncio.timeout(PATIENCE):
                    await cases[name](stages[name])
            except Exception as problem:
                errors = stages[name].folder / "errors"
                said = errors.read_text(errors="replace") if errors.exists() else ""
                return f"{type(problem).__name__}: {problem}\n{said[-2000:]}"
            return ""

    async with Tcpdump(folder / "all.pcap"):
        problems = await asyncio.gather(*map(one, cases))
    keys = [stage.keys.read_bytes() for stage in stages.values() if stage.keys.exists()]
    (folder / "keys").write_bytes(b"".join(keys))
    told = {
        "talked": {
            name: [(port, *(half if half is None else half.hex() for half in halves)) for port, *halves in stage.talked]
            for name, stage in stages.items()
        },
        "failed": {name: problem for name, problem in zip(cases, problems, strict=True) if problem},
    }
    (folder / "told.json").write_text(json.dumps(told))


def prepare(folder: Path) -> None:
    """Loopback as a wire: segments of at most 1,460 bytes or so; and certificates."""
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    subprocess.run(["ethtool", "-K", "lo", "tso", "off", "gso", "off", "gro", "off"], check=True, capture_output=True)
    kinds = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")}
    for name, kind in kinds.items():
        files = ("-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")
        names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", *names, "-newkey", *kind, *files]
        subprocess.run(command, check=True, capture_output=True)


def main(modules: str, folder: str, *names: str) -> None:
    os.umask(0o077)
    prepare(Path(folder))
    cases: dict[str, Play] = {}
    for module in modules.split(","):
        cases |= import_module(module).CASES
    asyncio.run(play({name: cases[name] for name in names or cases}, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
