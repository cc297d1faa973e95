"""What the dissecting process answers, one function for each kind of question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pysniff.capture import bpf
from pysniff.cluster.packed import FrameError
from pysniff.cluster.replay_recording import values
from pysniff.cluster.summary import fingerprint
from pysniff.cluster.worker.names_file import NamesFile
from pysniff.cluster.worker.packets import Chunks, carrying, within
from pysniff.cluster.worker.params import Params
from pysniff.cluster.worker.questions import LONGEST_FILTER, question, window
from pysniff.cluster.worker.telling import Batches, Telling
from pysniff.entry import Entry
from pysniff.errors import OptionError
from pysniff.export.one import exported
from pysniff.kfl.variables import compile
from pysniff.limits import DEFAULT, MIB, Limits
from pysniff.names import NOTHING
from pysniff.secrets import SecretSource
from pysniff.services.columns import columns
from pysniff.store.find import find_entry, find_stream, stream_of
from pysniff.store.query import Query
from pysniff.store.question import Question

# Characters of an id; bytes shown of each body: both, in Base64, fit one frame.
LONGEST_ID, LARGEST_BODY = 256, 2 * MIB
LONGEST_FORMAT = 32
# Names that one value tells, and that are told with the packets of one question, 100 bytes each.
NAMES, MOST_NAMES = 500, 65_536
# Link types a capture filter is tried with: Ethernet and raw IP, which every interface here is one of, or like.
_LINKTYPES = (1, 101)


class Answering:
    """One answer. `tell`: where frames go. `heard()`: what the worker has to say meanwhile, for people. `source`: of
    entries. `names`: of addresses, from a file. `secrets`: gives new sources of secrets, for one question."""

    def __init__(
        self,
        directory: Path,
        node: str,
        source: str,
        telling: Telling,
        heard: Callable[[], list[str]],
        names: NamesFile,
        secrets: Callable[[], Sequence[SecretSource]] = tuple,
    ) -> None:
        self._directory = directory
        self._secrets = secrets
        self._node = node
        self._source = source
        self._names_file = names
        self._names = NOTHING
        self._tell = telling
        self._heard = heard
        self._noticed = 0

    def answer(self, what: str, params: Params) -> None:
        """Everything but the last frame where it fails: raises PysniffError, FrameError too."""
        answers = {
            "query": self._query,
            "entry": self._entry,
            "packets": self._packets,
            "services": self._services,
            "replay": self._replay,
            "bpf": self._bpf,
        }
        if what not in answers:
            raise Unsupported(f"{what}: no such question", hint=f"there are {', '.join(answers)}")
        self._names = self._names_file.names()
        answers[what](params)

    def _query(self, params: Params) -> None:
        asked = self._complete(question(params, self._node, self._source))
        batches = Batches(self._tell, newest_first=asked.newest_first)
        caught_up = False
        with Query(self._directory, asked) as query:
            for step in query.steps():
                if step.caught_up and not caught_up:
                    batches.flush()
                    self._tell.caught_up()
                    caught_up = True
                batches.add(step.entries, step.until)
                self._notice(query)
            batches.flush()
            self._notice(query)
            self._tell.end(_figures(query))

    def _entry(self, params: Params) -> None:
        id = params.text("id", LONGEST_ID)
        limit = params.whole("body_limit", 0, LARGEST_BODY)
        format = params.text("as", LONGEST_FORMAT)
        params.done()
        limit = MIB if limit is None else limit
        entry = self._found(id, replace(DEFAULT, body_bytes=max(limit, MIB)))
        try:
            self._tell.value({"bytes": exported(entry, format, limit)} if format else entry.to_dict(limit))
        except FrameError:
            raise Unsupported(
                f"{id}: with {limit} bytes of each body it does not fit a message", hint="ask for a smaller body_limit"
            ) from None
        self._tell.end({})

    def _packets(self, params: Params) -> None:
        chunks = Chunks(self._tell)
        id, stream = params.text("id", LONGEST_ID), params.text("stream", LONGEST_ID)
        asked = self._complete(window(params, self._node, self._source))
        params.done()
        filtered = bool(asked.filter.text.strip())
        if (id or stream) and (filtered or asked.start is not None or asked.end is not None or (id and stream)):
            raise OptionError("packets: id, stream, and filter with times exclude each other", hint="give one of them")
        if id:
            for packet, comment in carrying(self._directory, [self._found(id)]):
                chunks.add(packet, comment)
        elif stream:
            for packet in find_stream(self._directory, stream):
                chunks.add(packet)
        elif filtered:
            with Query(self._directory, asked) as query:
                for packet, comment in carrying(self._directory, self._naming(query)):
                    chunks.add(packet, comment)
                self._notice(query)
        else:
            for packet in within(self._directory, asked.start, asked.end):
                chunks.add(packet)
        chunks.flush()
        self._tell.end({"packets": chunks.packets})

    def _naming(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries; what their ends are called is told before their packets, each name once."""
        told: set[tuple[str, str]] = set()
        fresh: list[list[str]] = []
        for entry in entries:
            for ip, _, name in (entry.src, entry.dst):
                if name and (ip, name) not in told and len(told) < MOST_NAMES:
                    told.add((ip, name))
                    fresh.append([ip, name])
            if len(fresh) >= NAMES:
                self._tell.value({"names": fresh})
                fresh = []
            yield entry
        if fresh:
            self._tell.value({"names": fresh})

    def _services(self, params: Params) -> None:
        asked = self._complete(window(params, self._node, self._source))
        params.done()
        with Query(self._directory, asked) as query:
            for value in columns(query, fingerprint):
                self._tell.value(value)
                self._notice(query)
            self._tell.end(_figures(query))

    def _replay(self, params: Params) -> None:
        id, stream = params.text("id", LONGEST_ID), params.text("stream", LONGEST_ID)
        params.done()
        if bool(id) == bool(stream):
            raise OptionError("replay: an id or a stream", hint="give one of them")
        for value in values([self._found(id)] if id else self._of_stream(stream)):
            self._tell.value(value)
        self._tell.end({})

    def _of_stream(self, stream: str) -> Iterator[Entry]:
        name = frozenset([bytes.fromhex(stream_of(stream))])
        asked = Question(filter=compile(""), flows=name, node=self._node, capture_source=self._source)
        with Query(self._directory, self._complete(asked)) as query:
            yield from query

    def _complete(self, asked: Question) -> Question:
        """With what the worker knows beside the store."""
        return replace(asked, names=self._names, secrets=self._secrets())

    def _found(self, id: str, limits: Limits = DEFAULT) -> Entry:
        """Raise NotFoundError."""
        return find_entry(self._directory, id, limits, self._node, self._names, self._secrets())

    def _bpf(self, params: Params) -> None:
        """Whether a capture filter compiles: libpcap may take its time, so it is tried where nobody waits."""
        text = params.text("bpf", LONGEST_FILTER)
        params.done()
        for linktype in _LINKTYPES:
            bpf.compile(text, linktype)
        self._tell.end({})

    def _notice(self, query: Query) -> None:
        for text in query.notices[self._noticed :]:
            self._tell.notice(text)
        self._noticed = len(query.notices)
        for text in self._heard():
            self._tell.notice(text)


class Unsupported(OptionError):
    """Something that is asked rightly and cannot be answered."""


def _figures(query: Query) -> dict[str, object]:
    return {
        "packets_read": query.packets_read,
        "packets_pruned": query.packets_pruned,
        "packets_damaged": query.packets_damaged,
        "segments_dropped": query.segments_dropped,
        "ledger": query.ledger.to_dict(),
    }
