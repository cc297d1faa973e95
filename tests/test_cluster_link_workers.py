"""Workers as a hub knows them: their names and addresses, who comes and goes, and connections that say nothing."""

from __future__ import annotations

import asyncio
import socket

import pytest
from cluster_links import PACE, Cluster, heard, talk, until, whole

from pysniff.cluster.access import Access
from pysniff.cluster.asked import Away, Back
from pysniff.cluster.frames import End, Value
from pysniff.cluster.known_worker import Worker
from pysniff.errors import OptionError
from pysniff.limits import MIB

# Silence


@talk
async def test_an_idle_connection_lasts(made: Cluster) -> None:
    """Longer than the silence that would be its end: heartbeats are all that passes."""
    hub, _, wire = await made.wired(PACE.but(beat=0.1, silence=3))
    before, changes = wire.passed, list[Worker]()
    hub.on_change.append(changes.append)
    await asyncio.sleep(4)
    assert changes == []
    assert wire.connections == 1
    assert 0 < wire.passed - before < 10_000


@talk
async def test_silence_is_the_end(made: Cluster) -> None:
    hub, worker, wire = await made.wired(PACE.but(beat=0.1, silence=1.0))
    wire.freeze()
    await until(lambda: hub.known["node-1"].reason == "nothing was heard any more")
    assert hub.known["node-1"].state == "away"
    await until(lambda: worker.figures["ended_silent"])


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells when bytes came")
@talk
async def test_a_long_message_on_a_slow_network_is_no_silence(made: Cluster) -> None:
    hub, worker, wire = await made.wired(PACE.but(beat=0.1, silence=3))
    wire.slow(0.05)  # 5.6 s in all
    (told, end) = await heard(hub.ask("node-1", "query", {"count": 1, "size": 7 * MIB}))
    assert isinstance(told, Value)
    assert isinstance(end, End)
    assert wire.connections == 1
    assert not worker.figures


@talk
async def test_a_hub_comes_back_while_the_worker_believes_in_the_old_connection(made: Cluster) -> None:
    """The node was cut off and nobody told the worker: the old connection is asked to prove that it lives."""
    worker, port = await made.worker()
    wire = await made.wire(port)
    hub = made.hub(pace=PACE.but(beat=0.1, silence=3))
    hub.dial("127.0.0.1", wire.port)
    await made.connected(hub)
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    wire.leave_frozen()
    assert isinstance(await anext(asked), Away)
    assert await anext(asked) == Back(True)
    made.answers.go.set()
    assert whole(await heard(asked), 3)
    await until(lambda: worker.figures["ended_again"] == 1)


# Names


@talk
async def test_the_second_worker_of_a_name_is_refused_and_told(made: Cluster) -> None:
    first, port = await made.worker()
    second, other = await made.worker()
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    worker = await made.connected(hub)
    hub.dial("127.0.0.1", other)
    await until(lambda: second.figures["ended_name"])
    refused = hub.known[f"127.0.0.1:{other}"]
    assert refused.state == "refused"
    assert refused.reason == f"the name node-1 is that of the worker at 127.0.0.1:{port}"
    assert worker.state == "connected"
    await first.close()
    await until(lambda: hub.known["node-1"].address == f"127.0.0.1:{other}")
    await made.connected(hub)
    assert f"127.0.0.1:{other}" not in hub.known
    assert whole(await heard(hub.ask("node-1", "query", {})), 3)


@talk
async def test_a_second_worker_that_dials_in_with_a_name_is_refused_and_told(made: Cluster) -> None:
    hub = made.hub()
    url = await made.server(hub)
    first, second = made.dialling_worker(), made.dialling_worker()
    first.dial(url)
    await made.connected(hub)
    second.dial(url)
    await until(lambda: second.hubs()[0]["state"] == "refused")
    assert "the name node-1 is that of" in str(second.hubs()[0]["reason"])
    assert first.hubs()[0]["state"] == "connected"
    assert hub.figures["names_refused"] >= 1


