"""HTTP/2 and gRPC against tshark: h2load and nghttpd, grpcio and grpcio."""

from __future__ import annotations

from benchmarks import captures, dissection
from benchmarks.dissection import Contest
from benchmarks.grpc_traffic import PORT
from benchmarks.report import Section, skipped
from benchmarks.traffic import H2C_PORT

TITLE = "HTTP/2 and gRPC"
SECONDS = 240.0
HEADS = ("http2.headers.method", "http2.headers.path", "http2.headers.status")
CONTESTS = [
    Contest("h2c", "h2c", HEADS, ("-d", f"tcp.port=={H2C_PORT},http2"), iterate=20, touch=12),
    Contest(
        "gRPC",
        "grpc",
        (*HEADS, "grpc.message_length"),
        ("-d", f"tcp.port=={PORT},http2"),
        "messages",
        "touch messages",
        iterate=8,
        touch=5,
    ),
]


def run(rounds: int) -> Section:
    for contest in CONTESTS:
        if reason := captures.absent(contest.capture):
            return skipped(TITLE, reason)
    return dissection.run(TITLE, CONTESTS, rounds, SECONDS)


if __name__ == "__main__":
    print(run(rounds=3).markdown())
