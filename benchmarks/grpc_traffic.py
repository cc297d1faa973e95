"""gRPC between grpcio and grpcio, each in its namespace: starts what grpc_shop.py has."""

from __future__ import annotations

import sys

from benchmarks.measure import tree
from benchmarks.network import End, Network
from benchmarks.traffic import wait_for

PORT = 50051
MODULE = "benchmarks.grpc_shop"


def serve(network: Network, home: object) -> None:
    """Start the shop at the server's end; return when it listens."""
    network.start(End.SERVER, sys.executable, "-m", MODULE, "serve", f"{End.SERVER.ipv4}:{PORT}", cwd=tree())
    wait_for(network, PORT)


def call(network: Network, kind: str, connections: int, amount: int) -> None:
    """Make `amount` calls ("mix"), or one with `amount` messages ("stream"), at the client's end."""
    words = ("-m", MODULE, kind, f"{End.SERVER.ipv4}:{PORT}", str(connections), str(amount))
    network.run(End.CLIENT, "env", f"PYTHONPATH={tree()}", sys.executable, *words)
