"""Print the calls of a capture that took longer than a limit, slowest first.

python examples/slow_calls.py examples/shop.pcap 100
"""

from __future__ import annotations

import sys

import pysniff

path, limit = sys.argv[1], float(sys.argv[2])  # milliseconds

calls = [entry for entry in pysniff.read(path) if entry.elapsed_time is not None]
for entry in sorted(calls, key=lambda entry: entry.elapsed_time or 0, reverse=True):
    milliseconds = (entry.elapsed_time or 0) / 1000
    if milliseconds >= limit:
        print(f"{milliseconds:8.1f} ms  {entry.status:>8}  {entry.summary}")
