"""Every fuzz target, for a while: PYSNIFF_FUZZ_SECONDS each (20, or 600 in `tox -e soak`), two at a time.

What a fuzzer found once is in fuzz/saved and is run even where atheris is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from fuzz.targets import TARGETS

TESTS = Path(__file__).parent
SAVED = TESTS / "fuzz" / "saved"
SECONDS = int(os.environ.get("PYSNIFF_FUZZ_SECONDS", "20"))


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_saved_and_what_it_starts_from(name: str) -> None:
    target, beginnings = TARGETS[name]
    for data in beginnings():
        target(data)
    for path in sorted((SAVED / name).glob("*")):
        target(path.read_bytes())


def fuzz(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """New inputs and what broke stay in `folder`."""
    (folder / "new").mkdir()
    saved = [str(SAVED / name)] if (SAVED / name).is_dir() else []
    options = [f"-max_total_time={SECONDS}", f"-artifact_prefix={folder}/", "-verbosity=0", "-print_final_stats=1"]
    command = [sys.executable, "-m", "fuzz.run", name, str(folder / "new"), *saved, *options]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=SECONDS + 300, check=False
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    if find_spec("atheris") is None:
        pytest.skip("needs atheris")
    workers = ThreadPoolExecutor(max_workers=2)
    return {name: workers.submit(fuzz, name, tmp_path_factory.mktemp(name)) for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str, runs: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = runs[name].result()
    assert done.returncode == 0, done.stderr[-6000:]
    assert "stat::number_of_executed_units" in done.stderr
