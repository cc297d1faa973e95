"""Which key opens the next record of a half: in its turn, and behind a loss."""

from __future__ import annotations

from collections.abc import Iterator

from pysniff.message import CLIENT, SERVER
from pysniff.tls.agreement import Agreement
from pysniff.tls.half import HEADER, Epoch, Half, Key, Record
from pysniff.tls.numbers import EARLY_DATA, TLS13
from pysniff.tls.opener import Opened
from pysniff.tls.reasons import (
    EARLY,
    HALF_A_KEY,
    HANDSHAKE,
    LOST,
    LOST_HANDSHAKE,
    NO_KERNEL_KEY,
    NO_KEY,
    NO_KEY_IN_TIME,
    NOT_THIS_KEY,
    REFUSED,
    Reason,
)

# Sequence numbers tried for one record behind a loss, and for all of a connection: 6 us each for a long record.
_TRIES = 4_096
_ALL_TRIES = 65_536
# Records that may come before the first that opens: of a handshake without a key, and of early data.
_HANDSHAKE_RECORDS = 64
_EARLY_RECORDS = 65_536
# Bytes of a record that are not its plain text, and of a whole one.
_LEAST = HEADER + 8
_MOST = HEADER + 16_384 + 2_048
# Bytes of that handshake message.
_KEY_UPDATE = 5
# The first record of TLS 1.2 with application data: the one before has Finished.
_FIRST_SPOKEN = 1


