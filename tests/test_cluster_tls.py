"""A worker decrypts: with key logs, and with keys that it reads out of running programs. What is secret stays there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_worker import PATIENCE, Asking, Running, entries
from tls_shop import Shop

from pysniff.cluster.worker.hearing import Hearer, Teller, Way
from pysniff.cluster.worker.keys import Keys
from pysniff.cluster.worker.tracing_words import MOST_PROCESSES, TracingSettings, report_of
from pysniff.plain import PlainChunk
from pysniff.secret_ring import SecretRing, Told
from pysniff.secrets import Secret, TlsConnection
from pysniff.store import Store

pytestmark = pytest.mark.needs_root


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Shop(tmp_path) as shop:
        yield shop


def worker(folder: Path, shop: Shop, *options: object) -> Running:
    return Running(folder / "worker", "-i", "lo", *options, "tcp", "port", str(shop.port))


async def asked_until(
    hub: Asking, holds: Callable[[list[dict[str, Any]]], bool], text: str = ""
) -> list[dict[str, Any]]:
    """History, again and again until it is as it should be."""
    async with asyncio.timeout(PATIENCE):
        while not holds(found := entries(await hub.ask("query", filter=text))):
            await asyncio.sleep(0.1)
    return found


async def status_when(hub: Asking, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE):
        while not found or not holds(found):
            found = (await hub.value("status"))["tls"]
    return found


def paths(found: list[dict[str, Any]]) -> set[str]:
    return {one["summary"].removeprefix("GET ") for one in found if one["protocol"] == "http"}


def files_with_secrets(store: Path, keys: Path) -> list[str]:
    secrets = [line.split()[2] for line in keys.read_text().splitlines() if not line.startswith("#")]
    assert secrets
    return [
        path.name
        for path in store.rglob("*")
        if path.is_file()
        and any(secret.encode() in (data := path.read_bytes()) or bytes.fromhex(secret) in data for secret in secrets)
    ]


# With a key log


def test_a_key_log_that_grows_opens_live_calls_and_history(tmp_path: Path) -> None:
    with Shop(tmp_path, keylog=True) as shop, worker(tmp_path, shop, "--keylog", shop.keys) as running:

        async def talk() -> None:
            async with Asking(running) as hub, asyncio.timeout(PATIENCE):
                async with hub.asked("query", follow=True) as frames:
                    await asyncio.to_thread(shop.get, "/live")
                    async for frame in frames:
                        if paths(entries([frame])) == {"/live"}:
                            break
                found = await asked_until(hub, lambda found: "/live" in paths(found))
                (call,) = [one for one in found if one["protocol"] == "http"]
                assert call["tls"]
                entry = await hub.value("entry", id=call["id"])
                assert entry["tls"]["key_source"] == "keylog"
                told = await status_when(hub, lambda told: bool(told["with_keys"]))
                figures = {"connections": 1, "with_keys": 1, "store_secrets": False, "tracer": None}
                assert told == {**figures, "keylogs": [str(shop.keys)]}
                # A hub cannot have programs read where the command line did not allow it.
                refused = await hub.value("configure", config={"version": 1, "tls": "keys"})
                assert not refused["accepted"]
                assert "started without --tls" in refused["reason"]

        asyncio.run(talk())
        assert running.end(signal.SIGTERM) == 0
        assert files_with_secrets(running.store, shop.keys) == []
    assert {entry.protocol for entry in Store(running.store).query()} == {"tlsx"}


def test_secrets_are_kept_where_they_were_allowed_to(tmp_path: Path) -> None:
    with (
        Shop(tmp_path, keylog=True) as shop,
        worker(tmp_path, shop, "--keylog", shop.keys, "--store-secrets") as running,
    ):
        shop.get("/kept", "/too")

        async def talk() -> None:
            async with Asking(running) as hub:
                await asked_until(hub, lambda found: paths(found) == {"/kept", "/too"})

        asyncio.run(talk())
        assert running.end(signal.SIGTERM) == 0
        assert files_with_secrets(running.store, shop.keys) == ["00000001.keylog"]
        assert stat.S_IMODE((running.store / "00000001.keylog").stat().st_mode) == 0o600
    kept = list(Store(running.store).query("http"))
    assert [entry.summary for entry in kept] == ["GET /kept", "GET /too"]
    assert Store(running.store).entry(kept[0].id).tls is not None


def test_a_key_log_that_is_none_is_said_at_once(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "folder").mkdir()
    running = worker(tmp_path, shop, "--keylog", tmp_path / "folder")
    with pytest.raises((AssertionError, RuntimeError)), running:
        pass
    assert running.process.returncode not in (0, 1)


# With the kernel


@pytest.mark.needs_ebpf
def test_keys_of_running_programs_open_live_calls_and_history(tmp_path: Path, shop: Shop) -> None:
    with worker(tmp_path, shop, "--tls", "--tls-only", os.getpid()) as running:

        async def talk() -> None:
            async with Asking(running) as hub, asyncio.timeout(PATIENCE):
                async with hub.asked("query", follow=True, filter="http") as frames:
                    await asyncio.to_thread(shop.get, "/live")
                    async for frame in frames:
                        if paths(entries([frame])) == {"/live"}:
                            break
                (call,) = await asked_until(hub, bool, "http")
                entry = await hub.value("entry", id=call["id"])
                assert entry["tls"]["key_source"] == "kernel"
                told = await status_when(hub, lambda told: any(one["with_keys"] for one in told["tracer"]["processes"]))
                (me,) = [one for one in told["tracer"]["processes"] if one["pid"] == os.getpid() and one["keys"]]
                assert (me["attached"], me["running"]) == (True, True)
                assert (me["with_keys"], me["without_keys"]) == (1, 0)
                assert "OpenSSL" in me["library"]
                assert (told["connections"], told["with_keys"]) == (1, 1)
                assert told["tracer"]["state"] == "tracing"
                assert (await hub.value("status"))["memory"]["tracer"] > 0

        asyncio.run(talk())
        assert running.end(signal.SIGTERM) == 0
    assert not list(running.store.glob("*.keylog"))
    with Store(running.store).query() as query:
        assert {entry.protocol for entry in query} == {"tlsx"}
    assert "no keys were kept" in query.notices[0]


# What no library sends: a ClientHello, and nothing else.
STRANGER = """
import socket, sys
open("/proc/self/comm", "w").write("stranger")
hello = bytes.fromhex("0303") + bytes(range(32)) + bytes.fromhex("00" "0002" "1301" "0100" "0000")
message = b"\\x01" + len(hello).to_bytes(3, "big") + hello
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"\\x16\\x03\\x01" + len(message).to_bytes(2, "big") + message)
    while connection.recv(1024):  # else a reset meets the server's end, which is nobody's then
        pass
