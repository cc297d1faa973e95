"""Reads the records of both halves in turn: hellos, keys as they change, and the plain text within.

A record that cannot be read yet is left: dissector.py keeps it, and comes again.
"""

from __future__ import annotations

from pysniff.dissector import Malformed
from pysniff.limits import Limits
from pysniff.message import CLIENT, SERVER
from pysniff.tls.agreement import Agreement
from pysniff.tls.exchange import Exchange
from pysniff.tls.half import TAIL, Epoch, Half, Record
from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.keyring import Keyring
from pysniff.tls.numbers import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    END_OF_EARLY_DATA,
    FINISHED,
    HANDSHAKE,
    HANDSHAKE_TYPES,
    KEY_UPDATE,
    SERVER_HELLO,
    TLS10,
    TLS12,
    TLS13,
    alert_name,
)
from pysniff.tls.opener import Opened
from pysniff.tls.outlet import Outlet
from pysniff.tls.reasons import BROKEN, KEYLESS, REFUSED, RENEGOTIATED, WRONG_KEY, Reason

DAMAGED = "damaged by a loss"
CUT_OFF = "cut off"
# Records in a row that do not authenticate before a half is given up.
_FAILURES = 16
# Bytes of a record, and how many may be missing where nobody knows.
_LEAST, _UNKNOWN = 22, 4_096
_CLOSE_NOTIFY, _FATAL, _USER_CANCELED = 0, 2, 90


