"""Secrets pass between processes through memory, and never through a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysniff.secret_ring import RingReader, SecretRing, Told
from pysniff.secrets import Secret

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memfd_create(2) here")


def secret(number: int, label: str = "CLIENT_TRAFFIC_SECRET_0", size: int = 32) -> Told:
    return Told(Secret(label, number.to_bytes(32, "big"), number.to_bytes(size, "little")), number)


@pytest.fixture
def ring() -> Iterator[SecretRing]:
    ring = SecretRing(size=4096)
    yield ring
    ring.close()


def test_what_one_puts_in_every_reader_takes_once(ring: SecretRing) -> None:
    one, other = RingReader(ring.fd, 4096), RingReader(ring.fd, 4096)
    ring.put([secret(1), secret(2, "CLIENT_RANDOM", 48)])
    assert one.told() == [secret(1), secret(2, "CLIENT_RANDOM", 48)]
    ring.put([secret(3)])
    assert one.take() == [secret(3).secret]
    assert one.take() == []
    assert len(other.take()) == 3


def test_the_oldest_go_and_who_was_slow_is_told_so(ring: SecretRing) -> None:
    slow, quick = RingReader(ring.fd, 4096), RingReader(ring.fd, 4096)
    seen: list[Told] = []
    for number in range(1000):
        ring.put([secret(number)])
        seen += quick.told()
    assert seen == [secret(number) for number in range(1000)]
    assert quick.missed == 0
    left = slow.told()
    assert left == [secret(number) for number in range(1000 - len(left), 1000)]
    assert 20 < len(left) < 60
    assert slow.missed > 0


def test_another_writer_goes_on_with_it(ring: SecretRing) -> None:
    ring.put(secret(number) for number in range(100))
    reader = RingReader(ring.fd, 4096)
    before = reader.told()
    again = SecretRing(ring.fd, 4096)
    again.put(secret(number) for number in range(100, 130))
    assert reader.told() == [secret(number) for number in range(100, 130)]
    late = RingReader(ring.fd, 4096).told()
    assert late == (before + [secret(number) for number in range(100, 130)])[-len(late) :]


def test_what_is_no_secret_is_counted_and_left_out(ring: SecretRing) -> None:
    strange = [
        Told(Secret("CLIENT_RANDOM", b"short", b"x"), 1),
        Told(Secret("", bytes(32), b"x"), 1),
        Told(Secret("A" * 64, bytes(32), b"x"), 1),
        Told(Secret("CLIENT_RANDOM", bytes(32), bytes(600)), 1),
        Told(Secret("CLIENT_RANDOM", bytes(32), b""), 1),
    ]
    assert ring.put([*strange, secret(1)]) == len(strange)
    assert RingReader(ring.fd, 4096).told() == [secret(1)]


def test_a_ring_that_is_none_gives_nothing() -> None:
    fd = os.memfd_create("garbage")
    try:
        for garbage in (b"", b"\0" * 100, b"PSSR0001" + b"\xff" * 100, os.urandom(4096)):
            os.ftruncate(fd, 0)
            os.pwrite(fd, garbage, 0)
            assert RingReader(fd, 4096).take() == []
    finally:
        os.close(fd)


def test_another_process_reads_what_it_inherits(ring: SecretRing) -> None:
    ring.put([secret(7)])
    program = f"""
from pysniff.secret_ring import RingReader
(told,) = RingReader({ring.fd}, 4096).told()
print(told.pid, told.secret.random[-1])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], pass_fds=(ring.fd,), capture_output=True, text=True, check=True
    )
    assert done.stdout == "7 7\n"


def test_a_reader_beside_a_writer_never_sees_half_a_secret(ring: SecretRing) -> None:
    """A process writes as fast as it can while this one reads: what comes is whole, and in order."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pysniff.secret_ring import SecretRing
from test_secret_ring import secret
ring = SecretRing({ring.fd}, 4096)
for number in range(20000):
    ring.put([secret(number)])
"""
    reader, last = RingReader(ring.fd, 4096), -1
    with subprocess.Popen([sys.executable, "-c", program], pass_fds=(ring.fd,)) as process:
        over = False
        while not over:
            over = process.poll() is not None
            for told in reader.told():
                assert told == secret(told.pid)
                assert told.pid > last
                last = told.pid
    assert process.returncode == 0
    assert last == 19_999
