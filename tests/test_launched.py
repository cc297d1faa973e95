"""Which packets are a command's: owners, looking at sockets, and what waits until somebody can say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netns import until
from wire import Wire

from pysniff.capture import Idle
from pysniff.launched import belonging as belonging_module
from pysniff.launched.belonging import Belonging
from pysniff.launched.command import Command, NotStarted, PassingOn
from pysniff.launched.control_group import ControlGroup
from pysniff.launched.family import Family
from pysniff.launched.key_folder import KeyFolder
from pysniff.launched.owners import TCP, UDP, Owner
from pysniff.launched.socket_tables import children, open_sockets, sockets
from pysniff.limits import SECOND
from pysniff.message import CLIENT, SERVER
from pysniff.packet import Block, Packet

# Packets let through, in order


class Told:
    """Owners that say what they are told, by the client's port; and UNKNOWN of everybody else."""

    patience = SECOND

    def __init__(self, *, guesses: bool = True, **owners: Owner) -> None:
        self.guesses = guesses
        self.owners = {int(name[1:]): owner for name, owner in owners.items()}
        self.asked = 0
        self.idle: set[int] = set()

    def owner(self, protocol: int, key: bytes) -> Owner:
        self.asked += 1
        ports = {int.from_bytes(key[-4:-2], "big"), int.from_bytes(key[-2:], "big")}
        return next((self.owners[port] for port in ports if port in self.owners), Owner.UNKNOWN)

    def was_idle(self, at: int) -> bool:
        return at in self.idle

    def close(self) -> None:
        pass


def let_through(belonging: Belonging, *items: Packet | Idle) -> list[Packet]:
    found: list[Packet] = []
    for item in items:
        block = Block.of(item) if isinstance(item, Packet) else item
        for passed in belonging.pass_on(block):
            if isinstance(passed, Block):
                found += passed.packets()
    return found


def rest(belonging: Belonging) -> list[Packet]:
    return [packet for block in belonging.rest() for packet in block.packets()]


def test_packets_of_ours_go_on_and_others_are_counted() -> None:
    ours, others = Wire(sport=1001), Wire(sport=1002)
    belonging = Belonging(Told(p1001=Owner.OURS, p1002=Owner.OTHERS))
    first, strange = ours.handshake(), others.handshake()
    assert let_through(belonging, *first, *strange) == first
    assert belonging.others == len(strange)
    assert belonging.guessed == belonging.unknown == 0


def test_what_nobody_can_tell_yet_waits_and_what_is_behind_it_too() -> None:
    late, ours = Wire(sport=1001), Wire(sport=1002)
    told = Told(p1002=Owner.OURS)
    belonging = Belonging(told)
    packets = [late.send(CLIENT, b"a"), ours.send(CLIENT, b"b"), late.send(CLIENT, b"c")]
    assert let_through(belonging, *packets) == []
    told.owners[1001] = Owner.OURS
    assert let_through(belonging, Idle(packets[-1].time_ns)) == packets


