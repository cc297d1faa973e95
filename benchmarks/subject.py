"""PySniff as it is measured: one capture, one process, one line of JSON about it.

`python -m benchmarks.subject TASK CAPTURE WARM [KEYLOG]`: WARM is a small capture, read first so that
imports are apart.
`python -m benchmarks.subject live INTERFACE BPF`: until Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence

import pysniff
from pysniff.entry import Entry


def iterate(entry: Entry) -> None:
    """Take the entry and leave it."""


def touch(entry: Entry) -> None:
    """Of an HTTP call: method, URL, status and both header lists, what most programs look at."""
    if entry.protocol != "http":
        return
    request, response = entry.request, entry.response
    if request is not None:
        _ = request.method, request.url, request.headers
    if response is not None:
        _ = response.status, response.headers


def messages(entry: Entry) -> None:
    """Of a gRPC call: service, method, the size of every message, and the status."""
    request, response = entry.request, entry.response
    if entry.protocol == "grpc":
        if request is not None:
            _ = request.grpc_service, request.grpc_method, [message.size for message in request.messages]
        if response is not None:
            _ = response.grpc_status, [message.size for message in response.messages]


TASKS: dict[str, Callable[[Entry], None]] = {"iterate": iterate, "touch": touch, "messages": messages}


def work(task: str, capture: str, keys: Sequence[str] = ()) -> tuple[int, list[str], list[str]]:
    """Entries seen, the ledger's lines, and its imbalances; `keys`: key logs."""
    seen = 0
    with pysniff.read(capture, keylog=keys) as entries:
        if task == "iterate":  # a call an entry would be charged to the library
            for _ in entries:
                seen += 1
        else:
            use = TASKS[task]
            for entry in entries:
                use(entry)
                seen += 1
        return seen, entries.ledger.lines(), entries.ledger.imbalances()


def peak() -> int:
    """The highest resident set of this process, in bytes.

    Not ru_maxrss: the kernel lets a child inherit that from whoever started it.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def report(task: str, capture: str, warm: str, *keys: str) -> dict[str, object]:
    """The fields of benchmarks.measure.Reading."""
    work(task, warm, keys)
    before, start = peak(), time.process_time()
    seen, account, imbalances = work(task, capture, keys)
    used = time.process_time() - start
    result = {"cpu": used, "entries": seen, "before": before, "peak": peak()}
    return result | {"account": account, "imbalances": imbalances}


def live(interface: str, bpf: str) -> dict[str, object]:
    """Some fields of benchmarks.live.Taken."""
    seen = 0
    with pysniff.sniff(interface, bpf=bpf) as entries:
        signal.signal(signal.SIGINT, lambda number, frame: entries.stop())
        for _ in entries:
            seen += 1
        ledger = entries.ledger
    received, dropped = ledger.live_packets, ledger.kernel_dropped
    return {"entries": seen, "received": received, "dropped": dropped, "cpu": time.process_time()}


def main(task: str, *arguments: str) -> None:
    json.dump(live(*arguments) if task == "live" else report(task, *arguments), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
