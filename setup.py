"""Builds the hub's page and compiles what every packet passes; all else stands in setup.cfg.

The page needs npm. What is newer than its sources is not built again. Whatever npm says, the package is made: without a
page the hub serves its API, and says how to build one.

mypyc compiles the modules of COMPILED into wheels; an editable install runs what is edited. PYSNIFF_COMPILE=1 fails
where that cannot be done, 0 does not try; without it, what cannot be compiled stays Python, and a line says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
WEB = ROOT / "pysniff" / "web"
BUILT = WEB / "static" / "index.html"
LOCK, INSTALLED = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"
# Scripts of packages do not run: nothing that is built needs them.
NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
BY_HAND = "cd pysniff/web && npm ci && npm run build"
COMPILED = [
    "body", "capture.pcap", "conversation", "core", "deadlines", "dissectors.dns", "dissectors.dns_match",
    "dissectors.dns_names", "dissectors.dns_records", "dissectors.dns_sections", "dissectors.grpc_call",
    "dissectors.grpc_framing", "dissectors.grpc_half", "dissectors.grpc_payload", "dissectors.hpack_strings",
    "dissectors.http1", "dissectors.http1_fields", "dissectors.http1_framing", "dissectors.http1_head",
    "dissectors.http2_blocks", "dissectors.http2_framing", "dissectors.http2_half", "dissectors.http2_payload",
    "dissectors.http2_skim", "dissectors.http2_state", "dissectors.http2_streams", "dissectors.http_records", "entry",
    "media", "names", "packet", "pairing", "reassembly", "refiner", "runs", "shapes", "sniffer", "state_bytes",
    "store.assigning", "store.columns", "store.flows", "store.followed", "store.index", "store.naming_datagrams",
    "store.segment", "store.selection", "store.skimming", "tcp",
]  # fmt: skip
# Types are checked elsewhere, with all that the package needs installed; here that may be missing.
MYPY = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]


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


class BuildCompiled(build_ext):
    """All modules or none: they rely on each other's layout."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if COMPILE == "1":
                raise
            stay_python(f"the C compiler failed: {error}")
            for path in Path(self.build_lib).rglob("*.so"):
                path.unlink()
            self.extensions.clear()
            wheel = self.distribution.get_command_obj("bdist_wheel", create=False)
            if wheel:
                vars(wheel)["root_is_pure"] = True


def extensions() -> list[Extension]:
    """What mypyc makes of COMPILED, where that is wanted: C, for the compiler."""
    if COMPILE == "0" or not {"bdist_wheel", "build", "build_ext", "install"}.intersection(sys.argv):
        return []
    if COMPILE != "1" and not any(map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))):
        stay_python("there is no C compiler")
        return []
    try:
        from mypyc.build import mypycify

        modules = [f"pysniff/{name.replace('.', '/')}.py" for name in COMPILED]
        made = mypycify([*MYPY, *modules], opt_level="2", debug_level="0", multi_file=True)
        return cast(list[Extension], made)
    except (ImportError, SystemExit) as error:  # it exits where it finds a mistake
        if COMPILE == "1":
            raise
        stay_python(f"mypyc failed: {error}")
        return []


def stay_python(reason: str) -> None:
    sys.stderr.write(f"pysniff is installed as pure Python, which is slower: {reason}\n")


COMPILE = os.environ.get("PYSNIFF_COMPILE", "")

if __name__ == "__main__":
    commands = {
        "build_page": build_page,
        "build_py": BuildWithPage,
        "sdist": SourcesWithPage,
        "build_ext": BuildCompiled,
    }
    setup(cmdclass=commands, ext_modules=extensions())
