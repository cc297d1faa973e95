"""What somebody on the network may try against a hub and a worker, over real connections: nothing comes of it.

After each attack the same process serves the next request, and has not grown by more than a few messages.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from cluster_bed import HUB
from cluster_programs import Program, until
from cluster_raw import (
    BINARY,
    NONE,
    TEXT,
    Answer,
    Fields,
    answer,
    as_json,
    close_code,
    frame,
    messages,
    request,
    send_much,
    upgrade,
)
from cluster_under_test import DOOR, TOKEN, WORKER, Cluster

from pysniff.cluster.frames import Bye, Hello, decode, encode

pytestmark = pytest.mark.needs_root

MIB = 1 << 20
GROWTH = 24 * MIB  # of a process that holds back nothing: its heap, fragmented by what came and went
BEARER = {"Authorization": f"Bearer {TOKEN}"}
EVIL = "http://evil.example"
PRIVATE = 9_999  # a port that a hub can reach and nobody told it to
OWN = 8899  # of a hub on loopback, without a token

# Every path that gives something away, or does something.
PATHS = (
    "/api/openapi.json", "/api/workers", "/api/targets", "/api/config", "/api/filter?q=http", "/api/services",
    "/api/entries/n1.0123456789abcdef.0", "/api/entries/n1.0123456789abcdef.0/pcap", "/api/pcap", "/metrics",
)  # fmt: skip
SOCKETS = ("/api/entries", "/api/link")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("attacks"), nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def worker(cluster: Cluster) -> Program:
    worker = cluster.worker("n1")
    worker.wait_for("records")
    return worker


@pytest.fixture(scope="module")
def hub(cluster: Cluster, worker: Program) -> Program:
    """A hub on the cluster's network, which has a token."""
    return cluster.hub("--replay-target", f"{cluster.bed.address('n1a')}:80", nodes=["n1"])


