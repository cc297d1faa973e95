"""What hubs want left out of the capture: each for itself, and for a while after it is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from running_worker import PATIENCE, Asking, Running

from pysniff.cluster.worker.others import MOST, WINDOW, Others

ONE, TWO, THREE = ("10.0.0.1", 8897), ("10.0.0.2", 8897), ("10.0.0.3", 40_000)


def test_hubs_do_not_overwrite_each_other() -> None:
    others = Others()
    others.tell("a", [ONE, TWO])
    others.tell("b", [TWO, THREE])
    assert others.ends() == {ONE, TWO, THREE}
    others.tell("a", [])
    assert others.ends() == {TWO, THREE}
    assert others.see({"a", "b"}, 0.0) is None


def test_a_hub_that_is_gone_for_good_is_forgotten() -> None:
    others = Others()
    others.tell("a", [ONE])
    others.tell("b", [TWO])
    assert others.see({"b"}, 100.0) == 100.0 + WINDOW
    assert others.see({"b"}, 101.0) == 100.0 + WINDOW
    assert others.ends() == {ONE, TWO}
    assert others.see({"b"}, 100.0 + WINDOW) is None
    assert others.ends() == {TWO}


def test_a_hub_that_is_back_in_time_is_believed_on() -> None:
    others = Others()
    others.tell("a", [ONE])
    others.see((), 100.0)
    assert others.see({"a"}, 130.0) is None
    assert others.see({"a"}, 1000.0) is None
    assert others.ends() == {ONE}
    assert others.see((), 1001.0) == 1001.0 + WINDOW


def test_who_comes_under_ever_new_names_takes_no_more_room() -> None:
    others = Others()
    others.tell("there", [ONE])
    for number in range(100):
        others.tell(f"hub {number}", [("10.1.0.1", 1 + number)])
        others.see({"there", f"hub {number}"}, float(number) / 10)
    assert len(others.ends()) == MOST
    assert {ONE, ("10.1.0.1", 100), ("10.1.0.1", 99)} < others.ends()


@pytest.mark.needs_root
def test_a_worker_leaves_out_what_both_of_its_hubs_say(tmp_path: Path) -> None:
    async def talk(worker: Running) -> None:
        async with Asking(worker) as first, Asking(worker) as second:
            await first.value("configure", exclude=[["10.99.0.1", 1]])
            await second.value("configure", exclude=[["10.99.0.2", 2]])
            left: set[str] = set()
            async with asyncio.timeout(PATIENCE):
                while not {"10.99.0.1:1", "10.99.0.2:2"} <= left:
                    left = set((await first.value("status"))["capture"]["excluded"])
                    await asyncio.sleep(0.05)
            await first.value("configure", exclude=[])
            async with asyncio.timeout(PATIENCE):
                while "10.99.0.1:1" in left:
                    left = set((await first.value("status"))["capture"]["excluded"])
                    await asyncio.sleep(0.05)
            assert "10.99.0.2:2" in left

    with Running(tmp_path, "-i", "lo") as worker:
        asyncio.run(asyncio.wait_for(talk(worker), PATIENCE))
        # Who comes and goes is told, each once.
        assert sum("connected" in line for line in worker.lines) == 2
