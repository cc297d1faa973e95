"""The hub's merge: entries of several workers in order of time, within a bound; and each call once."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from pysniff.cluster.hub.duplicates import Duplicates
from pysniff.cluster.hub.merge import Item, Merge
from pysniff.cluster.hub.told import Told
from pysniff.limits import SECOND


class Talk:
    """A merge of workers named by letters; entries are written as their times in tenths of a second."""

    def __init__(self, workers: str, **options: bool | int) -> None:
        self.merge = Merge(**options)  # type: ignore[arg-type]
        self.now = 0
        for worker in workers:
            self.merge.join(ord(worker))

    def says(self, worker: str, *times: float, until: float = 0) -> None:
        entries = [f"{worker}{time}".encode() for time in times]
        self.merge.add(
            ord(worker),
            [round(time * SECOND) for time in times],
            [0] * len(times),
            [len(entry) for entry in entries],
            b"".join(entries),
            round(until * SECOND),
            self.now,
        )

    def shown(self, seconds: float = 0) -> list[str]:
        self.now += round(seconds * SECOND)
        return [item[3].decode() for item in self.merge.release(self.now).items]

    def live(self, workers: str) -> None:
        for worker in workers:
            self.merge.caught_up(ord(worker))
        self.merge.release(self.now)


def test_an_entry_waits_until_everybody_has_promised_that_nothing_earlier_comes() -> None:
    talk = Talk("ab")
    talk.says("a", 1, 2, 5, until=6)
    assert talk.shown() == []
    talk.says("b", 1.5, until=3)
    assert talk.shown() == ["a1", "b1.5", "a2"]
    talk.says("b", until=5.5)
    assert talk.shown() == ["a5"]


def test_history_waits_for_a_worker_that_is_behind_however_long_it_takes() -> None:
    talk = Talk("ab")
    talk.says("a", 1, until=9)
    talk.live("a")
    assert talk.shown(3600) == []
    talk.merge.ended(ord("b"))
    assert talk.shown() == ["a1"]


def test_history_does_not_wait_for_a_worker_that_is_away_and_shows_later_what_it_brings() -> None:
    talk = Talk("ab")
    talk.says("a", 1, 2, until=3)
    talk.merge.away(ord("b"))
    assert talk.shown() == ["a1", "a2"]
    talk.merge.back(ord("b"))
    talk.says("b", 0.5, until=3)
    assert talk.shown() == ["b0.5"]
    assert talk.merge.late == 1


def test_a_new_entry_waits_for_a_second_at_most() -> None:
    talk = Talk("ab")
    talk.live("ab")
    talk.says("a", 10, until=10.1)
    assert talk.shown(0.9) == []
    talk.says("b", 9.9)
    talk.says("a", 10.5)
    assert talk.merge.due() == SECOND
    assert talk.shown(0.2) == ["b9.9", "a10"]  # what is earlier goes before it, though it came later
    assert talk.shown(0.7) == []
    assert talk.shown(0.2) == ["a10.5"]
    assert talk.merge.due() is None


def test_new_entries_beyond_the_bound_do_not_wait() -> None:
    talk = Talk("ab", most=10)
    talk.live("ab")
    for time in range(10, 20):
        talk.says("a", time, until=time)
    assert talk.shown() == [f"a{time}" for time in range(10, 17)]
    assert talk.merge.held_bytes == 9
    assert talk.merge.hurried == 7


def test_a_worker_that_promises_nothing_is_believed_before_it_runs_out_of_credit() -> None:
    talk = Talk("ab", share=20)
    talk.says("b", until=100)
    talk.says("a", *range(10, 20))
    assert talk.shown() == [f"a{time}" for time in range(10, 19)]


def test_the_newest_come_first_where_that_was_asked_for() -> None:
    talk = Talk("ab", newest_first=True)
    talk.says("a", 9, 7, 5, until=4)
    talk.says("b", 8, 6, until=6)
    assert talk.shown() == ["a9", "b8", "a7"]  # another one of 6 may come
    talk.merge.ended(ord("b"))
    assert talk.shown() == ["b6", "a5"]


def test_the_end_of_history_lets_everything_go_that_belongs_to_it() -> None:
    talk = Talk("ab")
    talk.says("a", 3, 1, 2, until=2.5)
    talk.merge.caught_up(ord("a"))
    assert talk.shown() == []
    talk.merge.caught_up(ord("b"))
    assert talk.shown() == ["a1", "a2", "a3"]
    assert talk.merge.live


@pytest.mark.parametrize("newest_first", [False, True])
def test_any_workers_in_any_order_give_everything_once_and_in_order(newest_first: bool) -> None:
    chance = random.Random(7)
    for _ in range(100):
        merge = Merge(newest_first=newest_first)
        streams = [sorted((chance.randrange(1000) for _ in range(50)), reverse=newest_first) for _ in range(3)]
        for source in range(3):
            merge.join(source)
        told: list[Item] = []
        at = [0, 0, 0]
        while any(at[source] < 50 for source in range(3)):
            source = chance.choice([one for one in range(3) if at[one] < 50])
            part = streams[source][at[source] : at[source] + chance.randrange(1, 9)]
            at[source] += len(part)
            step = -1 if newest_first else 1
            left = streams[source][at[source] : at[source] + 1]
            until = left[0] if left else part[-1] + step
            merge.add(source, part, part, [1] * len(part), b"." * len(part), until, 0)
            if not left:
                merge.ended(source)
            released = merge.release(0)
            assert sum(count for _, count in released.taken) == len(released.items)
            told += released.items
        keys = [item[0] for item in told]
        assert keys == sorted(keys)
        assert sorted(item[2] for item in told) == sorted(time for stream in streams for time in stream)
        assert merge.late == 0
        assert merge.held_bytes == 0


# Duplicates


class Nodes:
    """Calls seen on nodes: `saw("a", 7, 1.5)` is the number and nodes that a client is told, as far as it is told."""

    def __init__(self, **options: int) -> None:
        self.duplicates = Duplicates(**options)
        self.number = 100

    def saw(self, *calls: tuple[str, int, float]) -> list[str]:
        items: Sequence[Item] = [(round(at * SECOND), ord(node) - 97, call, b"") for node, call, at in calls]
        shown = self.duplicates.show(items, self.number)
        told = [f"{self.number + place}:{_letters(nodes)}" for place, nodes in enumerate(shown.nodes)]
        self.number += len(shown.nodes)
        return told + [f"also {number}:{_letters(nodes)}" for number, nodes in shown.also]


def _letters(nodes: int) -> str:
    return "".join(chr(97 + node) for node in range(26) if nodes >> node & 1)


def test_the_same_call_on_two_nodes_is_shown_once_with_both() -> None:
    assert Nodes().saw(("a", 7, 1), ("b", 7, 1.5), ("a", 8, 2)) == ["100:ab", "101:a"]


def test_a_copy_that_comes_later_is_told_by_the_number_of_the_first() -> None:
    nodes = Nodes()
    assert nodes.saw(("a", 7, 1)) == ["100:a"]
    assert nodes.saw(("b", 7, 1.1), ("c", 7, 1.2)) == ["also 100:b", "also 100:c"]
    assert nodes.duplicates.merged == 2


def test_a_call_repeated_on_one_node_is_shown_as_often() -> None:
    assert Nodes().saw(("a", 7, 1), ("a", 7, 1), ("a", 7, 1.1)) == ["100:a", "101:a", "102:a"]


def test_the_nth_on_one_node_is_the_nth_on_another() -> None:
    nodes = Nodes()
    assert nodes.saw(("a", 7, 1), ("a", 7, 1.1), ("b", 7, 1.2), ("a", 7, 1.3)) == ["100:ab", "101:a", "102:a"]
    assert nodes.saw(("b", 7, 1.4), ("b", 7, 1.5), ("b", 7, 1.6)) == ["103:b", "also 101:b", "also 102:b"]


def test_calls_further_apart_than_clocks_may_be_are_two() -> None:
    nodes = Nodes()
    assert nodes.saw(("a", 7, 1), ("b", 7, 3.1), ("a", 7, 3.2)) == ["100:a", "101:ab"]


def test_a_node_that_was_away_brings_copies_of_what_was_shown_long_ago() -> None:
    nodes = Nodes()
    nodes.saw(*[("a", at, at) for at in range(100)])
    assert nodes.saw(*[("b", at, at) for at in range(50, 100)]) == [f"also {at + 100}:b" for at in range(50, 100)]


def test_a_busy_connection_is_paired_by_rank_however_long_it_goes_on() -> None:
    nodes = Nodes()
    shown = []
    for at in range(500):
        shown += nodes.saw(*[("a", 7, at / 10 + part / 1000) for part in range(10)])
        shown += nodes.saw(*[("b", 7, at / 10 + part / 1000) for part in range(10)])
    assert sum(not one.startswith("also") for one in shown) == 5000
    assert nodes.duplicates.merged == 5000


def test_what_is_remembered_is_bounded_and_what_falls_out_early_is_counted() -> None:
    nodes = Nodes(most=1000)
    for at in range(10_000):
        nodes.saw(("a", at, at / 1000))
    assert len(nodes.duplicates) <= 1000
    assert len(nodes.duplicates) + nodes.duplicates.forgotten == 10_000
    assert nodes.saw(("b", 5, 0.005)) == ["10100:b"]  # shown again, as said


def test_one_busy_connection_does_not_take_the_whole_memory() -> None:
    nodes = Nodes(most=1000)
    for at in range(10_000):
        nodes.saw(("a", 7, at / 10_000))
    assert len(nodes.duplicates) <= 1000
    assert nodes.duplicates.forgotten > 8000


def test_any_order_within_a_second_shows_each_call_once() -> None:
    chance = random.Random(3)
    for _ in range(50):
        nodes = Nodes()
        calls = [(chance.randrange(3), chance.random() * 10) for _ in range(200)]
        seen = [(node, call, at + chance.random() / 10) for call, at in calls for node in "ab"]
        seen.sort(key=lambda one: one[2])
        shown = nodes.saw(*seen)
        # Each node saw every call, so a call is shown once unless its rank differs between nodes by more than the
        # window; with clocks a tenth of a second apart it never does.
        assert len([one for one in shown if not one.startswith("also")]) == len(calls)


# Told again after an interruption


def test_what_a_worker_sends_again_is_told_from_what_is_new() -> None:
    told = Told(slack=0)
    assert told.fresh([1, 2, 3, 3], [11, 12, 13, 13], until=2) is None
    assert told.interrupted() == 2
    # The same two at 3, and a third one that is new; 12 was sent again too.
    assert told.fresh([2, 3, 3, 3], [12, 13, 13, 13], until=3) == [False, False, False, True]
    assert told.fresh([4], [13], until=4) is None
    assert told.again == 3


def test_an_interruption_in_the_middle_of_what_is_sent_again() -> None:
    told = Told(slack=0)
    told.fresh([1, 2, 3, 4], [11, 12, 13, 14], until=1)
    assert told.interrupted() == 1
    assert told.fresh([1, 2], [11, 12], until=1) == [False, False]
    assert told.interrupted() == 1
    assert told.fresh([1, 2, 3, 4, 5], [11, 12, 13, 14, 15], until=6) == [False] * 4 + [True]
    assert told.interrupted() == 6


def test_calls_that_are_given_up_come_late_and_are_not_lost_in_an_interruption() -> None:
    told = Told(slack=100)
    told.fresh([1000, 1001], [11, 12], until=1050)
    assert told.interrupted() == 950
    assert told.fresh([990, 1000, 1001], [10, 11, 12], until=1050) == [True, False, False]


def test_newest_first_goes_on_downwards() -> None:
    told = Told(newest_first=True)
    told.fresh([9, 8, 7], [1, 2, 3], until=8)
    assert told.interrupted() == 8
    assert told.fresh([8, 7, 6], [2, 3, 4], until=5) == [False, False, True]


def test_a_worker_that_tells_of_the_first_moment_there_can_be_ends_nothing() -> None:
    told = Told(newest_first=True)
    assert told.fresh([5, -(1 << 63)], [1, 2], until=-(1 << 63)) is None
    assert told.interrupted() == -(1 << 63)


def test_what_is_remembered_of_a_worker_is_bounded_and_nothing_comes_twice_for_it() -> None:
    told = Told(slack=1000, most=100)
    for at in range(50):
        told.fresh([at] * 10, [at] * 10, until=at)
    assert len(told) == 100
    assert told.interrupted() == 40
    assert told.fresh([40] * 11, [40] * 11, until=41) == [False] * 10 + [True]
