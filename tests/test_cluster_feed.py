"""/api/entries: what a client of the hub is told, whatever becomes of the workers, and of the client."""

from __future__ import annotations

import asyncio
import gc
import random
from itertools import count

import pytest
from hub_stage import Stage, run, settled, until

from pysniff.cluster.hub import asking, feed, feeds, source, told
from pysniff.cluster.hub.messages import Message
from pysniff.cluster.hub.outbox import Outbox
from pysniff.cluster.packed import unpack_map

FEED = [feed.routes]


def test_a_question_goes_to_all_workers_and_their_entries_come_in_order_of_time() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter='path == "/pay"', follow=False, start="2026-01-01T00:00:00Z")
            a, b = await stage["a"].asked(), await stage["b"].asked()
            assert a.params == b.params == {
                "filter": 'path == "/pay"', "start": 1767225600 * 10**9, "end": None, "since": None, "limit": None,
                "newest_first": False, "follow": False, "decode_as": {},
            }  # fmt: skip
            a.batch(1, 3, until=4)
            b.batch(2, 5, until=6)
            assert await client.shows(3) == ["1 a", "2 b", "3 a"]
            a.end(packets_read=7)
            b.end()
            end = await client.until("end")
            assert await client.shows(4) == ["1 a", "2 b", "3 a", "5 b"]
            assert end["figures"]["entries"] == 4
            assert end["figures"]["nodes"]["a"] == {"state": "ended", "error": "", "figures": {"packets_read": 7}}
            numbers = [number for number, _, _ in client.entries]
            assert numbers == list(range(numbers[0], numbers[0] + 4))

    run(talk)


def test_history_ends_with_caught_up_and_the_feed_goes_on() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="")
            a, b = await stage["a"].asked(), await stage["b"].asked()
            a.batch(1, until=2)
            a.caught_up()
            b.batch(3, until=4)
            b.caught_up()
            assert (await client.until("caught_up"))["nodes"] == {"a": "live", "b": "live"}
            assert await client.shows(2) == ["1 a", "3 b"]
            b.batch(5, until=5.1)
            assert await client.shows(3) == ["1 a", "3 b", "5 b"]  # within a second, though a promises nothing

    run(talk)


def test_the_same_call_on_two_nodes_is_shown_once_unless_both_were_asked_for() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="", follow=False)
            everything = await stage.client(filter="", follow=False, show_duplicates=True)
            await until(lambda: len(stage["a"].answers()) == len(stage["b"].answers()) == 2)
            for name in "ab":
                for answer in stage[name].answers():
                    answer.batch((1, 77), (2, 78 if name == "a" else 79), until=3)
                    answer.end()
            assert (await client.until("end"))["figures"]["duplicates"] == 1
            assert await client.shows(3) == ["1 a+b", "2 a", "2 b"]
            await everything.until("end")
            assert await everything.shows(4) == ["1 a", "1 b", "2 a", "2 b"]

    run(talk)


def test_a_copy_that_comes_later_is_told_by_its_number() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="")
            a, b = await stage["a"].asked(), await stage["b"].asked()
            a.caught_up()
            b.caught_up()
            await client.until("caught_up")
            a.batch((1, 77), until=2)
            await client.shows(1)
            b.batch((1.1, 77), until=2)
            assert (await client.until("also"))["also"] == [[client.entries[0][0], ["b"]]]

    run(talk)


def test_a_worker_that_fails_is_a_message_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "RETRY", 0.05)

    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="", follow=False)
            a, b = await stage["a"].asked(), await stage["b"].asked()
            a.notice("a segment was dropped while it was read", "warning")
            a.error("unsupported", "no such thing here")
            b.batch(1, until=2)
            b.error("internal", "the dissecting process died")
            assert (await client.until("status", state="notice"))["text"] == "a segment was dropped while it was read"
            failed = await client.until("status", node="a", state="failed")
            assert (failed["severity"], failed["text"]) == ("error", "unsupported: no such thing here")
            again = await stage["b"].asked(2)  # it may go better: from where its promise ended
            assert again.params["since"] == 2 * 10**9 - told.SLACK
            again.batch(3, until=4)
            again.end()
            end = await client.until("end")
            assert await client.shows(2) == ["1 b", "3 b"]
            assert end["figures"]["nodes"]["a"]["state"] == "failed"

    run(talk)


