"""HTTP/1 against tshark: nginx and wrk, over IPv4 and over IPv6."""

from __future__ import annotations

from benchmarks import dissection
from benchmarks.dissection import Contest
from benchmarks.report import Section

SECONDS = 240.0
FIELDS = ("http.request.method", "http.request.uri", "http.response.code", "http.host")
CONTESTS = [
    Contest(family, name, FIELDS, iterate=40, touch=25, json=12)
    for family, name in (("IPv4", "http1"), ("IPv6", "http1v6"))
]


def run(rounds: int) -> Section:
    return dissection.run("HTTP/1", CONTESTS, rounds, SECONDS)


if __name__ == "__main__":
    print(run(rounds=3).markdown())