@pytest.fixture(scope="module")
def own(cluster: Cluster) -> Program:
    """A hub on loopback, which asks for no token."""
    words = ["hub", "--listen", f"127.0.0.1:{OWN}"]
    hub = cluster.program(HUB, "hub on loopback", words)
    hub.wait_for(str(OWN))
    return hub


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test its programs are alive, and not much larger."""
    names = {"hub", "worker", "own"} & set(request.fixturenames)
    programs: list[Program] = [request.getfixturevalue(name) for name in sorted(names)]
    before = [program.memory() for program in programs]
    yield
    for program, size in zip(programs, before, strict=True):
        assert program.running, program.said
        assert "Traceback" not in program.said and "bug" not in program.said, program.said
        assert program.memory() < size + GROWTH, f"{program.name} has grown by {program.memory() - size} bytes"


class Attacker:
    """Asks a hub or worker from a place."""

    def __init__(self, cluster: Cluster, place: str, to: tuple[str, int]) -> None:
        self._bed, self._place, self.to = cluster.bed, place, to
        self.host = f"{to[0]}:{to[1]}"

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = self._bed.connect(self._place, self.to, timeout=40)
        connection.sendall(data)
        return connection

    def ask(self, method: str, path: str, fields: Fields = NONE, body: bytes = b"", host: str | None = None) -> Answer:
        with self.connect(request(method, path, self.host if host is None else host, fields, body)) as connection:
            return answer(connection)

    def upgrade(self, path: str, fields: Fields = NONE, host: str | None = None) -> Answer:
        with self.connect(upgrade(path, self.host if host is None else host, fields)) as connection:
            return answer(connection)

    def websocket(self, path: str, fields: Fields = BEARER) -> socket.socket:
        """One that is open."""
        with ExitStack() as stack:
            connection = stack.enter_context(self.connect(upgrade(path, self.host, fields)))
            head = b""  # byte by byte: frames stand behind it
            while not head.endswith(b"\r\n\r\n"):
                byte = connection.recv(1)
                assert byte, f"no WebSocket: {head!r}"
                head += byte
            assert head.startswith(b"HTTP/1.1 101 "), head
            stack.pop_all()
        return connection


@pytest.fixture
def stranger(cluster: Cluster, hub: Program) -> Attacker:
    """Before the hub, on another machine."""
    return Attacker(cluster, "n2", (cluster.bed.address(HUB), DOOR))


@pytest.fixture
def neighbour(cluster: Cluster, own: Program) -> Attacker:
    """A page in a browser on the machine of a hub on loopback."""
    return Attacker(cluster, HUB, ("127.0.0.1", OWN))


@pytest.fixture
def at_worker(cluster: Cluster, worker: Program) -> Attacker:
    return Attacker(cluster, "n2", (cluster.bed.address("n1"), WORKER))


# Tokens


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_the_hub_tells_nothing(path: str, stranger: Attacker) -> None:
    said = stranger.ask("GET", path)
    assert (said.status, said.code) == (401, "token")
    assert said.headers["www-authenticate"] == "Bearer"
    assert "access-control-allow-origin" not in said.headers


@pytest.mark.parametrize("path", SOCKETS)
def test_without_a_token_no_websocket_opens(path: str, stranger: Attacker) -> None:
    assert stranger.upgrade(path).status == 401


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/api/config"), ("POST", "/api/replay"), ("PUT", "/api/targets")]
)
def test_without_a_token_nothing_is_changed(method: str, path: str, stranger: Attacker) -> None:
    said = stranger.ask(method, path, {"Content-Type": "application/json"}, b"{}")
    assert said.status == 401


def test_probes_need_no_token_and_learn_nothing(stranger: Attacker) -> None:
    said = stranger.ask("GET", "/healthz")
    assert said.status == 200
    for secret in (b"n1", b"10.77", TOKEN.encode()):
        assert secret not in said.body
    assert b"n1" not in stranger.ask("GET", "/readyz").body


def test_a_worker_opens_to_nobody_without_the_token(at_worker: Attacker) -> None:
    assert at_worker.upgrade("/link").status == 401
    assert at_worker.upgrade("/link", {"Authorization": "Bearer " + "wrong" * 5}).status == 401
    assert at_worker.upgrade("/link", {**BEARER, "Origin": EVIL}).status == 403


def test_wrong_tokens_are_refused_and_soon_not_even_looked_at(cluster: Cluster, hub: Program) -> None:
    """Guesses are slowed down for the address that makes them; others go on."""
    guesser = Attacker(cluster, "n1b", (cluster.bed.address(HUB), DOOR))
    wrong = {"Authorization": f"Bearer guess-{1:026}"}
    assert [guesser.ask("GET", "/api/workers", wrong).status for _ in range(5)] == [401] * 5

    def is_refused() -> bool:
        """With the right token, too, which is no guess."""
        return {guesser.ask("GET", "/api/workers", fields).status for fields in (wrong, BEARER)} == {429}

    until(is_refused, "guesses to be refused")  # one a second is always looked at
    assert Attacker(cluster, "n2", guesser.to).ask("GET", "/api/workers", BEARER).status == 200


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Bearer",
        "Bearer ",
        f"bearer{TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer é",
    ],
)
def test_what_only_looks_like_the_token_is_refused(field: str, cluster: Cluster, hub: Program) -> None:
    attacker = Attacker(cluster, "n2b", (cluster.bed.address(HUB), DOOR))
    assert attacker.ask("GET", "/api/workers", {"Authorization": field}).status == 401


def test_the_token_is_in_no_address_that_the_hub_answers_to(stranger: Attacker) -> None:
    """Only the page that signs in reads it there, and answers with a cookie and another address."""
    assert stranger.ask("GET", f"/api/workers?token={TOKEN}").status == 401
    said = stranger.ask("GET", f"/?token={TOKEN}")
    assert said.status == 303 and said.headers["location"] == "/"
    cookie = said.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    assert stranger.ask("GET", "/api/workers", {"Cookie": cookie.partition(";")[0]}).status == 200


# Browsers


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1:80", "https://127.0.0.1.evil.example", "file://"])
def test_a_page_of_another_origin_opens_no_feed(origin: str, neighbour: Attacker) -> None:
    said = neighbour.upgrade("/api/entries", {"Origin": origin})
    assert (said.status, said.code) == (403, "origin")
    assert neighbour.upgrade("/api/entries").status == 101


def test_a_cookie_does_not_open_a_feed_to_another_origin(stranger: Attacker) -> None:
    cookie = stranger.ask("GET", f"/?token={TOKEN}").headers["set-cookie"].partition(";")[0]
    assert stranger.upgrade("/api/entries", {"Cookie": cookie, "Origin": EVIL}).status == 403
    assert stranger.upgrade("/api/entries", {"Cookie": cookie, "Origin": f"http://{stranger.host}"}).status == 101


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_form_of_another_origin_changes_nothing(kind: str, neighbour: Attacker) -> None:
    fields = {"Origin": EVIL, "Content-Type": kind}
    for method, path in (("PATCH", "/api/config"), ("POST", "/api/replay"), ("POST", "/api/config")):
        assert neighbour.ask(method, path, fields, b'{"bpf": "tcp"}').status == 403
    assert neighbour.ask("GET", "/api/config", {"Sec-Fetch-Site": "cross-site"}).status == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{OWN}",
        f"127.0.0.1.evil.example:{OWN}",
        f"127.0.0.1:{OWN}@evil.example",
        "",
        "[::",
    ],
)
def test_a_name_that_was_made_to_mean_this_machine_is_not_the_hubs(host: str, neighbour: Attacker) -> None:
    """DNS rebinding: the page's own name is in Host, whatever address it has by now."""
    assert neighbour.ask("GET", "/api/workers", host=host).status in (400, 421)
    assert neighbour.upgrade("/api/entries", {"Origin": f"http://{host}"}, host=host).status in (400, 421)
    assert neighbour.ask("GET", "/api/workers", host=f"localhost:{OWN}").status == 200