def test_a_worker_that_restarts_is_asked_for_what_was_missed_and_nothing_is_shown_twice() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="")
            a, b = await stage["a"].asked(), await stage["b"].asked()
            a.batch(1, 2, 3, until=2)
            for answer in (a, b):
                answer.caught_up()
            await client.until("caught_up")
            assert await client.shows(3) == ["1 a", "2 a", "3 a"]
            await stage["a"].stop()
            assert (await client.until("status", node="a", state="away"))["severity"] == "warning"
            b.batch(5, until=6)
            assert await client.shows(4) == ["1 a", "2 a", "3 a", "5 b"]  # nobody waits for it
            await stage["a"].start()
            again = await stage["a"].asked(2)
            assert again.params["since"] == 2 * 10**9 - told.SLACK
            again.batch(1, 2, 3, 4, until=5)
            again.caught_up()
            again.batch(7, until=8)
            b.batch(until=8)
            assert await client.shows(6) == ["1 a", "2 a", "3 a", "5 b", "4 a", "7 a"]

    run(talk)


def test_a_lost_connection_is_resumed_and_the_answer_goes_on() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="")
            a = await stage["a"].asked()
            a.batch(1, until=2)
            a.caught_up()
            await client.until("caught_up")
            link = stage.workers.known["a"].link
            assert link is not None
            link.end("lost", "a cable was pulled")
            await client.until("status", node="a", state="away")
            a.batch(3, until=4)
            await client.until("status", node="a", state="live")
            a.batch(until=5)
            assert await client.shows(2) == ["1 a", "3 a"]
            assert len(stage["a"].answers()) == 1

    run(talk)


def test_a_worker_that_joins_later_is_asked_too() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="http")
            (await stage["a"].asked()).caught_up()
            await client.until("caught_up")
            late = await (await stage.add("z")).asked()
            assert late.params["filter"] == "http"
            late.batch(1, until=2)
            assert await client.shows(1) == ["1 z"]

    run(talk)


def test_only_the_nodes_that_were_named_are_asked() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="", follow=False, nodes=["b"])
            (await stage["b"].asked()).end()
            await client.until("end")
            assert stage["a"].answers() == []

    run(talk)


def test_a_limit_ends_the_question_at_the_workers_too() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="", limit=2)
            a = await stage["a"].asked()
            assert a.params["limit"] == 2
            a.batch(1, 2, 3, until=4)
            assert (await client.until("end"))["figures"]["entries"] == 2
            assert await client.shows(2) == ["1 a", "2 a"]
            await until(lambda: a.closed)

    run(talk)


def test_newest_first_goes_backwards() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="", newest_first=True, limit=3)
            a, b = await stage["a"].asked(), await stage["b"].asked()
            a.batch(9, 7, until=6)
            b.batch(8, 5, until=4)
            await client.until("end")
            assert await client.shows(3) == ["9 a", "8 b", "7 a"]

    run(talk)


def test_a_new_question_replaces_the_one_before() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="http")
            first = await stage["a"].asked()
            await client.ask(filter="dns")
            second = await stage["a"].asked(2)
            await until(lambda: first.closed)
            assert second.params["filter"] == "dns"
            assert (await client.until("asked", question=2))["filter"] == "dns"
            await client.close()
            await until(lambda: second.closed)

    run(talk)


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        ('{"filter": "http &&& dns"}', "filter", None),
        ('{"filter": 7}', "option", "filter is no text"),
        ("http", "option", "the message is not JSON"),
        ("[" * 5000, "option", "the message is not JSON"),
        ('{"fliter": ""}', "option", "unknown: 'fliter'"),
        ('{"from": "yesterday"}', "option", "from is not a time"),
        ('{"limit": 0}', "option", "limit is not a whole number"),
        ('{"nodes": []}', "option", "nodes is no list"),
        ('{"newest_first": true, "follow": true}', "option", "exclude each other"),
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused_and_the_connection_stays(
    sent: str, code: str, said: str | None
) -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client()
            await client.socket.send_str(sent)
            error = await client.until("error")
            assert error["code"] == code
            if said is None:
                assert (error["line"], error["column"]) == (1, 8)
                assert "^" in error["excerpt"]
            else:
                assert said in error["message"]
            await client.ask(filter="")
            await client.until("asked")

    run(talk)


