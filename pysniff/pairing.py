"""Puts answers to requests and makes entries of them.

In order, or by key; what stays alone becomes an entry that says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

from pysniff.core import Core
from pysniff.entry import Entry, Flow
from pysniff.kept import FREE
from pysniff.limits import SECOND
from pysniff.message import Fault, Message, Role, Side

REQUEST, RESPONSE = Role.REQUEST, Role.RESPONSE
_LOST = Fault("gap", "bytes were lost while several requests waited: the answer may belong to another one")
_JOINED = Fault("midstream", "joined while several requests waited: the answer may belong to another one")
# When nothing was said for so long, every question that was asked before has its answer, or never will.
_QUIET = SECOND


class Pairs:
    """The requests of one conversation that wait for an answer.

    `acked`: how far the server had acknowledged the client's half when it sent the bytes now being fed, or
    None where nobody looks. An answer sent before its request was acknowledged answers an earlier one.
    """

    __slots__ = (
        "_core",
        "_ledger",
        "_limits",
        "_most",
        "_flow",
        "_refine",
        "_waiting",
        "_keyed",
        "_doubtful",
        "_forgotten",
        "_midstream",
        "_suspect",
        "_guess",
        "_unseen",
        "_last",
        "_large",
        "acked",
        "synchronised",
    )

    def __init__(self, core: Core, flow: Flow, midstream: bool) -> None:
        self._core = core
        self._ledger = core.ledger
        self._limits = core.limits
        self._most = core.limits.pipeline
        self._flow = flow
        self._refine = core.refine
        self._waiting: deque[Message] = deque()
        self._keyed: dict[Hashable, tuple[Message, ...]] = {}
        self._doubtful = 0  # first so many requests in _waiting may have been answered in a gap
        self._forgotten = 0  # requests no longer in _waiting whose answers may still come
        self._midstream = midstream
        # Requests or answers are missing: should requests be pipelined, then who answers whom is a guess.
        self._suspect = midstream
        self._guess: tuple[Fault, ...] = ()  # that it is one
        self._unseen = False  # a request may have been lost that has no answer yet
        self._last = flow.first  # time of the last message, while that matters
        self._large = 0  # bytes of large ones, no less than wait
        self.acked: int | None = None
        self.synchronised = not midstream

    def add(self, message: Message) -> None:
        """Take the next finished message of either half."""
        role = message.role
        if self._suspect and message.key is None:
            self._judge(message)
        if role is REQUEST:
            self._ledger.requests += 1
            if message.key is not None:
                self._add_keyed(message)
                return
            if self._doubtful:
                self._give_up_doubtful()
            waiting = self._waiting
            waiting.append(message)
            if len(waiting) > self._most:
                self._forget_oldest()
            elif message.size > _LARGE:
                self._bound_bytes(message)
        elif role is RESPONSE:
            self._ledger.responses += 1
            if message.key is not None:
                request = self._take_keyed(message.key)
            elif self._waiting and (self.synchronised or self._answers(self._waiting[0], message)):
                request = self._waiting.popleft()
            else:
                request = None
            if request is None:
                self._unrequested(message)
            else:
                self._answered(request, message)
        else:
            self._ledger.alone += 1
            if message.is_answer:
                self._close(None, message, (), message.size)
            else:
                self._close(message, None, (), message.size)

    def _answered(self, request: Message, response: Message) -> None:
        ledger = self._ledger
        ledger.answered += 1
        ledger.entries += 1
        size = request.size + response.size
        ledger.entry_bytes += size
        if size > FREE:  # what they keep is the caller's now
            request.share = response.share = None
        faults = self._guess if response.key is None else ()
        if self._doubtful and response.key is None:
            self._doubtful -= 1
            if self._unseen and not self._guess:  # of two exchanges one half each may be missing
                faults = self._guess = (_LOST,)
        refine = self._refine.get(request.protocol)
        self._core.entries.append(
            Entry(self._flow, request, response, "closed", faults, refine, self._core.names.lessons)
        )

    def _close(self, request: Message | None, response: Message | None, faults: tuple[Fault, ...], size: int) -> None:
        """An entry that is no exchange of two."""
        self._ledger.entries += 1
        self._ledger.entry_bytes += size
        if size > FREE:
            (request or response).share = None  # type: ignore[union-attr]  # one of them is there
        refine = self._refine.get((request or response).protocol)  # type: ignore[union-attr]  # one of them is there
        self._core.entries.append(
            Entry(self._flow, request, response, "closed", faults, refine, self._core.names.lessons)
        )

    def asked(self, answer: Message | None) -> Message | None:
        """The request that `answer`, the last message added, was put to."""
        entry = self._core.entries[-1] if self._core.entries else None
        return entry.request if entry is not None and answer is not None and entry.response is answer else None

    def gap(self, side: Side) -> None:
        """Bytes of one half were lost: answers may be missing, or requests."""
        self.synchronised = False
        self._forgotten = 0
        self._suspect = True
        if side is Side.CLIENT:
            self._unseen = True
        else:
            self._doubtful = len(self._waiting)
            if self._doubtful > 1:
                self._guess = (_LOST,)

    def close(self, words: str = "no answer was seen") -> None:
        """The conversation is over: whatever waits will not be answered."""
        while self._waiting:
            self._unanswered(self._waiting.popleft(), words)
        for waiting in self._keyed.values():
            for request in waiting:
                self._unanswered(request, words)
        self._keyed.clear()

    def waiting(self) -> Iterator[Message]:
        """The requests without answers, oldest first where they are answered in order."""
        yield from self._waiting
        for waiting in self._keyed.values():
            yield from waiting

    def weight(self) -> int:
        """About how many bytes of memory they take."""
        return sum([request.weight() for request in self.waiting()])

    def _forget_oldest(self) -> None:
        """Room for one more; the answer to what is forgotten shall not be taken for another one's."""
        self._unanswered(self._waiting.popleft(), "more requests waited than are remembered")
        self._forgotten += 1
        self.synchronised = False
        self.acked = None

    def _bound_bytes(self, message: Message) -> None:
        """A large one came; the others are added up only where all since then may be too much."""
        most, body_bytes, waiting = self._limits.waiting_bytes, self._limits.body_bytes, self._waiting
        self._large += min(message.size, body_bytes)
        if self._large <= most:
            return
        kept = sum([min(request.size, body_bytes) for request in self.waiting()])
        while kept > most and len(waiting) > 1:
            kept -= min(waiting[0].size, body_bytes)
            self._forget_oldest()
        while kept > most and len(self._keyed) > 1:
            kept -= sum([min(request.size, body_bytes) for request in self._forget_key()])
        self._large = kept

    def _answers(self, request: Message, response: Message) -> bool:
        """Whether bytes sent at `acked` can answer this request; if so, both halves are in step again."""
        if self._forgotten:
            self._forgotten -= 1
            return False
        if response.first < request.first:
            return False
        if self.acked is not None and self.acked < request.position + request.size:
            return False
        self.synchronised = True
        return True

    def _judge(self, message: Message) -> None:
        """While messages are missing: whether requests are pipelined, and when all that is past."""
        quiet = message.first - self._last > _QUIET
        self._last = message.last
        if message.role is not REQUEST:
            return
        if quiet:
            while self._guess and self._waiting:
                self._unanswered(self._waiting.popleft(), "its answer was lost, or taken for another one's", "gap")
            self._suspect = False
            self._guess = ()
        elif not self._guess and not self._doubtful and (self._waiting or (self._unseen and not message.faults)):
            self._guess = (_JOINED if self._midstream else _LOST,)
        self._unseen = False

    def _add_keyed(self, request: Message) -> None:
        keyed, key = self._keyed, request.key
        same = keyed.get(key)
        if request.hopeless:
            self._unanswered(request, request.hopeless)
        elif same is None:
            keyed[key] = (request,)
            if len(keyed) > self._most:
                self._forget_key()
        else:
            if len(same) == _SAME_KEY:
                self._unanswered(same[0], "more requests with one key waited than are remembered")
                same = same[1:]
            keyed[key] = (*same, request)
        if request.size > _LARGE and not request.hopeless:
            self._bound_bytes(request)

    def _forget_key(self) -> tuple[Message, ...]:
        """The oldest key; the requests that had it."""
        requests = self._keyed.pop(next(iter(self._keyed)))
        for request in requests:
            self._unanswered(request, "more requests waited than are remembered")
        return requests

    def _take_keyed(self, key: Hashable) -> Message | None:
        same = self._keyed.get(key)
        if same is None:
            return None
        if len(same) == 1:
            del self._keyed[key]
        else:
            self._keyed[key] = same[1:]
        return same[0]

    def _give_up_doubtful(self) -> None:
        """A new request after a gap among the answers: a client that does not pipeline had its answer."""
        if self._doubtful == 1 and self._waiting:
            self._unanswered(self._waiting.popleft(), "its answer was lost", kind="gap")
        self._doubtful = 0

    def _unanswered(self, request: Message, words: str, kind: str = "unanswered") -> None:
        self._ledger.unanswered += 1
        faults = (
            (Fault("unanswered", words),) if kind == "unanswered" else (Fault("unanswered", words), Fault(kind, words))
        )
        self._close(request, None, faults, request.size)

    def _unrequested(self, response: Message) -> None:
        self._unseen = False
        self._ledger.unrequested += 1
        faults: tuple[Fault, ...] = (Fault("unrequested", "its request was not seen"),)
        if self._midstream and not self.synchronised:
            faults += (Fault("midstream", "the capture began after its request"),)
        self._close(None, response, faults, response.size)


# Requests of one conversation with the same key that may wait: a name server is asked again a few times.
_SAME_KEY = 64
# Requests smaller than this are bounded by their number alone.
_LARGE = 4_096
