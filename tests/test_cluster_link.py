"""Workers and hubs over real connections: many requests, flow control, cancelling, and what happens when it is cut."""

from __future__ import annotations

import asyncio

import pytest
from cluster_links import PACE, Cluster, heard, hub_hello, numbers, talk, until, whole

from pysniff.cluster.asked import Away, Back
from pysniff.cluster.frames import End, Error, Notice, Value
from pysniff.cluster.handshake import new_hello
from pysniff.cluster.known_worker import REQUESTS
from pysniff.cluster.packed import FrameError
from pysniff.cluster.worker_links import WorkerLinks
from pysniff.cluster.workers import Workers
from pysniff.errors import NotFoundError, OptionError
from pysniff.limits import KIB, MIB


async def dialled_by_hub(made: Cluster) -> tuple[Workers, WorkerLinks]:
    return await made.pair()


async def dialled_by_worker(made: Cluster) -> tuple[Workers, WorkerLinks]:
    hub = made.hub()
    worker = made.dialling_worker()
    worker.dial(await made.server(hub))
    await made.connected(hub)
    return hub, worker


WAYS = {"the hub dials": dialled_by_hub, "the worker dials": dialled_by_worker}


@pytest.mark.parametrize("way", WAYS)
@talk
async def test_a_request_is_answered(made: Cluster, way: str) -> None:
    hub, worker = await WAYS[way](made)
    told = await heard(hub.ask("node-1", "query", {"count": 3, "filter": "http"}))
    assert numbers(told) == [1, 2, 3]
    assert isinstance(told[-1], End)
    assert made.answers.asked[0].params == {"count": 3, "filter": "http"}
    assert worker.hubs()[0]["state"] == "connected"
    assert hub.endpoints() == [(theirs, ours) for ours, theirs in worker.endpoints()]
    assert hub.known["node-1"].address.startswith("127.0.0.1:")
    await until(lambda: made.answers.closed == [1])


@talk
async def test_many_requests_share_a_connection(made: Cluster) -> None:
    hub, _ = await made.pair()
    all_told = await asyncio.gather(*(heard(hub.ask("node-1", "query", {"count": n})) for n in range(100)))
    for n, told in enumerate(all_told):
        assert numbers(told) == list(range(1, n + 1))
        assert isinstance(told[-1], End)


@talk
async def test_a_hub_that_uses_nothing_stops_the_answer_and_no_other(made: Cluster) -> None:
    hub, _ = await made.pair()
    slow = hub.ask("node-1", "query", {"count": 1000, "size": 1000}, 100 * KIB)
    assert numbers(await heard(hub.ask("node-1", "query", {"count": 5}))) == [1, 2, 3, 4, 5]
    await until(lambda: made.answers.made.get(1, 0) >= 100)
    assert numbers(await heard(hub.ask("node-1", "query", {"count": 5000, "size": 1000}))) == list(range(1, 5001))
    assert 100 <= made.answers.made[1] <= 102
    assert numbers(await heard(slow)) == list(range(1, 1001))


@talk
async def test_a_small_answer_does_not_wait_for_a_long_one(made: Cluster) -> None:
    hub, _ = await made.pair()
    long = asyncio.create_task(heard(hub.ask("node-1", "endless", {"count": 1 << 30, "size": 64 * KIB})))
    await until(lambda: made.answers.made.get(1, 0) > 100)
    assert numbers(await heard(hub.ask("node-1", "query", {"count": 20}))) == list(range(1, 21))
    long.cancel()


@talk
async def test_a_frame_may_be_larger_than_the_credit(made: Cluster) -> None:
    hub, _ = await made.pair()
    told = await heard(hub.ask("node-1", "query", {"count": 3, "size": 7 * MIB}, 1000))
    assert [len(str(frame.value["text"])) for frame in told if isinstance(frame, Value)] == [7 * MIB] * 3


@talk
async def test_what_is_no_content_is_granted_by_itself(made: Cluster) -> None:
    hub, _ = await made.pair()
    asked = hub.ask("node-1", "notice", {}, 1)
    sizes = []
    told = []
    async for frame in asked:
        told.append(frame)
        sizes.append(asked.size)
    assert [type(frame) for frame in told] == [Notice, End]
    assert sizes == [0, 0]


@talk
async def test_a_cancelled_answer_is_closed_at_the_worker(made: Cluster) -> None:
    hub, worker = await made.pair()
    asked = hub.ask("node-1", "endless", {"count": 1 << 30})
    async with asked:
        async for frame in asked:
            asked.grant()
            if numbers([frame]) == [50]:
                break
    assert [frame async for frame in asked] == []
    await until(lambda: made.answers.closed == [1])
    waiting = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.made.get(2) == 0)
    waiting.cancel()
    await until(lambda: made.answers.closed == [1, 2])
    await until(lambda: hub.known["node-1"].requests == 0)
    assert worker.hubs()[0]["requests"] == 0
    assert not hub.figures["protocol_errors"]


