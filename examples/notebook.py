"""Read without blocking an event loop; the body of main() can be pasted into a notebook cell.

python examples/notebook.py examples/shop.pcap
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import pysniff


async def main(path: str) -> None:
    calls: Counter[tuple[str, str]] = Counter()
    async with pysniff.read(path) as entries:
        async for entry in entries:
            calls[entry.protocol, entry.status] += 1
    for (protocol, status), count in calls.most_common():
        print(f"{count:4}  {protocol:6} {status}")


asyncio.run(main(sys.argv[1]))
