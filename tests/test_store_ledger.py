"""Every packet that is handed to a store is accounted for, whatever becomes of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from wire import Wire

from pysniff.ledger import Ledger
from pysniff.message import CLIENT
from pysniff.packet import Block
from pysniff.store import recording
from pysniff.store.counts import Counts
from pysniff.store.recorder import Recorder
from pysniff.store.recording import Recording

LIMIT = 2_000_000
COUNTED = ("packets", "stored", "cut", "full", "waiting")


def bulk(packets: int) -> list[Block]:
    """A conversation that nobody recognises."""
    wire = Wire(sport=4000)
    blocks = [Block.of(packet) for packet in wire.handshake()]
    return blocks + [Block.of(wire.send(CLIENT, bytes([0, 200, 255]) * 400)) for _ in range(packets)]


def a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(fd: int, parts: object, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwritev", pwritev)


def a_run(directory: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Counts], None]) -> None:
    store = Recording(directory, LIMIT)
    for block in bulk(100):
        store.add(block)
        look(store.counts)
    store.flush()
    look(store.counts)
    with monkeypatch.context() as patched:
        a_full_disk(patched)
        for block in bulk(3):
            store.add(block)
        store.flush()
        look(store.counts)
    store.close()
    look(store.counts)


def test_the_account_of_a_store_balances_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    highest = dict.fromkeys(COUNTED, 0)

    def look(counts: Counts) -> None:
        assert counts.imbalance() == ""
        for name in COUNTED:
            highest[name] = max(highest[name], getattr(counts, name))

    a_run(tmp_path / "store", monkeypatch, look)
    assert all(highest.values()), highest


@pytest.mark.parametrize("forgotten", COUNTED)
def test_code_that_forgets_a_counter_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    class Forgetful(Counts):
        __slots__ = ()

        def __setattr__(self, name: str, value: int) -> None:
            super().__setattr__(name, 0 if name == forgotten else value)

    monkeypatch.setattr(recording, "Counts", Forgetful)
    broken: list[str] = []
    a_run(tmp_path / "store", monkeypatch, lambda counts: broken.append(counts.imbalance()))
    assert any(broken)


def test_what_does_not_fit_the_queue_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = bulk(50)
    with Recorder(tmp_path / "store", LIMIT, queue=3_000) as recorder:
        for block in blocks:
            recorder.write(block)
    ledger = Ledger()
    recorder.account(ledger)
    assert ledger.imbalances() == []
    assert ledger.store_packets == len(blocks)
    assert ledger.store_written + ledger.store_cut + ledger.store_queue_full == len(blocks)
    assert recorder.dropped == ledger.store_queue_full
    assert ledger.lossless() is (recorder.dropped == 0)


def test_who_has_time_waits_for_the_disk_instead(tmp_path: Path) -> None:
    blocks = bulk(50)
    with Recorder(tmp_path / "store", LIMIT, queue=3_000, wait=True) as recorder:
        for block in blocks:
            recorder.write(block)
    assert recorder.dropped == 0
    assert recorder.counts.stored + recorder.counts.cut == len(blocks)
