"""The capturing child of a worker: told and heard through Capturing, changed while it records, back after it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from netns import PATIENCE, send, sending

from pysniff.cluster.worker.capturing import CaptureStatus, Capturing
from pysniff.cluster.worker.capturing_words import CaptureSettings
from pysniff.errors import FilterError, OptionError, PysniffError, WriteError
from pysniff.ledger import Ledger
from pysniff.limits import KIB
from pysniff.store.catalogue import Catalogue
from pysniff.store.directory import pages, size_of

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("ip")]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def balances(status: CaptureStatus) -> bool:
    ledger = Ledger()
    for name, value in status.counters.items():
        setattr(ledger, name, value)
    return not ledger.imbalances()


def stored(directory: Path) -> int:
    return sum(len(chapter.index.offsets) for chapter in Catalogue(directory).chapters())


def test_what_is_captured_is_in_the_store_and_in_the_account(pair: tuple[str, str], tmp_path: Path) -> None:
    far, near = pair

    async def transcript() -> None:
        capturing = Capturing(tmp_path, CaptureSettings(netns=(near,), bpf="udp"))
        assert capturing.status().state == "starting"
        await capturing.start()
        status = capturing.status()
        assert (status.state, set(status.interfaces)) == ("capturing", {f"{near}/b0", f"{near}/lo"})
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 500)
        await until(lambda: capturing.status().counters["store_written"] == 500)
        assert balances(capturing.status())
        await capturing.close()
        status = capturing.status()
        assert (status.state, status.pid) == ("closed", 0)
        assert status.counters["kernel_received"] == status.counters["live_packets"] == 500
        assert status.unaccounted == 0

    asyncio.run(transcript())
    assert stored(tmp_path) == 500


def test_what_cannot_begin_is_raised_as_what_it_is(tmp_path: Path) -> None:
    def failure(settings: CaptureSettings, directory: Path = tmp_path) -> PysniffError:
        async def begin() -> None:
            await Capturing(directory, settings).start()

        with pytest.raises(PysniffError) as caught:
            asyncio.run(begin())
        return caught.value

    error = failure(CaptureSettings(interfaces=("lo",), bpf="tcp prot 80"))
    assert isinstance(error, FilterError) and "syntax error" in error.message and error.hint
    (tmp_path / "file").write_text("")
    assert isinstance(failure(CaptureSettings(interfaces=("lo",)), tmp_path / "file"), WriteError)


def test_settings_change_while_it_records_or_not_at_all(pair: tuple[str, str], tmp_path: Path) -> None:
    far, near = pair

    async def transcript() -> None:
        first = CaptureSettings(interfaces=("b0",), netns=(near,), bpf="udp port 9")
        capturing = Capturing(tmp_path, first)
        await capturing.start()
        with sending(far, "10.9.0.2", 9, rate=2000) as stop:
            await until(lambda: capturing.status().counters["live_packets"] > 100)
            wanted = replace(first, bpf="udp port 9 or udp port 10", flush_interval=0.05, storage_limit=512 * KIB)
            assert await capturing.configure(wanted) == ""
            assert capturing.settings == wanted
            for wrong, why in (
                (replace(wanted, bpf="udp prot 9"), "syntax error"),
                (replace(wanted, bpf="udp", storage_limit=1), "storage_limit"),
                (replace(wanted, bpf="udp", flush_interval=float("nan")), "flush_interval"),
                (replace(wanted, bpf="a\0b"), "NUL"),
            ):
                assert why in await capturing.configure(wrong)
                assert capturing.settings == wanted
            sent = await asyncio.to_thread(stop)
        assert await capturing.configure(replace(wanted, interfaces=("lo", "later"))) == ""
        await until(lambda: capturing.status().interfaces == (f"{near}/lo",))
        assert capturing.status().absent == ("later",)
        assert any("later: no such interface yet" in text for _, text in capturing.notices)
        await capturing.close()
        status = capturing.status()
        assert status.counters["kernel_received"] == status.counters["live_packets"] == sent
        assert balances(status)

    asyncio.run(transcript())


def test_a_smaller_limit_holds_at_once(pair: tuple[str, str], tmp_path: Path) -> None:
    far, near = pair

    async def transcript() -> None:
        settings = CaptureSettings(interfaces=("b0",), netns=(near,), bpf="udp", storage_limit=64_000_000)
        capturing = Capturing(tmp_path, settings, keep_all=True)
        await capturing.start()
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 20_000)
        await until(lambda: capturing.status().counters["store_written"] == 20_000)
        assert capturing.status().store_bytes > 512 * KIB
        assert await capturing.configure(replace(settings, storage_limit=512 * KIB)) == ""
        await until(lambda: capturing.status().store_bytes < 512 * KIB)
        await until(lambda: capturing.status().counters["store_evicted"] > 0)
        assert sum(pages(size_of(path)) for path in tmp_path.glob("0*")) <= 512 * KIB
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 20_000)
        await until(lambda: capturing.status().counters["store_written"] == 40_000)
        assert sum(pages(size_of(path)) for path in tmp_path.glob("0*")) <= 512 * KIB
        await capturing.close()

    asyncio.run(transcript())


def test_one_that_is_killed_is_followed_by_another_with_the_settings_of_now(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    far, near = pair

    async def transcript() -> None:
        settings = CaptureSettings(interfaces=("b0",), netns=(near,), bpf="udp port 9")
        capturing = Capturing(tmp_path, settings)
        told: list[str] = []
        capturing.on_notice.append(told.append)
        await capturing.start()
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 100)
        await until(lambda: capturing.status().counters["store_written"] == 100)
        assert await capturing.configure(replace(settings, bpf="udp port 9 or udp port 10")) == ""
        assert await capturing.exclude([("10.9.0.2", 8897)]) == ""
        first = capturing.status().pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: capturing.status().state == "restarting")
        assert "SIGKILL" in capturing.status().reason
        assert "syntax error" in await capturing.configure(replace(settings, bpf="udp prot 10"))
        assert await capturing.configure(replace(settings, bpf="udp port 10")) == ""  # for the next one
        await until(lambda: capturing.status().state == "capturing")
        if capturing._catching_up is not None:  # the child had begun when it was told
            await capturing._catching_up
        status = capturing.status()
        assert status.pid != first and status.restarts == 1 and status.excluded == ("10.9.0.2:8897",)
        assert any("SIGKILL" in text for text in told)
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 10)
        await asyncio.to_thread(send, far, "10.9.0.2", 10, 10)
        await until(lambda: capturing.status().counters["store_written"] == 110)
        await capturing.close()
        assert balances(capturing.status())

    asyncio.run(transcript())
    assert stored(tmp_path) == 110


def test_what_a_killed_one_had_not_written_is_told(pair: tuple[str, str], tmp_path: Path) -> None:
    far, near = pair

    async def transcript() -> None:
        settings = CaptureSettings(interfaces=("b0",), netns=(near,), bpf="udp", flush_interval=60.0)
        capturing = Capturing(tmp_path, settings)
        await capturing.start()
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 300)
        await until(lambda: capturing.status().counters["store_waiting"] == 300)
        assert balances(capturing.status())
        os.kill(capturing.status().pid, signal.SIGKILL)
        await until(lambda: capturing.status().state == "restarting")
        status = capturing.status()
        assert (status.unaccounted, status.counters["store_waiting"], status.counters["live_packets"]) == (300, 0, 300)
        assert balances(status)
        await capturing.close()

    asyncio.run(transcript())


def test_what_is_said_while_it_begins_is_not_lost(pair: tuple[str, str], tmp_path: Path) -> None:
    _, near = pair

    async def transcript() -> None:
        settings = CaptureSettings(interfaces=("b0",), netns=(near,))
        capturing = Capturing(tmp_path, settings)
        starting = asyncio.create_task(capturing.start())
        await until(lambda: capturing.status().pid)
        assert await capturing.configure(replace(settings, interfaces=("lo",))) == ""
        assert await capturing.exclude([("10.9.0.2", 8897)]) == ""
        await starting
        await until(lambda: capturing.status().interfaces == (f"{near}/lo",))
        await until(lambda: capturing.status().excluded == ("10.9.0.2:8897",))
        await capturing.close()

    asyncio.run(transcript())


def test_closed_while_it_begins_it_does_not_begin(tmp_path: Path) -> None:
    async def transcript() -> None:
        capturing = Capturing(tmp_path, CaptureSettings(interfaces=("lo",)))
        starting = asyncio.create_task(capturing.start())
        await until(lambda: capturing.status().pid)
        await capturing.close()
        await asyncio.wait([starting])  # it had begun before, or it says that it was closed
        assert starting.exception() is None or "closed" in str(starting.exception())
        assert (capturing.status().state, capturing.status().pid) == ("closed", 0)

    asyncio.run(transcript())


def test_it_ends_when_the_worker_does_and_everything_is_written(pair: tuple[str, str], tmp_path: Path) -> None:
    """Killed, the worker can tell nobody: its end of the pipe closes all the same."""
    far, near = pair
    settings = CaptureSettings(interfaces=("b0",), netns=(near,), bpf="udp", flush_interval=60.0)

    async def transcript() -> None:
        capturing = Capturing(tmp_path, settings)
        await capturing.start()
        await asyncio.to_thread(send, far, "10.9.0.2", 9, 300)
        await until(lambda: capturing.status().counters["store_waiting"] == 300)
        assert not stored(tmp_path)
        child = capturing._child
        assert child is not None
        child.leave()
        await until(lambda: stored(tmp_path) == 300)
        await capturing.close()

    asyncio.run(transcript())


@pytest.mark.parametrize(
    "settings",
    [
        CaptureSettings(storage_limit=1),
        CaptureSettings(flush_interval=0.0),
        CaptureSettings(flush_interval=float("inf")),
        CaptureSettings(bpf="x" * 20_000),
        CaptureSettings(interfaces=("",)),
        CaptureSettings(netns=("a\0",)),
        CaptureSettings(interfaces=tuple(map(str, range(1000)))),
    ],
)
def test_settings_that_make_no_sense_are_refused_without_trying(settings: CaptureSettings) -> None:
    assert settings.problem()
    assert CaptureSettings.of(settings.to_dict()) == settings


def test_a_store_too_small_is_an_option_error(tmp_path: Path) -> None:
    from pysniff.store import Store

    with Store(tmp_path).record() as recorder, pytest.raises(OptionError):
        recorder.resize(1)
