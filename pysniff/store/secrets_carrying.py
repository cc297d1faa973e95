"""Secrets of connections that go on behind a segment, when the segment is dropped."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from pysniff.limits import DEFAULT
from pysniff.store.directory import SegmentFiles, read_from
from pysniff.store.index import Index
from pysniff.store.rebuild import stored
from pysniff.store.rows import ENDED
from pysniff.store.secrets_file import Kept, parsed

# A conversation that was quiet for longer does not go on, in nanoseconds.
_GOES_ON = DEFAULT.idle + 60_000_000_000


def going_on(files: SegmentFiles, following: SegmentFiles) -> list[Kept]:
    """The secrets beside `files` of connections that go on in the next segment, or may go on behind that."""
    try:
        every = list(parsed(read_from(files.keylog, 0)))
    except OSError:
        return []
    streams = {one.stream for one in every if one.stream}
    earlier, later = _index(files), _index(following)
    here, there = _rows(earlier, streams), _rows(later, streams)
    kept: list[Kept] = []
    for one in every:
        row = here.get(one.stream)
        last = one.last if row is None else max(one.last, int(row["end"]))
        over = row is not None and bool(row["marks"] & ENDED)
        quiet = bool(len(later.offsets)) and last + _GOES_ON < later.earliest
        if one.stream in there or not (over or quiet):
            kept.append(one._replace(last=last))
    return kept


def append(path: Path, text: bytes) -> None:
    """Add lines to a file, for its owner alone. Raises OSError, and leaves what there was."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        before = size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":  # cut off: a line of its own begins
            text = b"\n" + text
        view = memoryview(text)
        try:
            while view:
                done = os.pwrite(fd, view, size)
                size, view = size + done, view[done:]
        except OSError:
            os.ftruncate(fd, before)
            raise
    finally:
        os.close(fd)


def tidy(directory: Path, every: Collection[SegmentFiles]) -> None:
    """Remove what belongs to no segment."""
    known = {files.keylog.name for files in every}
    for path in directory.glob("*.keylog"):
        if path.name not in known:
            path.unlink(missing_ok=True)


def _index(files: SegmentFiles) -> Index:
    try:
        return stored(files)
    except OSError:
        return Index()


def _rows(index: Index, streams: Collection[str]) -> dict[str, np.void]:
    """By Flow.name."""
    wanted = np.frombuffer(b"".join(bytes.fromhex(name) for name in sorted(streams)), np.uint64)
    names = np.ascontiguousarray(index.rows["name"]).view(np.uint64)
    places = np.flatnonzero(np.isin(names, wanted)).tolist()
    return {index.rows["name"][place].tobytes().hex(): index.rows[place] for place in places}
