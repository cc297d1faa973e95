"""Builds the hub's page with the package, where npm is found; all else stands in setup.cfg.

What is newer than its sources is not built again. Whatever npm says, the package is made: without a page the hub serves
its API, and says how to build one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
WEB = ROOT / "pysniff" / "web"
BUILT = WEB / "static" / "index.html"
LOCK, INSTALLED = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"
# Scripts of packages do not run: nothing that is built needs them.
NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
BY_HAND = "cd pysniff/web && npm ci && npm run build"


class build_page(Command):
    """`python setup.py build_page --strict` fails where nothing can be built."""

    description = "build the hub's page, with npm"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [("strict", None, "fail where it cannot be built")]
    boolean_options: ClassVar = ["strict"]
    strict: bool

    def initialize_options(self) -> None:
        self.strict = False

    def finalize_options(self) -> None:
        pass

    def run(self) -> None:
        if is_built():
            return
        if shutil.which("npm") is None:
            self._left("npm is not found")
            return
        try:
            if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
                self._do(NPM_CI)
            self._do(["node", "build.mjs"])
        except subprocess.CalledProcessError as error:
            self._left(f"{' '.join(error.cmd)} failed", f"\n{error.output}")

    def _do(self, command: list[str]) -> None:
        subprocess.run(command, cwd=WEB, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def _left(self, reason: str, said: str = "") -> None:
        state = "is as it was" if BUILT.exists() else "is not built"
        text = f"the page {state}, for {reason}; to build it: {BY_HAND}{said}"
        if self.strict:
            raise SystemExit(text)
        self.warn(text)


def is_built() -> bool:
    """Whether it is there, and newer than what it is made of. That of a source archive is the right one."""
    if not BUILT.exists():
        return False
    made = BUILT.stat().st_mtime
    return (ROOT / "PKG-INFO").exists() or all(path.stat().st_mtime <= made for path in sources())


def sources() -> Iterator[Path]:
    """Folders too: a file that was removed changed its folder."""
    yield from (WEB / name for name in ("build.mjs", "package.json", "package-lock.json", "src"))
    yield from (WEB / "src").rglob("*")


class BuildWithPage(build_py):
    """Of wheels, and of editable installs."""

    def run(self) -> None:
        self.run_command("build_page")
        if not self.editable_mode:  # names carry hashes: those of an earlier page would stay beside the new ones
            shutil.rmtree(Path(self.build_lib) / "pysniff" / "web", ignore_errors=True)
        super().run()


class SourcesWithPage(sdist):
    def run(self) -> None:
        self.run_command("build_page")
        super().run()


setup(cmdclass={"build_page": build_page, "build_py": BuildWithPage, "sdist": SourcesWithPage})