def test_behind_a_proxy_on_this_machine_nobody_is_a_neighbour(neighbour: Attacker) -> None:
    assert neighbour.ask("GET", "/api/workers", {"X-Forwarded-For": "203.0.113.9"}).status == 401


# Sizes


@pytest.mark.parametrize("path", SOCKETS)
def test_of_a_message_of_64_mib_little_is_read(path: str, stranger: Attacker) -> None:
    with stranger.websocket(path) as connection:
        connection.settimeout(5)
        sent = send_much(connection, frame(BINARY, b"", says=64 * MIB), 64 * MIB)
        assert sent < 32 * MIB  # most of it stood in the kernel's buffers


def test_the_close_says_that_a_message_is_too_big(stranger: Attacker) -> None:
    with stranger.websocket("/api/entries") as connection:
        connection.sendall(frame(TEXT, b"", says=64 * MIB))
        assert close_code(connection) == 1009


def test_a_message_in_endless_fragments_ends_the_connection(stranger: Attacker) -> None:
    with stranger.websocket("/api/entries") as connection:
        connection.settimeout(5)
        piece = bytes([BINARY, 0x80 | 126, 0x40, 0]) + bytes(4) + bytes(16384)
        sent = 0
        try:
            while sent < 64 * MIB:
                sent += connection.send(piece)
                piece = bytes([0]) + piece[1:]
        except OSError:
            pass
        assert sent < 32 * MIB


def test_of_a_body_of_64_mib_nothing_is_kept(stranger: Attacker) -> None:
    fields = {**BEARER, "Content-Type": "application/json"}
    said = {**fields, "Content-Length": str(64 * MIB)}
    with stranger.connect(request("PATCH", "/api/config", stranger.host, said)) as one:
        assert answer(one).status == 413
    unsaid = {**fields, "Transfer-Encoding": "chunked"}
    with stranger.connect(request("PATCH", "/api/config", stranger.host, unsaid)) as one:
        send_much(one, f"{64 * MIB:x}\r\n".encode(), 64 * MIB)
        assert answer(one).status in (413, 0)


