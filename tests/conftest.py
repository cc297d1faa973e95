"""What a test may need of the machine; where it is missing, the test is skipped and says why.

`@pytest.mark.needs_root`, `@pytest.mark.needs("nginx", "curl")` and the fixture `corpus`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import NewPage, Pages, build_page, launched
from hypothesis import HealthCheck, settings
from netns import enter_own_network, join, namespaces

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from web_bed import WebBed

# Debian keeps servers where a user's PATH does not look.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_root: captures live, or makes network namespaces")
    config.addinivalue_line(
        "markers", "needs_ebpf: probes programs; where it cannot, PYSNIFF_REQUIRE_EBPF=1 makes it fail"
    )
    config.addinivalue_line("markers", "needs(*programs): runs programs that a machine may lack")
    os.environ["PATH"] = SEARCH


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI, what waits for other programs is tried a second time before it fails; the summary names it (RERUN)."""
    if os.environ.get("CI"):
        for item in items:
            if any(item.get_closest_marker(name) for name in ("needs", "needs_root", "needs_ebpf")) or _drives(item):
                item.add_marker(pytest.mark.flaky(reruns=1))


def _drives(item: pytest.Item) -> bool:
    return bool({"web", "browser", "pair"} & set(getattr(item, "fixturenames", ())))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("needs_ebpf") and (problem := _no_ebpf()):
        if os.environ.get("PYSNIFF_REQUIRE_EBPF") == "1":
            pytest.fail(f"PYSNIFF_REQUIRE_EBPF=1, but {problem}", pytrace=False)
        pytest.skip(problem)
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program, path=SEARCH) is None]
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")


@cache
def _no_ebpf() -> str:
    """Why programs cannot be probed here; "" where they can."""
    from pysniff.errors import CaptureError
    from pysniff.tracer.privileges import require

    try:
        require()
    except CaptureError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session", autouse=True)
def _own_network() -> None:
    """Of each process that runs tests: not of the one that hands them out, which plugins reach over the network."""
    if sys.platform == "linux":
        enter_own_network()


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


# The page of the hub, and a browser: see browser.py


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page is built, of the sources as they are."""
    build_page()


@pytest.fixture(scope="module")
def web(built_page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebBed]:
    """Two nodes with traffic, their workers, and a hub."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    from web_bed import WebBed

    with WebBed(tmp_path_factory.mktemp("web")) as bed:
        yield bed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def pages(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Pages]:
    """`pages.open()`, and `pages.allow()` for what a test makes go wrong on purpose."""
    opened = Pages(browser)
    yield opened
    opened.close(request.node.name, request.node.stash.get(_FAILED, False))


@pytest.fixture
def new_page(pages: Pages) -> NewPage:
    return pages.open


@pytest.fixture
def page(pages: Pages) -> Page:
    """1280x720, light."""
    return pages.open()


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What failed the first time is told in full: a race is a fault, also where the second try went well."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


# CI plays the same examples every time, so that a red run is the change's doing; elsewhere each run tries new ones.
# None has a deadline: how long an example takes is the machine's doing.
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "here")
