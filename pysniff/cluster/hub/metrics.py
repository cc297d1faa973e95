"""`/metrics` for Prometheus: what the hub counts, and every worker's ledger with its node as a label.

Nothing that comes from the wire or a client becomes a label; what workers say is bounded here.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pysniff import __version__
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.figures import Status
from pysniff.cluster.hub.hub import Hub
from pysniff.cluster.hub.ledger_metrics import LEDGER
from pysniff.cluster.hub.links import Worker

NODES = 1_000  # whose figures are shown; further ones are only counted in pysniff_hub_workers
REASONS = 100  # of one term
_REASON = re.compile(r"[\w .,:/+-]{1,64}", re.ASCII)
_STATES = ("connected", "away", "refused")


def routes(hub: Hub) -> list[web.RouteDef]:
    async def metrics(request: web.Request) -> web.StreamResponse:
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(Scrape(hub.counts, dict(hub.workers.figures), await hub.figures.all()))
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        # With a thousand workers it takes 0.2 s: not on the event loop.
        body = await asyncio.to_thread(encode, registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return [web.get("/metrics", metrics)]


class Scrape(Collector):
    """One answer's metrics."""

    def __init__(self, counts: Counts, links: Mapping[str, int], workers: Mapping[str, tuple[Worker, Status]]) -> None:
        self._counts = counts
        self._links = links
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        yield from _own(self._counts)
        events = CounterMetricFamily("pysniff_hub_link_events", "What happened on links to workers.", labels=["event"])
        for event, number in _by_reason(dict(self._links)):
            events.add_metric([event], number)
        yield events
        states = Counter(worker.state for worker, _ in self._workers.values())
        workers = GaugeMetricFamily("pysniff_hub_workers", "Workers known, by state.", labels=["state"])
        for state in _STATES:
            workers.add_metric([state], states[state])
        yield workers
        shown = dict(list(self._workers.items())[:NODES])
        yield _by_node(
            "pysniff_worker_connected",
            "Whether the hub has a connection to the worker.",
            {name: worker.state == "connected" for name, (worker, _) in shown.items()},
        )
        yield _by_node(
            "pysniff_worker_capturing",
            "Whether the worker captures.",
            {name: status.capturing for name, (_, status) in shown.items()},
        )
        yield from _ledgers({name: status.figures.get("ledger") for name, (_, status) in shown.items()})


def _own(counts: Counts) -> Iterator[Metric]:
    info = GaugeMetricFamily("pysniff_hub_info", "The hub's version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    yield GaugeMetricFamily("pysniff_hub_clients", "WebSockets of clients that are open.", value=counts.clients)
    for name, text, value in (
        ("entries_forwarded", "Entries sent to clients.", counts.entries_forwarded),
        ("entries_missed", "Entries that a client's queue had no room for.", counts.entries_missed),
        ("duplicates_merged", "Entries that another node had as well.", counts.duplicates_merged),
        ("client_received_bytes", "Bytes of WebSocket messages from clients.", counts.client_bytes_in),
        ("client_sent_bytes", "Bytes of WebSocket messages to clients.", counts.client_bytes_out),
    ):
        yield CounterMetricFamily(f"pysniff_hub_{name}", text, value=value)
    requests = CounterMetricFamily("pysniff_hub_requests", "HTTP requests answered, by status.", labels=["status"])
    for status, number in sorted(counts.requests.items()):
        requests.add_metric([str(status)], number)
    yield requests
    refused = CounterMetricFamily("pysniff_hub_refused", "Requests and connections refused.", labels=["reason"])
    for reason, number in counts.refused.items():
        refused.add_metric([reason], number)
    yield refused


def _by_node(name: str, text: str, values: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["node"])
    for node, value in values.items():
        family.add_metric([node], int(value))
    return family


def _ledgers(ledgers: Mapping[str, object]) -> Iterator[Metric]:
    """A family for each term that any worker has."""
    for term, (name, text, gauge) in LEDGER.items():
        found = {node: ledger[term] for node, ledger in ledgers.items() if isinstance(ledger, dict) and term in ledger}
        if not found:
            continue
        labels = ["node", "reason"] if any(isinstance(value, dict) for value in found.values()) else ["node"]
        family = (GaugeMetricFamily if gauge else CounterMetricFamily)(name, text, labels=labels)
        for node, value in found.items():
            for reason, number in _by_reason(value):
                family.add_metric([node, reason][: len(labels)], number)
        yield family


def _by_reason(value: object) -> Iterator[tuple[str, float]]:
    """A term's numbers, each with its reason or ""; what is no number a worker can mean is left out."""
    if not isinstance(value, dict):
        if (number := _number(value)) is not None:
            yield "", number
        return
    numbers: Counter[str] = Counter()
    for reason, counted in value.items():
        known = isinstance(reason, str) and _REASON.fullmatch(reason) and (reason in numbers or len(numbers) < REASONS)
        numbers[reason if known else "other"] += int(_number(counted) or 0)
    yield from numbers.items()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return value
