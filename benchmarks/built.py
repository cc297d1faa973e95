"""PySniff as `pip install` gives it: a wheel whose hot modules are compiled, unpacked beside the benchmarks.

It is built once for a state of the sources, and kept with the captures.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks import captures
from benchmarks.measure import ROOT, TREE

SOURCES = ("setup.py", "setup.cfg", "pyproject.toml")


def use() -> str:
    """Measure the compiled package from now on, where it can be built; what is measured, in words."""
    try:
        os.environ[TREE] = str(_unpacked())
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        return f"PySniff in pure Python, as its wheel could not be compiled: {' '.join(last)}"
    return "PySniff as installed, with its compiled modules; what is pure Python says so"


def _unpacked() -> Path:
    folder = captures.directory() / f"compiled-{sys.implementation.cache_tag}-{_digest()}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as home:
            command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", home, str(ROOT)]
            environment = {**os.environ, "PYSNIFF_COMPILE": "1"}
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            new = Path(home) / "tree"
            with zipfile.ZipFile(next(Path(home).glob("*.whl"))) as wheel:
                wheel.extractall(new)
            (new / "benchmarks").symlink_to(ROOT / "benchmarks")
            shutil.move(new, folder)
    return folder


def _digest() -> str:
    """Of everything that a wheel is made of."""
    digest = hashlib.sha256()
    for path in (*(ROOT / name for name in SOURCES), *sorted((ROOT / "pysniff").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
