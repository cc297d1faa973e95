"""The cluster's configuration: workers keep it, hubs bring them to the greatest one there is, and say who has what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hub_fakes import JSON, FakeLinks, FakeWorker, Running, running

from pysniff.cluster.frames import Error
from pysniff.cluster.hub.limits import DEFAULT
from pysniff.cluster.hub.merge_patch import merge_patch
from pysniff.cluster.precedence import precedence

PATIENCE = 60.0
PATCH = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Node:
    """A worker that keeps a configuration as the real one does."""

    name: str
    document: JSON = field(default_factory=lambda: {"version": 0})
    refuses: str = ""

    @property
    def worker(self) -> FakeWorker:
        return FakeWorker(self.name, {"config": self.config, "configure": self.configure})

    def config(self, params: JSON) -> object:
        return {"config": self.document, "effective": self.effective()}

    def effective(self) -> JSON:
        return {"interfaces": ["eth0"], "targets": [], **self.document}

    def configure(self, params: JSON) -> object:
        if "config" not in params:
            return Error(1, 1, "option", "no such thing", "")
        reason = self.refuses
        if not reason and precedence(params["config"]) < precedence(self.document):
            reason = "older"
        if not reason:
            self.document = params["config"]
        told = {"version": self.document["version"], "accepted": not reason, "reason": reason}
        return {**told, "effective": self.effective()}


def talk(conversation: Callable[[Running, FakeLinks], Awaitable[None]], *nodes: Node, **options: Any) -> None:
    """Have a conversation with a hub that these nodes join at once."""

    async def main() -> None:
        links = FakeLinks()
        async with running(links=links, **options) as hub:
            for node in nodes:
                links.joins(node.worker)
            await agreed(hub)
            await conversation(hub, links)

    asyncio.run(main())


async def agreed(hub: Running) -> JSON:
    """Its configuration, once every worker that is there has been asked."""
    async with asyncio.timeout(PATIENCE):
        while True:
            _, report = await hub.get("/api/config")
            if all(taken["reason"] != "not asked yet" for taken in report["workers"].values()):
                return report
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_change_goes_to_every_worker_and_reports_what_each_made_of_it() -> None:
    one, two = Node("n1"), Node("n2", refuses="no such interface: eth7")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        assert (await hub.get("/api/config"))[1]["version"] == 0
        status, report = await hub.send("PATCH", "/api/config", json={"interfaces": ["eth7"], "flush_interval": 1})
        assert status == 200
        assert (report["version"], report["config"]) == (1, {"interfaces": ["eth7"], "flush_interval": 1.0})
        assert report["workers"]["n1"] == {
            "version": 1,
            "accepted": True,
            "reason": "",
            "effective": {"version": 1, "interfaces": ["eth7"], "targets": [], "flush_interval": 1.0},
        }
        assert report["workers"]["n2"]["accepted"] is False
        assert report["workers"]["n2"]["reason"] == "no such interface: eth7"
        assert one.document == {"version": 1, "interfaces": ["eth7"], "flush_interval": 1.0}

    talk(conversation, one, two)


def test_a_change_names_what_changes_and_null_takes_it_back() -> None:
    one = Node("n1")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await hub.send("PATCH", "/api/config", json={"bpf": "tcp", "storage_limit": 1 << 30}, headers=PATCH)
        await hub.send("PATCH", "/api/config", json={"bpf": "udp", "storage_limit": None}, headers=PATCH)
        assert one.document == {"version": 2, "bpf": "udp"}

    talk(conversation, one)


def test_targets_are_the_part_of_it_that_says_whose_traffic() -> None:
    one = Node("n1")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        status, report = await hub.send("PUT", "/api/targets", json={"targets": ["10.0.0.7", "10.1.2.3/8"]})
        assert status == 200
        assert report["targets"] == ["10.0.0.7", "10.0.0.0/8"]
        assert report["workers"]["n1"]["targets"] == ["10.0.0.7", "10.0.0.0/8"]
        assert one.document == {"version": 2, "bpf": "tcp", "targets": ["10.0.0.7", "10.0.0.0/8"]}
        assert (await hub.get("/api/targets"))[1] == report
        wrongs: list[object] = [{}, {"targets": ["evil.example"]}, {"targets": 7}, {"targets": [], "bpf": ""}, []]
        for wrong in wrongs:
            assert (await hub.send("PUT", "/api/targets", json=wrong))[0] == 400

    talk(conversation, one)


def test_what_no_worker_would_take_is_told_at_once_and_changes_nothing() -> None:
    one = Node("n1")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        status, problem = await hub.send("PATCH", "/api/config", json={"interface": ["eth0"]})
        assert (status, problem["code"], problem["hint"]) == (400, "option", "interfaces?")
        assert one.document == {"version": 0}

    talk(conversation, one)


def test_what_every_worker_refuses_is_not_the_configuration() -> None:
    async def conversation(hub: Running, links: FakeLinks) -> None:
        status, problem = await hub.send("PATCH", "/api/config", json={"bpf": "nonsense"})
        assert (status, problem["code"]) == (422, "refused")
        assert "n1: bpf: syntax error" in problem["detail"]
        assert (await hub.get("/api/config"))[1]["version"] == 0

    talk(conversation, Node("n1", refuses="bpf: syntax error"), Node("n2", refuses="bpf: syntax error"))


def test_a_worker_that_refused_is_not_asked_again_each_time_that_somebody_looks() -> None:
    async def conversation(hub: Running, links: FakeLinks) -> None:
        await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        for _ in range(5):
            _, report = await hub.get("/api/config")
            assert report["workers"]["n2"]["reason"] == "no"
        assert [what for what, params in links.known["n2"].asked if "config" in params] == ["configure"]

    talk(conversation, Node("n1"), Node("n2", refuses="no"), limits=replace(DEFAULT, status_age=0.0))


def test_a_worker_that_refused_and_came_back_is_asked_once_more() -> None:
    two = Node("n2", refuses="no such interface yet")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await hub.send("PATCH", "/api/config", json={"interfaces": ["veth1"]})
        assert two.document == {"version": 0}
        two.refuses = ""
        links.joins(links.known["n2"])
        await until(lambda: two.document == {"version": 1, "interfaces": ["veth1"]})

    talk(conversation, Node("n1"), two)


def test_what_another_hub_has_written_meanwhile_is_seen_before_a_change() -> None:
    one = Node("n1")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        one.document = {"version": 5, "bpf": "tcp"}
        change = {"json": {"storage_limit": 1 << 30}, "headers": {"If-Match": '"0"'}}
        assert (await hub.send("PATCH", "/api/config", **change))[0] == 412
        _, report = await hub.send("PATCH", "/api/config", json={"storage_limit": 1 << 30})
        assert (report["version"], report["config"]) == (6, {"bpf": "tcp", "storage_limit": 1 << 30})

    talk(conversation, one, limits=replace(DEFAULT, status_age=0.0))


def test_who_changes_what_he_has_not_read_is_told() -> None:
    async def conversation(hub: Running, links: FakeLinks) -> None:
        async with hub.client.get(hub.url + "/api/config") as answer:
            tag = answer.headers["ETag"]
        change = {"json": {"bpf": "tcp"}, "headers": {"If-Match": tag}}
        assert (await hub.send("PATCH", "/api/config", **change))[0] == 200
        status, problem = await hub.send("PATCH", "/api/config", **change)
        assert (status, problem["code"]) == (412, "version")
        assert (await hub.send("PUT", "/api/targets", json={"targets": []}, headers={"If-Match": tag}))[0] == 412
        assert (await hub.send("PATCH", "/api/config", json={}, headers={"If-Match": "x"}))[0] == 400
        assert (await hub.send("PATCH", "/api/config", json={}, headers={"If-Match": "*"}))[0] == 200

    talk(conversation, Node("n1"))


def test_a_worker_that_joins_later_gets_the_present_one() -> None:
    late = Node("late")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        links.joins(late.worker)
        await until(lambda: late.document == {"version": 1, "bpf": "tcp"})

    talk(conversation, Node("n1"))


def test_a_worker_that_was_away_is_reported_and_brought_up_to_date() -> None:
    one, two = Node("n1"), Node("n2")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        links.known["n2"].state, links.known["n2"].reason = "away", "no route to host"
        _, report = await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        assert report["workers"]["n2"]["accepted"] is False
        assert report["workers"]["n2"]["reason"] == "no route to host"
        links.joins(links.known["n2"])
        await until(lambda: two.document == one.document)
        assert (await agreed(hub))["workers"]["n2"]["accepted"] is True

    talk(conversation, one, two)


def test_a_worker_that_does_not_answer_in_time_is_late_and_others_are_not_kept_waiting_for_ever() -> None:
    async def conversation(hub: Running, links: FakeLinks) -> None:
        links.known["n2"].answers["configure"] = lambda params: None
        _, report = await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        assert report["workers"]["n1"]["accepted"] is True
        assert report["workers"]["n2"]["accepted"] is False
        assert "no answer within" in report["workers"]["n2"]["reason"]

    talk(conversation, Node("n1"), Node("n2"), limits=replace(DEFAULT, configure_wait=0.2))


def test_a_new_hub_adopts_the_greatest_version_it_meets_and_spreads_it() -> None:
    old, new = Node("n1", {"version": 3, "bpf": "tcp"}), Node("n2", {"version": 7, "bpf": "udp"})
    fresh = Node("n3")

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await until(lambda: old.document == new.document == fresh.document == {"version": 7, "bpf": "udp"})
        report = await agreed(hub)
        assert (report["version"], report["config"], report["conflicts"]) == (7, {"bpf": "udp"}, [])
        _, report = await hub.send("PATCH", "/api/config", json={"bpf": None})
        assert report["version"] == 8

    talk(conversation, old, new, fresh)


@pytest.mark.parametrize("order", [("tcp", "udp"), ("udp", "tcp")])
def test_one_version_with_two_contents_has_one_winner_whoever_comes_first(order: tuple[str, str]) -> None:
    nodes = [Node(f"n{place}", {"version": 5, "bpf": bpf}) for place, bpf in enumerate(order)]

    async def conversation(hub: Running, links: FakeLinks) -> None:
        await until(lambda: all(node.document == {"version": 5, "bpf": "udp"} for node in nodes))
        report = await agreed(hub)
        assert len(report["conflicts"]) == 1
        assert "version 5" in report["conflicts"][0]
        assert hub.told == report["conflicts"]

    talk(conversation, *nodes)


def test_two_hubs_that_write_at_once_end_with_one_configuration() -> None:
    nodes = [Node("n1"), Node("n2")]

    async def main() -> None:
        here, there = FakeLinks(), FakeLinks()
        async with running(links=here) as one, running(links=there) as other:
            for links in (here, there):
                for node in nodes:
                    links.joins(node.worker)
            await agreed(one)
            await agreed(other)
            await asyncio.gather(
                one.send("PATCH", "/api/config", json={"bpf": "tcp port 80"}),
                other.send("PATCH", "/api/config", json={"bpf": "udp port 53"}),
            )
            async with asyncio.timeout(PATIENCE):
                while True:
                    reports = [(await hub.get("/api/config"))[1] for hub in (one, other)]
                    if reports[0]["config"] == reports[1]["config"] == {"bpf": "udp port 53"}:
                        break
                    await asyncio.sleep(0.01)
            assert [node.document for node in nodes] == [{"version": 1, "bpf": "udp port 53"}] * 2

    asyncio.run(main())


@pytest.mark.parametrize(
    "told",
    [{}, {"config": 7}, {"config": {"version": "x"}}, {"config": {"version": -1}}, {"config": {"nonsense": 1}},
     {"config": {"version": (1 << 53) - 1, "bpf": "evil"}}, {"config": {"version": 3, "targets": ["x"]}},
     Error(1, 1, "internal", "broken", "")],
    ids=str,
)  # fmt: skip
def test_what_a_worker_makes_up_is_not_adopted(told: object) -> None:
    async def conversation(hub: Running, links: FakeLinks) -> None:
        liar = FakeWorker("liar", {"config": lambda params: told, "configure": lambda params: {"version": "x"}})
        links.joins(liar)
        await agreed(hub)
        _, report = await hub.send("PATCH", "/api/config", json={"bpf": "tcp"})
        assert report["version"] < 1 << 50
        assert report["config"] == {"bpf": "tcp"}
        assert report["workers"]["n1"]["accepted"] is True
        assert report["workers"]["liar"]["accepted"] is False

    talk(conversation, Node("n1"))


# RFC 7396, Appendix A
@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_are_those_of_the_rfc(original: object, patch: object, result: object) -> None:
    assert merge_patch(original, patch) == result