@talk
async def test_a_worker_found_at_two_addresses_is_one(made: Cluster) -> None:
    _, port = await made.worker()
    hub = made.hub()
    hub.dial("127.0.0.1", port)
    worker = await made.connected(hub)
    hub.dial("localhost", port)
    await until(lambda: hub.known[f"localhost:{port}"].state == "refused")
    assert hub.known[f"localhost:{port}"].reason == "this hub is connected already"
    assert worker.state == "connected"
    assert whole(await heard(hub.ask("node-1", "query", {})), 3)


@talk
async def test_changes_are_told(made: Cluster) -> None:
    _, port = await made.worker()
    wire = await made.wire(port)
    hub = made.hub()
    changes: list[tuple[str, str]] = []
    hub.on_change.append(lambda worker: changes.append((worker.name, worker.state)))
    hub.dial("127.0.0.1", wire.port)
    assert changes == [(f"127.0.0.1:{wire.port}", "away")]
    worker = await made.connected(hub)
    assert worker.since_ns > 0
    assert worker.hello is not None
    assert worker.hello.software == "test"
    wire.cut(down=True)
    await until(lambda: worker.state == "away")
    wire.up()
    await made.connected(hub)
    assert changes[1] == changes[0]  # who was dialled has a name now, and is known by it
    assert changes[2:] == [("node-1", "connected"), ("node-1", "away"), ("node-1", "connected")]


@talk
async def test_workers_come_and_go_with_dns(made: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _, port = await made.worker("node-1", host="127.0.0.1")
    await made.worker("node-2", host="127.0.0.2", port=port)
    told: list[str] = ["127.0.0.1"]
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: object) -> object:
        if host != "workers.test":
            return await resolve(host, port, **options)  # type: ignore[arg-type]
        if not told:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in told]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    hub = made.hub()
    said: list[tuple[str, str]] = []
    hub.on_unresolved.append(lambda *words: said.append(words))
    hub.dial_dns("workers.test", port)
    await made.connected(hub, "node-1")
    told.append("127.0.0.2")
    await made.connected(hub, "node-2")
    told.append("127.0.0.3")
    await until(lambda: f"127.0.0.3:{port}" in hub.known)
    told.remove("127.0.0.3")
    await until(lambda: set(hub.known) == {"node-1", "node-2"})
    told.clear()
    await until(lambda: hub.unresolved == {"workers.test": "Name or service not known"})
    assert [worker.state for worker in hub.known.values()] == ["connected", "connected"]
    assert said == [("workers.test", "Name or service not known")]
    told.append("127.0.0.2")
    await until(lambda: hub.unresolved == {})
    assert set(hub.known) == {"node-1", "node-2"}  # it is there, whatever DNS says
    hub.known["node-1"].cut()
    await until(lambda: set(hub.known) == {"node-2"})


# Addresses


@talk
async def test_a_port_that_is_taken_is_one_line(made: Cluster) -> None:
    _, port = await made.worker()
    with pytest.raises(OptionError, match=f"127.0.0.1:{port}: Address already in use"):
        await made.worker(port=port)


@talk
async def test_without_a_token_only_loopback_is_served(made: Cluster) -> None:
    with pytest.raises(OptionError, match="needs a token"):
        await made.worker(access=Access(), host="0.0.0.0")
    _, port = await made.worker(access=Access())
    hub = made.hub(Access())
    hub.dial("127.0.0.1", port)
    await made.connected(hub)


@pytest.mark.parametrize("url", ["hub:8898", "ftp://hub", "http://", "http://user:password@hub", "http://hub?x"])
@talk
async def test_what_is_no_hubs_url_is_refused(made: Cluster, url: str) -> None:
    with pytest.raises(OptionError, match="no hub's URL"):
        made.dialling_worker().dial(url)


@talk
async def test_nobody_there_is_said_so(made: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hub, port = made.hub(), taken.getsockname()[1]
        hub.dial("127.0.0.1", port)
        worker = hub.known[f"127.0.0.1:{port}"]
        await until(lambda: hub.figures["ended_lost"] >= 3)
    assert worker.state == "away"
    assert "refused" in worker.reason.lower() or "connect" in worker.reason.lower()