@talk
async def test_requests_cancelled_at_once_leave_nothing_behind(made: Cluster) -> None:
    hub, worker = await made.pair()
    for _ in range(200):
        hub.ask("node-1", "endless", {"count": 1 << 30}).cancel()
    await until(lambda: hub.known["node-1"].requests == 0)
    assert worker.hubs()[0]["requests"] == 0
    assert numbers(await heard(hub.ask("node-1", "query", {}))) == [1, 2, 3]


@talk
async def test_an_answer_that_fails_is_an_error_and_others_go_on(made: Cluster) -> None:
    hub, worker = await made.pair()
    other = asyncio.create_task(heard(hub.ask("node-1", "wait", {})))
    told = await heard(hub.ask("node-1", "fail", {}))
    assert told == [Error(2, 1, "internal", "RuntimeError: no such luck", "")]
    told = await heard(hub.ask("node-1", "cancelled", {}))
    assert told == [Error(3, 1, "internal", "the answer was cancelled", "")]
    made.answers.go.set()
    assert numbers(await other) == [1, 2, 3]
    assert worker.figures["answers_failed"] == 2


@talk
async def test_an_answer_without_an_end_is_an_error(made: Cluster) -> None:
    hub, _ = await made.pair()
    told = await heard(hub.ask("node-1", "endless", {"count": 2}))
    assert numbers(told) == [1, 2]
    assert told[-1] == Error(1, 3, "internal", "the answer ended without an end", "")


@talk
async def test_too_many_requests_are_refused_at_the_hub(made: Cluster) -> None:
    hub, _ = await made.pair()
    waiting = [hub.ask("node-1", "wait", {}) for _ in range(REQUESTS)]
    (told,) = await heard(hub.ask("node-1", "query", {}))
    assert isinstance(told, Error)
    assert told.code == "busy"
    waiting.pop().cancel()
    await until(lambda: hub.known["node-1"].requests == REQUESTS - 1)
    assert numbers(await heard(hub.ask("node-1", "query", {}))) == [1, 2, 3]


@talk
async def test_what_cannot_be_asked_is_the_callers_mistake(made: Cluster) -> None:
    hub, _ = await made.pair()
    with pytest.raises(NotFoundError, match="node-2"):
        hub.ask("node-2", "query", {})
    with pytest.raises(FrameError):
        hub.ask("node-1", "query", {"n": float("nan")})
    assert hub.known["node-1"].requests == 0


def test_a_name_that_is_none_is_the_callers_mistake() -> None:
    with pytest.raises(OptionError, match="a b"):
        new_hello("worker", "a b", "")


# Cuts


@talk
async def test_a_cut_answer_goes_on_without_hole_or_duplicate(made: Cluster) -> None:
    hub, worker, wire = await made.wired()
    hearing = asyncio.create_task(heard(hub.ask("node-1", "query", {"count": 3000, "size": 500}, 64 * KIB)))
    other = asyncio.create_task(heard(hub.ask("node-1", "query", {"count": 3000, "size": 100}, 8 * KIB)))
    for cuts in range(1, 6):
        await until(lambda cuts=cuts: hearing.done() or made.answers.made.get(1, 0) > 500 * cuts)  # type: ignore[misc]
        wire.cut()
        await until(lambda cuts=cuts: worker.figures["answers_resumed"] >= cuts or hearing.done())  # type: ignore[misc]
    told = await hearing
    assert whole(told, 3000)
    assert whole(await other, 3000)
    assert sum(isinstance(frame, Away) for frame in told) >= 3
    assert sum(frame == Back(True) for frame in told) == sum(isinstance(frame, Away) for frame in told)
    assert len(made.answers.asked) == 2
    assert not hub.figures["protocol_errors"]
    assert not worker.figures["protocol_errors"]


@talk
async def test_an_answer_goes_on_where_the_worker_dials(made: Cluster) -> None:
    hub = made.hub()
    url = await made.server(hub)
    wire = await made.wire(int(url.rpartition(":")[2]))
    worker = made.dialling_worker()
    worker.dial(f"http://127.0.0.1:{wire.port}")
    await made.connected(hub)
    hearing = asyncio.create_task(heard(hub.ask("node-1", "query", {"count": 2000, "size": 500}, 64 * KIB)))
    await until(lambda: made.answers.made.get(1, 0) > 500)
    wire.cut()
    told = await hearing
    assert whole(told, 2000)
    assert Back(True) in told


@talk
async def test_an_answer_that_waits_is_still_there_after_a_cut(made: Cluster) -> None:
    hub, _, wire = await made.wired()
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    wire.cut(down=True)
    assert isinstance(await anext(asked), Away)
    assert hub.known["node-1"].state == "away"
    wire.up()
    assert await anext(asked) == Back(True)
    made.answers.go.set()
    assert whole(await heard(asked), 3)


