"""/metrics in Prometheus' conventions: names, units, HELP, and labels that nobody can make grow."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable

from hub_fakes import JSON, FakeWorker, Running, running
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pysniff.cluster.hub.ledger_metrics import LEDGER
from pysniff.cluster.hub.metrics import NODES, REASONS
from pysniff.ledger import Ledger

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
BASE_UNITS = ("seconds", "bytes")  # https://prometheus.io/docs/practices/naming/#base-units
NOT_BASE = (
    "milliseconds",
    "ms",
    "microseconds",
    "us",
    "nanoseconds",
    "ns",
    "kilobytes",
    "kib",
    "mib",
    "bits",
    "percent",
)


def ledger() -> JSON:
    """One in which every term has a number of its own."""
    made = Ledger()
    told: JSON = made.to_dict()
    for number, name in enumerate(Ledger.__slots__, start=1):
        told[name] = {"a reason": number, "another": 1} if isinstance(told[name], dict) else number
    return told


def reporting(told: object) -> Callable[[JSON], object]:
    return lambda params: {"capturing": True, "ledger": told}


def talk(conversation: Callable[[Running], Awaitable[None]], *workers: FakeWorker) -> None:
    async def main() -> None:
        async with running(*workers) as hub:
            await conversation(hub)

    asyncio.run(main())


async def scrape(hub: Running) -> dict[str, Metric]:
    async with hub.client.get(hub.url + "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families: Iterable[Metric] = text_string_to_metric_families(await answer.text())
        return {family.name: family for family in families}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """By label values; of a counter the totals alone."""
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_every_term_of_the_ledger_is_a_metric_with_the_node_as_a_label() -> None:
    assert set(LEDGER) == set(Ledger.__slots__)
    assert len({metric.name for metric in LEDGER.values()}) == len(LEDGER)
    told = ledger()

    async def conversation(hub: Running) -> None:
        families = await scrape(hub)
        for term, metric in LEDGER.items():
            family = families[metric.name]
            assert family.type == ("gauge" if metric.gauge else "counter")
            if isinstance(told[term], dict):
                assert values(family) == {("n1", reason): number for reason, number in told[term].items()}
            else:
                assert values(family) == {("n1",): told[term]}

    talk(conversation, FakeWorker("n1", {"status": reporting(told)}))


def test_names_units_and_help_are_as_prometheus_wants_them() -> None:
    async def conversation(hub: Running) -> None:
        for name, family in (await scrape(hub)).items():
            assert re.fullmatch(r"(pysniff|process)_[a-z0-9_]+", name)
            assert family.documentation.strip()
            words = name.split("_")
            assert not set(words) & set(NOT_BASE), name
            assert "__" not in name
            for unit in BASE_UNITS:
                assert unit not in words or words[-1] == unit or words[-2:] == ["time", "seconds"], name
            if family.type == "counter":
                assert all(sample.name == f"{name}_total" for sample in family.samples), name
            else:
                assert family.type == "gauge"
                assert words[-1] not in ("total", "count", "sum", "bucket")
            for sample in family.samples:
                assert set(sample.labels) <= {"node", "reason", "status", "state", "version", "event"}

    talk(conversation, FakeWorker("n1", {"status": reporting(ledger())}))


def test_openmetrics_is_served_to_who_asks_for_it() -> None:
    async def conversation(hub: Running) -> None:
        async with hub.client.get(hub.url + "/metrics", headers={"Accept": OPENMETRICS}) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            families: Iterable[Metric] = parse_openmetrics(await answer.text())  # type: ignore[no-untyped-call]
        names = {family.name for family in families}
        assert {"pysniff_hub_requests", "pysniff_store_packets"} <= names

    talk(conversation, FakeWorker("n1", {"status": reporting(ledger())}))


def test_the_hub_counts_what_it_answered_refused_and_forwarded() -> None:
    async def conversation(hub: Running) -> None:
        hub.hub.counts.entries_forwarded = 50_000
        await hub.get("/healthz")
        await hub.get("/api/nothing")
        await hub.get("/healthz", Host="evil.example")
        families = await scrape(hub)
        assert values(families["pysniff_hub_requests"]) == {("200",): 1, ("404",): 1, ("421",): 1}
        assert values(families["pysniff_hub_refused"])["host",] == 1
        assert values(families["pysniff_hub_entries_forwarded"]) == {(): 50_000}
        assert values(families["pysniff_hub_link_events"]) == {("ended_lost",): 2}
        assert values(families["pysniff_hub_workers"]) == {("connected",): 1, ("away",): 1, ("refused",): 0}
        assert values(families["pysniff_worker_connected"]) == {("n1",): 1, ("n2",): 0}
        assert values(families["pysniff_worker_capturing"]) == {("n1",): 1, ("n2",): 0}

    talk(conversation, FakeWorker("n1", {"status": reporting({})}), FakeWorker("n2", state="away"))


def test_what_a_worker_makes_up_does_not_become_labels_without_end() -> None:
    many = {f"reason {number}": 1 for number in range(5_000)} | {'"}\n evil{x="': 7, "long" * 100: 1, "\u202e": 1}
    odd = {
        "not_ip": many,
        "packets": "many",
        "tcp_packets": -5,
        "udp_packets": float("inf"),
        "entries": True,
        "requests": [1],
        "made_up": 9,
        "malformed": {"x": "y", "z": 3},
    }

    async def conversation(hub: Running) -> None:
        families = await scrape(hub)
        reasons = values(families["pysniff_not_ip_packets"])
        assert len(reasons) <= REASONS + 1
        assert sum(reasons.values()) == 5_009
        assert values(families["pysniff_malformed_packets"]) == {("n1", "x"): 0, ("n1", "z"): 3}
        for term in ("packets", "tcp_packets", "udp_packets", "entries", "requests"):
            assert not samples(families, LEDGER[term].name)
        assert not [name for name in families if "made_up" in name]

    talk(conversation, FakeWorker("n1", {"status": reporting(odd)}))


def samples(families: dict[str, Metric], name: str) -> Iterable[object]:
    return families[name].samples if name in families else ()


def test_no_more_nodes_than_a_bound_become_labels() -> None:
    workers = [FakeWorker(f"node-{number:05}", state="away") for number in range(NODES + 50)]

    async def conversation(hub: Running) -> None:
        families = await scrape(hub)
        assert len(values(families["pysniff_worker_connected"])) == NODES
        assert values(families["pysniff_hub_workers"])["away",] == NODES + 50

    talk(conversation, *workers)


def test_a_worker_that_says_nothing_does_not_keep_the_others_figures_back() -> None:
    async def conversation(hub: Running) -> None:
        families = await scrape(hub)
        assert values(families["pysniff_store_packets"]) == {("n2",): 7}

    talk(
        conversation,
        FakeWorker("n1", {"status": lambda params: {"ledger": "none"}}),
        FakeWorker("n2", {"status": reporting({"store_packets": 7})}),
    )