def test_a_bomb_is_not_unpacked(stranger: Attacker) -> None:
    fields = {**BEARER, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert stranger.ask("PATCH", "/api/config", fields, b"\x1f\x8b" + bytes(100)).status == 415


def test_heads_are_bounded(stranger: Attacker) -> None:
    assert stranger.ask("GET", "/healthz?" + "x" * 40_000).status in (0, 400, 414)
    assert stranger.ask("GET", "/healthz", {"X": "x" * 40_000}).status in (0, 400, 431)
    many = {f"X-{number}": "x" for number in range(5_000)}
    assert stranger.ask("GET", "/healthz", many).status in (0, 400, 431)


def test_a_million_nested_arrays_in_json(stranger: Attacker) -> None:
    with stranger.websocket("/api/entries") as connection:
        connection.sendall(frame(TEXT, b"[" * 60_000))
        ((_, said),) = messages(connection, 1)
        assert b"JSON" in said
    with stranger.websocket("/api/entries") as connection:
        send_much(connection, frame(TEXT, b"", says=1_000_000), 1_000_000, b"[")
        assert close_code(connection) in (1009, 0)  # who goes on sending may hear of a reset instead
    fields = {**BEARER, "Content-Type": "application/json"}
    for body in (b"[" * 200_000, b'{"a":' * 40_000, b"[" * 100_000 + b"]" * 100_000):
        assert stranger.ask("PATCH", "/api/config", fields, body).status == 400
    assert stranger.ask("PATCH", "/api/config", fields, b"[" * 1_000_000).status == 413


@pytest.mark.parametrize("sign", ["(", "[", "!", "-", "{a:", "a.b(", "1?"])
def test_a_filter_that_nests_is_a_wrong_filter(sign: str, stranger: Attacker) -> None:
    text = (sign * 4_000)[:8_000]
    said = stranger.ask(
        "POST", "/api/filter", {**BEARER, "Content-Type": "application/json"}, as_json({"filter": text})
    )
    assert said.status in (200, 400, 405), said
    with stranger.websocket("/api/entries") as connection:
        connection.sendall(frame(TEXT, as_json({"filter": text})))
        ((_, said_there),) = messages(connection, 1)
        assert b"error" in said_there


# Frames between workers and hubs, from a peer that knows the token


def hello(role: str, name: str = "evil") -> bytes:
    return encode(Hello(1, role, name, "0123456789abcdef", "evil 1", {}))


NESTED = b"\x91" * 1_000_000
FRAMES = {
    "a million nested arrays": NESTED,
    "nested maps": b"\x81\xa1a" * 300_000,
    "nested in a field": b"\x95\xa3Ask\x01\xa5query" + NESTED,
    "an array that says four thousand million": b"\xdd\xff\xff\xff\xff",
    "bytes that say four thousand million": b"\x92\xa5Hello\xc6\xff\xff\xff\xff",
    "nothing": b"",
    "no frame": b"\xc0",
    "a frame nobody knows": b"\x91\xa4Evil",
    "a batch before anything was asked": b"\x98\xa5Batch\x01\x01\x00\xc4\x00\xc4\x00\xc4\x00\xc4\x00",
}


@pytest.mark.parametrize("greeted", [False, True], ids=["first", "after Hello"])
@pytest.mark.parametrize("name", FRAMES)
def test_a_peer_that_sends_nonsense_is_told_goodbye(
    name: str, greeted: bool, stranger: Attacker, at_worker: Attacker
) -> None:
    for attacked, path, role in ((stranger, "/api/link", "worker"), (at_worker, "/link", "hub")):
        with attacked.websocket(path) as connection:
            first = frame(BINARY, hello(role)) if greeted else b""
            connection.sendall(first + frame(BINARY, FRAMES[name]))
            frames = [decode(data) for kind, data in messages(connection) if kind == BINARY]
            assert isinstance(frames[-1], Bye), frames
            assert frames[-1].code in ("frame", "protocol", "order", "unknown"), frames[-1]


def test_a_peer_of_another_version_is_told_so(stranger: Attacker, at_worker: Attacker) -> None:
    for attacked, path, role in ((stranger, "/api/link", "worker"), (at_worker, "/link", "hub")):
        with attacked.websocket(path) as connection:
            connection.sendall(frame(BINARY, hello(role).replace(b"Hello\x01", b"Hello\x02")))
            frames = [decode(data) for kind, data in messages(connection) if kind == BINARY]
            assert isinstance(frames[-1], Bye) and frames[-1].code == "version", frames


@pytest.mark.parametrize("path", ["/api/link", "/link"])
def test_a_peer_that_sends_64_mib_is_cut_off(path: str, stranger: Attacker, at_worker: Attacker) -> None:
    attacked, role = (stranger, "worker") if path == "/api/link" else (at_worker, "hub")
    with attacked.websocket(path) as connection:
        connection.settimeout(5)
        connection.sendall(frame(BINARY, hello(role)))
        assert send_much(connection, frame(BINARY, b"", says=64 * MIB), 64 * MIB) < 32 * MIB


def test_nobody_takes_the_place_of_a_worker_that_is_there(cluster: Cluster, stranger: Attacker) -> None:
    with stranger.websocket("/api/link") as connection:
        connection.sendall(frame(BINARY, hello("worker", "n1")))
        frames = [decode(data) for kind, data in messages(connection) if kind == BINARY]
        assert isinstance(frames[-1], Bye) and frames[-1].code == "name", frames
    assert b'"n1"' in stranger.ask("GET", "/api/workers", BEARER).body


# Time


@pytest.mark.parametrize("at", ["hub", "worker"])
def test_slowloris(at: str, cluster: Cluster, stranger: Attacker, at_worker: Attacker) -> None:
    """Heads that come a byte at a time: others are served meanwhile, and soon those connections are gone."""
    attacked = stranger if at == "hub" else at_worker
    beginning = f"GET /healthz HTTP/1.1\r\nHost: {attacked.host}\r\nX: ".encode()
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(attacked.connect(beginning))) for _ in range(100)]
        for one in slow:
            one.setblocking(False)

        def gone() -> bool:
            for one in list(slow):
                try:
                    one.send(b"x")
                    if one.recv(1000) == b"":
                        slow.remove(one)
                except BlockingIOError:
                    pass
                except OSError:
                    slow.remove(one)
            time.sleep(0.2)
            return not slow

        assert not gone()
        assert Attacker(cluster, "n1a", attacked.to).ask("GET", "/healthz").status in (200, 400, 404, 405, 426)
        until(gone, "slow connections to be closed")


