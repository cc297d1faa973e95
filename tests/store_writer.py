"""Records endless traffic in a process of its own, to be killed: store_writer.py DIR SEED LIMIT SKIP.

Leaves out the first SKIP packets; after every flush a line says how many were given to the store so far.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from store_traffic import traffic

from pysniff.packet import Block
from pysniff.store.recording import Recording


def main(directory: str, seed: str, limit: str, skip: str) -> None:
    recording = Recording(Path(directory), int(limit), segment_size=64 * 1024, keep_all=True)
    for given, packet in enumerate(islice(traffic(int(seed)), int(skip), None), int(skip) + 1):
        recording.add(Block.of(packet))
        if given % 97 == 0:
            recording.flush()
            print(given, flush=True)


main(*sys.argv[1:])