@talk
async def test_what_was_lost_comes_again_before_there_is_news(made: Cluster) -> None:
    hub, _, wire = await made.wired()
    asked = hub.ask("node-1", "follow", {})
    await until(lambda: made.answers.asked)
    wire.freeze()
    made.answers.due.put_nowait(None)
    await until(lambda: made.answers.made[1] == 1)
    wire.cut()
    wire.thaw()
    assert isinstance(await anext(asked), Away)
    assert await anext(asked) == Back(True)
    assert numbers([await anext(asked)]) == [1]
    made.answers.due.put_nowait(None)
    assert numbers([await anext(asked)]) == [2]
    asked.cancel()
    await until(lambda: made.answers.closed == [1])


@talk
async def test_who_reads_nothing_meanwhile_is_told_of_one_absence(made: Cluster) -> None:
    hub, worker, wire = await made.wired()
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    for cuts in range(1, 5):
        wire.cut()
        await until(lambda cuts=cuts: worker.figures["answers_resumed"] == cuts)  # type: ignore[misc]
    made.answers.go.set()
    told = await heard(asked)
    assert [type(frame) for frame in told[:2]] == [Away, Back]
    assert whole(told[2:], 3)


@talk
async def test_what_is_asked_while_a_worker_is_away_is_asked_when_it_is_back(made: Cluster) -> None:
    hub, _, wire = await made.wired()
    wire.cut(down=True)
    await until(lambda: hub.known["node-1"].state == "away")
    asked = hub.ask("node-1", "query", {})
    cancelled = hub.ask("node-1", "query", {})
    assert isinstance(await anext(asked), Away)
    cancelled.cancel()
    wire.up()
    assert await anext(asked) == Back(True)
    assert whole(await heard(asked), 3)
    assert [ask.id for ask in made.answers.asked] == [asked.ask.id]


@talk
async def test_an_answer_is_dropped_when_the_hub_stays_away_too_long(made: Cluster) -> None:
    hub, worker, wire = await made.wired(PACE.but(window=0.1))
    asked = hub.ask("node-1", "endless", {"count": 1 << 30}, 10 * KIB)
    await until(lambda: made.answers.made.get(1))
    wire.cut(down=True)
    await until(lambda: made.answers.closed == [1])
    assert worker.figures["answers_dropped"] == 1
    wire.up()
    told = await heard(asked)
    assert told[-1] == Back(False)
    assert isinstance(told[-2], Away)
    assert numbers(told) == list(range(1, len(told) - 1))
    await made.connected(hub)
    assert whole(await heard(hub.ask("node-1", "query", {})), 3)


@talk
async def test_an_answer_cancelled_while_away_is_closed_when_the_hub_is_back(made: Cluster) -> None:
    hub, _, wire = await made.wired()
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    wire.cut(down=True)
    await until(lambda: hub.known["node-1"].state == "away")
    asked.cancel()
    assert made.answers.closed == []
    wire.up()
    await until(lambda: made.answers.closed == [1] and hub.known["node-1"].requests == 0)


@talk
async def test_a_worker_that_was_restarted_knows_nothing(made: Cluster) -> None:
    hub, worker, wire = await made.wired()
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    before = hub.known["node-1"].session
    wire.cut(down=True)
    await worker.close()
    _, port = await made.worker()
    wire.lead_to(port)
    wire.up()
    told = await heard(asked)
    assert isinstance(told[0], Away)
    assert told[1:] == [Back(False)]
    assert hub.known["node-1"].session != before
    assert whole(await heard(hub.ask("node-1", "query", {})), 3)


@talk
async def test_a_hub_that_was_restarted_is_a_new_one(made: Cluster) -> None:
    _, port = await made.worker(pace=PACE.but(window=0.2))
    first, second = made.hub(), made.hub()
    first.dial("127.0.0.1", port)
    await made.connected(first)
    waiting = first.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    await first.close()
    assert [frame async for frame in waiting] == []
    second.dial("127.0.0.1", port)
    await made.connected(second)
    assert whole(await heard(second.ask("node-1", "query", {})), 3)
    await until(lambda: 1 in made.answers.closed)


@talk
async def test_two_hubs_have_a_worker_each_for_itself(made: Cluster) -> None:
    worker, port = await made.worker()
    hubs = [made.hub(hello=hub_hello(f"hub-{n}")) for n in range(2)]
    for hub in hubs:
        hub.dial("127.0.0.1", port)
        await made.connected(hub)
    both = await asyncio.gather(*(heard(hub.ask("node-1", "query", {"count": 100})) for hub in hubs))
    assert all(whole(told, 100) for told in both)
    assert {hub["name"] for hub in worker.hubs()} == {"hub-0", "hub-1"}


@talk
async def test_a_worker_that_ends_says_so(made: Cluster) -> None:
    hub, worker = await made.pair()
    asked = hub.ask("node-1", "wait", {})
    await until(lambda: made.answers.asked)
    await worker.close()
    assert await anext(asked) == Away("the worker ends")
    assert made.answers.closed == [1]
    assert hub.known["node-1"].state == "away"