def test_idle_does_not_say_more_than_holds_for_what_waits() -> None:
    wire = Wire(sport=1001)
    belonging = Belonging(Told())
    packet = wire.send(CLIENT, b"a")
    let_through(belonging, packet)
    (idle,) = belonging.pass_on(Idle(packet.time_ns + SECOND // 2))
    assert isinstance(idle, Idle)
    assert idle.time_ns < packet.time_ns


def test_what_was_over_before_anybody_could_tell_is_let_through_and_counted() -> None:
    short, goes_on = Wire(sport=1001), Wire(sport=1002)
    belonging = Belonging(Told())
    packets = [*short.handshake(), short.send(CLIENT, b"x"), *short.farewell()]
    others = goes_on.handshake()
    assert let_through(belonging, *packets, *others) == []
    assert let_through(belonging, Idle(others[-1].time_ns + 2 * SECOND)) == packets
    assert (belonging.guessed, belonging.unknown, belonging.others) == (1, 1, len(others))


def test_what_began_while_the_command_did_nothing_is_not_its_own() -> None:
    short = Wire(sport=1001)
    told = Told()
    belonging = Belonging(told)
    packets = [*short.handshake(), *short.farewell()]
    told.idle.add(packets[0].time_ns)
    assert let_through(belonging, *packets) == []
    assert (belonging.guessed, belonging.unknown, belonging.others) == (0, 0, len(packets))


def test_where_the_kernel_says_it_nothing_is_guessed() -> None:
    wire = Wire(sport=1001)
    belonging = Belonging(Told(guesses=False))
    packets = [*wire.handshake(), *wire.farewell()]
    assert let_through(belonging, *packets, Idle(10 * SECOND)) == []
    assert (belonging.guessed, belonging.unknown, belonging.others) == (0, 0, len(packets))


def test_a_conversation_is_asked_about_once_and_again_with_a_new_syn() -> None:
    wire = Wire(sport=1001)
    told = Told(p1001=Owner.OTHERS)
    belonging = Belonging(told)
    let_through(belonging, *wire.handshake(), *(wire.send(SERVER, b"x") for _ in range(50)))
    assert told.asked == 1
    told.owners[1001] = Owner.OURS
    again = Wire(sport=1001, now=wire.now).handshake()
    assert let_through(belonging, *again) == again


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(belonging_module, "_WAITING_PACKETS", 10)
    wire, ours = Wire(sport=1001), Wire(sport=1002)
    belonging = Belonging(Told(p1002=Owner.OURS))
    waiting = [wire.send(CLIENT, b"a")]
    mine = [ours.send(CLIENT, b"x") for _ in range(12)]
    assert let_through(belonging, *waiting, *mine) == mine
    assert belonging.unknown == 1


def test_the_rest_is_decided_at_the_end() -> None:
    wire = Wire(sport=1001)
    told = Told()
    belonging = Belonging(told)
    packets = wire.handshake()
    assert let_through(belonging, *packets) == []
    told.owners[1001] = Owner.OURS
    assert rest(belonging) == packets


def test_what_is_neither_tcp_nor_udp_is_nobodys() -> None:
    arp = Packet(b"\xff" * 12 + b"\x08\x06" + bytes(46), SECOND, 60)
    belonging = Belonging(Told())
    assert let_through(belonging, arp, Packet(b"\0", SECOND, 1), Packet(b"", SECOND, 0)) == []
    assert belonging.others == 3


# Looking at sockets


def key_of(one: tuple[str, int], other: tuple[str, int]) -> bytes:
    family = socket.AF_INET6 if ":" in one[0] else socket.AF_INET
    ends = [socket.inet_pton(family, end[0]) for end in (one, other)]
    return b"".join(ends) + b"".join(end[1].to_bytes(2, "big") for end in (one, other))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_tables_have_both_ends_of_a_connection(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()[:2]) as client, listening.accept()[0] as served:
            numbers = {os.fstat(one.fileno()).st_ino for one in (listening, client, served)}
            found = {one.number: one for one in sockets()}
            assert numbers <= open_sockets(os.getpid())
            here = found[os.fstat(client.fileno()).st_ino]
            assert (here.protocol, here.port, here.peer_port) == (
                TCP,
                client.getsockname()[1],
                listening.getsockname()[1],
            )
            assert here.address == here.peer == socket.inet_pton(family, address)
            assert found[os.fstat(listening.fileno()).st_ino].peer == b""


def test_processes_that_are_gone_have_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert children(gone.pid) == []
    assert open_sockets(gone.pid) == set()
    assert list(sockets(gone.pid)) == []


# Says what its connection is, and holds it until its input ends; a grandchild does the same when told to.
TALKER = """
import socket, subprocess, sys
host, port, depth = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if depth:
    raise SystemExit(subprocess.call([sys.executable, "-c", sys.argv[4], host, str(port), str(depth - 1), sys.argv[4]]))
with socket.create_connection((host, port)) as mine, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    datagrams.bind(("127.0.0.1", 0))
    print(mine.getsockname()[1], datagrams.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@contextmanager
def family(**options: object) -> Iterator[Family]:
    found = Family(**options)  # type: ignore[arg-type]
    found.start()
    try:
        yield found
    finally:
        found.close()


@contextmanager
def talking(port: int, depth: int = 0) -> Iterator[tuple[int, int]]:
    """A child, or its child, that is connected there: its ports of TCP and UDP."""
    arguments = [sys.executable, "-c", TALKER, "127.0.0.1", str(port), str(depth), TALKER]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        tcp, udp = map(int, process.stdout.readline().split())
        yield tcp, udp
        process.communicate()


@pytest.fixture
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, server.getsockname()[1]


@pytest.mark.parametrize("depth", [0, 2])
def test_connections_of_children_and_of_theirs_are_ours(listening: tuple[socket.socket, int], depth: int) -> None:
    port = listening[1]
    with family(strangers=children(os.getpid())) as looking, talking(port, depth) as (tcp, udp):
        one, other = ("127.0.0.1", tcp), ("127.0.0.1", port)
        for key in (key_of(one, other), key_of(other, one)):
            until(lambda key=key: looking.owner(TCP, key) is Owner.OURS)  # type: ignore[misc]
        until(lambda: looking.owner(UDP, key_of(("127.0.0.1", udp), ("127.0.0.1", 53))) is Owner.OURS)


def test_connections_of_others_are_theirs(listening: tuple[socket.socket, int]) -> None:
    server, port = listening
    with socket.create_connection(("127.0.0.1", port)) as mine, server.accept()[0]:
        key = key_of(mine.getsockname(), ("127.0.0.1", port))
        with family() as looking:
            until(lambda: looking.owner(TCP, key) is Owner.OTHERS)
        with talking(port) as (tcp, _), family(strangers=children(os.getpid())) as looking, server.accept()[0]:
            theirs = key_of(("127.0.0.1", tcp), ("127.0.0.1", port))
            until(lambda: looking.owner(TCP, theirs) is Owner.OTHERS)


def test_a_connection_stays_ours_when_it_is_closed(listening: tuple[socket.socket, int]) -> None:
    with family(strangers=children(os.getpid())) as looking:
        with talking(listening[1]) as (tcp, _):
            key = key_of(("127.0.0.1", tcp), ("127.0.0.1", listening[1]))
            until(lambda: looking.owner(TCP, key) is Owner.OURS)
        assert looking.owner(TCP, key) is Owner.OURS


def test_whether_the_family_ran_is_known() -> None:
    with family(strangers=children(os.getpid())) as looking:
        spin = "import sys, time\nwhile sys.stdin.readline(): print(time.time_ns(), sum(range(10_000)), flush=True)"
        with subprocess.Popen(
            [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as one:
            assert one.stdin is not None
            assert one.stdout is not None
            for _ in range(5):
                one.stdin.write("\n")
                one.stdin.flush()
                ran = int(one.stdout.readline().split()[0])
                until(lambda: looking.was_idle(time.time_ns() - SECOND // 5))
                assert not looking.was_idle(ran)
            one.stdin.close()


def test_of_what_nobody_has_open_nobody_knows() -> None:
    key = key_of(("127.0.0.1", 1), ("127.0.0.1", 2))
    with family() as looking:
        looks: list[Owner] = []

        def asked_often() -> bool:
            looks.append(looking.owner(TCP, key))
            return len(looks) > 20

        until(asked_often)
    assert set(looks) == {Owner.UNKNOWN}


# What the kernel notes


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    try:
        made = ControlGroup()
    except OSError as error:
        if os.environ.get("PYSNIFF_REQUIRE_EBPF") == "1":
            raise
        pytest.skip(f"no control group with a program: {error}")
    yield made
    made.close()
    assert not Path(made.path).exists()


def test_the_kernel_says_which_connections_are_of_the_group(
    group: ControlGroup, listening: tuple[socket.socket, int]
) -> None:
    server, port = listening
    connect = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); print(s.getsockname()[1])"
    with group.joined():
        inside = subprocess.Popen([sys.executable, "-c", connect], stdout=subprocess.PIPE, text=True)
    outside = subprocess.run([sys.executable, "-c", connect], capture_output=True, text=True, check=True)
    said, _ = inside.communicate(timeout=60)
    for _ in range(2):
        server.accept()[0].close()
    ours, theirs = (key_of(("127.0.0.1", int(port_)), ("127.0.0.1", port)) for port_ in (said, outside.stdout))
    assert group.owner(TCP, ours) is Owner.OURS  # though it is over
    assert group.owner(TCP, theirs) is Owner.UNKNOWN


def test_the_kernel_says_it_of_ipv6_and_of_datagrams(group: ControlGroup) -> None:
    send = """
import socket
for family, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"", (address, 9))
        print(datagrams.getsockname()[1])
"""
    with group.joined():
        done = subprocess.Popen([sys.executable, "-c", send], stdout=subprocess.PIPE, text=True)
    six, four = map(int, done.communicate(timeout=60)[0].split())
    assert group.owner(UDP, key_of(("::1", six), ("::1", 9))) is Owner.OURS
    assert group.owner(UDP, key_of(("127.0.0.1", 9), ("127.0.0.1", four))) is Owner.OURS


def test_what_goes_on_is_taken_out_of_the_group_at_its_end(group: ControlGroup) -> None:
    with group.joined():
        sleeping = subprocess.Popen(["sleep", "600"])
    try:
        group.close()
        assert not Path(group.path).exists()
        assert sleeping.poll() is None
    finally:
        sleeping.kill()
        sleeping.wait()


# The command and its key log


def test_the_folder_of_secrets_is_private_and_goes(tmp_path: Path) -> None:
    with KeyFolder() as keys:
        path = Path(keys.path)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        given = keys.environment({"NODE_OPTIONS": "--no-warnings", "HOME": "/"})
        assert given == {
            "SSLKEYLOGFILE": keys.path,
            "NODE_OPTIONS": f"--no-warnings --tls-keylog={keys.path}",
            "HOME": "/",
        }
    assert not path.parent.exists()


def test_the_folder_of_secrets_goes_when_we_are_killed() -> None:
    program = (
        "from pysniff.launched.key_folder import KeyFolder; import time; print(KeyFolder().path, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parent
        assert folder.exists()
        process.kill()
    until(lambda: not folder.exists())


@pytest.mark.parametrize(
    ("words", "code"), [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill $$"], 143)]
)
def test_the_exit_code_is_the_commands(words: list[str], code: int) -> None:
    assert Command(words, os.environ).wait() == code


def test_what_cannot_be_started_has_the_exit_code_of_shells(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    for words, code in (([str(tmp_path / "none")], 127), ([str(tmp_path / "text")], 126), ([str(tmp_path)], 126)):
        with pytest.raises(NotStarted) as refused:
            Command(words, os.environ)
        assert refused.value.exit_code == code


def test_a_signal_that_comes_before_the_command_reaches_it() -> None:
    with PassingOn() as signals:
        signal.raise_signal(signal.SIGTERM)
        command = Command(["sleep", "600"], os.environ)
        signals.to(command)
        assert command.wait() == 128 + signal.SIGTERM