class Session:
    """`remembering`: what nobody can open is counted, for whoever can."""

    def __init__(self, limits: Limits) -> None:
        self.halves = halves = Half(CLIENT, limits.head_bytes), Half(SERVER, limits.head_bytes)
        self.agreement = Agreement()
        self.exchange = Exchange(self.agreement)
        self.outlet = Outlet(self.agreement, self.exchange, halves)
        self.keyring = Keyring(self.agreement, halves)
        self.remembering = False
        self._second_hello = False
        self._finished = [False, False]

    def read(self, half: Half, record: Record) -> bool:
        """The next record of a half; False where it has to wait: nothing was done then."""
        if half.dead is not None:
            self.outlet.undecoded(half, record.size, half.dead.word)
            if self.counts(half):
                self._count(half, record)
            return True
        return self._sealed(half, record) if half.sealed else self._plain(half, record)

    def counts(self, half: Half) -> bool:
        """Whether records of a half that nobody can open are counted."""
        return self.remembering and half.dead in KEYLESS

    def is_done(self, half: Half) -> bool:
        """Whether its bytes need not be looked at any more."""
        return half.dead is not None and not half.queue and not self.counts(half)

    def _count(self, half: Half, record: Record) -> None:
        half.good = record.position + record.size
        if self.agreement.version == TLS13:
            half.records += record.kind == APPLICATION_DATA
        elif record.kind == CHANGE_CIPHER_SPEC:
            half.dead = RENEGOTIATED
        else:
            half.records += 1
            if self.agreement.version <= TLS10:
                half.tail = bytes(record.body[-TAIL:])

    # Before anything is encrypted

    def _plain(self, half: Half, record: Record) -> bool:
        kind = record.kind
        if half.lost and kind != CHANGE_CIPHER_SPEC:
            opened = self.keyring.unseal(half, record)
            if opened is not None:
                self._opened(half, record, opened)
                return True
        if kind == HANDSHAKE:
            self._hellos(half, record)
        elif kind == APPLICATION_DATA or (kind == CHANGE_CIPHER_SPEC and self.agreement.version != TLS13):
            return self._seal(half, record)
        elif kind == ALERT and len(record.body) == 2:
            self._plain_alert(half, record)
        else:  # a ChangeCipherSpec is there for the sake of middleboxes: RFC 8446 §D.4
            self._needless(half, record)
        return True

    def _seal(self, half: Half, record: Record) -> bool:
        """What comes from here on is encrypted; how can be said once there is a ServerHello."""
        agreement = self.agreement
        if agreement.answer is None and half.side is CLIENT and agreement.hello is not None:
            if agreement.retried and record.kind == APPLICATION_DATA and not self._second_hello:
                self.outlet.undecoded(half, record.size, REFUSED.word)
                return True
            if not self.keyring.final:
                return False
        half.sealed = True
        if record.kind == APPLICATION_DATA:
            return self._sealed(half, record)
        self._needless(half, record)
        return True

    def _hellos(self, half: Half, record: Record) -> None:
        """Handshake messages in plain text."""
        if half.lost and not half.handshakes.is_keeping and record.body[0] not in (CLIENT_HELLO, SERVER_HELLO):
            self._needless(half, record)  # perhaps the rest of what was lost
            return
        if not half.run:
            half.run_position, half.run_first = record.position, record.first
        half.run += record.size
        taken = False
        for kind, body in half.handshakes.feed(record.body):
            if kind in (CLIENT_HELLO, SERVER_HELLO):
                taken |= self._hello(half, record, kind, body)
        half.good = record.position + record.size
        if taken:
            half.run = 0
        elif not half.handshakes.is_keeping:
            self.outlet.overhead(half, half.run)
            half.run = 0

    def _hello(self, half: Half, record: Record, kind: int, body: bytes) -> bool:
        """Whether the records with it are now a message's that will be given."""
        agreement, settled = self.agreement, self.exchange.settled
        if (kind == SERVER_HELLO) is not (half.side is SERVER):
            raise Malformed("a hello of the other end")
        place = half.run_first, record.at, half.run_position, half.run
        if kind == CLIENT_HELLO:
            if agreement.hello is not None:
                self._second_hello = True
                return False
            agreement.client_hello(hello := ClientHello(body))
            if not settled:
                self.exchange.hello(hello, *place)
            return not settled
        answer = ServerHello(body)
        if agreement.answer is not None:
            raise Malformed("a second ServerHello")
        if answer.retry:
            agreement.retry()
            return False
        self.answered(answer)
        if not settled:
            self.exchange.answer(answer, *place)
        return not settled

    def answered(self, answer: ServerHello) -> None:
        """It is agreed how to encrypt."""
        self.agreement.server_hello(answer)
        for one in self.halves:
            one.minor = min(self.agreement.version, TLS12) & 0xFF

    def _plain_alert(self, half: Half, record: Record) -> None:
        level, description = record.body
        agreement = self.agreement
        refuses = level == _FATAL and half.side is SERVER and agreement.answer is None and agreement.hello is not None
        if refuses and not self.exchange.settled:
            self.exchange.answer(None, record.first, record.at, record.position, record.size)
        else:
            self._needless(half, record)
        self._alert(half, level, description, record.at)

    def _needless(self, half: Half, record: Record) -> None:
        half.good = record.position + record.size
        self.outlet.overhead(half, record.size)

    # From there on

    def _sealed(self, half: Half, record: Record) -> bool:
        kind = record.kind
        if self.agreement.version == TLS13:
            if kind != APPLICATION_DATA:
                # Of a client that could not read what the server said.
                if kind == ALERT and len(record.body) == 2:
                    self._plain_alert(half, record)
                else:
                    self._needless(half, record)
                return True
        elif kind == CHANGE_CIPHER_SPEC:
            self._needless(half, record)
            self._kill(half, RENEGOTIATED, record.at)
            return True
        read = self._protected(half, record)
        half.records += read
        return read

    def _protected(self, half: Half, record: Record) -> bool:
        if half.epoch is Epoch.APPLICATION:
            other = self.halves[1 - half.side].queue
            if other and other[0].arrival < record.arrival:
                return False  # what is asked is told before what answers it
        opened: Opened | Reason | None = half.opened
        half.opened = None
        if opened is None:
            if half.key is None:
                equipped = self.keyring.equip(half)
                if equipped is False:
                    return False
                if isinstance(equipped, Reason):
                    self._unreadable(half, record, equipped)
                    return True
            assert half.key is not None
            if half.trial or half.lost:
                opened = self._found(half, record)
            else:
                opened = half.key.opener.open(record.header, record.body)
        if isinstance(opened, Reason):
            self._unreadable(half, record, opened)
        elif opened is None:
            self._failed(half, record)
        else:
            self._opened(half, record, opened)
        return True

    def fits(self, half: Half, record: Record) -> bool:
        """Whether what was found behind a loss is a record; by opening it, where that can be done."""
        body, kind = record.body, record.kind
        if half.queue or half.dead is not None:
            return True
        if not half.sealed:
            if kind == HANDSHAKE:
                return body[0] in HANDSHAKE_TYPES or bool(self.agreement.version)
            return kind == APPLICATION_DATA or len(body) == (2 if kind == ALERT else 1)
        if kind == CHANGE_CIPHER_SPEC or (self.agreement.version == TLS13 and kind != APPLICATION_DATA):
            return False
        if half.key is None and self.keyring.equip(half) is not True:
            return True  # it waits, or nobody will ever know
        assert half.key is not None
        opened = self._found(half, record)
        if opened is None:
            return half.key.opener.may_be(body)  # the next one will tell
        if isinstance(opened, Reason):
            self._kill(half, opened, record.at)
        else:
            half.opened = opened
        return True

    def _found(self, half: Half, record: Record) -> Opened | Reason | None:
        """Open a record of which nobody knows the number."""
        return self.keyring.rejoin(half, record) if half.trial else self.keyring.find(half, record)

    def _unreadable(self, half: Half, record: Record, reason: Reason) -> None:
        """The first record of a half for which there will be no key."""
        half.dead = reason
        if self.exchange.is_empty and not self.exchange.settled:
            self.outlet.joined(half, record)
        else:
            self.outlet.undecoded(half, record.size, reason.word)
        self._kill(half, reason, record.at)

    def _failed(self, half: Half, record: Record) -> None:
        """It did not open."""
        assert half.key is not None
        opener = half.key.opener
        if half.epoch is Epoch.EARLY and not half.opened_any and not half.lost:
            self.keyring.skip_early(half)
            if not self._protected(half, record):
                self.outlet.undecoded(half, record.size, REFUSED.word)
            return
        if half.trial:
            self.outlet.undecoded(half, record.size, WRONG_KEY.word)
            half.failures += 1
            if half.failures >= _FAILURES:
                self._kill(half, WRONG_KEY, record.at)
            return
        opener.skip(record.body)
        if half.unopened is not None and not opener.sequence:
            self.outlet.undecoded(half, record.size, half.unopened.word)
            half.patience -= 1
            if half.patience < 0:
                self._kill(half, WRONG_KEY, record.at)
        elif not half.lost and not half.opened_any:
            self.outlet.undecoded(half, record.size, WRONG_KEY.word)
            self._kill(half, WRONG_KEY, record.at)
        else:
            self.outlet.undecoded(half, record.size, DAMAGED if half.lost else BROKEN.word)
            half.failures += not (half.lost and opener.chained)
            half.lost = True
            if half.failures >= _FAILURES:
                self._kill(half, BROKEN, record.at)

    # What was opened

    def _opened(self, half: Half, record: Record, opened: Opened) -> None:
        kind, plain = opened
        if not half.opened_any:
            half.opened_any = True
            assert half.key is not None
            self.agreement.encryption.key_source = self.agreement.encryption.key_source or half.key.source
        half.lost = half.unsure = False
        half.failures = 0
        half.good = record.position + record.size
        if kind == APPLICATION_DATA:
            self.outlet.application(half, record, plain)
            return
        self.outlet.overhead(half, record.size)
        if kind == HANDSHAKE:
            self._later_handshake(half, plain)
        elif kind == ALERT and len(plain) == 2:
            self._alert(half, plain[0], plain[1], record.at)

    def _later_handshake(self, half: Half, plain: bytes) -> None:
        """Handshake messages that are encrypted."""
        try:
            messages = half.handshakes.feed(plain)
        except Malformed:
            half.handshakes.reset()  # its beginning was lost
            return
        agreement, side = self.agreement, half.side
        for kind, body in messages:
            if kind == FINISHED:
                self._finish(half)
            elif agreement.version != TLS13 or half.key is None:
                continue
            elif kind == ENCRYPTED_EXTENSIONS and side is SERVER:
                agreement.encrypted_extensions(body)
            elif kind == END_OF_EARLY_DATA and half.epoch is Epoch.EARLY:
                half.epoch, half.key = Epoch.HANDSHAKE, None
            elif kind == KEY_UPDATE and half.epoch is Epoch.APPLICATION:
                half.key = agreement.next_key(half.key)
                half.updates += 1

    def _finish(self, half: Half) -> None:
        self._finished[half.side] = True
        if self.agreement.version == TLS13 and half.epoch is Epoch.HANDSHAKE:
            half.epoch, half.key = Epoch.APPLICATION, None
        if all(self._finished):
            self.outlet.settle()

    def _alert(self, half: Half, level: int, description: int, at: int) -> None:
        fatal = level == _FATAL and description not in (_CLOSE_NOTIFY, _USER_CANCELED)
        if fatal and not self.exchange.settled:
            self.exchange.alert(alert_name(description), half.side)
            self.outlet.settle()
        if fatal or description == _CLOSE_NOTIFY:
            half.over = True
            self.outlet.end(half, at)

    # What becomes of a half

    def _kill(self, half: Half, reason: Reason, at: int) -> None:
        """Nothing more of it can be read."""
        half.dead = reason
        self._drop_run(half, reason.word)
        if half.opened_any:
            half.missing = 0
        self.outlet.end(half, at)
        if all(one.dead is not None for one in self.halves):
            self.outlet.settle()

    def lose(self, half: Half, size: int) -> None:
        """Bytes of it are missing, 0: nobody knows how many; at the place in the queue where that is."""
        half.lost = True
        half.unsure |= not size
        self._drop_run(half, DAMAGED)
        half.handshakes.reset()
        if half.key is not None:
            half.key.opener.lose()
        if half.trial or half.dead is not None:
            half.slack += size // _LEAST + 1 if size else _UNKNOWN
            half.tail = b""
        if not half.sealed:
            self.exchange.lose(half.side)

    def end(self, half: Half, at: int) -> None:
        """Nothing more comes, and nothing waits."""
        self._drop_run(half, CUT_OFF)
        self.outlet.end(half, at)

    def _drop_run(self, half: Half, word: str) -> None:
        if half.run:
            self.outlet.undecoded(half, half.run, word)
            half.run = 0
