"""Who calls whom: services as nodes, and what goes between them as edges with their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from pysniff.entry import Entry, rfc3339
from pysniff.services.columns import ROWS, Calls, Collector, Edge
from pysniff.services.figures import Figures, figures

CALLS = 1_000_000  # of one map: 37 MB, and a second to sort them
IPS = 100  # addresses shown of one service


class Service(NamedTuple):
    """`id`: its name, or its address where nobody knows one. `ips`: the first 100 in order, `ips_left_out` the rest."""

    id: str
    name: str
    ips: tuple[str, ...]
    ips_left_out: int = 0


class Link(NamedTuple):
    """Calls of one protocol from one service to a port of another; `source` and `target` are ids."""

    source: str
    target: str
    port: int
    protocol: str
    figures: Figures


class ServiceMap(NamedTuple):
    """`edges`: those with the most calls first. `calls`: in the map; `truncated`: beyond its bounds, in no figure;
    `duplicates`: sightings of the same call on another node. `start`, `end`: when the first and the last call began,
    nanoseconds, None where there is none."""

    nodes: tuple[Service, ...]
    edges: tuple[Link, ...]
    calls: int
    truncated: int
    duplicates: int
    start: int | None
    end: int | None

    @classmethod
    def of(cls, entries: Iterable[Entry], *, most: int = CALLS) -> Self:
        """The map of entries as a query, a file or an interface gives them; open ones that end later count once."""
        collector = Collector()
        pieces: list[Calls] = []
        kept = truncated = 0
        for entry in entries:
            collector.add(entry)
            if len(collector) >= ROWS and kept < most:
                pieces.append(collector.take(min(ROWS, most - kept)))
                kept += len(pieces[-1])
            elif len(collector) >= ROWS:
                truncated += len(collector.take(ROWS))
        collector.end()
        pieces.append(collector.take(most - kept))
        truncated += len(collector) + collector.truncated
        return cls.made(np.concatenate(pieces), collector.edges, truncated=truncated)

    @classmethod
    def made(cls, calls: Calls, edges: Sequence[Edge], *, truncated: int = 0, duplicates: int = 0) -> Self:
        """Of calls whose `edge` is the number of one of `edges`."""
        ids, nodes = services(edges)
        keys = [
            (source, target, edge.server_port, edge.protocol) for edge, (source, target) in zip(edges, ids, strict=True)
        ]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        merged = np.array([numbers[key] for key in keys], np.int64)
        edge = merged[calls["edge"]] if len(calls) else np.empty(0, np.int64)
        links = [Link(*key, found) for key, found in zip(numbers, figures(calls, edge, len(numbers)), strict=True)]
        links = sorted((link for link in links if link.figures.calls), key=lambda link: (-link.figures.calls, link[:4]))
        used = {name for link in links for name in (link.source, link.target)}
        return cls(
            tuple(node for node in nodes if node.id in used),
            tuple(links),
            len(calls),
            truncated,
            duplicates,
            int(calls["time"].min()) if len(calls) else None,
            int(calls["time"].max()) if len(calls) else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; docs/services.md describes it."""
        return {
            "nodes": [{**node._asdict(), "ips": list(node.ips)} for node in self.nodes],
            "edges": [_link(link) for link in self.edges],
            "calls": self.calls,
            "truncated": self.truncated,
            "duplicates": self.duplicates,
            "from": None if self.start is None else rfc3339(self.start),
            "to": None if self.end is None else rfc3339(self.end),
        }


def services(edges: Sequence[Edge]) -> tuple[list[tuple[str, str]], list[Service]]:
    """The ids of each edge's two ends, and the services in the order of their ids."""
    ends = [((edge.client_ip, edge.client_name), (edge.server_ip, edge.server_name)) for edge in edges]
    names: dict[str, set[str]] = {}
    for ip, name in (end for both in ends for end in both):
        names.setdefault(ip, set()).update([name] if name else [])
    # An address that had one name all along had it before anybody said so.
    only = {ip: next(iter(found)) for ip, found in names.items() if len(found) == 1}
    known = [tuple(name or only.get(ip, "") or ip for ip, name in both) for both in ends]
    ips: dict[str, set[str]] = {}
    for both, ids in zip(ends, known, strict=True):
        for (ip, _), id in zip(both, ids, strict=True):
            ips.setdefault(id, set()).add(ip)
    nodes = [
        Service(id, "" if found == {id} else id, tuple(sorted(found)[:IPS]), max(0, len(found) - IPS))
        for id, found in sorted(ips.items())
    ]
    return [(source, target) for source, target in known], nodes


def _link(link: Link) -> dict[str, Any]:
    *ends, figures = link
    elapsed = figures.elapsed_time
    return {
        **dict(zip(Link._fields, ends, strict=False)),
        **figures._asdict(),
        "elapsed_time": None if elapsed is None else dict(zip(("p50", "p90", "p99"), elapsed, strict=True)),
    }
