"""What clients may make the hub do. Each bound is enforced beside what grows, and what it refuses is counted."""

from __future__ import annotations

from dataclasses import dataclass

from pysniff.limits import KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """The bounds of one hub. Bytes, seconds or counts, as named."""

    # Connections
    connections: int = 1_000  # open at once; each takes a file descriptor and some 50 KiB
    connections_peer: int = 250  # of one address; 100 programs of one machine are usual in a load test
    tls_handshake: float = 10.0
    idle: float = 15.0  # until a request's head is complete, from the connection's start or the last answer's end
    sending: float = 30.0  # until a client has taken an answer that is not a stream

    # Requests
    line_bytes: int = 16 * KIB  # a request's first line: a filter of 8 KiB in percent-encoding mostly fits
    field_bytes: int = 8 * KIB  # one header field; a cookie is the longest
    fields: int = 64  # header fields; browsers send about 20
    body_bytes: int = 256 * KIB  # a configuration is the largest body
    body_time: float = 10.0  # until it is here
    rate: float = 100.0  # requests of one address per second, on average
    burst: int = 200  # and at once
    wrong_tokens: int = 10  # at once from one address
    wrong_token_rate: float = 1.0  # and per second: a token of 64 bits would take longer than the universe is old
    addresses: int = 4_096  # remembered for these rates

    # WebSockets of clients
    message_bytes: int = 64 * KIB  # one message of a client: a filter and its options
    heartbeat: float = 20.0  # a ping after so much silence; a client that does not answer in half the time is gone

    # What workers are waited for
    status_wait: float = 2.0
    status_age: float = 1.0  # how old a status may be that is shown again
    configure_wait: float = 10.0
    shutdown: float = 1.5  # for answers that are under way when the hub ends, and once more for what they clean up


DEFAULT = HubLimits()
