"""What a connection gives: the messages of its handshake once, plain text, and an account of every other byte."""

from __future__ import annotations

from pysniff.dissector import Inside, InsideEnd, InsideGap, Output, Overhead, Undecoded, Within
from pysniff.encryption import Encryption
from pysniff.message import Side
from pysniff.tls.agreement import Agreement
from pysniff.tls.exchange import Exchange
from pysniff.tls.half import HEADER, Half, Record


class Outlet:
    """`sealed`: what is known where nothing can be decrypted."""

    def __init__(self, agreement: Agreement, exchange: Exchange, halves: tuple[Half, Half]) -> None:
        self.sealed: Encryption | None = None
        self._agreement = agreement
        self._exchange = exchange
        self._halves = halves
        self._out: list[Output] = []
        self._overhead = [0, 0]
        self._within = False

    def given(self) -> list[Output]:
        """Everything since this was last called."""
        out, self._out = self._out, []
        for side, size in enumerate(self._overhead):
            if size:
                out.append(Overhead(Side(side), size))
                self._overhead[side] = 0
        return out

    def undecoded(self, half: Half, size: int, word: str) -> None:
        self._out.append(Undecoded(half.side, size, word))

    def overhead(self, half: Half, size: int) -> None:
        self._overhead[half.side] += size

    def application(self, half: Half, record: Record, plain: bytes) -> None:
        """What a record with application data carries."""
        if half.over:
            self.undecoded(half, record.size, "after its end")
            return
        size = len(plain)
        self._overhead[half.side] += record.size - size
        if not size:
            return
        half.spoke = True
        if not self._within:
            self._begin(record.at)
        if half.missing is not None:
            self._out.append(InsideGap(half.side, half.missing, record.at))
            half.missing = None
        self._out.append(Inside(half.side, plain, record.position + HEADER, record.at))

    def joined(self, half: Half, record: Record) -> None:
        """Nobody saw a handshake: an entry says so, and this record's header stands for it."""
        assert half.dead is not None
        used = self._exchange.joined(half.side, record)
        self.sealed = self._agreement.encryption
        self.settle()
        self.undecoded(half, record.size - used, half.dead.word)

    def settle(self) -> None:
        """Give the handshake, if that was not done yet: nothing about it changes any more."""
        if not self._exchange.settled:
            dead = [half.dead for half in self._halves if half.dead is not None]
            self._out += self._exchange.settle(dead[0].sentence if dead else "")
            if dead and not self._agreement.encryption.key_source:
                self.sealed = self._agreement.encryption

    def end(self, half: Half, at: int) -> None:
        """Nothing more of a half can be read."""
        if self._within and not half.told:
            half.told = True
            if half.missing is not None or half.lost:
                self._out.append(InsideGap(half.side, half.missing or 0, at))
                half.missing = None
            self._out.append(InsideEnd(half.side, at))

    def _begin(self, at: int) -> None:
        self._within = True
        self.settle()
        self._out.append(Within(self._agreement.protocol(), self._agreement.encryption))
        for half in self._halves:
            if half.over or half.dead is not None or (half.ended and not half.queue):
                self.end(half, at)
