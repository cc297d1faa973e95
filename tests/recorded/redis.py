"""A Redis server on a port of the machine's choice, and conversations with it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorded.clients import PATIENCE
from recorded.nginx import await_listening, free_port

COMMANDS = "\n".join(
    [
        "PING",
        *(f"SET key:{n} value-{n}" for n in range(15)),
        *(f"GET key:{n}" for n in range(20)),
        "MGET key:1 nothing key:2",
        *(f"RPUSH list item-{n}" for n in range(10)),
        "LRANGE list 0 -1",
        "INCR key:1",
        *(f"HSET hash f{n} {n}" for n in range(10)),
        "HGETALL hash",
        "NOSUCHCOMMAND",
        *(f"INCRBY counter {n}" for n in range(20)),
    ]
)
TESTS = ("set", "get", "incr", "lpush", "rpop", "sadd", "hset", "spop", "zadd", "mset")


@contextmanager
def redis(home: Path) -> Iterator[int]:
    """A server that keeps nothing; gives its port."""
    home.mkdir()
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as it:
        try:
            await_listening(port, it)
            yield port
        finally:
            it.terminate()
            it.wait(PATIENCE)


def command_line(port: int) -> None:
    """redis-cli, one connection, one command after the other."""
    run = ["redis-cli", "-p", str(port)]
    subprocess.run(run, input=COMMANDS, text=True, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)


def benchmark(port: int, pipeline: int = 1) -> None:
    """redis-benchmark with one connection a test, ten of them."""
    # A multiple of what is sent at once: else it may take the end for the loss of its client.
    size = ["-c", "1", "-n", "208", "-P", str(pipeline), "-q", "-r", "1000", "-d", "40"]
    run = ["redis-benchmark", "-p", str(port), *size, "-t", ",".join(TESTS)]
    subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=True)


def version_3(port: int) -> None:
    """RESP3, some commands at a time."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(_array("HELLO", "3"))
        for n in range(40):
            words = [("SET", f"three:{n}", "x" * n), ("GET", f"three:{n}"), ("HGETALL", "hash"), ("ECHO", f"end {n}")]
            connection.sendall(b"".join(_array(*command) for command in words))
            while answers.readline() != f"end {n}\r\n".encode():
                pass


def _array(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)