class Keyring:
    """`waits`: a secret is missing that may still come. `late`: none will be waited for any longer; `final`: nothing
    more comes at all."""

    def __init__(self, agreement: Agreement, halves: tuple[Half, Half]) -> None:
        self.waits = False
        self.late = False
        self.final = False
        self._agreement = agreement
        self._halves = halves
        self._tries = _ALL_TRIES

    def equip(self, half: Half) -> bool | Reason:
        """Get the key for the next record. False: it may still come; a Reason: it never will."""
        agreement = self._agreement
        obstacle = agreement.obstacle()
        if obstacle is not None:
            other = self._halves[1 - half.side]
            late = obstacle is LOST_HANDSHAKE and not self.final and not (other.good or other.lost or other.ended)
            return False if late else obstacle  # the other half may come as a whole after this one
        if half.epoch is Epoch.PLAIN and not self._enter(half):
            return False
        found = agreement.key(half.side, half.epoch)
        if found is None:
            if not (agreement.secrets.complete or self.late or self.final):
                self.waits = True
                return False
            half.onward = None  # that was of another key
            if half.epoch is Epoch.EARLY:
                self.skip_early(half)
                return self.equip(half)
            if half.epoch is Epoch.HANDSHAKE:
                found = agreement.key(half.side, Epoch.APPLICATION)
                half.epoch = Epoch.APPLICATION
                half.unopened, half.patience = HANDSHAKE, _HANDSHAKE_RECORDS
        if isinstance(found, Key):
            onward, half.onward = half.onward, None
            if onward is not None:
                for _ in range(onward.updates):
                    found = agreement.next_key(found)
                found.opener.go_on(onward.sequence, onward.chain)
            half.key = found
            if half.lost:
                found.opener.lose()
            return True
        return found or self._missing(half)

    def _enter(self, half: Half) -> bool:
        """The first record that is encrypted: whose turn it is; whether that is known."""
        agreement = self._agreement
        if agreement.version != TLS13:
            half.epoch = Epoch.APPLICATION
        elif half.side is SERVER or agreement.early is False:
            half.epoch = Epoch.HANDSHAKE
            hello = agreement.hello
            if half.side is CLIENT and hello is not None and EARLY_DATA in hello.extensions:
                half.unopened, half.patience = REFUSED, _EARLY_RECORDS
        elif agreement.early is None and not self.final and self._may_take_early():
            return False  # the server says behind its hello whether it does
        else:
            half.epoch = Epoch.EARLY
        return True

    def _may_take_early(self) -> bool:
        """Whether the server may still say so."""
        server = self._halves[SERVER]
        return server.dead is None and server.epoch is not Epoch.APPLICATION

    def skip_early(self, half: Half) -> None:
        """There is early data, and no key for it: the handshake's comes next."""
        accepted = bool(self._agreement.early)
        half.unopened, half.patience = EARLY if accepted else REFUSED, _EARLY_RECORDS
        half.epoch, half.key = Epoch.HANDSHAKE, None
        half.missing = 0 if accepted else None

    def _missing(self, half: Half) -> Reason:
        secrets = self._agreement.secrets
        if self._halves[1 - half.side].opened_any:
            return HALF_A_KEY
        names = {source.name for source in secrets.sources}
        if "kernel" in names:
            return NO_KERNEL_KEY
        if len(secrets) and not (self.late and not secrets.complete):
            return NOT_THIS_KEY
        return NO_KEY_IN_TIME if "keylog" in names else NO_KEY

    # Behind a loss

    def unseal(self, half: Half, record: Record) -> Opened | None:
        """Open a record of a half in which nothing said yet that it is encrypted: ChangeCipherSpec may be lost."""
        agreement = self._agreement
        if agreement.version in (0, TLS13) or agreement.obstacle() is not None:
            return None
        key = agreement.key(half.side, Epoch.APPLICATION)
        if not isinstance(key, Key):
            return None
        key.opener.lose()
        opened = self._try(key, record, 0, self._most(half, record, key))
        if opened is not None:
            half.sealed, half.epoch, half.key = True, Epoch.APPLICATION, key
            if key.opener.sequence - 1 > _FIRST_SPOKEN:
                half.missing = 0
        return opened

    def find(self, half: Half, record: Record) -> Opened | Reason | None:
        """Open a record before which others are missing, by this key or by the one that comes after it."""
        key = half.key
        assert key is not None
        opener, before = key.opener, key.opener.sequence
        lost = max(record.position - half.good, 0)
        most = self._most(half, record, key)
        least = 0 if half.unsure else min(lost // _MOST, most)
        opened = self._try(key, record, least, most)
        # A server of TLS 1.3 says tickets before anything else, and they look like application data.
        exact = opened is not None and not half.unsure and half.spoke and opener.overhead > 0
        if opened is not None:
            half.records += opener.sequence - 1 - before
        else:
            for epoch, following in self._following(half, key):
                opened = self._try(following, record, 0, most)
                if opened is not None:
                    # Of the key before a KeyUpdate is lost for sure, and nobody can say what else but by its size.
                    if half.epoch is Epoch.APPLICATION and (half.unsure or lost > opener.overhead + _KEY_UPDATE):
                        self._miss(half, 0)
                    half.updates += half.epoch is Epoch.APPLICATION
                    half.epoch, half.key, key = epoch, following, following
                    break
        if opened is not None and half.epoch is Epoch.APPLICATION:
            missing = key.opener.sequence - 1 - (before if exact else 0)
            if missing > (0 if half.spoke or self._agreement.version == TLS13 else _FIRST_SPOKEN):
                self._miss(half, max(lost - missing * opener.overhead, 0) if exact else 0)
        return LOST if opened is None and self._tries < 0 else opened

    def rejoin(self, half: Half, record: Record) -> Opened | Reason | None:
        """Open a record of a half that was counted so far, and that nobody opened."""
        for epoch, key, first, last in self._places(half):
            if first > last:
                continue
            key.opener.go_on(first, b"")
            key.opener.skip(memoryview(half.tail))
            opened = self._try(key, record, 0, last - first)
            if opened is not None:
                half.updates += epoch is Epoch.APPLICATION and key is not half.key
                half.epoch, half.key, half.trial, half.slack = epoch, key, False, 0
                return opened
        return LOST if self._tries < 0 else None

    def _places(self, half: Half) -> Iterator[tuple[Epoch, Key, int, int]]:
        """Which key it may be, and which numbers of records, the likely ones first."""
        key, count, most = half.key, half.records, half.records + half.slack
        assert key is not None
        if self._agreement.version != TLS13:
            yield Epoch.APPLICATION, key, count, most
            return
        # The handshake has a key and numbers of its own, and nobody knows how many of those records were its.
        near = max(count - _HANDSHAKE_RECORDS, 0)
        yield Epoch.APPLICATION, key, near, most
        handshake = self._agreement.key(half.side, Epoch.HANDSHAKE)
        if isinstance(handshake, Key):
            yield Epoch.HANDSHAKE, handshake, near, most
        yield Epoch.APPLICATION, key, max(count - _TRIES, 0), near - 1
        yield Epoch.APPLICATION, self._agreement.next_key(key), 0, min(count, _TRIES)

    def _most(self, half: Half, record: Record, key: Key) -> int:
        """How many records may be missing before this one."""
        lost = max(record.position - half.good, 0)
        return _TRIES if half.unsure else min(lost // (key.opener.overhead or _LEAST) + 1, _TRIES)

    @staticmethod
    def _miss(half: Half, size: int) -> None:
        if half.missing is None:
            half.missing = size
        else:
            half.missing = half.missing + size if half.missing and size else 0

    def _try(self, key: Key, record: Record, least: int, most: int) -> Opened | None:
        if self._tries < 0:
            return None
        before = key.opener.tries
        opened = key.opener.find(record.header, record.body, least, most)
        self._tries -= key.opener.tries - before
        return opened

    def _following(self, half: Half, key: Key) -> list[tuple[Epoch, Key]]:
        """The keys that may be next in TLS 1.3."""
        if self._agreement.version != TLS13:
            return []
        if half.epoch is Epoch.APPLICATION:
            return [(Epoch.APPLICATION, self._agreement.next_key(key))]
        epochs = (Epoch.HANDSHAKE, Epoch.APPLICATION) if half.epoch is Epoch.EARLY else (Epoch.APPLICATION,)
        found = [(epoch, self._agreement.key(half.side, epoch)) for epoch in epochs]
        return [(epoch, one) for epoch, one in found if isinstance(one, Key)]
