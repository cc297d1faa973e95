"""docs/hub.md says what the hub does: its tables are made from the hub itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hub_fakes import FakeWorker

from pysniff.cli.hub import hub as command
from pysniff.cluster.hub.counts import Counts
from pysniff.cluster.hub.figures import Status
from pysniff.cluster.hub.ledger_metrics import LEDGER
from pysniff.cluster.hub.limits import DEFAULT, HubLimits
from pysniff.cluster.hub.metrics import Scrape
from pysniff.cluster.hub.openapi import document

PAGE = (Path(__file__).parent.parent / "docs" / "hub.md").read_text()


def options() -> Iterator[str]:
    with command.make_context("hub", [], resilient_parsing=True) as context:
        for param in command.get_params(context):
            if isinstance(param, click.Option):
                metavar = f" {param.metavar}" if param.metavar else ""
                yield f"| `{', '.join(param.opts)}{metavar}` | {param.help} |"


def paths() -> Iterator[str]:
    tree: dict[str, dict[str, dict[str, str]]] = document()["paths"]  # type: ignore[assignment]
    for path, item in sorted(tree.items()):
        for method, operation in item.items():
            yield f"| `{method.upper()} {path}` | {operation['summary']} |"


def metrics() -> Iterator[str]:
    ledger = dict.fromkeys(LEDGER, 0)
    counts = Counts()
    counts.answered(200)
    worker = FakeWorker("n1")
    for family in Scrape(counts, {"ended": 1}, {"n1": (worker, Status({"ledger": ledger}, ""))}).collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels)
        yield f"| `{name}` | {family.type} | {', '.join(labels)} | {family.documentation} |"


@pytest.mark.parametrize("table", [options, paths, metrics], ids=lambda table: table.__name__)
def test_the_page_has_every_row(table: object) -> None:
    rows = "\n".join(table())  # type: ignore[operator]
    assert rows in PAGE, f"docs/hub.md should have:\n{rows}"


@pytest.mark.parametrize("name", HubLimits.__slots__)
def test_the_page_has_every_bound(name: str) -> None:
    assert f"| `{name}` | {getattr(DEFAULT, name):,} " in PAGE
