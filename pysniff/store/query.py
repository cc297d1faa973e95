"""A question to a store: which conversations may have an answer, their packets dissected, the entries that match.

What the index rules out is not read. What is read gives the entries, and the ids, that reading everything gives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from threading import Event
from time import time_ns
from types import TracebackType
from typing import Self

from pysniff.capture.clock import PacketClock
from pysniff.entry import Entry
from pysniff.kfl.plan import Plan, plan
from pysniff.ledger import Ledger
from pysniff.limits import SECOND
from pysniff.secrets import Secrets
from pysniff.sniffer import Sniffer
from pysniff.store.catalogue import Catalogue, Chapter
from pysniff.store.encrypted import Encrypted
from pysniff.store.passage import Passage
from pysniff.store.question import Question, Step
from pysniff.store.secrets_reading import StoredSecrets
from pysniff.store.wanted import Wanted

# A follower looks for new packets so often, in seconds: writers flush every 0.2 s.
POLL = 0.1
# Interfaces deliver their packets in turns: those of one may be so much older than those of another before them.
TURNS = SECOND // 5


class Query:
    """Iterate for the entries that match, as they are found; close() or leave the `with` to end it early.

    `notices`: what a person should know, in order. `ledger`: the account of what was dissected. `packets_read`,
    `packets_pruned`: of those in the store; `packets_damaged`, `segments_dropped`: what could not be read, since the
    disk or the writer took it. `secrets`: what decrypts.
    """

    def __init__(self, directory: Path, question: Question) -> None:
        self._question = question
        self.notices: list[str] = []
        self._catalogue = Catalogue(directory, question.after)
        self._not_matching = 0
        self._finishing = Event()
        self._catalogue.look()  # a wrong path is said at once
        self._stopped = Event()
        self._stored = StoredSecrets(directory, follows=question.follow and self._catalogue.is_recorded())
        self.secrets = Secrets(*question.secrets, kept=self._stored.sources)
        self._without_keys = Encrypted(directory)
        self._plan = self._bounded(plan(question.filter.tree))
        self._wanted = Wanted(self._catalogue, question)
        self._passages: list[Passage] = []
        self._left = question.limit
        self._caught_up = False
        self._recorded = False  # as of the last look at the segments
        self._back_to = 0  # so far back everything was told, newest first
        self._source = ""
        self._clock = PacketClock()
        self._reached = 0  # what time it was in packets when the store was last looked at
        self._steps = self._run()
        self._batches = (step.entries for step in self._steps if step.entries)
        self._entries = (entry for batch in self._batches for entry in batch)

    @property
    def ledger(self) -> Ledger:
        """Of the newest pass over the store; newest_first takes several."""
        ledger = self._passages[-1].ledger if self._passages else Sniffer().ledger
        ledger.pruned_packets = self.packets_pruned
        ledger.store_unread = self.packets_damaged + sum(one.packets_dropped for one in self._passages)
        ledger.not_matching, ledger.filter_errors = self._not_matching, self._question.filter.errors
        return ledger

    @property
    def packets_read(self) -> int:
        return sum(one.packets_read for one in self._passages)

    @property
    def packets_pruned(self) -> int:
        return sum(one.packets_pruned for one in self._passages)

    @property
    def packets_damaged(self) -> int:
        return sum(one.packets_damaged for one in self._passages)

    @property
    def segments_dropped(self) -> int:
        return sum(one.segments_dropped for one in self._passages)

    def batches(self) -> Iterator[list[Entry]]:
        """Entries in the lists in which they come: none is empty."""
        return self._batches

    def steps(self) -> Iterator[Step]:
        """The same with what else is known, also while nothing is found: a follower's come ten times a second."""
        return self._steps

    def stop(self) -> None:
        """End soon; safe in a signal handler and other threads."""
        self._stopped.set()

    def finish(self) -> None:
        """Follow no longer than what is there now; safe as stop()."""
        self._finishing.set()

    def close(self) -> None:
        self.stop()
        self._entries.close()
        self._batches.close()
        self._steps.close()

    def __iter__(self) -> Iterator[Entry]:
        return self._entries

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _bounded(self, found: Plan) -> Plan:
        """The plan within the times that were asked for."""
        question = self._question
        starts = [time for time in (found.start, question.start) if time is not None]
        ends = [time for time in (found.end, question.end) if time is not None]
        return Plan(found.tree, max(starts, default=None), min(ends, default=None))

    def _run(self) -> Generator[Step, None, None]:
        question = self._question
        source = self._backwards() if question.newest_first else self._forwards(self._plan, follow=question.follow)
        for batch in source:
            if self._left is not None:
                batch = batch[: self._left]
                self._left -= len(batch)
            yield Step(batch, self._until(), self._caught_up)
            if self._left == 0 or self._stopped.is_set():
                return

    def _until(self) -> int:
        if self._question.newest_first:
            return self._back_to
        read = self._passages[-1].time if self._passages else 0
        return max(max(read, self._reached) - TURNS, 0)

    def _matching(self, entries: Sequence[Entry], bounds: Plan) -> list[Entry]:
        start, end, matches = bounds.start, bounds.end, self._question.filter.matches
        streams, since = self._wanted.streams, self._question.since
        found = [
            entry
            for entry in entries
            if (start is None or entry.time_ns >= start)
            and (end is None or entry.time_ns <= end)
            and (since is None or entry.completed_ns >= since)
            and (streams is None or entry.stream in streams)
            and matches(entry)
        ]
        self._not_matching += len(entries) - len(found)
        return found

    # Forwards

    def _forwards(self, bounds: Plan, *, follow: bool = False) -> Iterator[list[Entry]]:
        """What is within the bounds, in one pass."""
        passage, question = self._passage(), self._question
        self._recorded = self._catalogue.is_recorded()  # before the segments are looked at: then nothing is missing
        looked = self._now() if self._recorded else 0
        for chapter in self._wanted.chapters(bounds, passage.missed):
            self._without_keys.add(chapter)
            yield from self._read(passage, chapter, bounds)
            if self._stopped.is_set() or self._over(passage, bounds):
                break
        self._stored.reach_all()
        if (self._stored.is_empty and not question.secrets) and (notice := self._without_keys.notice()):
            self.notices.append(notice)
        if follow and not self._stopped.is_set():
            yield from self._follow(passage, bounds)
        if not self._stopped.is_set():
            yield self._matching(passage.leave(looked) if self._recorded else passage.close(), bounds)

    def _read(self, passage: Passage, chapter: Chapter, bounds: Plan) -> Iterator[list[Entry]]:
        self._stored.reach(chapter.files.number)
        for entries in passage.read(chapter):
            yield self._matching(entries, bounds)
            if self._stopped.is_set() or self._over(passage, bounds):
                return

    def _over(self, passage: Passage, bounds: Plan) -> bool:
        """Whether nothing behind can be within the bounds any more."""
        end, last = bounds.end, passage.last
        if end is None or last is None or passage.time <= end or not passage.settled(end):
            return False
        return not self._wanted.begin_before(end, last)

    def _passage(self) -> Passage:
        question = self._question
        self._source = self._catalogue.capture_source(question.capture_source)
        sniffer = Sniffer(
            limits=question.limits,
            node=question.node,
            decode_as=question.decode_as,
            proto=question.proto,
            names=question.names,
            capture_source=self._source,
            secrets=self.secrets,
        )
        passage = Passage(sniffer, self.notices)
        self._passages.append(passage)
        return passage

    # Following

    def _follow(self, passage: Passage, bounds: Plan) -> Iterator[list[Entry]]:
        """What comes from now on: without a hole and without a duplicate, for the Sniffer goes on."""
        clock = self._clock
        if self._catalogue.is_recorded() and (now := self._now()):
            clock.saw(now)
        self._caught_up = True
        yield []
        while not self._stopped.is_set() and not self._over(passage, bounds):
            last = self._finishing.is_set()
            if last:
                self._recorded = self._catalogue.is_recorded()
            moved = False
            self._reached = clock.now()  # what is stored while this looks, or is held up, is not promised
            for chapter in self._catalogue.news(passage.last, passage.position):
                moved = True
                yield from self._read_on(passage, chapter, bounds)
            if moved:
                clock.saw(passage.time)
                self._forget(passage)
                continue
            if last:
                return
            self._stopped.wait(POLL)
            yield self._matching(passage.advance(self._reached), bounds)

    def _now(self) -> int:
        """What time it is in the packets of a store that is recorded, 0 for nobody knows: where nothing comes, time
        passes all the same."""
        return time_ns() - SECOND if self._source != "file" else 0

    def _forget(self, passage: Passage) -> None:
        """What is known of segments that are gone."""
        there = self._catalogue.look()
        if there:
            passage.forget(there[0].number)
            self._wanted.forget(there[0])

    def _read_on(self, passage: Passage, chapter: Chapter, bounds: Plan) -> Iterator[list[Entry]]:
        """What is new in a segment, and older packets of conversations that were not wanted until now."""
        for older, rows, until in self._wanted.go_on(chapter, bounds, passage.position):
            for entries in passage.read_again(older, rows, until):
                yield self._matching(entries, self._plan)
        yield from self._read(passage, chapter, bounds)

    # Backwards

    def _backwards(self) -> Iterator[list[Entry]]:
        """Newest first: times cut into windows at the beginnings of segments, each a question of its own."""
        chapters = self._catalogue.chapters()
        cuts = sorted({chapter.index.earliest for chapter in chapters if len(chapter.index.offsets)})
        upper = self._plan.end
        size = 1
        while cuts:
            cuts, window = cuts[:-size], cuts[-size:]
            size *= 2
            lower = window[0] if cuts else None
            start = max([time for time in (self._plan.start, lower) if time is not None], default=None)
            bounds = Plan(self._plan.tree, start, upper)
            found: dict[str, Entry] = {}
            for entry in chain.from_iterable(self._forwards(bounds)):
                found.pop(entry.id, None)
                found[entry.id] = entry
            newest = list(found.values())
            self._back_to = max(lower or 0, 0)
            newest.reverse()  # of those with one time, the last one comes first
            yield sorted(newest, key=lambda entry: -entry.time_ns)
            if lower is None or (self._plan.start is not None and lower <= self._plan.start):
                return
            upper = lower - 1