"""


@pytest.mark.needs_ebpf
def test_connections_without_keys_are_told_of_their_programs(tmp_path: Path, shop: Shop) -> None:
    with worker(tmp_path, shop, "--tls", "--tls-only", "nobody") as running:

        async def talk() -> None:
            async with Asking(running) as hub:
                await asyncio.to_thread(shop.get, "/closed")
                with subprocess.Popen([sys.executable, "-c", STRANGER, str(shop.port)]) as stranger:
                    pass

                def every(told: dict[str, Any]) -> dict[int, dict[str, Any]]:
                    return {one["pid"]: one for one in told["tracer"]["processes"] if one["without_keys"]}

                # Those of this process are its own, and the stranger's.
                told = await status_when(hub, lambda told: {os.getpid(), stranger.pid} <= every(told).keys())
                found = every(told)[stranger.pid]
                assert (found["name"], found["without_keys"], found["with_keys"]) == ("stranger", 1, 0)
                assert (found["attached"], found["running"]) == (False, False)
                me = every(await status_when(hub, lambda told: every(told)[os.getpid()]["without_keys"] == 2))
                assert me[os.getpid()]["problem"].startswith("left out")
                assert told["with_keys"] == 0
                assert told["tracer"]["counters"]["unowned"] == 0

        asyncio.run(talk())


@pytest.mark.needs_ebpf
def test_a_connection_from_before_is_read_in_its_program(tmp_path: Path, shop: Shop) -> None:
    with shop.connection() as ask:
        ask("/before")
        with worker(tmp_path, shop, "--tls", "--tls-only", os.getpid()) as running:

            async def talk() -> None:
                async with Asking(running) as hub:
                    await asyncio.to_thread(ask, "/plain")
                    found = await asked_until(hub, lambda found: "/plain" in paths(found))
                    (call,) = [one for one in found if one["protocol"] == "http"]
                    assert call["capture_source"] == "ebpf_tls"
                    entry = await hub.value("entry", id=call["id"])
                    assert entry["tls"]["key_source"] == "plaintext"
                    assert entry["response"]["body"]["text"] == "you asked for /plain"
                    await status_when(hub, lambda told: told["tracer"]["counters"]["plain_bytes"] > 0)

            asyncio.run(talk())
            assert running.end(signal.SIGTERM) == 0
    # It is beside the packets: who asks the store later reads it too.
    assert [entry.summary for entry in Store(running.store).query("http")] == ["GET /plain"]


@pytest.mark.needs_ebpf
def test_plain_text_of_programs_is_recorded(tmp_path: Path, shop: Shop) -> None:
    with worker(tmp_path, shop, "--tls", "--tls-mode", "plaintext", "--tls-only", os.getpid()) as running:

        async def talk() -> None:
            async with Asking(running) as hub:
                await asyncio.to_thread(shop.get, "/1", "/2")
                found = await asked_until(hub, lambda found: paths(found) == {"/1", "/2"})
                assert {one["capture_source"] for one in found if one["protocol"] == "http"} == {"ebpf_tls"}

        asyncio.run(talk())
        assert running.end(signal.SIGTERM) == 0
    assert {entry.summary for entry in Store(running.store).query("http")} == {"GET /1", "GET /2"}


@pytest.mark.needs_ebpf
def test_where_the_tracer_dies_another_one_goes_on_and_keys_are_kept_if_allowed(tmp_path: Path, shop: Shop) -> None:
    with worker(tmp_path, shop, "--tls", "--tls-only", os.getpid(), "--store-secrets") as running:

        async def talk() -> None:
            async with Asking(running) as hub:
                first = (await status_when(hub, lambda told: told["tracer"]["pid"] > 0))["tracer"]["pid"]
                await asyncio.to_thread(shop.get, "/before")
                await asked_until(hub, lambda found: paths(found) == {"/before"})
                os.kill(first, signal.SIGKILL)
                await status_when(
                    hub, lambda told: told["tracer"]["state"] == "tracing" and told["tracer"]["pid"] not in (0, first)
                )
                await asyncio.to_thread(shop.get, "/after")
                # What the first one read is still known.
                await asked_until(hub, lambda found: paths(found) == {"/before", "/after"})

        asyncio.run(talk())
        assert "keys are missing meanwhile" in running.said("the process that reads keys ended: SIGKILL")
        assert running.end(signal.SIGTERM) == 0
    kept = list(Store(running.store).query("http"))
    assert [(entry.summary, entry.tls and entry.tls.key_source) for entry in kept] == [
        ("GET /before", "kernel"),
        ("GET /after", "kernel"),
    ]


@pytest.mark.needs_ebpf
def test_a_hub_turns_it_off_and_on_again(tmp_path: Path, shop: Shop) -> None:
    with worker(tmp_path, shop, "--tls", "--tls-only", os.getpid()) as running:

        async def talk() -> None:
            async with Asking(running) as hub:
                told = await hub.value("configure", config={"version": 1, "tls": "off"})
                assert (told["accepted"], told["reason"]) == (True, "")
                assert told["effective"]["tls"] == "off"
                await status_when(hub, lambda told: told["tracer"]["state"] == "off")
                await asyncio.to_thread(shop.get, "/closed")
                await asked_until(hub, lambda found: [one["protocol"] for one in found] == ["tlsx"])
                assert (await hub.value("configure", config={"version": 2}))["accepted"]
                await asyncio.to_thread(shop.get, "/open")
                await asked_until(hub, lambda found: paths(found) == {"/open"})
                refused = await hub.value("configure", config={"version": 3, "tls": "everything"})
                assert not refused["accepted"]
                assert "off, keys, plaintext" in refused["reason"]

        asyncio.run(talk())


@pytest.mark.needs("setpriv")
def test_without_the_privilege_it_says_so_and_records(tmp_path: Path, shop: Shop) -> None:
    lacking = ("setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon", "--")
    running = worker(tmp_path, shop, "--tls")
    running.prefix = lacking
    with running:
        line = running.said("going on without")
        assert re.search(r"CAP_(BPF|PERFMON)", line), line
        shop.get("/closed")

        async def talk() -> None:
            async with Asking(running) as hub:
                (entry,) = await asked_until(hub, bool)
                assert entry["protocol"] == "tlsx"
                told = await hub.value("status")
                tracer = told["tls"]["tracer"]
                assert tracer["state"] == "off"
                assert "CAP_" in tracer["reason"]
                assert tracer["hint"]
                assert any("going on without" in notice for notice in told["notices"])

        asyncio.run(talk())


# What is said of it


def test_plain_text_that_has_no_room_is_counted_and_who_tells_never_waits() -> None:
    way = Way()
    teller, hearer = Teller(os.dup(way.told)), Hearer(os.dup(way.heard))
    key = bytes(12)
    chunks = [PlainChunk(at, key, at * 60_000, b"x" * 60_000) for at in range(1000)]
    teller.tell(chunks)
    assert teller.dropped > 0
    found: list[PlainChunk] = []
    while some := hearer.take():
        found += some
        teller.tell(())
    assert sum(len(chunk.data) for chunk in found) + teller.dropped == 60_000_000
    assert found == [chunk for chunk in chunks if chunk in set(found)]
    os.write(way.told, b"no chunk")
    teller.tell(chunks[:1])
    assert hearer.take() == chunks[:1]
    teller.close()
    hearer.close()
    way.close()


def test_connections_go_back_to_the_tracer_and_those_without_room_are_counted() -> None:
    way = Way()
    teller, hearer = Teller(os.dup(way.told)), Hearer(os.dup(way.heard))
    sizes = (12, 36)
    every = [TlsConnection(at.to_bytes(32, "big"), bytes(sizes[at % 2]), at % 3 == 0) for at in range(30_000)]
    for one in every:
        hearer.begun(one)
    hearer.tell()
    assert hearer.untold > 0
    found: list[TlsConnection] = []
    while some := teller.take():
        found += some
        hearer.tell()
    assert len(found) + hearer.untold == len(every)
    there = set(found)
    assert found == [one for one in every if one in there]
    os.write(way.heard, b"no connection" * 9)
    hearer.begun(every[0])
    hearer.tell()
    assert teller.take() == every[:1]
    teller.close()
    hearer.begun(every[0])
    os.close(way.told)
    hearer.tell()
    assert hearer.untold == len(every) - len(found) + 1
    hearer.close()
    os.close(way.heard)


def test_what_a_tracer_says_is_bounded() -> None:
    process = {"pid": 1, "name": "x" * 10_000, "library": 7, "path": None, "attached": 1, "keys": "many", "secret": "s"}
    report = report_of({"processes": [process] * 1000 + ["none"], "counters": {"keys": 3, "other": 1}, "problems": 5})
    assert len(report.processes) == MOST_PROCESSES
    first = report.processes[0]
    numbers = {"pid", "keys", "with_keys", "without_keys"}
    assert set(first) == {"name", "library", "path", "problem", "attached", "running", *numbers}
    assert (len(str(first["name"])), first["attached"], first["keys"]) == (500, False, 0)
    assert report.counters["keys"] == 3
    assert "other" not in report.counters
    settings = TracingSettings(mode="keys", only=("nginx", "7"))
    assert TracingSettings.of(settings.to_dict()) == settings


def test_keys_pass_to_other_processes_as_a_word(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n")
    ring = SecretRing()
    ring.put([Told(Secret("CLIENT_RANDOM", b"r" * 32, b"v" * 48), 1)])
    keys = Keys.of(Keys((str(tmp_path / "keys"),), ring.fd, "pcapng").word())
    found = [(source.name, secret.random) for source in keys.sources() for secret in source.take()]
    assert found == [("keylog", bytes.fromhex("ab" * 32)), ("pcapng", b"r" * 32)]
    assert not Keys.of("")
    assert "cd" * 8 not in keys.word()
    ring.close()
