"""The tracers of benchmarks.tls_cost: `python -m benchmarks.tls_cost_actors keys|plaintext` says "ready" once its
probes are there, empties its ring until its input ends, and then prints a list: events seen, events lost, CPU seconds.
"""

from __future__ import annotations

import json
import select
import sys
import time

EVERY = 0.05  # seconds; the ring is what holds events in between


def read_keys() -> tuple[int, int]:
    """Secrets seen, and those that found no room."""
    from pysniff.tracer.kernel_secrets import KernelSecrets

    with KernelSecrets() as source:
        say_ready()
        while not is_over():
            source.take()
        source.take()
        report = source.report()
        return report.keys, report.dropped


def read_plaintext() -> tuple[int, int]:
    """Chunks given, and pieces that found no room."""
    from pysniff.tracer.plaintext import PlainSource

    source, chunks = PlainSource(), 0
    try:
        say_ready()
        while not is_over():
            chunks += len(source.poll())
        return chunks + len(source.poll()), source.report().ring_full
    finally:
        source.close()


def say_ready() -> None:
    print("ready", flush=True)


def is_over() -> bool:
    return bool(select.select([sys.stdin], [], [], EVERY)[0])


def main(mode: str) -> None:
    seen, lost = read_keys() if mode == "keys" else read_plaintext()
    json.dump([seen, lost, time.process_time()], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