def test_one_address_cannot_take_all_connections(cluster: Cluster, stranger: Attacker) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(closing(stranger.connect())) for _ in range(300)]
        until(lambda: sum(is_closed(one) for one in held) >= 50, "connections beyond the bound to be closed")
        assert sum(is_closed(one) for one in held) < 100
        assert Attacker(cluster, "n1a", stranger.to).ask("GET", "/healthz").status == 200


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_requests_of_one_address_are_slowed_down(cluster: Cluster, hub: Program) -> None:
    attacker = Attacker(cluster, "n2a", (cluster.bed.address(HUB), DOOR))
    # All at once: who waits for each answer may be slower than what is allowed.
    asked = [request("GET", "/healthz", attacker.host)] * 999
    asked.append(request("GET", "/healthz", attacker.host, {"Connection": "close"}))
    with attacker.connect(b"".join(asked)) as connection, connection.makefile("rb") as answers:
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answers.read())
    assert statuses[:100] == [b"200"] * 100 and b"429" in statuses
    assert Attacker(cluster, "n1a", attacker.to).ask("GET", "/healthz").status == 200


# Addresses


@pytest.fixture
def trap(cluster: Cluster) -> Iterator[socket.socket]:
    """A service inside the cluster that nobody told the hub of."""
    with cluster.bed.listen("n2", PRIVATE) as listener:
        listener.setblocking(False)
        yield listener


def test_no_parameter_makes_the_hub_dial(cluster: Cluster, stranger: Attacker, trap: socket.socket) -> None:
    """Server-side request forgery, through every parameter that could be taken for an address."""
    there = f"{cluster.bed.address('n2')}:{PRIVATE}"
    fields = {**BEARER, "Content-Type": "application/json"}
    allowed, host = f"{cluster.bed.address('n1a')}:80", there.partition(":")[0]
    spellings = [
        there, f"http://{there}/", f"//{there}", f"{allowed}@{there}", f"{allowed}#@{there}", f"{allowed},{there}",
        f"{allowed}\r\nHost: {there}", f"[::ffff:{host}]:{PRIVATE}", f"0x0a4d0002:{PRIVATE}", f"{there}\0{allowed}",
    ]  # fmt: skip
    statuses = set()
    for one in spellings:
        for id in ("n1.0123456789abcdef.0", one):
            body = as_json({"id": id, "target": one, "count": 1})
            statuses.add(stranger.ask("POST", "/api/replay", fields, body).status)
        for name in ("workers", "worker", "hub", "hubs", "url", "target", "targets", "names"):
            for value in (one, [one], {"address": one}):
                statuses.add(stranger.ask("PATCH", "/api/config", fields, as_json({name: value})).status)
        for method in ("POST", "PUT", "PATCH"):
            for path in ("/api/targets", "/api/workers"):
                statuses.add(stranger.ask(method, path, fields, as_json({"targets": [one], "worker": one})).status)
        with stranger.websocket("/api/entries") as connection:
            connection.sendall(frame(TEXT, as_json({"nodes": [one], "follow": False})))
            assert messages(connection, 1)
        time.sleep(0.3)  # a request's rate is bounded
    for path in (
        f"/api/pcap?node={there}",
        f"/api/services?node={there}",
        f"/api/entries/{there}",
        f"/?url=http://{there}/",
    ):
        statuses.add(stranger.ask("GET", path, BEARER).status)
    statuses.add(stranger.ask("GET", f"http://{there}/", BEARER).status)
    statuses.add(stranger.ask("CONNECT", there, BEARER).status)
    statuses.add(
        stranger.ask("GET", "/api/workers", {**BEARER, "X-Forwarded-Host": there, "Forwarded": f"host={there}"}).status
    )
    assert not {500, 502, 504} & statuses, statuses
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_a_worker_cannot_make_the_hub_dial(cluster: Cluster, stranger: Attacker, trap: socket.socket) -> None:
    there = f"{cluster.bed.address('n2')}:{PRIVATE}"
    info: dict[str, object] = {"address": there, "url": f"http://{there}", "hub": there, "workers": [there]}
    with stranger.websocket("/api/link") as connection:
        said = Hello(1, "worker", "guest", "fedcba9876543210", there, info)
        connection.sendall(frame(BINARY, encode(said)))
        until(lambda: b"guest" in stranger.ask("GET", "/api/workers", BEARER).body, "the worker to be known")
    until(lambda: b'"away"' in stranger.ask("GET", "/api/workers", BEARER).body, "the worker to be away")
    with pytest.raises(BlockingIOError):
        trap.accept()