def test_questions_too_fast_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RATE", 0.001)  # however slow this machine is

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client()
            for _ in range(feed.BURST + 1):
                await client.ask(filter="")
            assert (await client.until("error"))["code"] == "rate"
            assert stage.hub.counts.refused["rate"] == 1

    run(talk)


def test_too_many_questions_are_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "QUESTIONS", 2)  # its own, and the shared one

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            first = await stage.client(filter="http")
            await first.until("asked")
            await stage["a"].asked()
            second = await stage.client(filter="dns")
            assert (await second.until("error"))["code"] == "busy"
            assert stage.hub.counts.refused["queries"] == 1
            await first.close()
            await until(lambda: stage["a"].answers()[0].closed)
            await second.ask(filter="dns")
            await stage["a"].asked(2)

    run(talk)


def test_a_bug_of_the_hub_is_an_error_that_the_client_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(feeds.Feeds, "answer", fails)

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="")
            assert (await client.until("error"))["code"] == "internal"

    run(talk)


def test_one_address_has_so_many_questions_and_an_equal_one_of_what_is_new_is_none_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "QUESTIONS_PEER", 2)

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            live = await stage.client(filter="http", start="now")
            await stage["a"].asked(what="new")
            history = await stage.client(filter="http", follow=False)
            told = await stage["a"].asked()
            for third in ({"filter": "dns", "start": "now"}, {"filter": "http"}, {"filter": "http", "follow": False}):
                client = await stage.client(**third)
                error = await client.until("error")
                assert error["code"] == "busy" and "of one address" in error["message"]
            assert stage.hub.counts.refused["queries_peer"] == 3
            equal = await stage.client(filter="http", start="now")
            await equal.until("status")
            await history.close()
            await until(lambda: told.closed)
            await client.ask(filter="dns", start="now")
            await stage["a"].asked(2, "new")
            assert not live.socket.closed

    run(talk)


def test_clients_who_want_the_same_of_what_is_new_are_one_question_to_the_workers() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            clients = [await stage.client(filter="http", start="now") for _ in range(5)]
            for client in clients:
                await client.until("asked")
            a = await stage["a"].asked(what="new")
            assert a.params["start"] is None
            assert isinstance(a.params["since"], int)
            a.caught_up()
            for client in clients:
                await client.until("caught_up")
            a.batch(1, until=2)
            for client in clients:
                assert await client.shows(1) == ["1 a"]
            late = await stage.client(filter="http", start="now")
            await late.until("caught_up")
            a.batch(3, until=4)
            assert await late.shows(1) == ["3 a"]
            assert len(stage["a"].answers("new")) == 1 and not stage["a"].answers()
            for client in [*clients, late]:
                await client.close()
            await until(lambda: a.closed)

    run(talk)


