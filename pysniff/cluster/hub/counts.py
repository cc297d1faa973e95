"""What the hub itself counts; /metrics shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

# Why a request or a connection is refused; nothing a peer sends becomes a reason.
REASONS = (
    *("host", "origin", "token", "wrong_tokens", "rate", "size", "slow", "request"),
    *("connections", "connections_peer", "queries", "queries_peer"),
)


@dataclass(slots=True)
class Counts:
    """Counters that only grow, but for `clients`."""

    clients: int = 0  # WebSockets of clients that are open now
    entries_forwarded: int = 0  # to clients, each as often as it was sent
    entries_missed: int = 0  # that a client's queue had no room for; it was told
    duplicates_merged: int = 0  # the same call on another node
    client_bytes_in: int = 0  # WebSocket messages of clients
    client_bytes_out: int = 0  # and to them
    requests: dict[int, int] = field(default_factory=dict)  # by status
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))

    def answered(self, status: int) -> None:
        self.requests[status] = self.requests.get(status, 0) + 1

    def refuse(self, reason: str) -> None:
        self.refused[reason] += 1
