"""Show failed HTTP calls on an interface as they happen, and the account at the end.

sudo python examples/watch.py lo 'tcp port 8000' 60
"""

from __future__ import annotations

import sys

import pysniff

interface, bpf, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])

with pysniff.sniff(interface, bpf=bpf, duration=seconds) as entries:
    for entry in entries:
        if entry.protocol == "http" and not entry.ok:
            print(entry.timestamp.isoformat(), entry.src.ip, entry.summary, entry.status, flush=True)

print(*entries.ledger.lines(), sep="\n", file=sys.stderr)
