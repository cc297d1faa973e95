"""docs/cluster.md: every command in it, typed on the machines of a bed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_bed import Bed
from cluster_programs import Program, Programs, until
from cluster_traffic import Buyer, shop

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("curl", "openssl", "unshare")]

PAGE = (Path(__file__).parent.parent / "docs" / "cluster.md").read_text()
BLOCKS = [block.splitlines() for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)]
MACHINES = {"one": ("n1", "10.0.0.1"), "two": ("n2", "10.0.0.2")}


class Hands:
    """Types a block's lines; what does not end by itself goes on until the next one of its kind on that machine."""

    def __init__(self, bed: Bed, programs: Programs, folder: Path) -> None:
        self._bed, self._programs, self._folder = bed, programs, folder
        self._running: dict[tuple[str, str], Program] = {}
        for machine in MACHINES:
            (folder / machine).mkdir()

    def type(self, line: str) -> str:
        """What it printed to standard output; of a program that goes on nothing."""
        machine, text = line[:3], line[5:]
        node, _ = MACHINES[machine]
        for there, address in MACHINES.values():
            text = text.replace(address, self._bed.address(there))
        if text.startswith("scp"):
            return self._scp(text)
        # Machines have names, by which workers are known.
        script = (
            f'hostname {machine}; cd {self._folder / machine}; pysniff() {{ exec {sys.executable} -m pysniff "$@"; }}; '
        )
        shell = ["unshare", "--uts", "sh", "-c", script + text]
        environment = {"XDG_STATE_HOME": str(self._folder / machine / "state")}
        kind = re.match(r"pysniff (worker|hub)", text)
        if kind is None:
            command = ["env", *(f"{name}={value}" for name, value in environment.items()), *shell]
            done = subprocess.run(
                self._bed.command(node, command), capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
            return done.stdout
        before = self._running.pop((machine, kind[1]), None)
        if before is not None:
            before.stop()
        started = self._programs.start(line, self._bed.command(node, shell), environment)
        started.wait_for("records" if kind[1] == "worker" else "hub at")
        self._running[machine, kind[1]] = started
        return ""

    def stop(self) -> None:
        for program in self._running.values():
            program.stop()
        self._running.clear()

    def _scp(self, text: str) -> str:
        """There is no sshd; the files are where it would have put them."""
        *sources, target = shlex.split(text)[1:]
        if ":" in sources[0]:
            machine, _, name = sources[0].partition(":")
            words = [str(self._folder / machine / name), str(self._folder / "two" / target)]
        else:
            machine = target.partition(":")[0]
            words = [*(str(self._folder / "two" / name) for name in sources), str(self._folder / machine)]
        subprocess.run(["cp", "-p", *words], check=True)
        return ""


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    folder = tmp_path_factory.mktemp("page")
    with Bed(nodes=2) as bed, Programs(folder) as programs:
        hands = Hands(bed, programs, folder)
        with shop(bed, "n1b"):
            yield hands


def connected(said: str) -> list[str]:
    """The names of workers that /api/workers tells of as connected."""
    return sorted(one["node"] for one in json.loads(said)["workers"] if one["state"] == "connected")


def lines_with(word: str) -> list[str]:
    """The first block in which a word stands."""
    return next(block for block in BLOCKS if any(word in line for line in block))


def test_two_machines_in_five_commands(hands: Hands) -> None:
    """And the last one shows a call that went from one to the other."""
    commands = lines_with("scp one:token")
    assert len(commands) == 5
    for line in commands[:4]:
        hands.type(line)
    curl = lines_with("/api/services")[1]
    until(lambda: connected(hands.type(curl)) == ["one", "two"], "both workers")
    buyer = Buyer(hands._bed, "n2a", "n1b")
    buyer.get("/five/commands")
    buyer.close()
    until(lambda: "GET /five/commands" in hands.type(commands[4]), "the call")


def test_what_the_hub_serves(hands: Hands) -> None:
    capture, workers, services, filter, metrics, openapi = (hands.type(line) for line in lines_with("/api/services"))
    assert "GET /five/commands" in capture
    assert connected(workers) == ["one", "two"]
    assert sum(edge["calls"] for edge in json.loads(services)["edges"]) >= 1
    assert json.loads(filter)
    assert "# TYPE pysniff_" in metrics
    assert "/api/entries" in json.loads(openapi)["paths"]


def test_a_configuration_for_all(hands: Hands) -> None:
    (line,) = lines_with("PATCH")
    assert "tcp port 80" in hands.type(line)
    hands.type(line.replace("tcp port 80", ""))


def test_a_hub_that_serves_others(hands: Hands) -> None:
    hub, query, curl = lines_with("hub --listen 10.0.0.2 --worker 10.0.0.1 --worker")
    hands.type(hub)
    until(lambda: connected(hands.type(curl)) == ["one", "two"], "both workers")
    assert "GET /five/commands" in hands.type(query)


def test_a_worker_that_dials(hands: Hands) -> None:
    for line in lines_with("--listen no"):
        hands.type(line)
    curl = lines_with("hub --listen 10.0.0.2 --worker 10.0.0.1 --worker")[-1]
    until(lambda: connected(hands.type(curl)) == ["one"], "the worker")


def test_with_tls(hands: Hands) -> None:
    *commands, query, curl = lines_with("openssl req")
    for line in commands:
        hands.type(line)
    until(lambda: connected(hands.type(curl)) == ["one"], "the worker")
    assert "GET /five/commands" in hands.type(query)
    hands.stop()


def test_every_command_is_typed_by_a_test() -> None:
    words = (
        "scp one:token",
        "/api/services",
        "PATCH",
        "--worker 10.0.0.1 --worker 10.0.0.2 --token",
        "--listen no",
        "openssl req",
    )
    assert len(BLOCKS) == len(words)
