"""Plays scenes in one recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pysniff
from recorded.recording import recording
from recorded.scenes import Stage


class Played(NamedTuple):
    entries: list[Any]
    stages: dict[str, Stage]
    broke: dict[str, BaseException]  # scenes that did not play to their end


def play(scenes: Mapping[str, Callable[[Stage], None]], folder: Path) -> Played:
    """All of them, one after the other; of each entry the last revision."""
    stages: dict[str, Stage] = {}
    broke: dict[str, BaseException] = {}
    with recording(folder / "all.pcap"):
        for name, scene in scenes.items():
            (folder / name).mkdir()
            stages[name] = Stage(folder / name)
            try:
                scene(stages[name])
            except Exception as error:
                broke[name] = error
    every = {entry.id: entry for entry in pysniff.read(folder / "all.pcap")}
    return Played([*every.values()], stages, broke)
