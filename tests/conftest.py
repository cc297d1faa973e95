"""What a test may need of the machine; where it is missing, the test is skipped and says why.

`@pytest.mark.needs_root`, `@pytest.mark.needs("nginx", "curl")` and the fixture `corpus`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from netns import join, namespaces

# Debian keeps servers where a user's PATH does not look.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_root: captures live, or makes network namespaces")
    config.addinivalue_line("markers", "needs(*programs): runs programs that a machine may lack")
    os.environ["PATH"] = SEARCH


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root")
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program, path=SEARCH) is None]
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of captures with ground truth that PYSNIFF_CORPUS names."""
    folder = os.environ.get("PYSNIFF_CORPUS", "")
    if not folder:
        pytest.skip("PYSNIFF_CORPUS is not set")
    path = Path(folder)
    if not (path / "public" / "index.csv").is_file():
        pytest.skip(f"PYSNIFF_CORPUS={folder} has no public/index.csv")
    return path


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable: a0 10.9.0.1 in the first, b0 10.9.0.2 in the second."""
    with namespaces(2) as (far, near):
        join(far, near, names=("a0", "b0"), addresses=("10.9.0.1/24", "10.9.0.2/24"))
        yield far, near


# CI plays the same examples every time, so that a red run is the change's doing; elsewhere each run tries new ones.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
