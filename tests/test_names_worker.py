"""A worker's entries have names: those that DNS told what it captured, and before them those of its --names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from names_talk import CART, SHOP, answer, call
from stores import recorded
from worker_talk import Talk

from pysniff.cluster.frames import Answer, Batch, Error, Value, summaries
from pysniff.cluster.worker.processes import Processes
from pysniff.cluster.worker.worker import Worker, WorkerOptions
from pysniff.errors import FileError


async def asked(store: Path, names: Path | None) -> tuple[list[Answer], list[Answer]]:
    """The answers to a query and about its first entry."""
    talk = Talk(store)
    talk.processes._pool = Processes(store, "local", names=names)._pool
    async with talk:
        batches = await talk.ask("query", filter="http")
        ids = [str(one["id"]) for frame in batches if isinstance(frame, Batch) for one in summaries(frame)]
        return batches, await talk.ask("entry", id=ids[0] if ids else "x", body_limit=0)


@pytest.mark.parametrize(
    ("text", "shown"), [("", ["shop.example", "cart.example"]), ("10.0.0.2 front", ["front", "cart.example"])]
)
def test_summaries_and_entries_have_names(text: str, shown: list[str], tmp_path: Path) -> None:
    told = [answer(0, b"shop.example", SHOP), answer(1, b"cart.example", CART)]
    recorded(tmp_path / "store", [*told, *call(100, 50_001), *call(200, 50_002, "10.0.0.3")])
    (tmp_path / "names").write_text(text)
    frames, (one, *_) = asyncio.run(asked(tmp_path / "store", tmp_path / "names" if text else None))
    found = [entry for frame in frames if isinstance(frame, Batch) for entry in summaries(frame)]
    assert [entry["dst"]["name"] for entry in found] == shown  # type: ignore[index]
    assert isinstance(one, Value) and one.value["dst"]["name"] == shown[0]  # type: ignore[index]


def test_a_file_that_turned_wrong_is_an_error_that_people_see(tmp_path: Path) -> None:
    recorded(tmp_path / "store", call(100, 50_001))
    (tmp_path / "names").write_text("10.0.0.300 x")
    frames, _ = asyncio.run(asked(tmp_path / "store", tmp_path / "names"))
    assert isinstance(frames[-1], Error) and "names:1: '10.0.0.300' is no address" in frames[-1].message
    with pytest.raises(FileError):
        Worker(WorkerOptions(directory=tmp_path / "store", node="n", names=tmp_path / "names"), print)
