"""Runs one target under atheris: `python -m fuzz.run TARGET FOLDER... [libFuzzer options]`, in tests/.

New inputs go to the first folder. What the target starts from is written to a folder of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pysniff", "pysniff_parrot"]):
    from fuzz.targets import LONGEST, TARGETS


def main() -> None:
    program, name, *rest = sys.argv
    target, beginnings = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(beginnings()):
            (Path(folder) / str(number)).write_bytes(data)
        options = [f"-max_len={LONGEST.get(name, 4096)}", "-timeout=20", "-rss_limit_mb=2048"]
        atheris.Setup([program, *options, *rest, folder], target)
        atheris.Fuzz()


main()
