"""A real worker and a real hub that speak TLS with certificates of a CA of their own, whoever of them dials."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from running_worker import PATIENCE, TOKEN, Running
from test_cluster_hub_program import get, hub

from pysniff.cluster.access import dialling

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("openssl")]


def shown(files: tuple[Path, Path]) -> list[str]:
    certificate, key = map(str, files)
    return ["--tls-cert", certificate, "--tls-key", key]


async def connected(url: str, **options: Any) -> None:
    """The hub has the worker, which has answered what it asked: that it captures."""
    async with asyncio.timeout(PATIENCE):
        while True:
            workers = (await get(url + "/api/workers", **options))[1]["workers"]
            if [(one["node"], one["state"], (one["figures"] or {}).get("capturing")) for one in workers] == [
                ("n1", "connected", True)
            ]:
                return
            await asyncio.sleep(0.05)


async def reason(url: str, **options: Any) -> str:
    """Why a hub does not have its worker."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (worker,) = (await get(url + "/api/workers", **options))[1]["workers"]
            assert worker["state"] != "connected"
            if worker["reason"] and worker["reason"] != "not connected yet":
                return str(worker["reason"])
            await asyncio.sleep(0.05)


def test_a_hub_that_dials_shows_a_certificate_or_is_refused(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    words = [*shown(ca.issue("worker")), "--tls-ca", ca.certificate]
    with Running(tmp_path, "-i", "lo", *words) as worker:
        assert "with TLS" in worker.said("listening")
        dials = ["--worker", f"127.0.0.1:{worker.port}", "--worker-tls-ca", str(ca.certificate)]
        with hub(*shown(ca.issue("hub")), *dials, folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
            asyncio.run(connected(started.url, ssl=dialling(ca.certificate)))
        with hub(*dials, folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
            assert asyncio.run(reason(started.url))
        assert sum("connected" in line for line in worker.lines) == 1
        assert not any(TOKEN in line or "Traceback" in line for line in worker.lines)


def test_a_worker_that_dials_trusts_a_ca_of_its_own_without_a_certificate(tmp_path: Path) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    with hub(*shown(ca.issue("hub")), folder=tmp_path, PYSNIFF_TOKEN=TOKEN) as started:
        dials = ["-i", "lo", "--hub", started.url]
        with Running(tmp_path / "stranger", *dials, "--hub-tls-ca", other.certificate) as worker:
            assert "certificate was refused" in worker.said("refused (")
        with Running(tmp_path / "worker", *dials, "--hub-tls-ca", ca.certificate) as worker:
            assert "with TLS" not in worker.said("listening")
            asyncio.run(connected(started.url, ssl=dialling(ca.certificate)))