def test_a_client_with_history_is_handed_over_to_the_shared_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SETTLED", 0.0)
    monkeypatch.setattr(feeds, "LOOK", 0.01)

    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            client = await stage.client(filter="http")
            own = {name: await stage[name].asked() for name in "ab"}
            new = {name: await stage[name].asked(what="new") for name in "ab"}
            for name in "ab":
                new[name].caught_up()
                new[name].batch((99, 1), until=100)  # before the client is at that: its own question tells it
            await settled()
            for name in "ab":
                own[name].batch((50, 0), until=60)
                own[name].caught_up()
            await client.until("caught_up")
            await settled()
            new["a"].batch((101, 2), (102, 3), until=103)  # by both, here first
            new["b"].batch((102, 4), until=103)
            await client.shows(1 + 3)
            for name in "ab":
                own[name].batch((99, 1), until=100)
            own["a"].batch((101, 2), (102, 3), (104, 5), until=104.5)
            own["b"].batch((102, 4), until=104.5)
            await client.shows(1 + 3 + 1 + 1)
            for name in "ab":
                own[name].batch((98, 7), until=120)  # given up, late
            await client.shows(7)
            await until(lambda: own["a"].closed and own["b"].closed)
            new["a"].batch((104, 5), (98, 7), until=121)
            new["b"].batch((98, 7), (122, 8), until=200)
            new["a"].batch((123, 9), until=200)
            new["a"].batch(until=300)
            new["b"].batch(until=300)
            await client.shows(9)
            await until(_is_whole)
            new["a"].batch((301, 10), until=302)
            new["b"].batch((301.5, 10), until=302)
            shown = await client.shows(10)
            assert sorted(shown) == sorted([
                "50 a+b", "99 a+b", "101 a", "102 a", "102 b", "104 a", "98 a+b", "122 b", "123 a", "301 a+b",
            ])  # fmt: skip

    run(talk)


def test_what_is_told_in_the_moment_of_the_change_reaches_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SETTLED", 0.0)
    monkeypatch.setattr(feeds, "LOOK", 0.01)
    cancelled, endings = feeds._cancelled, count(1)

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:

            async def slowly(task: asyncio.Task[dict[str, object]]) -> None:
                await cancelled(task)
                if next(endings) == 2:  # the own question is over, and nothing of it is left to tell
                    new.batch((201, 2), until=202)
                    await settled()

            monkeypatch.setattr(feeds, "_cancelled", slowly)
            client = await stage.client(filter="http")
            own, new = await stage["a"].asked(), await stage["a"].asked(what="new")
            for answer in (new, own):
                answer.batch((1, 1), until=2)
                answer.caught_up()
            assert await client.shows(1) == ["1 a"]
            own.batch(until=100)
            await until(lambda: own.closed)
            new.batch(until=200)
            assert await client.shows(2) == ["1 a", "201 a"]

    run(talk)


def test_histories_are_told_to_some_at_a_time_and_nobody_waits_for_one_that_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "HISTORIES", 1)
    monkeypatch.setattr(feeds, "LONG", 0.5)

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            first, second = await stage.client(filter="http"), await stage.client(filter="http")
            await stage["a"].asked()
            waiting = await second.until("status", state="waiting")
            assert waiting["node"] == ""
            await stage["a"].asked(2)  # though the first one's is still being told
            await first.close()
            await second.close()

    run(talk)


def _is_whole() -> bool:
    """Whether the shared question tells a client all."""
    return any(isinstance(one, feeds.Shared) and one.outboxes for one in gc.get_objects())


@pytest.mark.parametrize("seed", range(3))
def test_entries_of_many_clients_with_history_are_each_told_once_while_they_are_handed_over(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "SETTLED", 0.0)
    monkeypatch.setattr(feeds, "LOOK", 0.01)

    async def talk() -> None:
        async with Stage(FEED, "a", "b") as stage:
            clients = [await stage.client(filter="") for _ in range(3)]
            for client in clients:
                await client.until("asked")
            for name in "ab":
                await stage[name].asked(3)
                await stage[name].asked(what="new")
            chance = random.Random(seed)
            answers = [one for name in "ab" for what in ("new", "query") for one in stage[name].answers(what)]
            open_answers = [(answer, [0]) for answer in answers]
            for answer in answers:
                answer.caught_up()
            # Both nodes see every call; each answer tells them in its own time, in pieces of its own.
            while going := [one for one in open_answers if one[1][0] < 600]:
                answer, told = chance.choice(going)
                count = min(chance.randrange(1, 60), 600 - told[0])
                answer.batch(*((at / 10, at) for at in range(told[0], told[0] + count)), until=(told[0] + count) / 10)
                told[0] += count
                await asyncio.sleep(0.002)
            for client in clients:
                while len({id for _, id, _ in client.entries}) < 600:
                    await client.next()
                ids = [id for _, id, _ in client.entries]
                assert len(ids) == len(set(ids)) == 600

    run(talk)


