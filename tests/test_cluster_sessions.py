"""One answer between a worker and a hub without a network: credit, order, resume, heartbeats, backoff."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import cast

from cluster_links import Unconnected, worker_hello
from hypothesis import given
from hypothesis import strategies as st

from pysniff.cluster.frames import Credit, End, Resume, Resumed, Value, decode, encode
from pysniff.cluster.handshake import Ending
from pysniff.cluster.incoming import ACK_BYTES, ACK_FRAMES, Incoming, Violation
from pysniff.cluster.known_worker import Worker
from pysniff.cluster.link import Link
from pysniff.cluster.outgoing import CREDIT, Outgoing
from pysniff.cluster.pace import Backoff, Heartbeat, Pace


def frame(seq: int, size: int = 100) -> bytes:
    bare = len(encode(Value(1, seq, {"": b""})))
    return encode(Value(1, seq, {"": bytes(size - bare)}))


def last(seq: int) -> bytes:
    return encode(End(1, seq, {}))


def refused(incoming: Incoming, seq: int, size: int) -> str:
    try:
        incoming.received(seq, size, last=False)
    except Violation as violation:
        return violation.code
    return ""


# The worker's side


def test_an_answer_is_pulled_while_there_is_credit() -> None:
    answer = Outgoing(250)
    sent = []
    for seq in (1, 2, 3):
        assert answer.wants()
        answer.add(frame(seq))
        assert not answer.wants()  # before it is sent
        sent.append(answer.take())
    assert sent == [frame(1), frame(2), frame(3)]
    assert answer.credit == -50
    assert not answer.wants()
    assert answer.grant(50, 3)
    assert not answer.wants()
    assert answer.grant(1, 3)
    assert answer.wants()


def test_frames_are_kept_until_they_are_acknowledged() -> None:
    answer = Outgoing(1000)
    for seq in (1, 2, 3):
        answer.add(frame(seq))
        answer.take()
    assert answer.kept == 300
    assert answer.grant(0, 2)
    assert answer.kept == 100
    assert answer.grant(0, 1)  # late, and says nothing new
    assert answer.kept == 100


def test_an_answer_is_done_when_the_hub_has_its_last_frame() -> None:
    answer = Outgoing(1000)
    answer.add(last(1))
    assert answer.over
    assert not answer.wants()
    answer.take()
    assert not answer.done
    assert answer.grant(0, 1)
    assert answer.done


def test_an_answer_goes_on_behind_what_the_hub_has() -> None:
    answer = Outgoing(1000)
    for seq in (1, 2, 3):
        answer.add(frame(seq))
        answer.take()
    assert answer.resume(1, 150)
    assert [answer.take(), answer.take(), answer.take()] == [frame(2), frame(3), None]
    assert answer.credit == -50


def test_what_was_acknowledged_cannot_be_resumed() -> None:
    answer = Outgoing(1000)
    for seq in (1, 2, 3):
        answer.add(frame(seq))
        answer.take()
    answer.grant(0, 2)
    assert not answer.resume(1, 1000)
    assert not answer.resume(4, 1000)
    assert answer.resume(2, 1000)


def test_a_hub_cannot_make_a_worker_keep_more_than_it_asked_for() -> None:
    answer = Outgoing(1 << 31)
    assert answer.credit == CREDIT
    answer.grant(1 << 31, 0)
    assert answer.credit == CREDIT
    answer.resume(0, 1 << 31)
    assert answer.credit == CREDIT


def test_a_hub_that_grants_and_never_acknowledges_gets_the_window_alone() -> None:
    answer = Outgoing(250)
    for seq in (1, 2, 3):
        assert answer.wants()
        answer.add(frame(seq))
        answer.take()
        assert answer.grant(250, 0)
    assert not answer.wants()
    assert answer.grant(0, 1)
    assert answer.wants()


def test_frames_that_were_not_sent_cannot_be_acknowledged() -> None:
    answer = Outgoing(1000)
    answer.add(frame(1))
    assert not answer.grant(0, 1)
    answer.take()
    assert answer.grant(0, 1)


# The hub's side


def test_credit_is_given_in_quarters_of_the_window() -> None:
    answer = Incoming(1, 1000)
    for seq in (1, 2, 3):
        answer.received(seq, 100, last=False)
        answer.grant(100)
        said = answer.credit()
        assert said == (Credit(1, 300, 3) if seq == 3 else None)
    assert answer.left == 1000


def test_what_comes_is_acknowledged_though_nobody_uses_it() -> None:
    answer = Incoming(1, CREDIT)
    for seq in range(1, ACK_FRAMES):
        answer.received(seq, 1, last=False)
        assert answer.credit() is None
    answer.received(ACK_FRAMES, 1, last=False)
    assert answer.credit() == Credit(1, 0, ACK_FRAMES)
    answer.received(ACK_FRAMES + 1, ACK_BYTES, last=False)
    assert answer.credit() == Credit(1, 0, ACK_FRAMES + 1)


def test_the_last_frame_is_acknowledged_at_once() -> None:
    answer = Incoming(1, 1000)
    answer.received(1, 10, last=True)
    assert answer.credit() == Credit(1, 0, 1)
    assert answer.credit() is None


def test_frames_out_of_order_are_a_violation() -> None:
    answer = Incoming(1, 1000)
    answer.received(1, 10, last=False)
    assert refused(answer, 1, 10) == "order"
    assert refused(answer, 3, 10) == "order"
    answer.received(2, 10, last=True)
    assert refused(answer, 3, 10) == "order"


def test_frames_beyond_the_credit_are_a_violation() -> None:
    answer = Incoming(1, 100)
    answer.received(1, 99, last=False)
    answer.received(2, 500, last=False)
    assert refused(answer, 3, 1) == "credit"


def test_more_than_was_received_cannot_be_granted() -> None:
    answer = Incoming(1, 1000)
    answer.received(1, 400, last=False)
    answer.grant(1_000_000)
    assert answer.credit() == Credit(1, 400, 1)
    assert answer.left == 1000


def test_a_resume_says_what_is_left() -> None:
    answer = Incoming(1, 1000)
    answer.received(1, 600, last=False)
    answer.grant(100)
    assert answer.resume() == Resume(1, 1, 500)
    answer.received(2, 700, last=False)
    assert answer.resume() == Resume(1, 2, 0)
    answer.grant(700)
    assert answer.credit() == Credit(1, 700, 2)


# Both


@given(
    st.integers(60, 2000),
    st.lists(st.integers(60, 900), max_size=30),
    st.lists(st.sampled_from(("send", "send", "send", "arrive", "arrive", "use", "hear", "cut")), max_size=300),
)
def test_whatever_is_cut_each_frame_arrives_once_in_order(window: int, sizes: list[int], steps: list[str]) -> None:
    """Frames and credits are on their way, and lost with a connection; nothing else is."""
    frames = [frame(seq, size) for seq, size in enumerate(sizes, 1)] + [last(len(sizes) + 1)]
    worker, hub = Outgoing(window), Incoming(1, window)
    to_hub: list[bytes] = []
    to_worker: list[Credit] = []
    arrived: list[bytes] = []
    used = 0

    def step(what: str) -> None:
        nonlocal used
        if what == "send":
            if worker.wants():
                worker.add(frames[worker.pulled])
            data = worker.take()
            if data is not None:
                to_hub.append(data)
            assert worker.kept <= window + 900 + 100
        elif what == "arrive" and to_hub:
            data = to_hub.pop(0)
            got = decode(data)
            assert isinstance(got, Value | End)
            hub.received(got.seq, len(data), last=isinstance(got, End))
            arrived.append(data)
        elif what == "use" and used < len(arrived):
            hub.grant(len(arrived[used]))
            used += 1
        elif what == "hear" and to_worker:
            credit = to_worker.pop(0)
            assert worker.grant(credit.size, credit.seq)
        elif what == "cut":
            to_hub.clear()
            to_worker.clear()
            if not worker.done:
                resume = hub.resume()
                if len(arrived) < len(frames):
                    assert worker.resume(resume.seq, resume.credit)
        if what != "cut" and (credit_due := hub.credit()) is not None:
            to_worker.append(credit_due)

    for what in steps:
        step(what)
    for _ in range(4 * len(frames)):
        for what in ("send", "arrive", "use", "hear"):
            step(what)
    assert arrived == frames


def test_credit_given_while_a_worker_comes_back_reaches_it() -> None:
    async def run() -> None:
        worker = Worker("w", count(1), Counter(), lambda _: None)
        first, second, hello = Unconnected(), Unconnected(), worker_hello()
        worker.attach(cast(Link, first), hello)
        asked = worker.ask("query", {}, 100)
        worker.receive(Value(1, 1, {}), 120)
        first.end("lost", "")
        worker.detach(cast(Link, first), Ending("lost", ""))
        worker.attach(cast(Link, second), hello)
        assert await anext(asked) == Value(1, 1, {})
        asked.grant()
        assert second.said == [Resume(1, 1, 0)]
        worker.receive(Resumed(1), 10)
        assert second.said == [Resume(1, 1, 0), Credit(1, 100, 1)]

    asyncio.run(run())


# Time


def test_a_ping_is_due_when_nothing_was_sent() -> None:
    beat = Heartbeat(Pace(beat=5, silence=15), 100.0)
    assert beat.ping(104.9) is None
    assert beat.ping(105.0) == 1
    assert beat.ping(105.1) is None
    beat.sent(108.0)
    assert beat.ping(110.0) is None
    assert beat.ping(113.0) == 2


def test_silence_is_death() -> None:
    beat = Heartbeat(Pace(beat=5, silence=15, message=60), 100.0)
    assert not beat.is_dead(114.9)
    assert beat.is_dead(115.0)
    beat.heard(115.0)
    assert not beat.is_dead(129.9)


def test_a_long_message_is_no_silence_for_a_while() -> None:
    beat = Heartbeat(Pace(beat=5, silence=15, message=60), 100.0)
    for second in range(101, 160):
        beat.arriving(float(second))
        assert not beat.is_dead(float(second))
    beat.arriving(160.0)
    assert beat.is_dead(160.0)


def test_waits_are_doubled_up_to_the_last_and_begin_anew_after_a_good_connection() -> None:
    backoff = Backoff(Pace(first=0.2, last=30, settled=5), chance=lambda: 1.0)
    assert [backoff.wait() for _ in range(10)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    assert backoff.wait(lasted=4.9) == 30
    assert backoff.wait(lasted=5) == 0.2
    assert backoff.wait(refused=True) == 30


def test_waits_are_shortened_by_chance_so_that_not_all_come_at_once() -> None:
    assert Backoff(Pace(first=0.2), chance=lambda: 0.0).wait() == 0.1
    waits = {Backoff(Pace(first=0.2)).wait() for _ in range(100)}
    assert len(waits) > 50
    assert all(0.1 <= wait <= 0.2 for wait in waits)
