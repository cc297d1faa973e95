"""What each capture holds: whose traffic, how much of it, and the packets that it must have at least."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import grpc_traffic, tls_traffic, traffic
from benchmarks.network import End, Network

# drive(network, home, connections, amount)
Drive = Callable[[Network, Path, int, int], None]
Serve = Callable[[Network, Path], None]

WEB, BULK = f"tcp port {traffic.PORT}", f"tcp port {traffic.BULK_PORT}"
REDIS, DNS = f"tcp port {traffic.REDIS_PORT}", f"udp port {traffic.DNS_PORT}"
TLS = " or ".join(f"tcp port {port}" for port in tls_traffic.PORTS.values())
H2C, GRPC = f"tcp port {traffic.H2C_PORT}", f"tcp port {grpc_traffic.PORT}"


class Recipe(NamedTuple):
    """`amount`: seconds of wrk, megabytes of iperf3, requests of h2load, calls or messages of grpcio,
    commands of each kind of redis-benchmark, questions of dig."""

    what: str
    drive: Drive
    ports: str
    packets: int
    amount: int
    connections: int = 48
    serve: Serve = traffic.serve
    programs: tuple[str, ...] = ("nginx", "wrk", "iperf3")
    modules: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()  # files that the traffic leaves in its home, kept beside the capture


def _mix(address: str) -> Drive:
    return lambda network, home, connections, amount: traffic.call(network, "mix.lua", address, connections, amount)


def _short(network: Network, home: Path, connections: int, amount: int) -> None:
    traffic.call(network, "short.lua", End.SERVER.ipv4, connections, amount)


def _bulk(network: Network, home: Path, connections: int, amount: int) -> None:
    traffic.transfer(network, amount)


def _redis(network: Network, home: Path, connections: int, amount: int) -> None:
    traffic.command(network, connections, amount)


def _dns(network: Network, home: Path, connections: int, amount: int) -> None:
    traffic.resolve(network, home, amount)


def _grpc(kind: str) -> Drive:
    return lambda network, home, connections, amount: grpc_traffic.call(network, kind, connections, amount)


RECIPES = {
    "http1": Recipe("HTTP/1 mix over IPv4", _mix(End.SERVER.ipv4), WEB, 500_000, 15),
    "http1v6": Recipe("HTTP/1 mix over IPv6", _mix(End.SERVER.ipv6), WEB, 300_000, 8),
    "bulk": Recipe("iperf3 -P4", _bulk, BULK, 250_000, 400),
    "short": Recipe("a connection for every HTTP/1 call", _short, WEB, 200_000, 6),
    "http1-long": Recipe("HTTP/1 mix over IPv4, for long", _mix(End.SERVER.ipv4), WEB, 5_000_000, 150),
    "h2c": Recipe(
        "h2load -m10 and nghttpd, 100,000 requests",
        traffic.load,
        H2C,
        100_000,
        100_000,
        8,
        traffic.serve_h2c,
        ("nghttpd", "h2load"),
    ),
    "grpc": Recipe(
        "grpcio, 100,000 calls of all kinds",
        _grpc("mix"),
        GRPC,
        200_000,
        100_000,
        4,
        grpc_traffic.serve,
        modules=("grpc",),
        programs=(),
    ),
    "grpc-stream": Recipe(
        "grpcio, one stream of 100,000 messages",
        _grpc("stream"),
        GRPC,
        140_000,  # ten of memory.STREAM_TENTH
        100_000,
        1,
        grpc_traffic.serve,
        modules=("grpc",),
        programs=(),
    ),
    "h2c-many": Recipe(
        "h2load -m10 and nghttpd, 96 connections",
        traffic.load,
        H2C,
        25_000,
        24_000,
        96,
        traffic.serve_h2c,
        ("nghttpd", "h2load"),
    ),
    "grpc-many": Recipe(
        "grpcio, 32 connections",
        _grpc("mix"),
        GRPC,
        50_000,
        16_000,
        32,
        grpc_traffic.serve,
        modules=("grpc",),
        programs=(),
    ),
    "tls": Recipe(
        "h2load and nginx: HTTP/1 and h2 over TLS 1.2 and 1.3, 6,000 requests",
        tls_traffic.load,
        TLS,
        40_000,
        1_500,
        10,
        tls_traffic.serve,
        ("nginx", "h2load", "openssl"),
        keeps=(tls_traffic.SECRETS,),
    ),
    "redis": Recipe(
        "redis-benchmark, six commands",
        _redis,
        REDIS,
        80_000,
        10_000,
        32,
        traffic.serve_redis,
        ("redis-server", "redis-benchmark"),
    ),
    "dns": Recipe("dig and dnsmasq", _dns, DNS, 16_000, 8_000, 1, traffic.serve_dns, ("dnsmasq", "dig")),
}