# Clients that are slow


def test_history_waits_for_a_slow_client() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="", follow=False)
            a = await stage["a"].asked()
            for at in range(400):
                a.batch(*(at + part / 100 for part in range(100)), until=at + 1, size=1000)
            a.end()
            await until(lambda: a.sent > 10)
            await settled()
            assert a.sent < 300  # of 40 MB: what sockets and queues hold
            end = await client.until("end")
            assert end["figures"]["entries"] == len(client.entries) == 40_000
            assert not any(message["type"] == "missed" for message in client.messages)

    run(talk)


def test_a_slow_client_is_told_exactly_how_much_of_what_is_new_it_missed() -> None:
    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            client = await stage.client(filter="")
            a = await stage["a"].asked()
            a.caught_up()
            await client.until("caught_up")
            for at in range(500):
                a.batch(*(at + part / 100 for part in range(100)), until=at + 1, size=1000)
            await until(lambda: a.sent >= 500)
            await until(lambda: stage.hub.counts.entries_missed or stage.hub.counts.entries_forwarded)
            a.batch(1000, until=1001)
            while not client.entries or client.entries[-1][1] != "1000":
                await client.next()
            missed = sum(message["count"] for message in client.messages if message["type"] == "missed")
            assert missed > 0
            assert len(client.entries) + missed == 50_001
            numbers = [number for number, _, _ in client.entries]
            assert numbers == sorted(set(numbers))
            await until(lambda: stage.hub.counts.entries_missed == missed)

    run(talk)


def test_a_client_that_never_reads_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "STALLED", 0.5)

    async def talk() -> None:
        async with Stage(FEED, "a") as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.url.rpartition(":")[2]), limit=1024)
            writer.write(
                b"GET /api/entries HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x81\x8d\0\0\0\0" + b'{"filter":""}')  # RFC 6455 §5.2: text, 13 bytes, a mask of zeros
            a = await stage["a"].asked()
            for at in range(500):
                a.batch(*(at + part / 100 for part in range(100)), until=at + 1, size=1000)
            await until(lambda: stage.hub.counts.clients == 0)
            await until(lambda: a.closed)
            writer.close()

    run(talk)


def test_entries_are_dropped_oldest_first_and_what_is_said_besides_stays() -> None:
    async def talk() -> None:
        outbox = Outbox(live=100)
        outbox.say(b"status")
        for at in range(20):
            outbox.put(Message(b"%010d" % at, 3), live=True)
        outbox.say(b"end", vital=True)
        told = []
        outbox.close()
        while (message := await outbox.take()) is not None:
            told.append(message.data)
        assert outbox.missed == 3 * 11
        assert told[1:] == [b"status", *(b"%010d" % at for at in range(11, 20)), b"end"]
        assert b"missed" in told[0]

    run(talk)


def test_messages_about_workers_that_had_no_room_are_counted_and_told_behind_those_that_had() -> None:
    async def talk() -> None:
        outbox = Outbox(others=10)
        for said in (b"first", b"again", b"third", b"more"):
            outbox.say(said)
        outbox.close()
        told = []
        while (message := await outbox.take()) is not None:
            told.append(message.data)
        assert told[:2] == [b"first", b"again"]
        assert unpack_map(told[2])["state"] == "dropped"
        assert str(unpack_map(told[2])["text"]).startswith("2 messages")
        assert len(told) == 3

    run(talk)


def test_a_hub_without_workers_says_so_and_asks_them_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE", 0.2)

    async def talk() -> None:
        async with Stage(FEED) as stage:
            client = await stage.client(filter="")
            assert (await client.until("caught_up"))["nodes"] == {}
            (await (await stage.add("a")).asked()).batch(1, until=2)
            assert await client.shows(1) == ["1 a"]

    run(talk)
